"""Stored batches, handed over without a queue to loops that prepare them."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, islice
from typing import Any

from keras import tree

from lenet_multi.backends import private
from lenet_multi.data.batches import Batches, StoredBatch
from lenet_multi.data.examples import Prepare, parts

Tensor = Any  # the backend's own
Feed = Any  # what Keras's `fit` takes
Batch = Any  # x, or a tuple of x, y and the weights of examples; what is absent may be None


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
    """Return up to `steps` next batches, grouped by shapes, and whether to prepare each group."""
    batches = list(islice(iterator, steps))
    if not batches:
        raise StopIteration  # Keras expects it
    groups = (list(group) for _, group in groupby(batches, shapes))
    return [(group, isinstance(group[0], StoredBatch)) for group in groups]


def shapes(batch: Batch) -> Any:
    """Return the shapes of a batch's arrays, nested as they are; of a stored one its size."""
    if isinstance(batch, StoredBatch):
        return len(parts(batch.x)[0])  # all else is alike
    return tree.map_structure(lambda array: None if array is None else tuple(array.shape), batch)


def padded(batches: list[Batch], steps: int) -> list[Batch]:
    """Return `steps` batches, so that one program fits; nothing trains on the added copies."""
    return batches + batches[-1:] * (steps - len(batches))


def laid(batches: Sequence[Batch], stack: Callable[[tuple[Any, ...]], Any]) -> Batch:
    """Return the batches as one with a new first axis, stacked by `stack`."""
    return tree.map_structure(
        lambda *arrays: None if arrays[0] is None else stack(arrays), *batches
    )


def one_of(batches: Batch, index: Tensor, prepare: Prepare | None) -> Batch:
    """Return batch number `index` of stacked ones, prepared by `prepare` if given."""
    batch = tree.map_structure(lambda array: None if array is None else array[index], batches)
    return (prepare(batch[0]), *batch[1:]) if prepare else batch


def first_of(batch: Batch) -> Any:
    """Return the first array of a batch."""
    return next(array for array in tree.flatten(batch) if array is not None)
