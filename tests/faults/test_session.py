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
from tests.faults.__main__ import flips, kills, show, stopped_and_resumed
from tests.faults.trial import Fault, Trial, outcome

SECONDS = 0.4  # a run's duration


class Stand(Trial):
    """A trial whose training takes `SECONDS` and leaves a copy of the run at `data`."""

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
    """A trial of one backend with an example as its undisturbed run."""
    run = keep(example_run(), tmp_path / "jax")
    return Stand(tmp_path, run, {"jax": outcome(run)}, {"jax": SECONDS})


def other(trial: Trial) -> Trial:
    """Return the trial with a training that leaves a different run."""
    run: Run = example_run()
    run.outputs[0, 0] += 1
    return dataclasses.replace(trial, data=keep(run, trial.folder / "other"))


def test_killed_runs_that_end_alike_lose_nothing(trial: Trial) -> None:
    """If killed runs end bit-identical, each kill is counted and nothing is lost."""
    assert kills(trial, 3, random.Random(0)) == Fault("SIGKILL at a random moment", 3, [])


def test_a_run_that_ends_otherwise_is_lost(trial: Trial) -> None:
    """If one logit differs after resuming, each kill counts as a loss."""
    assert len(kills(other(trial), 2, random.Random(0)).lost) == 2


def test_a_kill_after_the_end_is_no_kill(trial: Trial, tmp_path: Path) -> None:
    """A run that ended before the kill is repeated until the kill hits it."""
    late = 2 * (SECONDS + 0.5)  # 0.5: Python's start on a busy machine
    assert stopped_and_resumed(trial, "jax", tmp_path / "run", signal.SIGKILL, late) is None
    ended = (tmp_path / "run.ended").read_text()
    assert len(ended) >= 2  # at first it ended before the kill; at last it was resumed


def test_flipped_bits_are_told(trial: Trial) -> None:
    """Each flipped bit in each file of a run is detected, and the file is restored."""
    assert flips(trial, 12, random.Random(0)).lost == []
    assert outcome(trial.data) == trial.undisturbed["jax"]


def test_a_flip_that_nothing_notices_is_lost(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the reader accepts everything, every flip counts as a loss."""
    monkeypatch.setattr(session, "read_run", lambda folder: None)
    assert len(flips(trial, 4, random.Random(0)).lost) == 4


def test_the_summary_says_what_was_lost() -> None:
    """The summary gives the number of harms and losses, and names each loss."""
    page = io.StringIO()
    show([Fault("a kill", 5, ["jax after 3 s"]), Fault("a flip", 9)], Console(file=page))
    assert "a kill: jax after 3 s" in page.getvalue()
    assert [row.split()[-4:-1:2] for row in page.getvalue().splitlines() if "│ a" in row] == [
        ["5", "1"],
        ["9", "0"],
    ]
