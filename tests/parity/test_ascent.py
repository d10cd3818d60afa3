import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lenet_multi.config import PRECISIONS, TrainConfig, with_settings
from lenet_multi.data.examples import Examples
from lenet_multi.errors import StoppedError, UserError
from lenet_multi.machine import children, environment
from lenet_multi.machine.children import Child, Failure
from lenet_multi.parity import ascent, estimate, ladder
from lenet_multi.parity.ascent import Ascent, _jobs, ascend
from lenet_multi.parity.climber import CLIMB, GO_ON, Job
from lenet_multi.parity.evidence import Evidence
from lenet_multi.parity.known import Known
from lenet_multi.parity.ladder import FORWARD, STRUCTURE, Finding, Ladder
from lenet_multi.parity.plan import ORACLE, Plan
from lenet_multi.parity.start import Start
from tests.conftest import Lenet, child_environment
from tests.parity.test_report import finding

BACKENDS = ("tensorflow", "jax", "torch")


def test_one_backend_is_refused(tmp_path: Path) -> None:
    """A single backend is refused, because there is nothing to compare it with."""
    with pytest.raises(UserError, match="needs two backends, found jax; give another --backend"):
        ascend(["jax"], Plan(), tmp_path / "out", timeout=1)


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    """A folder that is not empty is refused, so that two climbs do not mix their evidence."""
    (tmp_path / "something").touch()
    with pytest.raises(UserError, match="is not an empty folder"):
        ascend(BACKENDS, Plan(), tmp_path, timeout=1)


