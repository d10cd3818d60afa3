import importlib
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from lenet_multi.errors import UserError
from lenet_multi.machine import frameworks
from lenet_multi.machine.frameworks import ANSWERING, BACKENDS, OthersLeftOut, choose
from tests.conftest import PROJECT


@pytest.fixture
def all_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every backend count as installed."""
    monkeypatch.setattr(frameworks, "installed", lambda known=BACKENDS: known)


def test_backends_are_the_extras_of_the_package() -> None:
    """Every backend is an extra of the package and a pinned group, under the same name."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    assert set(BACKENDS) <= set(project["project"]["optional-dependencies"])
    assert set(BACKENDS) <= set(project["dependency-groups"])


@pytest.mark.usefixtures("all_installed")
@pytest.mark.parametrize("name", BACKENDS)
def test_flag_and_variable_choose_the_same(name: str) -> None:
    """The flag alone, the variable alone, or both in agreement choose the backend."""
    assert choose(name, {}) == name
    assert choose(None, {"KERAS_BACKEND": name}) == name
    assert choose(name, {"KERAS_BACKEND": name}) == name


def test_without_a_word_the_installed_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """If only one backend is installed, it need not be named."""
    monkeypatch.setattr(frameworks, "installed", lambda known: ("torch",))
    assert choose(None, {}) == "torch"


@pytest.mark.usefixtures("all_installed")
def test_flag_against_variable_is_refused() -> None:
    """The error names both sides of the conflict."""
    with pytest.raises(UserError, match="--backend jax conflicts with KERAS_BACKEND=torch"):
        choose("jax", {"KERAS_BACKEND": "torch"})


@pytest.mark.usefixtures("all_installed")
def test_an_unknown_backend_is_refused_with_the_nearest_name() -> None:
    """A misspelled backend gets the nearest name; any other unknown name gets the list."""
    with pytest.raises(UserError, match="did you mean 'tensorflow'"):
        choose("tensorfow", {})
    with pytest.raises(UserError, match="choose from tensorflow, jax, torch"):
        choose("mxnet", {})


def test_a_backend_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what is installed and how to install the requested backend."""
    monkeypatch.setattr(frameworks, "installed", lambda known: ("jax",))
    with pytest.raises(UserError, match=r"installed: jax.*pip install torch"):
        choose("torch", {})


def test_no_backend_at_all_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """If no backend is installed, the error says how to install one."""
    monkeypatch.setattr(frameworks, "installed", lambda known: ())
    with pytest.raises(UserError, match="no Keras backend is installed; install it with"):
        choose(None, {})


@pytest.mark.usefixtures("all_installed")
@pytest.mark.parametrize("name", ["numpy", "openvino"])
def test_a_backend_that_only_answers_cannot_train(name: str) -> None:
    """A backend that only answers is accepted for answering and refused for training."""
    assert choose(name, {}, known=ANSWERING) == name
    with pytest.raises(UserError, match="cannot train, only predict and evaluate"):
        choose(name, {})


@pytest.mark.usefixtures("all_installed")
def test_a_preference_gives_way() -> None:
    """The flag and the variable win; then the preferred backend, if it is installed."""
    assert choose(None, {}, preferred="jax") == "jax"
    assert choose("torch", {}, preferred="jax") == "torch"
    assert choose(None, {"KERAS_BACKEND": "torch"}, preferred="jax") == "torch"
    assert choose(None, {}, preferred="gone") == "tensorflow"


def test_other_frameworks_are_left_out_and_come_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Other frameworks cannot be imported in the block, and can be after it."""
    monkeypatch.setattr(frameworks, "BACKENDS", ("chosen", "other"))
    for name in ("chosen", "other"):
        (tmp_path / f"{name}.py").touch()
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with OthersLeftOut("chosen"):
        importlib.import_module("chosen")
        spec = find_spec("other")  # some look whether it is installed, and where
        assert spec
        assert spec.origin == str(tmp_path / "other.py")
        with pytest.raises(ImportError, match="other is left out"):
            importlib.import_module("other")
        assert "other" not in sys.modules  # a None there breaks SciPy
    importlib.import_module("other")
    with OthersLeftOut("chosen"):  # what is there already stays
        importlib.import_module("other")
