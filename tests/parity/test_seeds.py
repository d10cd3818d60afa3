import dataclasses
import json
import re
import signal
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lenet_multi.commands.parity import _folder_of_seeds, compare_seeds
from lenet_multi.commands.train import command
from lenet_multi.config import TrainConfig, flags, with_settings
from lenet_multi.errors import StoppedError, UserError
from lenet_multi.machine import children, cluster, environment
from lenet_multi.machine.children import Child, Failure
from lenet_multi.machine.frameworks import BACKENDS
from lenet_multi.parity import seeds
from lenet_multi.runs.comparison import checks_of_start
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
    monkeypatch.setattr(environment, "versions", dict.fromkeys(BACKENDS, VERSIONS).__getitem__)


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


def test_a_cluster_trains_the_same_children(
    tmp_path: Path, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its workers get the missing runs, each with the folders that it goes on with and fills."""
    asked: list[Any] = []

    def run(wanted: Sequence[Child], **named: Any) -> list[Failure]:
        asked.extend(wanted)
        assert wanted == [] or named == {"address": "tcp://a", "backends": PAIR, "timeout": 1}
        return children.run(wanted, timeout=1)

    monkeypatch.setattr(cluster, "run", run)
    keep(example_run("jax", seed=1), tmp_path / "seed-1-jax")
    found = seeds.study(PAIR, 2, TrainConfig(), tmp_path, timeout=1, scheduler="tcp://a")
    assert len(found.runs) == 4
    assert (
        trained == [child.name for child in asked] == ["seed-0-jax", "seed-0-torch", "seed-1-torch"]
    )
    place = tmp_path / "seed-0-jax"
    assert asked[0].folders == (place, unfinished(place))


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
    words = f"the runs in {tmp_path} saw 2 data sets; choose another --out"
    with pytest.raises(UserError, match=f"^{words}$"):
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
LARGEST = "give the largest gap that is no difference to you"
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
        ({}, None, f"--seeds needs a --margin for the first metric of {PLACE}; {LARGEST}"),
        ({"metrics": "mae,mse"}, None, f"--seeds needs a --margin for mae; {LARGEST}"),
        ({}, 0.0, "--margin must be a finite number above 0, not 0.0"),
        ({}, float("inf"), "--margin must be a finite number above 0, not inf"),
        ({}, float("nan"), "--margin must be a finite number above 0, not nan"),
    ],
    ids=["unknown-metric", "known-metric", "zero", "infinite", "nan"],
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
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
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


class Trainings:
    """Stands for the child processes: each leaves a run, or is one of those that fail."""

    def __init__(self, *failures: Failure, own: bool = False) -> None:
        self.failures, self.own = failures, own
        self.asked: list[tuple[list[str], float]] = []

    def __call__(self, run: Sequence[Child], *, timeout: float) -> list[Failure]:
        """Remember who is asked, and leave the runs."""
        self.asked.append(([child.name for child in run], timeout))
        failed = [failure.child for failure in self.failures]
        for child in run:
            _, seed, backend = child.name.split("-")
            if child.name not in failed:
                run_of = own_run(backend, int(seed), 1.0) if self.own else None
                folder = Path(child.command[child.command.index("--out") + 1])
                keep(run_of or example_run(backend, seed=int(seed)), folder)
        names = {child.name for child in run}
        return [failure for failure in self.failures if failure.child in names]


@pytest.mark.parametrize("own", [False, True], ids=["of the package", "of a user"])
def test_a_users_first_seed_is_tried_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    """Another model's runs all train at once; a run that is there is not tried."""
    trainings = Trainings(own=own)
    monkeypatch.setattr(children, "run", trainings)
    config, margin = (OWN, 1.0) if own else (TrainConfig(), None)
    folder = tmp_path / "new" / "study"
    seeds.study(PAIR, 2, config, folder, timeout=7, margin=margin)
    first = ["seed-0-jax", "seed-0-torch"] if own else []
    rest = ["seed-1-jax", "seed-1-torch"]
    assert trainings.asked == [
        (first, 7),
        (rest if own else ["seed-0-jax", "seed-0-torch", *rest], 7),
    ]
    study = seeds.study(PAIR, 3, config, folder, timeout=7, margin=margin)
    assert trainings.asked[2:] == [([], 7), (["seed-2-jax", "seed-2-torch"], 7)]
    assert sorted(study.runs) == [(seed, who) for seed in range(3) for who in PAIR]


def test_a_first_seed_that_crashes_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what refuses a user's model would happen at every seed; failures are in their order."""
    failures = [Failure("seed-0-jax", "took longer than 7 s", []), Failure("seed-1-torch", "x", [])]
    trainings = Trainings(*failures, own=True)
    monkeypatch.setattr(children, "run", trainings)
    keep(own_run("jax", 2, 1.0), tmp_path / "seed-2-jax")
    (tmp_path / "seed-2-jax" / "result.json").write_text("{")
    study = seeds.study(PAIR, 4, OWN, tmp_path, timeout=7, margin=1)
    assert len(trainings.asked) == 2
    assert study.failures[:2] == failures
    assert [failure.child for failure in study.failures] == [
        *("seed-0-jax", "seed-1-torch", "seed-2-jax")
    ]
    assert study.failures[2].reason.startswith("left no run to compare: ")
    assert study.failures[2].last_lines == []
    assert study.outcomes == []  # one seed is not enough
    assert not study.passed
    assert sorted(study.runs) == [(0, "torch"), (1, "jax"), (2, "torch"), (3, "jax"), (3, "torch")]


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (1, "--seeds must be at least 2, for an interval, not 1"),
        (10_001, "--seeds must be 10,000 at most, not 10001"),
    ],
)
def test_the_number_of_seeds_is_limited(
    tmp_path: Path, trained: list[str], monkeypatch: pytest.MonkeyPatch, count: int, message: str
) -> None:
    """As many as the limits are trained."""
    with pytest.raises(UserError, match=f"^{message}$"):
        seeds.study(PAIR, count, TrainConfig(), tmp_path / "new", timeout=1)
    assert not (tmp_path / "new").exists()
    monkeypatch.setattr(seeds, "MOST_SEEDS", 2)
    assert seeds.study(PAIR, 2, TrainConfig(), tmp_path / "new", timeout=1).passed