def test_what_was_done_to_the_data_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line says before the climb what was converted, as in `train`."""

    def climb(*arguments: object) -> None:
        raise RuntimeError("it climbs")

    monkeypatch.setattr(ascent, "_run", climb)
    images = np.random.default_rng(0).integers(0, 256, (800, 784), np.uint8)
    np.savez(tmp_path / "rows.npz", X=images, y=np.arange(800) % 10)
    config = TrainConfig(data=str(tmp_path / "rows.npz"), batch_size=4)
    plan = Plan(config=config, float64_images=640, float32_images=100)
    told: list[str] = []
    with pytest.raises(RuntimeError, match="it climbs"):
        ascend(BACKENDS, plan, tmp_path / "out", timeout=1, announce=told.append)
    assert told[0] == "Data: rows of 784 pixels are taken for images of 28x28"
    assert "has no test images" in told[1]


def test_every_backend_goes_on_with_every_model(tmp_path: Path) -> None:
    """In each precision there are nine ordered pairs, each after the models are saved."""
    jobs = _jobs(BACKENDS, Plan(), tmp_path, "today", with_oracle=True)
    pairs = {
        (job.precision, w, job.climber) for job in jobs if job.task == GO_ON for w in job.saved_by
    }
    assert len(pairs) == len(PRECISIONS) * 9
    names = {job.name: job for job in jobs}
    for job in jobs:
        after = [names[name] for name in job.child().after]
        assert after == job.writers()
        assert [(other.task, other.climber) for other in after] == [
            (CLIMB, w) for w in job.saved_by
        ]
        assert {other.precision for other in after} <= {job.precision}


@pytest.mark.parametrize("with_oracle", [False, True], ids=["without", "with"])
def test_a_task_without_a_reference_has_no_oracle(tmp_path: Path, with_oracle: bool) -> None:
    """Without a reference only backends are compared; with one, the oracle climbs in float64."""
    jobs = _jobs(BACKENDS, Plan(), tmp_path, "today", with_oracle=with_oracle)
    oracles = [job.precision for job in jobs if job.climber == ORACLE]
    assert oracles == ["float64"] * with_oracle
    assert {job.climber for job in jobs} - {ORACLE} == set(BACKENDS)


@pytest.mark.parametrize("precisions", [PRECISIONS, ("float64",), ("float32",)])
def test_the_long_jobs_come_first(tmp_path: Path, precisions: tuple[str, ...]) -> None:
    """The oracle climbs after the first precision; to go on is last, and may be left out."""
    plan = Plan(precisions=precisions)
    jobs = _jobs(BACKENDS, plan, tmp_path, "today", with_oracle=True)
    climbs = [(CLIMB, one, who) for one in precisions for who in BACKENDS]
    if "float64" in precisions:
        climbs.insert(3, (CLIMB, "float64", ORACLE))
    gone_on = [(GO_ON, one, who) for one in precisions for who in BACKENDS]
    assert [(job.task, job.precision, job.climber) for job in jobs] == climbs + gone_on
    assert {(job.out, job.climb) for job in jobs} == {(str(tmp_path), "today")}
    assert all(job.plan == dataclasses.asdict(plan) for job in jobs)
    short = dataclasses.replace(plan, saved_after=0)
    jobs = _jobs(BACKENDS, short, tmp_path, "today", with_oracle=True)
    assert [(job.task, job.precision, job.climber) for job in jobs] == climbs


class Climbers:
    """Stands for the child processes: each leaves evidence, unless it fails or a signal comes."""

    def __init__(self, failing: str = "", stopped_at: str = "", broken: str = "") -> None:
        self.failing, self.stopped_at, self.broken = failing, stopped_at, broken
        self.asked: list[tuple[list[Job], float, int]] = []

    def __call__(self, run: Sequence[Child], *, timeout: float, threads: int) -> list[Failure]:
        """Remember what is asked, and leave the evidence."""
        jobs = [Job(**json.loads(child.command[-1])) for child in run]
        self.asked.append((jobs, timeout, threads))
        for job in jobs:
            if job.name == self.stopped_at:
                raise StoppedError(signal.SIGTERM)
            job.folder.mkdir(exist_ok=True)
            Evidence(job.climber, job.climb).write(job.folder)
            if job.name == self.broken:
                (job.folder / "evidence.npz").write_bytes(b"half")
        return [Failure(job.name, "crashed", []) for job in jobs if job.name == self.failing]


def climb_of(
    climbers: Climbers, patch: pytest.MonkeyPatch, found: Sequence[Finding] = ()
) -> list[Ladder]:
    """Let `climbers` climb and `found` be found; return the ladders that are compared."""
    compared: list[Ladder] = []

    def compare(rungs: Ladder) -> list[Finding]:
        compared.append(rungs)
        return list(found)

    patch.setattr(children, "run", climbers)
    patch.setattr(ladder, "compare", compare)
    return compared


def small_plan(folder: Path, **change: Any) -> Plan:
    """Return a plan for a few images."""
    images = np.random.default_rng(0).integers(0, 256, (800, 28, 28), np.uint8)
    labels = np.arange(800) % 10
    path = folder / "few.npz"
    np.savez(path, x_train=images, y_train=labels, x_test=images[:9], y_test=labels[:9])
    config = TrainConfig(data=str(path), batch_size=4)
    return Plan(config=config, float64_images=640, float32_images=100, **change)


def test_all_climbers_climb_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The evidence of each is compared; how long it took is said, and nothing is announced."""
    climbers, clock = Climbers(), iter([10.0, 12.5])
    found = [finding(STRUCTURE, 0.5)]
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    climb_of(climbers, monkeypatch, found)
    plan, folder = small_plan(tmp_path), tmp_path / "new" / "out"
    told: list[str] = []
    climb = ascend(BACKENDS, plan, folder, timeout=7, announce=told.append)
    ((jobs, *how),) = climbers.asked
    assert how == [7, 1]
    assert {job.out for job in jobs} == {str(folder)}
    (name,) = {job.climb for job in jobs}
    assert len(name) == 16
    every = {(who, one) for who in BACKENDS for one in PRECISIONS}
    assert set(climb.ladder.climbed) == every | {(ORACLE, "float64")}
    assert set(climb.ladder.gone_on) == every
    assert (climb.ladder.backends, climb.ladder.plan) == (BACKENDS, plan)
    assert (climb.findings, climb.failures, climb.known) == (found, [], [])
    assert (climb.seconds, climb.stopped, climb.passed) == (2.5, None, True)
    assert told == []


def test_what_failed_is_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evidence that a failed climber left is not read, and the climb does not pass."""
    climb_of(Climbers(failing="jax float32"), monkeypatch)
    climb = ascend(BACKENDS, small_plan(tmp_path), tmp_path / "out", timeout=1)
    assert ("jax", "float32") not in climb.ladder.climbed
    assert ("jax", "float32") in climb.ladder.gone_on
    assert climb.failures == [Failure("jax float32", "crashed", [])]
    assert not climb.passed


def test_damaged_evidence_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless a signal ended the climb while it was written."""
    climb_of(Climbers(broken="jax float32"), monkeypatch)
    with pytest.raises(UserError, match="is damaged"):
        ascend(BACKENDS, small_plan(tmp_path), tmp_path / "out", timeout=1)


