import json
import re
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lenet_multi.backends.choice import execution
from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Dataset
from lenet_multi.lenet.tasks import LENET
from lenet_multi.train import TrainedRun
from tests.conftest import Lenet, files_of_at_most

pytestmark = pytest.mark.backend


class Board:
    """A running TensorBoard and its address."""

    def __init__(self, address: str) -> None:
        self.address = address

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the answer of one of its plugins."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.address}data/{path}?{query}", timeout=60) as answer:
            return json.load(answer)

    def scalars(self, run: str, tag: str) -> list[tuple[int, float]]:
        """Return the steps and values of a curve."""
        points = self.ask("plugin/scalars/scalars", run=run, tag=tag)
        return [(step, value) for _, step, value in points]


@pytest.fixture(scope="module")
def board(kept: tuple[TrainedRun, Path]) -> Iterator[Board]:
    """A real TensorBoard on the log, in its own process."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tensorboard.main", "--logdir", str(kept[1] / "tensorboard")),
            *("--host", "127.0.0.1", "--port", "0", "--load_fast", "false"),
            *("--reload_multifile", "true"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    told = []
    for line in process.stderr:
        told.append(line)
        if found := re.search(r"http://127\.0\.0\.1:\d+/", line):
            break
    else:
        pytest.fail("TensorBoard did not start: " + "".join(told))
    yield Board(found[0])
    process.kill()
    process.communicate()


def test_the_curves_are_those_of_the_run(board: Board, kept: tuple[TrainedRun, Path]) -> None:
    """The curves are the run's loss and accuracy, under Keras's names."""
    epochs = kept[0].result.epochs
    for place, prefix in (("train", ""), ("validation", "val_")):
        for name in ("loss", "accuracy"):
            expected = [(n, epoch[prefix + name]) for n, epoch in enumerate(epochs)]
            found = board.scalars(place, f"epoch_{name}")
            np.testing.assert_allclose(found, expected, rtol=1e-6)  # float32's precision


def test_the_learning_rate_falls(board: Board) -> None:
    """The standard recipe's cosine halves the rate after half the run, and ends at 0."""
    (_, halfway), (_, end) = board.scalars("train", "epoch_learning_rate")
    assert halfway == pytest.approx(0.0005, rel=1e-4)
    assert end == pytest.approx(0, abs=1e-9)


def test_every_weight_has_a_histogram(board: Board, kept: tuple[TrainedRun, Path]) -> None:
    """At each epoch's end a histogram holds every number of its tensor once."""
    run, _ = kept
    for weight in run.model.weights:
        tag = f"{weight.path}/histogram"
        histograms = board.ask("plugin/histograms/histograms", run="train", tag=tag)
        assert len(histograms) == len(run.result.epochs)
        for _, _, buckets in histograms:
            assert sum(count for *_, count in buckets) == np.prod(weight.shape)


def test_wrong_answers_are_counted_and_shown(
    board: Board, small: Dataset, kept: tuple[TrainedRun, Path]
) -> None:
    """Wrong validation images are counted each epoch, and wrong test images are shown."""
    epochs = kept[0].result.epochs
    wrong = [round((1 - epoch["val_accuracy"]) * 50) for epoch in epochs]
    assert board.scalars("validation", "epoch_wrong_images") == list(enumerate(wrong))
    pictures = board.ask("plugin/images/tags")["test"]
    assert len(pictures) == 25  # few training images leave many mistakes
    for tag in pictures:
        label, answer, index = map(int, re.findall(r"\d+", tag))
        assert small.test.y[index] == label != answer


def test_weights_that_are_no_numbers_are_passed_over(
    tmp_path: Path, backend: str, small: Dataset
) -> None:
    """A diverged run is still logged: its weights get no histogram, its figures are kept."""
    from lenet_multi.training.setup import build, compile_model
    from lenet_multi.training.tensorboard import TensorBoard

    model = build(LENET, TrainConfig(), small)
    compile_model(model, LENET, TrainConfig(), execution(backend), examples=10)
    model.set_weights([weight * np.nan for weight in model.get_weights()])
    log = TensorBoard(tmp_path, validation_images=10)
    log.set_model(model)
    log.on_train_begin()
    log.on_epoch_end(0, {"loss": float("nan"), "val_accuracy": 0.1})
    log.on_train_end()
    assert {path.name for path in tmp_path.iterdir()} == {"train", "validation"}


@pytest.mark.usefixtures("backend")
def test_what_was_logged_before_a_kill_is_shown_once(tmp_path: Path) -> None:
    """A resumed run logs an epoch again, and TensorBoard shows only the newer values."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboardX import summary

    from lenet_multi.training.tensorboard import _Log

    for first_step, value in ((0, 1.0), (2, 2.0)):
        log = _Log(tmp_path, first_step)
        for step in range(first_step, 4):
            log.add(step, summary=summary.scalar("loss", value))
        log.close()
    shown = EventAccumulator(str(tmp_path)).Reload().Scalars("loss")
    assert [(point.step, point.value) for point in shown] == [(0, 1), (1, 1), (2, 2), (3, 2)]


@pytest.mark.any_backend
@pytest.mark.usefixtures("backend")
def test_a_full_disk_ends_training_and_does_not_hang(
    tmp_path: Path, lenet: Lenet, small_npz: Path
) -> None:
    """A full disk ends training with one line and status 2, because the log is written directly."""
    with files_of_at_most(5_000):
        done = lenet("train", "--tensorboard", "--epochs", 2, "--data", small_npz, "--out", "a-run")
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("lenet-multi: cannot write ")
