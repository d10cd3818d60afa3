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
    """A slow minute of the machine, which hits both ways, changes no ratio."""
    one, two = row("jax", STOCK, 2.0, 20.0, 2.0), row("jax", OURS, 1.0, 10.0, 1.0)
    assert ratio(one, two) == 2.0
    assert is_clear(one, two)
    assert not is_clear(one, row("jax", OURS, 1.0, 21.0, 1.0))


def test_a_bench_is_written_with_what_follows_from_it(tmp_path: Path) -> None:
    """The file has a version, every round's figures, the best way and the sentence."""
    found = bench(THREE)
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