def test_a_stopped_climb_is_compared_as_far_as_it_went(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written until the signal is compared; it does not pass, whatever was found."""
    climbers = Climbers(broken="tensorflow float32", stopped_at="torch float32")
    climb_of(climbers, monkeypatch)
    climb = ascend(BACKENDS, small_plan(tmp_path), tmp_path / "out", timeout=1)
    assert set(climb.ladder.climbed) == {("jax", "float32")}
    assert isinstance(climb.stopped, StoppedError)
    assert not climb.passed


@pytest.mark.parametrize("own", [False, True], ids=["of the package", "of a user"])
def test_a_folder_may_be_there_and_must_be_writable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    """An empty one is used; below a file there is none."""
    own_start(monkeypatch)
    climb_of(Climbers(), monkeypatch)
    plan = Plan.for_own(OWN, steps=20) if own else small_plan(tmp_path)
    (tmp_path / "out").mkdir()
    assert ascend(BACKENDS, plan, tmp_path / "out", timeout=1).passed
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "out"
    with pytest.raises(
        UserError, match=f"^cannot write {folder}: Not a directory; choose another --out$"
    ):
        ascend(BACKENDS, plan, folder, timeout=1)


@pytest.mark.parametrize("threads", [0, 3], ids=["none", "too many"])
def test_threads_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    """Each process may have as many as there are processors."""
    climbers = Climbers()
    climb_of(climbers, monkeypatch)
    monkeypatch.setattr(environment, "threads", lambda: 2)
    plan = small_plan(tmp_path)
    words = (
        "--threads must be between 1 and 2, the processors that this process may use, not "
        f"{threads}"
    )
    with pytest.raises(UserError, match=f"^{words}$"):
        ascend(BACKENDS, plan, tmp_path / "out", timeout=1, threads=threads)
    assert climbers.asked == []
    ascend(BACKENDS, plan, tmp_path / "out", timeout=1, threads=2)
    assert climbers.asked[0][2] == 2


@pytest.mark.parametrize("precision", PRECISIONS)
def test_too_few_images_are_refused_before_the_climb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    """In either precision, once, and not in each process; no folder is made."""
    monkeypatch.setattr(children, "run", None)
    few: dict[str, Any] = {f"{precision}_images": 60}
    plan = dataclasses.replace(small_plan(tmp_path), **few)
    with pytest.raises(UserError, match=f"needs 20 steps .* in {precision}: give more --images"):
        ascend(BACKENDS, plan, tmp_path / "out", timeout=1)
    assert not (tmp_path / "out").exists()


OWN = with_settings(TrainConfig(), {"architecture": "mine.py:build", "batch_size": 4})
KNOWN = Known(
    anchor="a",
    what="cubic",
    backends=("jax",),
    size="1e-2",
    cause="c",
    way_round="w",
    layers=("l",),
)


def own_start(patch: pytest.MonkeyPatch, **facts: Any) -> list[Any]:
    """Let a process have looked at a user's model; return what `prepare` is asked."""
    asked: list[Any] = []
    known = {"parameters": 7, "forward_seconds": 0.1, "reference": False, "notes": [], "known": []}
    start = Start(Examples(np.ones(2), np.ones(2)), [], {**known, **facts})

    def prepare(*given: Any) -> Start:
        asked.append(given)
        return start

    patch.setattr(ascent, "prepare", prepare)
    return asked


def test_a_users_model_is_looked_at_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the backends of its climbers; the estimate, the known and the data are announced."""
    asked = own_start(monkeypatch, notes=["it was halved"], known=[dataclasses.asdict(KNOWN)])
    climb_of(Climbers(), monkeypatch)
    told: list[str] = []
    estimated: list[Any] = []
    monkeypatch.setattr(estimate, "announce", lambda *given: estimated.append(given))
    plan, folder = Plan.for_own(OWN, steps=20), tmp_path / "new" / "out"
    names = ["jax:stock", "torch", "jax:stock@avx2"]
    climb = ascend(names, plan, folder, timeout=1, threads=1, announce=told.append)
    assert asked == [(plan, ["jax", "torch"], folder / "start")]
    ((facts, *others),) = estimated
    assert facts["parameters"] == 7
    assert others == [plan, names, 1, told.append]
    assert climb.known == [KNOWN]
    assert told == [str(KNOWN), "Data: it was halved"]
    assert (ORACLE, "float64") not in climb.ladder.climbed


def test_a_users_model_may_have_a_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the oracle climbs too."""
    own_start(monkeypatch, reference=True)
    climb_of(Climbers(), monkeypatch)
    climb = ascend(["jax", "torch"], Plan.for_own(OWN, steps=20), tmp_path / "out", timeout=1)
    assert (ORACLE, "float64") in climb.ladder.climbed


def test_the_layer_of_a_difference_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Climbers of the precision that differs go on with each other's models, as in L6."""
    own_start(monkeypatch)
    climbers = Climbers(failing="tensorflow float32")
    found = [
        finding(STRUCTURE, 0.5),
        finding(STRUCTURE, 2.0),
        finding(FORWARD, 0, precision="float64"),
    ]
    compared = climb_of(climbers, monkeypatch, found)
    plan = Plan.for_own(OWN, quick=True)
    climb = ascend(BACKENDS, plan, tmp_path / "out", timeout=7, threads=1)
    assert [how for _, *how in climbers.asked] == [[7, 1]] * 2
    again = [(job.task, job.precision, job.climber) for job in climbers.asked[1][0]]
    assert again == [(GO_ON, "float32", who) for who in ("jax", "torch")]
    assert {tuple(job.saved_by) for job in climbers.asked[1][0]} == {("jax", "torch")}
    assert set(climb.ladder.gone_on) == {("jax", "float32"), ("torch", "float32")}
    assert climb.failures == [Failure("tensorflow float32", "crashed", [])]
    assert compared[-1] is climb.ladder
    assert all(isinstance(one, Ladder) for one in compared)


@pytest.mark.parametrize("own", [False, True], ids=["of the package", "gone on already"])
def test_the_layer_is_looked_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    """Not where L6 did so, and never for a model of the package."""
    own_start(monkeypatch)
    climbers = Climbers()
    climb_of(climbers, monkeypatch, [finding(STRUCTURE, 2.0)])
    plan = Plan.for_own(OWN, steps=20) if own else small_plan(tmp_path, saved_after=0)
    climb = ascend(BACKENDS, plan, tmp_path / "out", timeout=1)
    assert len(climbers.asked) == 1
    assert not climb.passed


def test_the_record_has_all_that_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed and differs, the figure's lines, the versions and how each climber computed."""
    arrays = {"L4/losses": np.array([2.0, 1.0])}
    climbed = {
        (who, "float32"): Evidence(
            who,
            "",
            arrays=arrays,
            record={
                "versions": {"keras": "3.15.1", who: "1"},
                "form": f"form of {who}",
                "instruction_set": f"set of {who}",
                "seconds": 4.5,
            },
        )
        for who in ("jax", "torch")
    }
    del climbed["torch", "float32"].record["versions"]
    climbed[ORACLE, "float64"] = Evidence(ORACLE, "", arrays=arrays)
    plan = Plan(saved_after=0)
    rungs = Ladder(("jax", "torch"), climbed, {}, plan)
    differs, failure = finding(FORWARD, 2.0), Failure("torch float64", "crashed", ["why"])
    climb = Ascent(rungs, [finding(STRUCTURE, 0), differs], [failure], 9.5, [KNOWN])
    ascent.write_json(climb, tmp_path / "out.json")
    found = json.loads((tmp_path / "out.json").read_text())
    lines = found.pop("gaps")
    assert [(line["name"], line["kind"]) for line in lines] == [("jax and torch", "float32")]
    assert found == json.loads(
        json.dumps(
            {
                "schema_version": 2,
                "passed": False,
                "first_failure": str(differs),
                "seconds": 9.5,
                "machine": environment.machine(),
                "versions": {"keras": "3.15.1", "jax": "1"},
                "plan": dataclasses.asdict(plan),
                "known": [dataclasses.asdict(KNOWN)],
                "null_tensors": [],
                "stopped": False,
                "failures": [dataclasses.asdict(failure)],
                "findings": [
                    {**dataclasses.asdict(one), "passed": one is not differs}
                    for one in climb.findings
                ],
                "forms": {"jax": "form of jax", "torch": "form of torch"},
                "instruction_sets": {"jax": "set of jax", "torch": "set of torch"},
                "climber_seconds": {
                    "jax float32": 4.5,
                    "torch float32": 4.5,
                    "oracle float64": None,
                },
            }
        )
    )
    stopped = dataclasses.replace(climb, findings=[], stopped=StoppedError(signal.SIGTERM))
    ascent.write_json(stopped, tmp_path / "out.json")
    found = json.loads((tmp_path / "out.json").read_text())
    assert (found["first_failure"], found["stopped"]) == (None, True)
    with pytest.raises(UserError, match=r"cannot write .*nowhere"):
        ascent.write_json(climb, tmp_path / "nowhere" / "out.json")


@pytest.mark.all_backends
def test_a_slow_climb_fails(tmp_path: Path, lenet: Lenet) -> None:
    """A timeout is a failure with status 1, and never a skip."""
    done = lenet("parity", "--backend", "jax", "--backend", "torch", "--timeout", 0.2)
    assert done.returncode == 1
    assert "torch float64 FAILED: it took longer than 0.2 s" in done.stdout
    assert "No verdict" in done.stdout


@pytest.mark.all_backends
def test_a_crash_is_shown(tmp_path: Path) -> None:
    """If a backend cannot be imported, its last lines are shown and the climb fails."""
    for backend in ("jax", "torch"):
        (tmp_path / "broken" / backend).mkdir(parents=True)
        code = f"raise ImportError('no lib{backend}')"
        (tmp_path / "broken" / backend / "__init__.py").write_text(code)
    code = (
        "from pathlib import Path; from lenet_multi.parity.ascent import *;"
        "from lenet_multi.parity import report; from rich.console import Console;"
        "found = ascend(['jax', 'torch'], Plan(float64_images=640), Path('out'), timeout=60);"
        "report.print_ascent(found, Console()); write_json(found, Path('out.json'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=child_environment(PYTHONPATH=f"{tmp_path / 'broken'}{os.pathsep}{os.getcwd()}"),
        capture_output=True,
        text=True,
    )
    assert "torch does not start: no libtorch; install it again" in done.stdout, (
        done.stdout + done.stderr
    )
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["passed"] is False
    assert written["failures"]


def test_unknown_backends_are_refused(lenet: Lenet) -> None:
    """An unknown backend gets the nearest name, with status 2."""
    done = lenet("parity", "--backend", "jaxx")
    assert done.returncode == 2
    assert "did you mean 'jax'?" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--epochs", 2), "--epochs is a setting of --seeds alone; drop it"),
        (("--seeds", 2, "--seed", 0), "--seed is no setting of --seeds; drop it"),
        (("--seeds", 2, "--images", 9), "--images is no setting of --seeds; drop it"),
        (("--seed", -1), "--seed must be 0 or more, not -1"),
        (("--seeds", 2, "--threads", 2), "--threads is no setting of --seeds; drop it"),
        (
            ("--every-form", "--backend", "jax@sse4.1"),
            "--backend jax@sse4.1: --every-form takes no form and no instructions; "
            "give --backend jax",
        ),
        (
            ("--backend", "jax@avx-2"),
            "unknown instruction set 'avx-2'; did you mean 'avx2'?",
        ),
        (("--timeout", 0), "--timeout must be a finite number of seconds above 0, not 0.0"),
        (("--timeout", "nan"), "--timeout must be a finite number of seconds above 0, not nan"),
    ],
    ids=[
        *("epochs", "seed", "images", "negative", "threads", "held", "no instruction set"),
        *("no time", "nan"),
    ],
)
def test_flags_that_do_not_fit_are_refused(
    lenet: Lenet, flags: tuple[object, ...], message: str
) -> None:
    """Flags that do not fit get one line and status 2."""
    done = lenet("parity", *flags)
    assert done.returncode == 2
    assert done.stderr == f"lenet-multi: {message}\n"


@pytest.mark.all_backends
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--images", 100), "parity needs 20 steps in an epoch; 100 training images give 1"),
        (("--images", -5), "--images must be at least 1, not -5"),
        (("--threads", 0), "--threads must be between 1 and "),
        (("--threads", 99_999), "--threads must be between 1 and "),
        (("--out", "/dev/null/out"), "cannot write /dev/null/out: Not a directory"),
        (("--seeds", 2, "--out", "/dev/null/out"), "cannot write /dev/null/out: Not a directory"),
        (("--data", "nowhere"), "no data at 'nowhere'"),
        (("--seeds", 1), "--seeds must be at least 2"),
        (("--seeds", 10**30), "--seeds must be 10,000 at most"),
    ],
    ids=[
        "images",
        "negative",
        "no thread",
        "threads",
        "out",
        "seeds' out",
        "data",
        "seeds",
        "many seeds",
    ],
)
def test_bad_input_is_refused_at_once(
    tmp_path: Path, lenet: Lenet, flags: tuple[object, ...], message: str
) -> None:
    """Bad input gets one line and status 2, before a backend starts or a folder exists."""
    done = lenet("parity", *flags)
    assert done.returncode == 2
    assert done.stderr.startswith(f"lenet-multi: {message}")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
