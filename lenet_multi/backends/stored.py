"""Stored batches, handed over without a queue to loops that prepare them."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, islice
from typing import Any

from keras import tree

from lenet_multi.backends import private
from lenet_multi.data.batches import Batches, StoredBatch
from lenet_multi.data.examples import Prepare, changed, parts

Tensor = Any  # the backend's own
Feed = Any  # what Keras's `fit` takes
Batch = tuple[Any, ...]  # x, y; from `train_on_batch` the weights of examples too, or None


def stored_feed(batches: Batches) -> Feed:
    """Return stored `batches` without a queue; bytes have a quarter of the size of floats."""

    class Adapter(private.find(private.DATA_ADAPTER)):  # type: ignore[misc]  # made at run time
        @property
        def num_batches(self) -> int:
            return len(batches)

        def __iter__(self) -> Iterator[StoredBatch]:
            for some in batches.stored():
                count = len(parts(some.y)[0])
                yield from (StoredBatch(*one_of(some, index, None)) for index in range(count))

        def get_tf_dataset(self) -> Feed:
            return self  # each epoch iterates over it anew

        def get_jax_iterator(self) -> Iterator[StoredBatch]:
            return iter(self)

    return Adapter()


def alike(iterator: Iterator[Batch], steps: int) -> list[tuple[list[Batch], bool]]:
    """Return up to `steps` next batches, grouped by size, and whether to prepare each group."""
    batches = list(islice(iterator, steps))
    if not batches:
        raise StopIteration  # Keras expects it
    sizes = groupby(batches, lambda batch: len(parts(batch[0])[0]))
    return [(some := list(of_size), isinstance(some[0], StoredBatch)) for _, of_size in sizes]


def padded(batches: list[Batch], steps: int) -> list[Batch]:
    """Return `steps` batches, so that one program fits; nothing trains on the added copies."""
    return batches + batches[-1:] * (steps - len(batches))


def laid(batches: Sequence[Batch], stack: Callable[[tuple[Any, ...]], Any]) -> Batch:
    """Return the batches as one with a new first axis, stacked by `stack`."""
    sides = (side for side in zip(*batches, strict=True) if side[0] is not None)
    return tuple(tree.map_structure(lambda *arrays: stack(arrays), *side) for side in sides)


def one_of(batches: Batch, index: Tensor, prepare: Prepare | None) -> Batch:
    """Return batch number `index` of stacked ones, prepared by `prepare` if given."""
    x, *others = (changed(lambda array: array[index], side) for side in batches)
    return (prepare(x) if prepare else x), *others
