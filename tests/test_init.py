import json
import pickle
import subprocess
import sys
from importlib import import_module
from types import ModuleType

import pytest

import lenet_multi as lm

FUNCTIONS = ("parity", "train", "compare")  # also modules or folders of the package
MOST_SECONDS = 0.1
NO_NAME = "pairity"


def run(code: str) -> str:
    """Return what a new Python process prints."""
    return subprocess.check_output([sys.executable, "-c", code], text=True).strip()


def test_the_import_is_quick_and_imports_nothing() -> None:
    """The fastest of five imports takes under 0.1 s, without Keras, NumPy or a backend."""
    code = (
        "import time; began = time.perf_counter(); import lenet_multi;"
        "seconds = time.perf_counter() - began; import sys, json;"
        "print(json.dumps([seconds, [m for m in ('keras', 'numpy', 'jax') if m in sys.modules]]))"
    )
    found = [json.loads(run(code)) for _ in range(5)]
    assert min(seconds for seconds, _ in found) < MOST_SECONDS
    assert [imported for _, imported in found] == [[]] * 5


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("module_first", [False, True], ids=["function-first", "module-first"])
def test_the_name_is_always_the_function(name: str, module_first: bool) -> None:
    """`lm.parity` is the function, whether the module of that name is imported before or after."""
    module, function = f"import_module('lenet_multi.{name}')", f"lm.{name}"
    first, second = (module, function) if module_first else (function, module)
    code = (
        f"import lenet_multi as lm; from importlib import import_module; {first}; {second};"
        f"print(type(lm.{name}).__name__)"
    )
    assert run(code) == "function"


def test_the_modules_can_still_be_imported() -> None:
    """`from lenet_multi.train import train` gives the module's own function."""
    code = (
        "import lenet_multi as lm; lm.train; from lenet_multi.train import train, Stopwatch;"
        "from lenet_multi.parity import ladder; from lenet_multi.compare import compare;"
        "print(train.__module__, ladder.__name__, compare.__module__, lm.train.__module__)"
    )
    assert run(code).split() == [
        "lenet_multi.train",
        "lenet_multi.parity.ladder",
        "lenet_multi.runs.comparison",
        "lenet_multi.interface",
    ]


def test_every_public_name_exists_and_has_help() -> None:
    """Each name in `__all__` is listed by `dir` and has a docstring."""
    for name in lm.__all__:
        assert name in dir(lm)
        assert name == "fast" or getattr(lm, name).__doc__


def test_a_public_name_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is then an attribute like any other."""
    monkeypatch.delitem(vars(lm), "Task", raising=False)
    task = import_module("lenet_multi.task").Task
    assert lm.Task is task
    assert vars(lm)["Task"] is task


def test_a_module_takes_no_public_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes any other name, and a public name takes anything else."""
    before, module, value = lm.train, ModuleType("train"), "a stand-in"
    monkeypatch.setattr(lm, "train", module)
    assert lm.train is before
    monkeypatch.setattr(lm, "train", value)
    assert lm.train == value  # type: ignore[comparison-overlap]
    monkeypatch.setattr(lm, "extra", module, raising=False)
    assert vars(lm)["extra"] is module


def test_dir_has_each_name_once_in_order() -> None:
    """Names that were not read yet are among them, and so is what any module has."""
    names = dir(lm)
    assert names == sorted({*names})
    assert {*lm.__all__, "__name__", "__version__"} <= {*names}


def test_an_unknown_name_is_refused() -> None:
    """A misspelt name raises `AttributeError` as in any module."""
    with pytest.raises(AttributeError, match="module 'lenet_multi' has no attribute 'pairity'"):
        getattr(lm, NO_NAME)


def test_the_package_can_be_pickled_by_name() -> None:
    """A function of a notebook that uses the package can be sent to another process."""
    assert pickle.loads(pickle.dumps(lm)) is lm


def test_help_shows_the_arguments() -> None:
    """`help(lm.parity)` begins with the function's arguments."""
    shown = run("import lenet_multi as lm; help(lm.parity)")
    assert "parity(model: str | pathlib.Path | collections.abc.Callable" in shown
    assert "data" in shown
