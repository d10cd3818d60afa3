"""One training on several devices, by each backend's own engine; `README.md` here explains it.

Each step's batch is the one that a single device sees, cut by rank in NumPy's order
(`numpy.array_split`). So results differ from those of one device only by rounding. Read
`tensorflow.py`, `jax.py` and `torch.py` side by side: their functions have the same names.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from lenet_multi.backends import private
from lenet_multi.config import PER_DEVICE, SYNCHRONISED, WHOLE
from lenet_multi.errors import UserError

FLAG = "--devices"


def engine(backend: str) -> Any:
    """Return the module that trains on several devices of `backend`; Keras need not be started."""
    return import_module(f"lenet_multi.backends.devices.{backend}")


@contextmanager
def shared(backend: str, count: int) -> Iterator[None]:
    """Share what the block builds, trains and evaluates among `count` devices of `backend`.

    With one device the block does what it does without. Raises `UserError` when there are fewer, or
    this version of Keras lacks a private name.
    """
    if count == 1:
        yield
        return
    if why := private.why_not(backend, devices=True):
        raise UserError(f"{FLAG} {count}: {why}; give one device, or another --backend")
    with engine(backend).scope(count):
        yield


def set_batch_statistics(model: Any, over: str, backend: str, count: int) -> None:
    """Make batch normalisation of `model` take statistics `over` what the setting says.

    Raises `UserError` where `backend` cannot on so many devices.
    """
    if count == 1:
        return
    import keras

    from lenet_multi.backends.layers import layers

    norms = [one for one in layers(model) if isinstance(one, keras.layers.BatchNormalization)]
    if not norms or (backend == "jax" and over != PER_DEVICE):  # XLA sees the whole batch
        return
    able = {"jax": (WHOLE,), "tensorflow": (SYNCHRONISED, PER_DEVICE), "torch": (PER_DEVICE,)}
    if over not in able[backend]:
        raise UserError(
            f"{FLAG} {count}: {backend} cannot take the statistics of batch normalisation "
            f"({norms[0].name}) over {_OVER[over]}; give --batch-statistics "
            f"{' or '.join(able[backend])}, or one device"
        )
    for norm in norms:
        norm.synchronized = over == SYNCHRONISED


def refuse_unfit(model: Any, backend: str, count: int) -> None:
    """Raise `UserError` if parts of a batch do not make the step of the compiled fast `model`."""
    if count == 1 or backend == "jax":  # XLA computes the step of the whole batch
        return
    if why := _why_unfit(model):
        raise UserError(
            f"{FLAG} {count}: {backend} computes a part of each batch on each device, but {why}; "
            "give --backend jax, or one device"
        )


def _why_unfit(model: Any) -> str | None:
    import keras

    from lenet_multi.backends.layers import layers

    for name in ("train_step", "compute_loss"):
        if getattr(model.fast.stock, name) is not getattr(keras.Model, name):
            return f"its class has a {name} of its own"
    for layer in layers(model):
        if isinstance(layer, keras.layers.Masking) or getattr(layer, "mask_zero", False):
            return f"its loss weighs the batch by the mask of {layer.name}"
    for loss in keras.tree.flatten(model.loss):
        if getattr(loss, "reduction", _MEANS[0]) not in _MEANS:
            return f"its loss {loss.name} is no mean over the examples"
    return None


_MEANS = ("sum_over_batch_size", "mean")  # of Keras's reductions, those over the examples

_OVER = {
    WHOLE: "the whole batch",
    PER_DEVICE: "the part of each device",
    SYNCHRONISED: "the whole batch, added up",
}


def refuse_small_batch(count: int, batch_size: int) -> None:
    """Raise `UserError` for a batch that has no example for each of `count` devices."""
    if batch_size < count:
        raise UserError(
            f"{FLAG} {count}: a batch of {batch_size} has no example for each device; give a "
            f"--batch-size of {count} or more, or fewer devices"
        )


def refuse_more(count: int, present: Sequence[str]) -> None:
    """Raise `UserError` for more devices than are `present`."""
    if count > len(present):
        raise UserError(
            f"{FLAG} {count}: this machine has {len(present)} ({', '.join(present)}); give fewer, "
            "or hide its GPUs (CUDA_VISIBLE_DEVICES=-1): a processor makes as many logical devices "
            "as you ask for"
        )
