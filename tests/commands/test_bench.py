import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lenet_multi.bench.result import FILE, SCHEMA_VERSION
from lenet_multi.bench.ways import OURS, STOCK
from lenet_multi.machine.frameworks import BACKENDS
from tests.bench.material import write_model
from tests.conftest import CHOSEN, Lenet, child_environment


@pytest.mark.all_backends
def test_a_quick_bench_of_all_backends(lenet: Lenet, tmp_path: Path) -> None:
    """It prints a table and a sentence, which names a backend, and keeps the figures."""
    write_model(tmp_path)
    done = lenet(
        *("bench", "my_model.py:build", "--data", "my_model.py:data", "--quick"),
        *("--rounds", 2, "--threads", 1, "--out", "a-bench"),
    )
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert re.match(r"Take (tensorflow|jax|torch) \((stock|ours)\)", last)
    assert re.search(r"; on (tensorflow|jax|torch) with stock Keras, .* takes? \d+% of ", last)
    content = json.loads((tmp_path / "a-bench" / FILE).read_text())
    assert content["schema_version"] == SCHEMA_VERSION
    assert content["sentence"] == last
    assert [(row["backend"], row["way"]) for row in content["rows"]] == [
        (backend, way) for backend in BACKENDS for way in (STOCK, OURS)
    ]
    for row in content["rows"]:
        assert row["failure"] is None
        assert len(row["step_ms"]) == len(row["predict_ms"]) == 2
        assert row["backend"] in row["versions"]


@pytest.mark.all_backends
def test_a_model_that_one_backend_lacks_is_timed_on_the_others(
    lenet: Lenet, tmp_path: Path
) -> None:
    """Its line names the error, the traceback is the user's alone, and the status is 1."""
    write_model(tmp_path)
    done = lenet(
        *("bench", "my_model.py:without_jax", "--backend", "jax", "--backend", "torch"),
        *("--quick", "--rounds", 1, "--threads", 1),
    )
    assert done.returncode == 1, done.stderr
    assert "jax, stock: cannot: my_model.py:without_jax failed on jax: ValueError: it has no " in (
        " ".join(done.stdout.split())
    )
    assert done.stdout.splitlines()[-1].startswith("Take torch (")
    assert done.stderr.count("Traceback") == 1
    assert "lenet_multi" not in done.stderr


@pytest.mark.any_backend
@pytest.mark.backend
@pytest.mark.parametrize(
    ("arguments", "words", "lines"),
    [
        (["nowhere.py:build"], "cannot read", 1),
        (["my_model.py:nothing"], "has no nothing; give one of build,", 1),
        (["my_model.py:build", "--data", "my_model.py:misfit"], "the model takes float32 6", 1),
        (["my_model.py:build", "--data", "no.npz"], "no file no.npz; give an .npz", 1),
        (["my_model.py:build", "--loss", "mze"], "--loss mze: Keras has no such one", 1),
        (["my_model.py:bad_loss", "--data", "my_model.py:data"], "trains on no backend; ", 1),
        (["my_model.py:broken"], "my_model.py:broken failed on ", 5),
        (["--head", "softmax"], "No such option '--head'", 1),
    ],
    ids=["file", "name", "data", "npz", "loss", "bad-loss", "code", "flag"],
)
def test_bad_input_is_told_in_one_line(
    backend: str, lenet: Lenet, tmp_path: Path, arguments: list[str], words: str, lines: int
) -> None:
    """Status 2, nothing on stdout, no folder; a user's own traceback comes before the line."""
    write_model(tmp_path)
    done = lenet("bench", *arguments, "--backend", backend, "--quick")
    assert done.returncode == 2
    assert done.stdout == ""
    assert words in done.stderr.splitlines()[-1]
    assert len(done.stderr.strip().splitlines()) <= lines
    assert not (tmp_path / "runs").exists()


@pytest.mark.all_backends
def test_ctrl_c_prints_what_was_measured(tmp_path: Path) -> None:
    """Interrupted in its rounds, the command prints the table so far, and exits with 130."""
    write_model(tmp_path)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "lenet_multi", "bench", "my_model.py:build"),
            *("--quick", "--rounds", "100000", "--backend", "torch", "--out", "a-bench"),
        ],
        cwd=tmp_path,
        env=child_environment(**CHOSEN),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(25)  # a whole bench of one round takes 14 seconds on two busy cores
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert stderr == "lenet-multi: stopped by SIGINT\n"
    assert stdout.splitlines()[-1].startswith("Take torch (")
    assert json.loads((tmp_path / "a-bench" / FILE).read_text())["stopped_by"] == signal.SIGINT


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rounds", "0"], "--rounds must be at least 1, not 0"),
        (["--threads", "0"], "--threads must be between 1 and"),
        (["--timeout", "0"], "--timeout must be a finite number of seconds above 0"),
        (["--backend", "jaxx"], "unknown backend 'jaxx'; did you mean 'jax'?"),
        (["--batch-size", "0"], "--batch-size must be at least 1, not 0"),
        (["--out", "file"], "file is not an empty folder; choose another --out"),
        (["lenett"], "unknown --architecture 'lenett'; did you mean 'lenet'?"),
    ],
    ids=["rounds", "threads", "timeout", "backend", "batch", "out", "model"],
)
def test_bad_flags_are_told_in_one_line(
    lenet: Lenet, tmp_path: Path, arguments: list[str], words: str
) -> None:
    """They are refused before a process starts."""
    (tmp_path / "file").touch()
    done = lenet("bench", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
