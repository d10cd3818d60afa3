import dataclasses
import json
import re
import signal
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lenet_multi.commands.parity import _folder_of_seeds, compare_seeds
from lenet_multi.commands.train import command
from lenet_multi.config import TrainConfig, with_settings
from lenet_multi.errors import StoppedError, UserError
from lenet_multi.machine import children, environment
from lenet_multi.machine.children import Child, Failure
from lenet_multi.parity import seeds
from lenet_multi.runs.folder import unfinished
from lenet_multi.runs.journal import Journal
from lenet_multi.runs.record import Run
from tests.conftest import PROJECT, Lenet
from tests.examples import RIGHT, example_run, example_values_run, keep

VERSIONS = {"keras": "3.15.1"}
PAIR = ("jax", "torch")


@pytest.fixture(autouse=True)
def versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every backend have the example runs' versions, so none needs to be installed."""
    monkeypatch.setattr(environment, "versions", lambda backend: VERSIONS)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the children that ran; each leaves a run."""
    names = []

    def run(asked: Sequence[Child], *, timeout: float) -> list[Failure]:
        for child in asked:
            names.append(child.name)
            _, seed, backend = child.name.split("-")
            folder = Path(child.command[child.command.index("--out") + 1])
            keep(example_run(backend, seed=int(seed)), folder)
        return []

    monkeypatch.setattr(children, "run", run)
    return names


def test_runs_that_are_there_are_not_repeated(tmp_path: Path, trained: list[str]) -> None:
    """A stopped study trains only the missing runs, and a finished one nothing."""
    keep(example_run("jax", seed=1), tmp_path / "seed-1-jax")
    seeds.study(PAIR, 2, TrainConfig(), tmp_path, timeout=1)
    assert trained == ["seed-0-jax", "seed-0-torch", "seed-1-torch"]
    trained.clear()
    study = seeds.study(PAIR, 2, TrainConfig(), tmp_path, timeout=1)
    assert trained == []
    assert sorted(study.runs) == [(0, "jax"), (0, "torch"), (1, "jax"), (1, "torch")]


def test_a_study_that_is_stopped_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stopped study keeps its runs and says how to continue."""

    def stopped(*asked: object, timeout: float) -> list[Failure]:
        raise StoppedError(signal.SIGTERM)

    monkeypatch.setattr(children, "run", stopped)
    with pytest.raises(StoppedError, match="stopped by SIGTERM"):
        compare_seeds(list(PAIR), 2, TrainConfig(), 1, tmp_path, as_json=False)
    said = f"Run the same command again to continue with the runs in {tmp_path}\n"
    assert capsys.readouterr().err == said


def test_a_child_trains_the_settings_of_its_seed(tmp_path: Path) -> None:
    """A child's flags are those of the configuration, with its seed."""
    child = seeds._child(tmp_path, (7, "jax"), TrainConfig(seed=7, epochs=2))
    given = command.make_context("train", list(child.command[3:])).params
    assert (given["seed"], given["epochs"], given["backend"]) == (7, 2, "jax")
    assert given["recipe"] == "standard"


@pytest.mark.parametrize(
    ("begun", "under", "flag"),
    [
        (TrainConfig(seed=7), VERSIONS, "--resume"),
        (TrainConfig(seed=7, epochs=2), VERSIONS, "--out"),
        (TrainConfig(seed=7), {"keras": "3.99"}, "--out"),
        (None, VERSIONS, "--out"),
    ],
    ids=["stopped", "other-settings", "other-versions", "nothing"],
)
def test_a_run_that_was_stopped_goes_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    begun: TrainConfig | None,
    under: dict[str, str],
    flag: str,
) -> None:
    """A stopped run with the same settings and versions resumes; any other starts again."""
    place = tmp_path / "seed-7-jax"
    if begun:
        unfinished(place).mkdir()
        journal = Journal(unfinished(place), begun)
        with monkeypatch.context() as patch:
            patch.setattr(environment, "versions", lambda backend: under)
            with journal.started(backend="jax", at=(0, 0)):
                pass
    command = seeds._child(tmp_path, (7, "jax"), TrainConfig(seed=7)).command
    assert command[command.index(str(place)) - 1] == flag


