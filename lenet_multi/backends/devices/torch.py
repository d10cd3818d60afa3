"""PyTorch: `torch.distributed`, a process for each device; `torchrun` starts them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from keras import ops

from lenet_multi.backends.devices import draws
from lenet_multi.backends.mixin import Mixin
from lenet_multi.backends.stored import first_of
from lenet_multi.backends.torch import generators, set_generators
from lenet_multi.errors import UserError
from lenet_multi.machine import ranks

Tensor = Any  # PyTorch's
Logs = dict[str, Tensor]


@contextmanager
def scope(count: int) -> Iterator[None]:
    """Train in the block what all `count` processes train."""
    import torch

    if ranks.count() != count:
        raise UserError(
            f"--devices {count}: torch has {ranks.count()} processes; start one for each "
            "device with lenet-multi train, or with torchrun"
        )
    try:
        with draws.shared():
            yield
    finally:
        torch.distributed.destroy_process_group()


class Shared(Mixin):  # type: ignore[misc]  # for mypy it is Any
    """A model whose processes each train on their part of a batch, as one would on the whole.

    In each step gradients and moving means count by the rows of their parts, and metrics are added
    up. So all processes have the same weights and metrics at any time.
    """

    def compile(self, *given: Any, **named: Any) -> None:
        """Compile the model; its optimizer gets the gradients of all parts."""
        super().compile(*given, **named)
        _add_up(self.optimizer)

    def train_step(self, data: Any) -> Logs:
        """Train on this process's part of a batch."""
        import torch

        rank, count, size = ranks.rank(), ranks.count(), len(first_of(data))
        total = int(_summed([torch.tensor(size, device=self.weights[0].value.device)])[0])
        first = rank * (total // count) + min(rank, total % count)
        with (
            _counting_all(self, size / total),
            draws.taking(draws.Part(first, size, total, count, size)),
        ):
            if size:
                super().train_step(data)
            else:  # this process has no row of a small last batch
                weights = self.trainable_weights
                lacking = self.optimizer.without_gradient
                nothing = [None if w.path in lacking else ops.zeros_like(w) for w in weights]
                self.optimizer.apply(nothing, weights)
        if total < count:
            _draw_as_rank_0(self)
        return self.get_metrics_result()  # type: ignore[no-any-return]


@contextmanager
def _counting_all(model: Any, share: float) -> Iterator[None]:
    """Let the metrics that the block changes, and moving means by `share`, count all parts."""
    import torch

    metrics = model.metrics_variables
    moving = [v for v in model.non_trainable_variables if v.value.is_floating_point()]
    changed = [*((one, 1.0) for one in metrics), *((one, share) for one in moving)]
    before = [ops.copy(variable.value) for variable, _ in changed]
    yield
    with torch.no_grad():
        pairs = list(zip(changed, before, strict=True))
        own = [(variable.value - old) * part for (variable, part), old in pairs]
        for ((variable, _), old), added in zip(pairs, _summed(own), strict=True):
            variable.assign(old + added)


def _draw_as_rank_0(model: Any) -> None:
    """Set the random generators to those of rank 0, which had a row to draw for."""
    counters = [v for v in model.non_trainable_variables if not v.value.is_floating_point()]
    values = [ops.convert_to_numpy(variable) for variable in counters]
    values, states = ranks.led((values, generators()))
    for variable, value in zip(counters, values, strict=True):
        variable.assign(value)
    set_generators(states)


def _add_up(optimizer: Any) -> None:
    """Make Keras's `apply`, which a step calls, add up the gradients of all parts first."""
    apply = optimizer.apply

    def of_all(gradients: Sequence[Tensor | None], weights: Any = None) -> None:
        import torch

        part = draws.current()
        assert part
        with torch.no_grad():
            pairs = zip(gradients, weights or [], strict=False)
            optimizer.without_gradient = {one.path for gradient, one in pairs if gradient is None}
            own = [one * (part.size / part.total) for one in gradients if one is not None]
            summed = iter(_summed(own))
            apply([None if one is None else next(summed) for one in gradients], weights)

    optimizer.apply, optimizer.without_gradient = of_all, set()


def _summed(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the sums of tensors over all processes; one message for those of one dtype."""
    import torch

    flat: dict[Any, list[Tensor]] = {}
    for tensor in tensors:
        flat.setdefault(tensor.dtype, []).append(tensor.reshape(-1))
    sums = {}
    for dtype, some in flat.items():
        message = torch.cat(some)
        torch.distributed.all_reduce(message)
        sums[dtype] = iter(message.split([len(one) for one in some]))
    return [next(sums[tensor.dtype]).reshape(tensor.shape) for tensor in tensors]
