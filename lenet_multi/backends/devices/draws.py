"""Random numbers of a whole batch, of which each device takes those of its rows.

TensorFlow's replicas and PyTorch's processes draw for their own part of a batch, so two devices
would draw the same masks of dropout, and other ones than a single device. Here each device draws
for the whole batch, as a single device does, and keeps its rows. JAX does so by itself.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from keras import ops

from lenet_multi.backends import private

Tensor = Any  # the backend's own
Rows = Any  # a number of rows: an integer, or a tensor of TensorFlow's


@dataclass(frozen=True)
class Part:
    """The rows of a batch that one of `count` devices computes: `size` from `first`, of `total`.

    `counted` rows count: all of them, or none where a single row only fills an empty part.
    """

    first: Rows
    size: Rows
    total: Rows
    count: int
    counted: Rows


_OF_THREAD = threading.local()  # a replica of TensorFlow's has a thread of its own


@contextmanager
def taking(part: Part) -> Iterator[None]:
    """Let layers draw for the whole batch in this thread's block, and take the rows of `part`."""
    _OF_THREAD.part = part
    try:
        yield
    finally:
        del _OF_THREAD.part


def current() -> Part | None:
    """Return the part of the batch that this thread trains on, in a block of `taking`."""
    return getattr(_OF_THREAD, "part", None)


@contextmanager
def shared() -> Iterator[None]:
    """Make layers obey `taking` in the block."""
    with ExitStack() as stack:
        for name, function in (("dropout", _dropout), ("uniform", _drawn), ("normal", _drawn)):
            place = private.RANDOM[name]
            stock = private.find(place)
            stack.enter_context(private.replaced(place, partial(function, stock)))
        yield


def _dropout(
    stock: Callable[..., Tensor],
    inputs: Tensor,
    rate: float,
    noise_shape: Sequence[Any] | None = None,
    seed: Any = None,
) -> Tensor:
    part = current()
    if part is None or not 0 < rate < 1 or not _is_of_rows(inputs.shape[0], part):
        return stock(inputs, rate, noise_shape, seed)
    if noise_shape is not None and noise_shape[0] is not None:
        if not _is_of_rows(noise_shape[0], part):
            return stock(inputs, rate, noise_shape, seed)
        noise_shape = (None, *noise_shape[1:])
    beside = [(0, 0)] * (len(inputs.shape) - 1)
    whole = ops.pad(inputs, [(part.first, part.total - part.first - part.size), *beside])
    return _taken(stock(whole, rate, noise_shape, seed), part)


def _drawn(stock: Callable[..., Tensor], shape: Sequence[Any], *given: Any, **named: Any) -> Tensor:
    part = current()
    if part is None or not len(shape) or not _is_of_rows(shape[0], part):
        return stock(shape, *given, **named)
    return _taken(stock((part.total, *shape[1:]), *given, **named), part)


def _is_of_rows(length: Any, part: Part) -> bool:
    """Return whether an axis of so many entries has one for each row of the device's part."""
    is_known = isinstance(length, int) and isinstance(part.size, int)
    return length == part.size if is_known else not isinstance(length, int)


def _taken(whole: Tensor, part: Part) -> Tensor:
    return whole[part.first : part.first + part.size]
