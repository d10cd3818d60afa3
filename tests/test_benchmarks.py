import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.epoch import NOTEBOOK, OURS, SAME
from benchmarks.report import epoch_table
from tests.conftest import PROJECT

SCRIPTS = {path.stem for path in (PROJECT / "benchmarks").glob("*.py")} - {"__init__"}
TRIED = {"epoch", "report", "stock"}  # `epoch` runs `stock`


def test_every_benchmark_script_is_tried_here() -> None:
    """A script without a test fails the suite."""
    assert SCRIPTS == TRIED


@pytest.mark.backend
def test_a_tiny_benchmark_gives_every_sample(backend: str, tmp_path: Path) -> None:
    """Each way of training is timed as often as asked, and the report shows the ratios."""
    out = tmp_path / "results" / "epoch.json"
    subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.epoch", "--backend", backend),
            *("--images", "256", "--repeats", "2", "--out", str(out)),
        ],
        cwd=PROJECT,
        check=True,
    )
    result = json.loads(out.read_text())
    assert result["backend"] == backend
    samples = result["seconds_per_epoch"]
    assert list(samples) == [OURS, SAME, NOTEBOOK]
    assert all(len(seconds) == 2 and min(seconds) > 0 for seconds in samples.values())
    report = subprocess.check_output(
        [sys.executable, "-m", "benchmarks.report", str(out)], cwd=PROJECT, text=True
    )
    assert report.strip() == epoch_table([result])
    assert backend in report


def test_the_table_shows_medians_of_paired_ratios() -> None:
    """Ratios are of samples taken one after the other, so that a slow spell cancels out."""
    benchmark = {
        "backend": "jax",
        "images": 30_000,
        "seconds_per_epoch": {OURS: [1.0, 2.0, 9.0], SAME: [2.0, 4.0, 9.0], NOTEBOOK: [4, 4, 9]},
    }
    last = epoch_table([benchmark]).splitlines()[-1]
    assert [cell.strip() for cell in last.strip("|").split("|")] == [
        "jax",
        "4.0",
        "8.0",
        "8.0",
        "0.50 (0.50 to 1.00)",
        "0.50 (0.25 to 1.00)",
    ]
