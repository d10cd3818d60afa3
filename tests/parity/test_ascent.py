import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lenet_multi.config import PRECISIONS, TrainConfig
from lenet_multi.errors import UserError
from lenet_multi.parity import ascent
from lenet_multi.parity.ascent import _jobs, ascend
from lenet_multi.parity.climber import CLIMB, GO_ON
from lenet_multi.parity.plan import ORACLE, Plan
from tests.conftest import Lenet, child_environment

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