def test_equal_accuracies_are_equivalent(tmp_path: Path, trained: list[str]) -> None:
    """Runs with equal answers agree on every image and are equivalent."""
    study = seeds.study(PAIR, 10, TrainConfig(), tmp_path, timeout=1)
    (outcome,) = study.outcomes
    assert study.passed
    assert (outcome.pair, outcome.agreement, outcome.gap.mean) == (PAIR, 1.0, 0.0)


def test_a_backend_that_is_worse_is_caught(tmp_path: Path, trained: list[str]) -> None:
    """Two right answers fewer in a thousand, on each seed of one backend, fail the study."""
    for seed in range(10):
        keep(example_run("torch", seed=seed, right=RIGHT - 2), tmp_path / f"seed-{seed}-torch")
    study = seeds.study(PAIR, 10, TrainConfig(), tmp_path, timeout=1)
    (outcome,) = study.outcomes
    assert not study.passed
    assert outcome.gap.mean == pytest.approx(0.2)
    assert outcome.agreement == pytest.approx(0.998)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"versions": {"keras": "3.99"}}, "trained with keras 3.99, not 3.15.1"),
        (
            {"config": dataclasses.asdict(TrainConfig(epochs=1))},
            "trained with epochs 1, not 6; delete it",
        ),
    ],
    ids=["versions", "settings"],
)
def test_a_run_of_another_study_is_refused(
    tmp_path: Path, trained: list[str], change: dict[str, Any], message: str
) -> None:
    """A folder with runs of other settings or versions is refused."""
    keep(example_run("jax", **change), tmp_path / "seed-0-jax")
    with pytest.raises(UserError, match=message):
        seeds.study(PAIR, 2, TrainConfig(), tmp_path, timeout=1)


