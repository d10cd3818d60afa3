import numpy as np
import pytest

from lenet_multi.data.examples import Dataset, Examples

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("backend")]


@pytest.mark.parametrize("skipped", [0, 1], ids=["from the start", "gone on with"])
def test_keras_may_be_fed_what_is_stored(
    backend: str, small: Dataset, skipped: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The feed gives the pixels as stored, in each epoch's order, for a step that scales them."""
    from lenet_multi.backends.stored import stored_feed
    from lenet_multi.data.batches import Batches, StoredBatch

    monkeypatch.setattr("lenet_multi.data.batches._AT_A_TIME", 600)  # several times, and a rest
    batches = Batches(small.train, batch_size=300)
    batches.skipped = skipped
    fed = stored_feed(batches)
    for epoch in (0, 3):
        batches.set_epoch(epoch, seed=1)
        pairs = list(fed.get_tf_dataset() if backend == "tensorflow" else fed.get_jax_iterator())
        assert len(pairs) == fed.num_batches == 4 - skipped
        for index, pair in enumerate(pairs, start=skipped):
            assert isinstance(pair, StoredBatch)
            chosen = batches.order[300 * index : 300 * (index + 1)]
            np.testing.assert_array_equal(pair.x, small.train.x[chosen])
            assert pair.x.dtype == np.uint8
            np.testing.assert_array_equal(pair.y, small.train.y[chosen])


def test_what_comes_as_it_is_stored_is_prepared_alone() -> None:
    """Only stored images are prepared; images already scaled, targets and weights are unchanged."""
    from lenet_multi.backends.stored import alike, laid, one_of
    from lenet_multi.data.batches import StoredBatch
    from lenet_multi.lenet.pixels import scaled

    fifths, labels = np.full((1, 2, 2, 1), 51, np.uint8), np.ones(1, np.uint8)
    ((stored, is_stored),) = alike(iter([StoredBatch(fifths, labels)]), 3)
    ((given, is_given),) = alike(iter([(fifths, labels, None)]), 3)
    assert (is_stored, is_given) == (True, False)
    prepared = one_of(laid(stored, np.stack), 0, scaled)
    assert float(prepared[0][0, 0, 0, 0]) == np.float32(0.2)
    as_it_came = one_of(laid(given, np.stack), 0, None)
    np.testing.assert_array_equal(as_it_came[0], fifths)
    for batch in (prepared, as_it_came):
        np.testing.assert_array_equal(batch[1], labels)
    assert as_it_came[2] is None  # absent weights stay absent


def test_batches_of_one_size_come_together() -> None:
    """An execution takes batches of one size up to its limit; without batches the epoch ends."""
    from lenet_multi.backends.stored import alike, padded

    batches = iter([(np.full(size, number),) for number, size in enumerate((2, 2, 2, 1), 1)])
    ((first, _),) = alike(batches, 2)
    assert [int(x[0]) for (x,) in first] == [1, 2]
    (two, _), (one, _) = alike(batches, 9)
    assert [int(x[0]) for (x,) in (*two, *one)] == [3, 4]
    assert [int(x[0]) for (x,) in padded(first, 4)] == [1, 2, 2, 2]
    with pytest.raises(StopIteration):
        alike(batches, 2)


def test_several_inputs_are_laid_and_taken_by_name() -> None:
    """Several inputs are stacked separately by name, and each batch can be taken out again."""
    from lenet_multi.backends.stored import laid, one_of
    from lenet_multi.data.batches import Batches

    numbers = np.arange(6)
    batches = Batches(
        Examples({"one": numbers, "two": -numbers}, (numbers, 2.0 * numbers)), batch_size=2
    )
    both = laid([batches[index] for index in range(3)], np.stack)
    x, y = one_of(both, 1, lambda x: {name: 10 * array for name, array in x.items()})
    assert {name: list(array) for name, array in x.items()} == {"one": [20, 30], "two": [-20, -30]}
    assert [list(array) for array in y] == [[2, 3], [4.0, 6.0]]
