from pathlib import Path

import pytest

from lenet_multi.bench.process import FailedError, Worker
from lenet_multi.bench.ways import OURS, STOCK, Job
from lenet_multi.bench.worker import BUILD, CODE, FIRST, INPUT, OTHER, ROUND
from lenet_multi.config import TrainConfig, with_settings
from tests.bench.material import write_model

pytestmark = pytest.mark.backend


def started(folder: Path, backend: str, way: str, name: str, **settings: object) -> Worker:
    """Start the process of a way to train a small model of a user."""
    given = {"architecture": f"{write_model(folder)}:{name}", **settings}
    job = Job(backend, way, with_settings(TrainConfig(epochs=1), given))
    return Worker(job, folder / "worker")


def test_a_process_builds_trains_and_times(backend: str, tmp_path: Path) -> None:
    """It answers with its versions, then with the first step, then with rounds."""
    worker = started(tmp_path, backend, OURS, "build")
    built = worker.ask(BUILD, timeout=100)
    assert {"import", "data", "build"} == {*built["seconds"]}
    assert backend in built["versions"]
    assert worker.ask(FIRST, timeout=100)["seconds"]["first step"] > 0
    assert worker.ask(ROUND, timeout=100)["step_ms"] > 0
    worker.close()


@pytest.mark.parametrize(
    ("name", "settings", "fault", "words"),
    [
        ("nowhere", {}, INPUT, "has no nowhere; give one of"),
        ("build", {"data": "my_model.py:misfit"}, INPUT, "but the model takes float32 6"),
        ("broken", {}, CODE, "broken failed on .*no such thing; see the traceback"),
        ("bad_loss", {}, OTHER, "."),
    ],
    ids=["name", "data", "code", "loss"],
)
def test_an_error_says_whose_fault_it_is(
    backend: str,
    tmp_path: Path,
    name: str,
    settings: dict[str, str],
    fault: str,
    words: str,
) -> None:
    """A user's input, a user's code and anything else are told apart."""
    if data := settings.get("data"):
        settings = {"data": str(tmp_path / data)}
    worker = started(tmp_path, backend, STOCK, name, **settings)
    with pytest.raises(FailedError, match=words) as raised:
        worker.ask(BUILD, timeout=100)
        worker.ask(FIRST, timeout=100)
    assert raised.value.fault == fault
    assert worker.traceback.count("Traceback") == (0 if fault == INPUT else 1)
    worker.close()
