import importlib
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

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
    with pytest.raises(UserError) as refused:
        choose("mxnet", {})
    assert str(refused.value) == "unknown backend 'mxnet'; choose from tensorflow, jax, torch"


def test_a_backend_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what is installed and how to install the requested backend."""
    monkeypatch.setattr(frameworks, "installed", lambda known: ("jax",))
    with pytest.raises(UserError) as refused:
        choose("torch", {})
    remedy = "; install it with: pip install torch"
    assert str(refused.value) == f"backend 'torch' is not installed (installed: jax){remedy}"
    monkeypatch.setattr(frameworks, "installed", lambda known: ("jax", "tensorflow"))
    with pytest.raises(UserError, match=r"\(installed: jax, tensorflow\)"):
        choose("torch", {})


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, in which Python looks for modules first."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in (*BACKENDS, "openvino"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


@pytest.mark.parametrize("name", [*BACKENDS, "openvino"])
def test_a_folder_of_a_backends_name_is_no_backend(name: str, work: Path) -> None:
    """A folder without code, such as one for results, changes no backend's state."""
    before = frameworks.installed(ANSWERING)
    (work / name / "runs").mkdir(parents=True)
    importlib.invalidate_caches()
    assert frameworks.installed(ANSWERING) == before
    assert frameworks.hiding(name) is None
    assert frameworks.hiding("no_such_backend") is None
    (work / "no_such_backend").mkdir()
    importlib.invalidate_caches()
    assert frameworks.hiding("no_such_backend") is None


@pytest.mark.parametrize("name", [*BACKENDS, "openvino"])
@pytest.mark.parametrize("is_package", [False, True], ids=["file", "package"])
def test_a_users_module_of_a_backends_name_is_named(
    name: str, is_package: bool, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backend that a user's module hides is not installed, and the error names the module."""
    path = work / name if is_package else work / f"{name}.py"
    file = path / "__init__.py" if is_package else path
    file.parent.mkdir(exist_ok=True)
    file.touch()
    importlib.invalidate_caches()
    assert name not in frameworks.installed(ANSWERING)
    with pytest.raises(UserError, match=rf"{path} has the name of the package {name} and hides it"):
        choose(name, {}, known=ANSWERING)
    monkeypatch.setattr(frameworks, "installed", lambda known: ())
    with pytest.raises(UserError, match="hides it; rename it, or work in another folder"):
        choose(None, {}, known=ANSWERING)


def test_only_a_backend_that_is_asked_for_can_be_hidden(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's module matters to no other backend."""
    (work / "torch.py").touch()
    importlib.invalidate_caches()
    monkeypatch.setattr(frameworks, "installed", lambda known: ("jax",))
    assert choose(None, {}) == "jax"
    monkeypatch.setattr(frameworks, "installed", lambda known: ())
    with pytest.raises(UserError) as refused:
        choose("jax", {})
    assert str(refused.value) == "backend 'jax' is not installed; install it with: pip install jax"


@pytest.mark.parametrize("name", ["tensorflow", "tensorflow.py"], ids=["folder", "file"])
def test_a_false_tensorflow_is_never_imported(
    name: str, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keras imports what has this name at any time, to seed TensorFlow or to save a model."""
    monkeypatch.setattr(sys, "path", [str(work)])
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    path = work / name
    path.touch() if path.suffix else path.mkdir()
    importlib.invalidate_caches()
    for _ in range(2):
        frameworks.leave_out_false_tensorflow()
        with pytest.raises(ImportError, match="tensorflow is left out"):
            importlib.import_module("tensorflow")
    assert sum(isinstance(finder, OthersLeftOut) for finder in sys.meta_path) == 1
    assert isinstance(sys.meta_path[0], OthersLeftOut)  # asked before any other


def test_a_package_that_pip_put_into_the_working_folder_is_installed(work: Path) -> None:
    """`pip install --target .` puts packages there, as some services ask for."""
    (work / "jax").mkdir()
    (work / "jax" / "__init__.py").touch()
    record = work / "jax-0.10.2.dist-info" / "RECORD"
    record.parent.mkdir()
    record.write_text("jax/__init__.py,,\n")
    (record.parent / "METADATA").write_text("Name: jax\nVersion: 0.10.2\n")
    importlib.invalidate_caches()
    assert frameworks.hiding("jax") is None
    assert "jax" in frameworks.installed()


def test_only_what_an_error_names_hides_a_library(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's file is to blame where the error has its name, and a library has that name too."""
    (work / "colorsys").mkdir()
    for name, place in (
        ("wave", "wave.py"),
        ("mine_alone", "mine_alone.py"),
        ("colorsys", "colorsys/__init__.py"),
    ):
        (work / place).touch()
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(__file__=str(work / place)))
    importlib.invalidate_caches()
    words = "module '{}' has no attribute 'open'"
    assert frameworks.hider(AttributeError(words.format("wave"))) == work / "wave.py"
    assert frameworks.hider(AttributeError(words.format("mine_alone"))) is None
    assert frameworks.hider(AttributeError(words.format("colorsys"))) == work / "colorsys"
    assert frameworks.hider(ImportError("No module named 'wave.reader'")) == work / "wave.py"
    assert frameworks.hider(ImportError("cannot import name 'wave_of' from 'json'")) is None


def test_no_backend_at_all_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """If no backend is installed, the error says how to install one."""
    monkeypatch.setattr(frameworks, "installed", lambda known: ())
    with pytest.raises(UserError) as refused:
        choose(None, {})
    remedy = "install it with: pip install jax"
    assert str(refused.value) == f"no Keras backend is installed; {remedy}"


@pytest.mark.usefixtures("all_installed")
@pytest.mark.parametrize("name", ["numpy", "openvino"])
def test_a_backend_that_only_answers_cannot_train(name: str) -> None:
    """A backend that only answers is accepted for answering and refused for training."""
    assert choose(name, {}, known=ANSWERING) == name
    with pytest.raises(UserError) as refused:
        choose(name, {})
    assert str(refused.value) == (
        f"backend '{name}' cannot train, only predict and evaluate; choose from tensorflow, jax, "
        "torch"
    )


def test_keras_computes_with_a_package_of_another_name() -> None:
    """Its NumPy backend convolves with JAX, and every other one with the package of its name."""
    found = {name: frameworks.framework(name) for name in ANSWERING}
    assert found == {**{name: name for name in ANSWERING}, "numpy": "jax"}


def test_a_version_is_that_of_the_distribution_with_the_module(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first one counts of those that provide a module; without any, the name is not found."""
    monkeypatch.setattr(frameworks, "_distributions", lambda: {"a_module": ["rich", "no-such"]})
    assert frameworks.installed_version("numpy") == version("numpy")
    assert frameworks.installed_version("a_module") == version("rich")
    with pytest.raises(PackageNotFoundError, match="no-such-module"):
        frameworks.installed_version("no-such-module")


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
        assert isinstance(sys.meta_path[0], OthersLeftOut)  # asked before any other
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