def test_what_refuses_the_second_backend_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its last message is the error; without a traceback nothing else is shown."""

    def run(asked: Sequence[Child], *, timeout: float) -> list[Failure]:
        for child in asked:
            child.log.parent.mkdir(exist_ok=True)
            words = f"lenet-multi: a note\nlenet-multi: {child.name} has no loss\n"
            child.log.write_bytes(words.encode() + bytes([255]))
        return [Failure("seed-0-torch", "ended with status 2", [])]

    monkeypatch.setattr(children, "run", run)
    with pytest.raises(UserError, match=r"^seed-0-torch has no loss$"):
        seeds.study(PAIR, 3, OWN, tmp_path, timeout=1, margin=1)
    assert capsys.readouterr().err == ""


def test_a_childs_command_is_that_of_train(tmp_path: Path) -> None:
    """It has each setting, and writes where the run is expected; its log is beside the runs."""
    config = TrainConfig(recipe="baseline", epochs=3)
    child = seeds._child(tmp_path, (7, "jax"), config)
    own = flags(dataclasses.replace(config, seed=7))
    out = ["--out", str(tmp_path / "seed-7-jax"), "--overwrite"]
    begin = (sys.executable, "-m", "lenet_multi.train", "--backend", "jax")
    assert child.command == (*begin, "--recipe", "baseline", *own, *out)
    assert (child.name, child.log) == ("seed-7-jax", tmp_path / "logs" / "seed-7-jax.txt")


def test_a_run_from_before_a_setting_has_its_default(tmp_path: Path, trained: list[str]) -> None:
    """It belongs to a study whose setting has the default, and to no other."""
    old = dataclasses.asdict(TrainConfig())
    del old["shuffle_split"]
    place = tmp_path / "seed-0-jax"
    keep(example_run("jax", config=old), place)
    assert seeds.study(PAIR, 2, TrainConfig(), tmp_path, timeout=1).passed
    words = (
        f"{place} was trained with shuffle_split False, not True; delete it or choose another --out"
    )
    with pytest.raises(UserError, match=f"^{words}$"):
        seeds.study(PAIR, 2, TrainConfig(shuffle_split=True), tmp_path, timeout=1)


def test_each_pair_is_compared_over_its_own_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three backends, two pairs lack the seed that one did not finish."""
    names = ("jax", "torch", "tensorflow")
    monkeypatch.setattr(children, "run", Trainings(Failure("seed-2-torch", "crashed", [])))
    for seed in range(3):
        run = example_run("tensorflow", seed=seed, right=RIGHT - 10 * seed)
        keep(run, tmp_path / f"seed-{seed}-tensorflow")
    study = seeds.study(names, 3, TrainConfig(), tmp_path, timeout=1)
    found = [(one.pair, one.gap.pairs, round(one.gap.mean, 9)) for one in study.outcomes]
    assert found == [
        (("jax", "torch"), 2, 0.0),
        (("jax", "tensorflow"), 3, 1.0),
        (("torch", "tensorflow"), 2, 0.5),
    ]
    assert [one.agreement for one in study.outcomes] == pytest.approx([1.0, 0.99, 0.995])
    assert {one.gap.margin for one in study.outcomes} == {study.margin} == {0.1}


