import base64
import json
from pathlib import Path
from typing import Any

import pytest

from lenet_multi.interface.results import BenchResult, EvaluationResult, ParityResult
from lenet_multi.parity.ascent import FIGURE
from lenet_multi.parity.ladder import Finding
from tests.conftest import PROJECT

RESULTS = PROJECT / "benchmarks" / "results"


def climb(name: str, folder: Path, **more: Any) -> ParityResult:
    """Return the result of a committed climb, with more or other fields."""
    content = json.loads((RESULTS / f"{name}.json").read_text())
    return ParityResult.of({**content, **more}, folder)


def test_a_climb_that_passed_says_so(tmp_path: Path) -> None:
    """All findings are there, and the sentence names the backends."""
    result = climb("parity", tmp_path)
    assert result.passed
    assert result.first_failure is None
    assert all(isinstance(finding, Finding) for finding in result.findings)
    assert result.sentence == "The same at every rung: tensorflow, jax, torch."
    assert "L4 trajectory" in repr(result)
    assert '<td style="text-align: left">L4 trajectory</td>' in result._repr_html_()


def test_a_climb_that_failed_says_where_first(tmp_path: Path) -> None:
    """The first failure is a finding with rung, pair and place."""
    result = climb("parity-nvidia-h200", tmp_path)
    assert not result.passed
    assert (first := result.first_failure)
    assert (first.rung, first.pair) == ("L2 gradient", ("tensorflow", "oracle"))
    assert result.sentence.startswith("They DIFFER, first at L2 gradient, gradients, float32")
    assert "FAIL" in result._repr_html_()


def test_a_process_that_failed_gives_no_verdict(tmp_path: Path) -> None:
    """Its last line is told."""
    failure = {"child": "jax float32", "reason": "ended with status 1", "last_lines": ["Error: x"]}
    result = climb("parity", tmp_path, passed=False, failures=[failure])
    assert result.sentence == "No verdict: jax float32 ended with status 1: Error: x"


def test_fields_of_a_later_program_are_read_over(tmp_path: Path) -> None:
    """More fields do no harm, and known divergences are told in a line each."""
    known = {"what": "bicubic", "size": "7e-2", "cause": "torch", "way_round": "bilinear", "new": 1}
    result = climb("parity", tmp_path, known=[known], news="x")
    assert result.known == ["bicubic; 7e-2; torch; bilinear"]


@pytest.mark.parametrize("drawn", [False, True], ids=["without", "with"])
def test_a_notebook_shows_the_figure_if_there_is_one(tmp_path: Path, drawn: bool) -> None:
    """The figure is in the HTML as it was drawn."""
    if drawn:
        (tmp_path / FIGURE).write_bytes(b"picture")
    html = climb("parity", tmp_path)._repr_html_()
    assert (base64.b64encode(b"picture").decode() in html) == drawn
    assert ("<img" in html) == drawn


def test_an_evaluation_is_shown_class_by_class() -> None:
    """A row for each class, and the whole test set in the sentence."""
    row = {"class": 0, "images": 4, "right": 3, "precision": 1.0, "recall": None}
    counts = {"test_images": 4, "test_correct": 3, "test_accuracy": 0.75, "test_loss": 0.5}
    content = {"model": "m", "backend": "jax", "classes": [row], "confusion": [[4]], **counts}
    result = EvaluationResult.of(content)
    assert result.sentence == "3 of 4 right (75.00%), loss 0.5000, on jax."
    assert result.classes == [row]
    assert '<td style="text-align: right">0</td>' in result._repr_html_()


def test_a_bench_shows_a_row_for_each_way(tmp_path: Path) -> None:
    """Medians over the rounds, a failure as its reason, and the sentence."""
    timed = {
        "backend": "jax",
        "way": "ours",
        "seconds": {"first step": 1.25},
        "why_stock": None,
        "step_ms": [3.0, 1.0, 2.0],
        "predict_ms": [0.5],
        "peak_mib": 400.0,
        "failure": None,
    }
    failed = {"backend": "torch", "way": "jit on", "step_ms": [], "failure": "it cannot"}
    result = BenchResult({"rows": [timed, failed], "sentence": "Take jax."}, tmp_path)
    assert result.rows == [timed, failed]
    lines = repr(result).splitlines()
    assert [cell.strip() for cell in lines[4].split("│")][1:7] == (
        ["jax", "ours", "1.25", "2", "0.5", "400"]
    )
    assert "it cannot" in lines[5]
    assert lines[-1] == result.sentence == "Take jax."
