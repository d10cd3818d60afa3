import dataclasses
import io
import random
import signal
import sys
from pathlib import Path

import pytest
from rich.console import Console

from lenet_multi.runs.record import Run
from tests.examples import example_run, keep
from tests.faults import __main__ as session
from tests.faults.__main__ import Fault, Trial, flips, kills, outcome, show, stopped_and_resumed

SECONDS = 0.4  # of a run


class Stand(Trial):
    """A trial whose training takes its time and leaves a copy of the run at `data`."""

    def train(self, backend: str, out: Path, *flags: str) -> list[str]:
        """Return the command that stands in for training."""
        code = (
            "import shutil, sys, time\n"
            f"time.sleep({SECONDS})\n"
            "open(sys.argv[2] + '.ended', 'a').write('.')\n"
            "shutil.copytree(*sys.argv[1:])"
        )
        return [sys.executable, "-c", code, str(self.data), str(out)]


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    """A trial of one backend, whose undisturbed run is an example."""
    run = keep(example_run(), tmp_path / "jax")
    return Stand(tmp_path, run, {"jax": outcome(run)}, {"jax": SECONDS})


def other(trial: Trial) -> Trial:
    """Return the trial with a training that leaves another run than the undisturbed one."""
    run: Run = example_run()
    run.outputs[0, 0] += 1
    return dataclasses.replace(trial, data=keep(run, trial.folder / "other"))


def test_killed_runs_that_end_alike_lose_nothing(trial: Trial) -> None:
    """Each kill is counted, and what came back is compared to the bit."""
    assert kills(trial, 3, random.Random(0)) == Fault("SIGKILL at a random moment", 3, [])


def test_a_run_that_ends_otherwise_is_lost(trial: Trial) -> None:
    """One logit that differs after going on is told, for each kill."""
    assert len(kills(other(trial), 2, random.Random(0)).lost) == 2


def test_a_kill_after_the_end_is_no_kill(trial: Trial, tmp_path: Path) -> None:
    """A run that was quicker than the kill is tried again until it is struck."""
    late = 2 * (SECONDS + 0.5)  # 0.5: Python's own start, on a busy machine
    assert stopped_and_resumed(trial, "jax", tmp_path / "run", signal.SIGKILL, late) is None
    ended = (tmp_path / "run.ended").read_text()
    assert len(ended) >= 2  # not struck at first, and gone on with at last


def test_flipped_bits_are_told(trial: Trial) -> None:
    """Each flip in each file of a run is found, and the file is as it was afterwards."""
    assert flips(trial, 12, random.Random(0)).lost == []
    assert outcome(trial.data) == trial.undisturbed["jax"]


def test_a_flip_that_nothing_notices_is_lost(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that takes everything for good is caught."""
    monkeypatch.setattr(session, "read_run", lambda folder: None)
    assert len(flips(trial, 4, random.Random(0)).lost) == 4


def test_the_summary_says_what_was_lost() -> None:
    """How often, and what, by name."""
    page = io.StringIO()
    show([Fault("a kill", 5, ["jax after 3 s"]), Fault("a flip", 9)], Console(file=page))
    assert "a kill: jax after 3 s" in page.getvalue()
    assert [row.split()[-4:-1:2] for row in page.getvalue().splitlines() if "│ a" in row] == [
        ["5", "1"],
        ["9", "0"],
    ]
