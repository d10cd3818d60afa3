import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lenet_multi.errors import UserError
from lenet_multi.parity.evidence import Evidence, read
from lenet_multi.runs.record import file_sha256


def written(folder: Path) -> Evidence:
    """Return evidence of the climb "today", written to `folder`."""
    evidence = Evidence(
        "jax",
        "today",
        facts={"parameters": 110},
        arrays={"L1/initial/logits": np.arange(6.0).reshape(2, 3)},
        record={"seconds": 1.5},
    )
    evidence.write(folder)
    return evidence


def test_evidence_reads_back_as_it_was_written(tmp_path: Path) -> None:
    """Facts, record, and arrays with names like paths are read as they were written."""
    evidence = written(tmp_path)
    found = read(tmp_path, climb="today")
    assert (found.climber, found.facts, found.record) == ("jax", evidence.facts, evidence.record)
    assert list(found.arrays) == list(evidence.arrays)
    place = "L1/initial/logits"
    np.testing.assert_array_equal(found.arrays[place], evidence.arrays[place])


def test_stale_evidence_is_refused(tmp_path: Path) -> None:
    """Evidence of an earlier climb is refused."""
    written(tmp_path)
    with pytest.raises(UserError, match="is stale"):
        read(tmp_path, climb="tomorrow")


@pytest.mark.parametrize("name", ["evidence.json", "evidence.npz"])
@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str, share: float) -> None:
    """A truncated file gives one line that names the folder."""
    written(tmp_path)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=tmp_path.name):
        read(tmp_path, climb="today")


def test_an_altered_array_is_refused(tmp_path: Path) -> None:
    """One flipped bit changes the hash, so the array is refused."""
    written(tmp_path)
    content = bytearray((tmp_path / "evidence.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "evidence.npz").write_bytes(content)
    with pytest.raises(UserError, match="its hash is wrong"):
        read(tmp_path, climb="today")


def test_missing_evidence_is_refused(tmp_path: Path) -> None:
    """A folder without evidence is refused by name."""
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path / "nowhere", climb="today")


def test_the_place_of_an_array_is_a_whole_name(tmp_path: Path) -> None:
    """What lies under a place has its name, a dash and more, and comes by the rest."""
    arrays = {name: np.array(1) for name in ("L1/a", "L1/b/L1/c", "L10/a", "L1", "x/L1/a")}
    assert list(Evidence("jax", "", arrays=arrays).under("L1")) == ["a", "b/L1/c"]


def test_an_error_names_what_to_do(tmp_path: Path) -> None:
    """Stale evidence is to be deleted, and damaged evidence to be made again."""
    written(tmp_path)
    with pytest.raises(UserError) as refused:
        read(tmp_path, climb="tomorrow")
    assert str(refused.value) == (
        f"{tmp_path} is stale: it holds evidence of another climb; delete it"
    )
    (tmp_path / "evidence.npz").write_bytes(b"x")
    with pytest.raises(UserError) as refused:
        read(tmp_path, climb="today")
    assert str(refused.value) == (
        f"{tmp_path / 'evidence.npz'} is damaged: its hash is wrong; climb again"
    )
    (tmp_path / "evidence.json").write_text("{}")
    with pytest.raises(UserError) as refused:
        read(tmp_path, climb="today")
    assert str(refused.value) == (
        f"the evidence in {tmp_path} cannot be read: 'climb'; climb again"
    )


def test_objects_are_no_arrays(tmp_path: Path) -> None:
    """Evidence that could run code is neither written nor read."""
    evidence = Evidence("jax", "today", arrays={"a": np.array([{}], object)})
    with pytest.raises(ValueError, match="Object arrays"):
        evidence.write(tmp_path)


def test_objects_are_not_read(tmp_path: Path) -> None:
    """An archive that was exchanged together with its hash runs no code."""
    written(tmp_path)
    objects: dict[str, Any] = {"a": np.array([{}], object)}
    np.savez(tmp_path / "evidence.npz", **objects)
    content = json.loads((tmp_path / "evidence.json").read_text())
    content["arrays"] = file_sha256(tmp_path / "evidence.npz")
    (tmp_path / "evidence.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="cannot be read: Object arrays cannot be loaded"):
        read(tmp_path, climb="today")