def test_a_pair_without_two_seeds_is_left_out() -> None:
    """Others are compared."""
    finished = [(0, "jax"), (0, "torch"), (0, "tensorflow"), (1, "jax"), (1, "tensorflow")]
    runs = {who: example_run(who[1]) for who in finished}
    found = seeds._outcomes(runs, ("jax", "torch", "tensorflow"), 0.1)
    assert [one.pair for one in found] == [("jax", "tensorflow")]


def test_a_study_needs_a_folder(tmp_path: Path, trained: list[str]) -> None:
    """One that cannot be made is refused before anything trains."""
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "study"
    with pytest.raises(UserError, match=f"^cannot write {folder}: Not a directory; choose another"):
        seeds.study(PAIR, 2, TrainConfig(), folder, timeout=1)
    assert trained == []


def test_seeds_that_are_no_pairs_are_named(tmp_path: Path, trained: list[str]) -> None:
    """The failure has the check's name, and each backend's value."""
    keep(example_run("jax", seed=1, initial_weights_sha256="0" * 64), tmp_path / "seed-1-jax")
    study = seeds.study(PAIR, 2, TrainConfig(), tmp_path, timeout=1)
    (check,) = [
        one for one in checks_of_start([study.runs[1, who] for who in PAIR]) if not one.passed
    ]
    words = f"differs between backends in: {check.name}"
    assert study.failures == [Failure("seed 1", words, list(check.shown))]


def test_a_study_of_nothing_has_no_metric() -> None:
    """Its unit is the metric's own, whatever that is."""
    study = seeds.Study({}, [], [], 0.5)
    assert (study.metric, study.unit, study.passed) == ("metric", "the metric's own", True)


def test_the_record_is_whole(tmp_path: Path, trained: list[str]) -> None:
    """It has what was asked, found and failed, and each run's figures."""
    study = seeds.study(PAIR, 2, TrainConfig(), tmp_path, timeout=1)
    failure = Failure("seed-9-jax", "crashed", ["why"])
    study = dataclasses.replace(study, failures=[failure])
    config = TrainConfig(epochs=3)
    seeds.write_json(study, config, tmp_path / "seeds.json")
    text = (tmp_path / "seeds.json").read_text()
    assert "\n" not in text.strip()
    found = json.loads(text)
    runs = found.pop("runs")
    (outcome,) = study.outcomes
    wanted = {
        "schema_version": 2,
        "passed": False,
        "metric": "accuracy",
        "unit": "percentage points",
        "margin": 0.1,
        "config": dataclasses.asdict(config),
        "machine": environment.machine(),
        "versions": VERSIONS,
        "failures": [dataclasses.asdict(failure)],
        "outcomes": [{**dataclasses.asdict(outcome), "passed": True}],
    }
    assert found == json.loads(json.dumps(wanted))
    assert [(run["seed"], run["backend"]) for run in runs] == list(product(range(2), PAIR))
    result = study.runs[0, "jax"].result
    assert {name: value for name, value in runs[0].items() if name != "wrong"} == {
        "seed": 0,
        "backend": "jax",
        "test_metric": 0.99,
        "test_loss": result.test_loss,
        "final_weights_sha256": "c" * 64,
        "test_correct": 990,
    }
    with pytest.raises(UserError, match=r"cannot write .*nowhere"):
        seeds.write_json(study, config, tmp_path / "nowhere" / "seeds.json")


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
    """Each run converts the same data; its lines on them are taken from the logs, in order."""
    (tmp_path / "logs").mkdir()
    said = {"seed-0-torch": b"Data: it was sorted\nloss: 1\nData: and halved\n\xff"}
    said |= {"seed-0-jax": b"Data: it was sorted\nloss: 1\n", "seed-1-jax": b"Data: \xff\n"}
    for name, words in said.items():
        (tmp_path / "logs" / f"{name}.txt").write_bytes(words)
    (tmp_path / "logs" / "other").write_text("Data: of another")
    lines = ["Data: it was sorted", "Data: and halved", "Data: \N{REPLACEMENT CHARACTER}"]
    assert seeds.notes(tmp_path) == lines
