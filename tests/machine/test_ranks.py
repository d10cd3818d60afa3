"""Ranks: who leads, and what is said of one that ended early."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from lenet_multi.errors import UserError
from lenet_multi.machine import ranks
from lenet_multi.machine.frameworks import BACKENDS
from tests.backends.devices.machines import two_machines
from tests.conftest import child_environment


def failed(**codes: int) -> dict[int, SimpleNamespace]:
    """Return failures as PyTorch reports them, `rank_1=-9`, in the order of their ends."""
    return {
        int(name.removeprefix("rank_")): SimpleNamespace(exitcode=code, timestamp=100 + index)
        for index, (name, code) in enumerate(codes.items())
    }


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_process_that_nobody_started_is_alone(backend: str) -> None:
    """Without an engine's variables there is one process, which leads and agrees with itself."""
    assert ranks.told(backend) == ranks.ALONE
    assert (ranks.rank(), ranks.count()) == (0, 1)
    assert ranks.led("state") == "state"
    assert ranks.agreed(15, due=True) == (15, True)


VARIABLES = {
    "torch": {"RANK": "1", "WORLD_SIZE": "3", "MASTER_ADDR": "localhost"},
    "jax": {
        "KERAS_DISTRIBUTION_PROCESS_ID": "1",
        "KERAS_DISTRIBUTION_NUM_PROCESSES": "3",
        "KERAS_DISTRIBUTION_JOB_ADDRESSES": "localhost:1",
    },
    "tensorflow": {
        "TF_CONFIG": json.dumps(
            {
                "cluster": {"worker": ["one:1", "two:1", "three:1"]},
                "task": {"type": "worker", "index": 1},
            }
        )
    },
}


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_variables_of_each_engine_tell_the_place(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each engine's own variables tell rank and number; other engines do not heed them."""
    for name, value in VARIABLES[backend].items():
        monkeypatch.setenv(name, value)
    assert ranks.told(backend) == ranks.Place(1, 3)
    assert all(ranks.told(other) == ranks.ALONE for other in BACKENDS if other != backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_damaged_variables_are_refused(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that are no numbers, or no JSON, give one line with the backend and the remedy."""
    for name in VARIABLES[backend]:
        monkeypatch.setenv(name, "{one")
    with pytest.raises(UserError, match=f"tell {backend} its processes are damaged .*; give them"):
        ranks.told(backend)


def test_torchruns_processes_are_the_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `torchrun`, another number of devices than that of its processes is refused."""
    for name, value in VARIABLES["torch"].items():
        monkeypatch.setenv(name, value)
    ranks.refuse_devices(1)
    ranks.refuse_devices(3)
    with pytest.raises(UserError, match=r"torchrun started 3 processes, .* drop --devices"):
        ranks.refuse_devices(2)


@pytest.mark.parametrize(
    ("error", "gone"),
    [
        ("UNAVAILABLE: ... Heartbeat from /job:jax_worker/replica:0/task:2", "rank 2"),
        ("Connection closed by peer [10.0.0.2]:4321", "rank 10.0.0.2"),
        ("collective failed", "another rank"),
    ],
    ids=["a task", "an address", "nothing"],
)
def test_the_rank_that_an_error_names_is_said(error: str, gone: str) -> None:
    """TensorFlow's and JAX's errors name a task or an address."""
    assert ranks._gone(error) == gone


def test_of_two_ranks_the_other_one_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that names nobody, between two ranks, can only mean the other one."""
    for rank in range(2):
        monkeypatch.setattr(ranks, "_joined", ranks.Place(rank, 2))
        assert ranks._gone("collective failed") == f"rank {1 - rank}"


@pytest.mark.backend
def test_a_rank_does_not_wait_for_ever(backend: str, tmp_path: Path) -> None:
    """A rank whose companion does not come ends after a stated time, with one line."""
    machine = next(two_machines(backend, tmp_path))
    own = machine.variables
    if backend == "torch":
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(machine.ports[0])}
        own = {"RANK": "0", "WORLD_SIZE": "2", **place}
    code = (
        "from lenet_multi.machine import ranks; ranks._COMES_WITHIN = 9\n"
        "from lenet_multi.__main__ import main; main('train')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--backend", backend],
        cwd=tmp_path,
        env=child_environment(**own),
        capture_output=True,
        text=True,
        timeout=60,
    )
    said = "lenet-multi: rank 0 waited 9 seconds for all 2 ranks; start each of them"
    assert done.stderr.startswith(said), done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.returncode == 2
    assert not (tmp_path / "runs").exists()


def test_the_first_rank_that_was_killed_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Of ranks that ended, the line names the first; those that only lost it are not at fault."""
    assert ranks._status(failed(rank_0=ranks.LOST, rank_2=-9, rank_1=-15)) == 1
    assert "rank 2 was ended by SIGKILL" in capsys.readouterr().err


def test_a_rank_that_said_why_needs_no_other_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A rank that refused its input has printed its line; its exit status is the training's."""
    assert ranks._status(failed(rank_1=2, rank_0=-15)) == 2
    assert capsys.readouterr().err == ""
    assert ranks._status(failed(rank_0=ranks.LOST)) == ranks.LOST
    assert ranks._status(failed(rank_1=ranks.LOST)) == 0  # rank 0 had ended well
