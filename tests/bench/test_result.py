import json
from pathlib import Path

import pytest

from lenet_multi.bench.result import FILE, SCHEMA_VERSION, fastest, is_clear, ratio
from lenet_multi.bench.ways import OURS, STOCK
from lenet_multi.errors import UserError
from tests.bench.material import THREE, bench, row


def test_the_best_has_the_smallest_median() -> None:
    """One quick round does not make a way the best; a failed way never is."""
    rows = (row("jax", STOCK, 1.0, 5.0, 5.0), row("jax", OURS, 3.0, 3.0, 3.0))
    assert bench(rows).best is rows[1]
    assert fastest((row("jax", STOCK, 1.0, failure="it ended"), rows[0])) is rows[0]
    assert fastest(()) is None


def test_ratios_are_of_rounds_in_pairs() -> None:
    """A slow minute of the machine, which hits both ways, changes no ratio.

    A round that one of them has no figure of, because a signal came, does not count.
    """
    one, two = row("jax", STOCK, 2.0, 20.0, 2.0), row("jax", OURS, 1.0, 10.0)
    assert ratio(one, two) == ratio(two, one) ** -1 == 2.0


def test_the_faster_of_two_is_clear_if_it_wins_every_round() -> None:
    """It is clear whichever comes first; a round that both win is not."""
    one, two = row("jax", STOCK, 2.0, 20.0, 3.0), row("jax", OURS, 1.0, 10.0, 1.0)
    assert is_clear(one, two)
    assert is_clear(two, one)
    for other in (row("jax", OURS, 1.0, 21.0, 1.0), row("jax", OURS, 2.0, 10.0, 1.0)):
        assert not is_clear(one, other)
        assert not is_clear(other, one)


def test_a_way_that_was_not_timed_has_no_row() -> None:
    """A backend's best, the row of a way and ours against stock are of what was timed there."""
    stock, ours = row("jax", STOCK, 4.0), row("jax", OURS, 2.0)
    other = (row("torch", STOCK, 1.0), row("torch", OURS, failure="it ended"))
    found = bench((*other, stock, ours))
    assert found.best_on("jax") is ours
    assert found.row("jax", STOCK) is stock
    assert found.row("torch", OURS) is None
    assert found.against_stock("jax") == 0.5
    assert found.against_stock("torch") is None
    assert bench(other[1:]).as_json()["best"] is None


def test_a_bench_is_written_with_what_follows_from_it(tmp_path: Path) -> None:
    """The file has a version, every round's figures, the best way and the sentence.

    The folder may exist.
    """
    found = bench(THREE)
    for _ in range(2):
        found.write(tmp_path / "new" / "folder")
    content = json.loads((tmp_path / "new" / "folder" / FILE).read_text())
    assert content["schema_version"] == SCHEMA_VERSION
    assert content["rows"][0]["step_ms"] == [9.0, 9.2, 9.4]
    assert content["best"] == {"backend": "torch", "way": OURS}
    assert content["sentence"] == found.sentence


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """The message names the folder."""
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write .*file/folder.*; choose another --out"):
        bench(THREE).write(tmp_path / "file" / "folder")
