import base64
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from lenet_multi.interface.results import BenchResult, EvaluationResult, ParityResult
from lenet_multi.parity.ascent import FIGURE
from lenet_multi.parity.ladder import FORWARD, TRAJECTORY
from tests.parity.test_report import finding

FOUND = [
    finding(FORWARD, 0.25),
    dataclasses.replace(finding(FORWARD, 0.5, precision="float64"), pair=("jax", "oracle")),
    dataclasses.replace(finding(TRAJECTORY, 0.5), pair=("tensorflow", "torch")),
]


def climb(folder: Path, **more: Any) -> ParityResult:
    """Return the result of a climb that passed, with more or other fields."""
    content = {
        "passed": True,
        "findings": [dataclasses.asdict(one) for one in FOUND],
        "failures": [],
        "seconds": 2,
    }
    return ParityResult.of({**content, **more}, folder)


def test_a_climb_that_passed_says_so(tmp_path: Path) -> None:
    """All findings are there, and the sentence names the backends."""
    result = climb(tmp_path)
    assert result.passed
    assert result.first_failure is None
    assert result.findings == FOUND
    assert (result.failures, result.known, result.folder) == ([], [], tmp_path)
    assert (result.seconds, type(result.seconds)) == (2, float)
    assert result.sentence == "The same at every rung: jax, torch, tensorflow."
    alone = climb(tmp_path, findings=[dataclasses.asdict(FOUND[0])])
    assert alone.sentence == "The same at every rung: jax, torch."
    assert "L4 trajectory" in repr(result)
    assert '<td style="text-align: left">L4 trajectory</td>' in result._repr_html_()


def test_a_climb_that_failed_says_where_first(tmp_path: Path) -> None:
    """The first failure is a finding with rung, pair and place."""
    differs = finding(TRAJECTORY, 7.0)
    content = [dataclasses.asdict(one) for one in (*FOUND, differs)]
    result = climb(tmp_path, passed=False, findings=content)
    assert not result.passed
    assert result.first_failure == differs
    assert result.sentence == (
        "They DIFFER, first at L4 trajectory, losses, float32, jax and torch: step 3: 7, allowed 1"
    )
    assert "FAIL" in result._repr_html_()


def test_a_process_that_failed_gives_no_verdict(tmp_path: Path) -> None:
    """Its last line is told, if it left one."""
    failure = {"child": "jax float32", "reason": "ended", "last_lines": ["in x", "y", "Error: x"]}
    silent = {"child": "torch", "reason": "crashed", "last_lines": []}
    result = climb(tmp_path, passed=False, failures=[failure, silent])
    assert result.failures == ["jax float32 ended: Error: x", "torch crashed"]
    assert result.sentence == "No verdict: jax float32 ended: Error: x; torch crashed"


def test_fields_of_a_later_program_are_read_over(tmp_path: Path) -> None:
    """More fields do no harm, and known divergences are told in a line each."""
    known = {"way_round": "bilinear", "cause": "torch", "size": "7e-2", "what": "bicubic", "new": 1}
    result = climb(tmp_path, known=[known, {"what": "a", "size": ""}], news="x")
    assert result.known == ["bicubic; 7e-2; torch; bilinear", "a"]


@pytest.mark.parametrize("drawn", [False, True], ids=["without", "with"])
def test_a_notebook_shows_the_figure_if_there_is_one(tmp_path: Path, drawn: bool) -> None:
    """The figure is in the HTML as it was drawn."""
    if drawn:
        (tmp_path / FIGURE).write_bytes(b"picture")
    pictures = climb(tmp_path).pictures
    content = base64.b64encode(b"picture").decode()
    figure = (
        '<img alt="the gap between backends at each training step" width="720" '
        f'src="data:image/png;base64,{content}">'
    )
    assert pictures == (figure if drawn else "")
    assert climb(tmp_path)._repr_html_().endswith(f"</p>{pictures}")


EVALUATION = """\
Class by class
┏━━━━━━━┳━━━━━━━━┳━━━━━━━━━━━┳━━━━━━━━┓
┃ class ┃ images ┃ precision ┃ recall ┃
┡━━━━━━━╇━━━━━━━━╇━━━━━━━━━━━╇━━━━━━━━┩
│     0 │   4000 │    0.3333 │        │
│     1 │      2 │         1 │      0 │
└───────┴────────┴───────────┴────────┘
3,000 of 4,002 right (75.00%), loss 0.5000, on jax."""

BENCH = """\
Time and memory
┏━━━━━━━━━┳━━━━━━━━┳━━━━━━━━━━━━━━┳━━━━━━━━━┳━━━━━━━━━━━━┳━━━━━━━━━━┳━━━━━━━━━━━━━━━━━┓
┃ backend ┃ way    ┃ first step s ┃ step ms ┃ predict ms ┃ peak MiB ┃ remark          ┃
┡━━━━━━━━━╇━━━━━━━━╇━━━━━━━━━━━━━━╇━━━━━━━━━╇━━━━━━━━━━━━╇━━━━━━━━━━╇━━━━━━━━━━━━━━━━━┩
│ jax     │ ours   │         1.25 │       2 │        0.5 │    400.1 │                 │
│ jax     │ stock  │        1.235 │         │            │          │ Keras computes  │
│ torch   │ jit on │              │         │            │          │ it cannot [b]   │
└─────────┴────────┴──────────────┴─────────┴────────────┴──────────┴─────────────────┘
Take jax."""


def test_an_evaluation_is_shown_class_by_class() -> None:
    """A row for each class, and the whole test set in the sentence."""
    rows = [
        {"class": 0, "images": 4000, "precision": 1 / 3, "recall": None},
        {"class": 1, "images": 2, "precision": 1.0, "recall": 0},
    ]
    counts = {"test_images": 4002, "test_correct": 3000, "test_accuracy": 0.75, "test_loss": 0.5}
    content = {"model": "m", "backend": "jax", "classes": rows, "confusion": [[4]], **counts}
    result = EvaluationResult.of(content)
    assert repr(result) == EVALUATION
    assert result.classes == rows
    assert result.confusion == [[4]]
    assert repr(EvaluationResult.of({**content, "classes": rows[:1]})).count("│ ") == 4
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
        "peak_mib": 400.125,
        "failure": None,
    }
    stock = {
        "backend": "jax",
        "way": "stock",
        "step_ms": [],
        "failure": "",
        "why_stock": "Keras computes ",
        "seconds": {"first step": 1.23456},
    }
    failed = {"backend": "torch", "way": "jit on", "failure": "it cannot [b]", "why_stock": "x"}
    result = BenchResult({"rows": [timed, stock, failed], "sentence": "Take jax."}, tmp_path)
    assert result.rows == [timed, stock, failed]
    assert repr(result) == BENCH
