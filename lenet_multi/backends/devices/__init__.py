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


def refuse_unfit(model: Any, batch: Any, backend: str, count: int) -> None:
    """Raise `UserError` if parts of a batch do not make the step of the compiled fast `model`.

    `batch` is x, y of some examples, prepared; the loss of all is compared with those of each one.
    """
    if count == 1 or backend == "jax":  # XLA computes the step of the whole batch
        return
    why = _why_unfit(model) or (_why_unfit_optimizer(model) if backend == "tensorflow" else None)
    if why := why or _why_unfit_loss(model, *batch, devices=count):
        raise UserError(
            f"{FLAG} {count}: {backend} computes a part of each batch on each device, but {why}; "
            "give --backend jax, or one device"
        )


def _why_unfit(model: Any) -> str | None:
    import keras

    from lenet_multi.backends.layers import layers

    for name in ("train_step", "compute_loss", "make_train_function"):
        if getattr(model.fast.stock, name) is not getattr(keras.Model, name):
            return f"its class has a {name} of its own"
    for layer in layers(model):
        if isinstance(layer, keras.layers.Masking) or getattr(layer, "mask_zero", False):
            return f"its loss weighs the batch by the mask of {layer.name}"
    return None


def _why_unfit_optimizer(model: Any) -> str | None:
    """Return what TensorFlow's optimizer would do with the gradient of a part, before their sum."""
    import keras

    if isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer):
        return "mixed_float16 looks for infinite gradients on the first device alone"
    asked = ("clipnorm", "global_clipnorm", "clipvalue", "gradient_accumulation_steps", "use_ema")
    named = [name for name in asked if getattr(model.optimizer, name, None)]
    return f"its optimizer has {named[0]}, which would see one part alone" if named else None


def _why_unfit_loss(model: Any, x: Any, y: Any, *, devices: int) -> str | None:
    """Compare the loss of examples with the mean of those of single ones.

    Two parts would not do: a root of a mean is nearly that of two parts with losses of like size.
    """
    from concurrent.futures import ThreadPoolExecutor

    import keras
    import numpy as np

    def loss(first: int, last: int) -> float:
        some = keras.tree.map_structure(lambda side: side[first:last], (x, y))
        outputs = model(some[0], training=False)
        found = model.compute_loss(*some, outputs, None, training=False)
        return float(np.asarray(keras.ops.convert_to_numpy(found)))

    count = len(keras.tree.flatten(x)[0])
    alone_each = np.mean([loss(place, place + 1) for place in range(count)])
    whole = loss(0, count)
    if not np.isclose(alone_each, whole, rtol=_ROUNDED):
        return "its loss of a batch is not the mean of those of the batch's parts"
    if keras.backend.backend() != "tensorflow":
        return None
    # TensorFlow's strategy divides a mean by the number of devices; a thread is outside of it.
    with ThreadPoolExecutor(1) as outside:
        alone = outside.submit(loss, 0, count).result()
    if not np.isclose(whole * devices, alone, rtol=_ROUNDED):
        return "its loss function returns one number for all examples; return one for each"
    return None


_ROUNDED = 1e-4  # relative; sums of a few examples' losses in float32 round by 1e-6

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
