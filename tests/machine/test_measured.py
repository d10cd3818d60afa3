import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lenet_multi.backends import choice
from lenet_multi.machine import measured
from lenet_multi.machine.cache import place
from lenet_multi.machine.keras_start import device
from lenet_multi.runs.record import read_run
from tests.conftest import child_environment

IN_BFLOAT16 = "mixed_bfloat16"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder in which nothing was measured yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.backend
@pytest.mark.parametrize(
    ("slow", "pays"), [("float32", True), ("bfloat16", False)], ids=["fast", "slow"]
)
def test_the_form_goes_by_what_was_measured(
    backend: str, slow: str, pays: bool, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The doctor measures each precision once; a run reads the result and measures nothing."""
    import keras

    matmul = keras.ops.matmul
    dtypes = []

    def noted(one: Any, other: Any) -> Any:
        dtypes.append(keras.backend.standardize_dtype(one.dtype))
        time.sleep(0.01 * (dtypes[-1] == slow))
        return matmul(one, other)

    monkeypatch.setattr(keras.ops, "matmul", noted)
    monkeypatch.setattr(measured, "SIDE", 8)
    assert (measured.measure_bfloat16(backend) > 1) == pays
    assert set(dtypes) == {"float32", "bfloat16"}
    dtypes.clear()
    fastest = choice.FASTEST_FORM_IN_BFLOAT16 if pays else choice.FASTEST_FORM
    assert choice.here(dtype_policy=IN_BFLOAT16).form == fastest[device()][backend]
    assert choice.here().form == choice.FASTEST_FORM[device()][backend]
    assert not dtypes


def test_what_was_never_measured_does_not_pay(cache: Path) -> None:
    """Without the doctor's figure, or with a damaged one, the forms are those of float32."""
    assert not measured.bfloat16_pays("jax")
    path = place("bfloat16-jax")
    path.parent.mkdir()
    path.write_text("fast")
    assert not measured.bfloat16_pays("jax")


@pytest.mark.backend
def test_a_cache_that_cannot_be_written_keeps_nothing(
    backend: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The doctor continues without a writable cache."""
    monkeypatch.setattr(measured, "SIDE", 8)
    (cache / "lenet_multi").write_text("a file in the way")
    assert measured.measure_bfloat16(backend) > 0
    assert not measured.bfloat16_pays(backend)


@pytest.mark.backend
def test_a_resumed_run_computes_as_it_began(
    backend: str, cache: Path, small_npz: Path, tmp_path: Path
) -> None:
    """A resumed run takes the journal's form, even if the doctor now measures otherwise."""
    path = place(f"bfloat16-{backend}")
    path.parent.mkdir()

    def run(code: str, *flags: object) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-c", f"{code}from lenet_multi.__main__ import main; main()"]
        return subprocess.run(
            [*command, "train", "--backend", backend, *map(str, flags)],
            cwd=tmp_path,
            env=child_environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    stopped = "import os; from lenet_multi.runs import record; "
    stopped += f"record.write_run = lambda *a, **k: os.kill(os.getpid(), {signal.SIGTERM}); "
    settings = ("--epochs", 1, "--dtype-policy", IN_BFLOAT16, "--data", small_npz, "--out", "run")
    path.write_text("2.0")
    assert run(stopped, *settings).returncode == 128 + signal.SIGTERM
    path.write_text("0.5")
    resumed = run("", "--resume", "run")
    assert resumed.returncode == 0, resumed.stderr
    began = choice.execution(backend, dtype_policy=IN_BFLOAT16, bfloat16_pays=True)
    execution = read_run(tmp_path / "run").result.execution
    assert (execution["form"], execution["answer_form"]) == (began.form, began.answer_form)
    assert execution["form"] != choice.here(dtype_policy=IN_BFLOAT16).form or backend == "jax"
