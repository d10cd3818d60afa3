import os
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import NoReturn

import pytest

from lenet_multi.commands.doctor.probe import probe, probe_all
from lenet_multi.machine import frameworks

BROKEN = {
    "raises": ("raise ImportError('libcuda.so is missing')", "libcuda.so is missing"),
    "crashes": ("import os; os.kill(os.getpid(), 11)", "ended by signal 11"),
    "exits": ("raise SystemExit(3)", "ended with status 3"),
    "hangs": ("import time; time.sleep(60)", "did not start within 3 s"),
}


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a package that child processes import as JAX and that looks installed."""
    package = tmp_path / "stand-ins" / "jax" / "__init__.py"
    package.parent.mkdir(parents=True)
    path = os.pathsep.join([str(tmp_path / "stand-ins"), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setattr(frameworks, "installed", lambda: ("jax",))
    return package


@pytest.mark.parametrize("how", BROKEN)
def test_a_backend_that_does_not_start_is_told(stand_in: Path, how: str) -> None:
    """A backend that raises, crashes, exits or hangs at import is only reported."""
    code, trouble = BROKEN[how]
    stand_in.write_text(code)
    found = probe("jax", timeout=3 if how == "hangs" else 60)
    assert found.installed
    assert not found.works
    assert found.trouble == trouble


def test_the_variable_that_stops_a_backend_is_named(
    stand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The remedy names the variable to unset."""
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    stand_in.write_text("raise RuntimeError('Unable to initialize backend cuda\\nfor simplicity')")
    found = probe("jax", timeout=60)
    assert found.trouble == "Unable to initialize backend cuda"
    assert found.remedy == "unset JAX_PLATFORMS (now 'cuda')"


@pytest.mark.parametrize("package", ["numpy", "keras", "jax"])
def test_what_hides_a_backend_is_named(
    package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A user's file of the name of a package that a backend needs is to be renamed."""
    path = tmp_path / f"{package}.py"
    monkeypatch.setattr(frameworks, "hiding", {package: path}.get)
    found = probe("jax", timeout=1)
    assert not found.works
    assert found.trouble == f"{path} has the name of the package {package} and hides it"
    assert found.remedy == "rename it, or work in another folder"


def test_what_is_not_installed_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is reported as not installed, in the given order."""
    monkeypatch.setattr(frameworks, "installed", lambda: ())
    found = probe_all(("torch", "jax"), timeout=1)
    assert [(one.backend, one.installed, one.works) for one in found] == [
        ("torch", False, False),
        ("jax", False, False),
    ]


def test_a_backend_of_no_distribution_has_no_version(
    stand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backend that can be imported but was never installed is still examined."""
    stand_in.write_text("raise SystemExit(3)")

    def none(name: str) -> NoReturn:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(frameworks, "version", none)
    assert probe("jax", timeout=60).version == "unknown"