def test_a_failed_run_leaves_the_others(
    tmp_path: Path, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seeds that both backends finished are judged, but the study fails."""
    run = children.run

    def fail_one(asked: Sequence[Child], *, timeout: float) -> list[Failure]:
        run([child for child in asked if child.name != "seed-2-torch"], timeout=timeout)
        return [Failure("seed-2-torch", "ended with status 1", ["no memory left"])]

    monkeypatch.setattr(children, "run", fail_one)
    study = seeds.study(PAIR, 4, TrainConfig(), tmp_path, timeout=1)
    assert not study.passed
    assert study.outcomes[0].gap.pairs == 3
    assert len(study.runs) == 7


def test_runs_on_other_data_are_refused(tmp_path: Path, trained: list[str]) -> None:
    """A study that continues after its data changed is refused."""
    keep(example_run("jax", data_sha256="0" * 64), tmp_path / "seed-0-jax")
    with pytest.raises(UserError, match="saw 2 data sets; choose another --out"):
        seeds.study(PAIR, 2, TrainConfig(), tmp_path, timeout=1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"initial_weights_sha256": "0" * 64}, "initial weights"),
        ({"first_epoch_order_sha256": "0" * 64}, "first epoch's order"),
        ({"test_correct": 999}, "recounted"),
    ],
    ids=["start", "order", "count"],
)
def test_a_pair_that_is_none_fails(
    tmp_path: Path, trained: list[str], change: dict[str, Any], words: str
) -> None:
    """Runs of a seed must have the same initial weights and order, and a right count."""
    keep(example_run("jax", seed=1, **change), tmp_path / "seed-1-jax")
    study = seeds.study(PAIR, 3, TrainConfig(), tmp_path, timeout=1)
    assert not study.passed
    (failure,) = study.failures
    assert failure.child == "seed 1"
    assert words in failure.reason


def test_a_run_that_diverged_leaves_the_others(tmp_path: Path, trained: list[str]) -> None:
    """A diverged run is a failure in the study, and the other seeds are judged."""
    run = example_run("jax", seed=1)
    run.outputs[0, 0] = np.nan
    keep(run, tmp_path / "seed-1-jax")
    study = seeds.study(PAIR, 4, TrainConfig(), tmp_path, timeout=1)
    assert not study.passed
    assert [failure.child for failure in study.failures] == ["seed-1-jax"]
    assert study.outcomes[0].gap.pairs == 3


@pytest.mark.parametrize(("backends", "count"), [(PAIR, 1), (("jax",), 10)])
def test_one_of_a_kind_is_refused(tmp_path: Path, backends: Sequence[str], count: int) -> None:
    """One seed, or one backend, leaves nothing to compare."""
    with pytest.raises(UserError, match=r"at least 2|two backends, found jax; give another"):
        seeds.study(backends, count, TrainConfig(), tmp_path, timeout=1)


def test_the_record_lets_anyone_judge_again(tmp_path: Path, trained: list[str]) -> None:
    """The JSON keeps each run's wrong answers, so anyone can compute its accuracy again."""
    study = seeds.study(PAIR, 2, TrainConfig(), tmp_path, timeout=1)
    seeds.write_json(study, TrainConfig(), tmp_path / "seeds.json")
    written = json.loads((tmp_path / "seeds.json").read_text())
    assert written["passed"] is True
    for record in written["runs"]:
        run = study.runs[record["seed"], record["backend"]]
        answers = run.targets.copy()
        for image, answer in record["wrong"].items():
            answers[int(image)] = answer
        np.testing.assert_array_equal(answers, run.outputs.argmax(axis=1))
        assert record["test_correct"] == len(run.targets) - len(record["wrong"])


PLACE = "my_model.py:build"
OWN = with_settings(TrainConfig(), {"architecture": PLACE, "data": "my_model.py:data"})


def own_run(backend: str, seed: int, error: float) -> Run:
    """Return the run of a user's regression whose answers are off by `error`."""
    settings = dataclasses.asdict(dataclasses.replace(OWN, seed=seed))
    return example_values_run(backend, error=error, config=settings)


@pytest.mark.parametrize(("margin", "passed"), [(0.5, True), (0.01, False)], ids=["wide", "narrow"])
def test_any_metric_is_compared_in_its_own_unit(
    tmp_path: Path, margin: float, passed: bool
) -> None:
    """The gaps of a regression are in its metric's unit, and nobody counts equal answers."""
    for seed in range(4):
        keep(own_run("jax", seed, 1.0), tmp_path / f"seed-{seed}-jax")
        keep(own_run("torch", seed, 1.25), tmp_path / f"seed-{seed}-torch")
    study = seeds.study(PAIR, 4, OWN, tmp_path, timeout=1, margin=margin)
    (outcome,) = study.outcomes
    assert study.failures == []  # a quarter more is too much for `compare`, not for this margin
    assert (study.passed, outcome.agreement) == (passed, None)
    assert outcome.gap.mean == pytest.approx(-0.25)
    seeds.write_json(study, OWN, tmp_path / "seeds.json")
    written = json.loads((tmp_path / "seeds.json").read_text())
    assert written["metric"] == "mean_absolute_error"
    assert (written["unit"], written["margin"]) == ("the metric's own", margin)
    assert [run["test_metric"] for run in written["runs"][:2]] == pytest.approx([1.0, 1.25])
    assert "wrong" not in written["runs"][0]


def test_the_margin_of_the_lenet_may_be_another(tmp_path: Path, trained: list[str]) -> None:
    """A margin that the user gives replaces that of a classifier, in percentage points."""
    for seed in range(10):
        keep(example_run("torch", seed=seed, right=RIGHT - 2), tmp_path / f"seed-{seed}-torch")
    study = seeds.study(PAIR, 10, TrainConfig(), tmp_path, timeout=1, margin=0.3)
    assert (study.passed, study.unit, study.margin) == (True, "percentage points", 0.3)


@pytest.mark.parametrize(
    ("settings", "margin", "message"),
    [
        ({}, None, f"needs a --margin for the first metric of {PLACE}; give the largest gap"),
        ({"metrics": "mae,mse"}, None, "--seeds needs a --margin for mae; give the largest gap"),
        ({}, 0.0, "--margin must be a finite number above 0, not 0.0"),
        ({}, float("nan"), "--margin must be a finite number above 0, not nan"),
    ],
    ids=["unknown-metric", "known-metric", "zero", "nan"],
)
def test_a_margin_is_asked_for_before_training(
    tmp_path: Path,
    trained: list[str],
    settings: dict[str, Any],
    margin: float | None,
    message: str,
) -> None:
    """A model of one's own has no default margin, and none is 0."""
    config = dataclasses.replace(OWN, **settings)
    with pytest.raises(UserError, match=re.escape(message)):
        seeds.study(PAIR, 2, config, tmp_path, timeout=1, margin=margin)
    assert trained == []


def test_a_users_error_stops_the_study_and_is_shown_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What fails on every backend at the first seed is shown once, with the user's traceback."""
    ran = []

    def run(asked: Sequence[Child], *, timeout: float) -> list[Failure]:
        for child in asked:
            ran.append(child.name)
            child.log.parent.mkdir(exist_ok=True)
            child.log.write_text(
                "a warning\nTraceback (most recent call last):\n  theirs\nValueError: no\n"
                "lenet-multi: my_model.py:build failed: no; see the traceback\n"
            )
        return [Failure(child.name, "ended with status 2", []) for child in asked]

    monkeypatch.setattr(children, "run", run)
    with pytest.raises(UserError, match=r"^my_model\.py:build failed: no; see the traceback$"):
        seeds.study(PAIR, 3, OWN, tmp_path, timeout=1, margin=1)
    assert ran == ["seed-0-jax", "seed-0-torch"]
    shown = "Traceback (most recent call last):\n  theirs\nValueError: no\n"
    assert capsys.readouterr().err == shown


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"parameters": 7}, "are of models with 2 numbers of parameters"),
        ({"test_metrics": {"mse": 1.0}}, "have 2 first metrics"),
    ],
    ids=["model", "metric"],
)
def test_a_model_that_became_another_is_refused(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    """A study that continues after its model changed is refused."""
    for seed, backend in product(range(2), PAIR):
        run = own_run(backend, seed, 1.0)
        changed = change if (seed, backend) == (1, "jax") else {}
        result = dataclasses.replace(run.result, **changed)
        place = tmp_path / f"seed-{seed}-{backend}"
        keep(dataclasses.replace(run, result=result), place)
    with pytest.raises(UserError, match=f"{words}; choose another --out"):
        seeds.study(PAIR, 2, OWN, tmp_path, timeout=1, margin=1)


@pytest.mark.parametrize(
    ("model", "name"),
    [("lenet", "lenet"), ("mine/my_model.py:build", "my_model.py-build"), ("a.b:f", "a.b-f")],
    ids=["lenet", "file", "module"],
)
def test_each_model_has_a_folder_of_its_own(model: str, name: str) -> None:
    """Studies of two models without --out do not meet in one folder."""
    assert _folder_of_seeds(model) == Path("runs", f"parity-seeds-{name}")


@pytest.mark.all_backends
def test_a_users_model_is_trained_from_seeds(tmp_path: Path, lenet: Lenet) -> None:
    """The command trains a user's file by a relative path, and shows a user's error once."""
    source = PROJECT / "tests" / "models" / "regression.py"
    (tmp_path / "mine.py").write_text(source.read_text())
    data = ("--data", "mine.py:data", "--seeds", 2, "--epochs", 1)
    on = ("--backend", "jax", "--backend", "torch")
    done = lenet("parity", "mine.py:build", *data, *on, "--margin", 0.05, "--out", "study")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Test mae" in done.stdout
    assert done.stdout.splitlines()[-1] == "Equivalent: every pair, within the preset margin."
    (tmp_path / "bad.py").write_text("def build():\n    raise ValueError('not on any day')\n")
    done = lenet("parity", "bad.py:build", *data, *on, "--margin", 0.05, "--out", "none")
    assert done.returncode == 2
    assert done.stderr.count("Traceback") == 1
    assert "ValueError: not on any day" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("lenet-multi: bad.py:build failed on ")


def test_what_runs_said_of_their_data_is_said_once(tmp_path: Path) -> None:
    """Each run converts the same data; its lines on them are taken from the logs."""
    (tmp_path / "logs").mkdir()
    for name in ("seed-0-jax.txt", "seed-0-torch.txt"):
        (tmp_path / "logs" / name).write_text("Data: it was sorted\nloss: 1\n")
    assert seeds.notes(tmp_path) == ["Data: it was sorted"]
