import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from lenet_multi.commands.report.climb import read_climb
from lenet_multi.errors import UserError
from lenet_multi.parity.ascent import COMPARISON, Ascent, write_json
from lenet_multi.parity.ladder import FORWARD, Finding
from tests.commands.report.material import climb_folder
from tests.parity.test_report import finding, ladder


def climbed(findings: list[Finding]) -> Ascent:
    """Return a climb of two backends."""
    seen = ladder()
    for evidence in seen.climbed.values():
        evidence.record |= {"form": "stock", "instruction_set": "avx2", "seconds": 1.0}
    return Ascent(seen, findings, [], 1.0)


def test_a_climb_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Findings and lines are read back; an infinite gap is too, and fails."""
    written = climbed([finding(FORWARD, 0.2), finding(FORWARD, math.inf)])
    write_json(written, tmp_path / COMPARISON)
    climb = read_climb(tmp_path)
    assert climb.findings == written.findings
    assert not climb.passed
    assert climb.rungs == [written.findings[1]]
    assert climb.first_failure == written.findings[1]
    assert [(line.name, line.kind) for line in climb.lines] == [
        ("jax and torch", "float32"),
        ("jax and torch", "float64"),
    ]
    assert climb.lines[0].steps == [1, 2, 3]
    assert climb.lines[0].gaps == pytest.approx([1e-17, 1e-5, 1e-5], rel=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 1}, "has schema version 1, this program reads 2; climb again"),
        ({"findings": [{}]}, "is damaged"),
        ({"findings": 3}, "is damaged"),
        ({"failures": [{"child": "jax"}]}, "is damaged"),
        (
            {"gaps": [{"name": "a", "kind": "float32", "steps": [1], "gaps": []}]},
            "not as many as its gaps",
        ),
        (
            {"gaps": [{"name": "a", "kind": "float32", "steps": [], "gaps": []}]},
            "is damaged: a line whose steps are missing, below 1, or not as many as its gaps;",
        ),
        ({"gaps": [{"name": "a", "kind": "c", "steps": [1], "gaps": [1]}]}, "unknown kind 'c'"),
        ({"gaps": [{"name": "a", "kind": "float32", "steps": ["x"], "gaps": [1]}]}, "is damaged"),
    ],
    ids=["schema", "finding", "no list", "failure", "lengths", "no steps", "kind", "words"],
)
def test_a_damaged_climb_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    """A damaged climb is refused with one line that names the file and the remedy."""
    folder = climb_folder(tmp_path / "climb", **change)
    with pytest.raises(UserError, match=message) as error:
        read_climb(folder)
    assert "climb again" in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "null"], ids=["empty", "list", "cut", "null"])
def test_what_is_no_comparison_is_refused(tmp_path: Path, text: str) -> None:
    """Whatever the file holds, the error is a `UserError`."""
    (tmp_path / COMPARISON).write_text(text)
    with pytest.raises(UserError, match="is damaged"):
        read_climb(tmp_path)


def test_a_folder_without_a_climb_is_refused(tmp_path: Path) -> None:
    """The error says which folder to give."""
    words = "holds no readable comparison.json; give the --out folder of lenet-multi parity"
    with pytest.raises(UserError, match=f"^{re.escape(str(tmp_path))} {words}$"):
        read_climb(tmp_path)


def test_a_climb_passes_if_all_finished_and_all_findings_passed(tmp_path: Path) -> None:
    """A climber that failed is no finding, and the climb has not passed."""
    assert read_climb(climb_folder(tmp_path / "a")).passed is True
    failures = [{"child": "jax", "reason": "crashed", "last_lines": []}]
    assert read_climb(climb_folder(tmp_path / "b", failures=failures)).passed is False


def test_the_json_is_small(tmp_path: Path) -> None:
    """A line has at most a hundred points, whatever the number of steps."""
    write_json(climbed([]), tmp_path / COMPARISON)
    lines = json.loads((tmp_path / COMPARISON).read_text())["gaps"]
    assert max(len(line["steps"]) for line in lines) <= 100
