import functools
import io
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from lenet_multi.data.npz import read_npz
from lenet_multi.errors import UserError
from lenet_multi.interface.parcel import Parcel
from lenet_multi.own import place, sent

LOCK = threading.Lock()
FILE = io.StringIO()


def build() -> str:
    """Stand in for a builder."""
    return "built"


def with_lock() -> object:
    """A function that cannot be sent, were it defined in a notebook."""
    return LOCK


@pytest.mark.parametrize("place", ["my_model.py:build", "a.b:build", "model.keras", "lenet"])
def test_a_place_stays_as_it_is(tmp_path: Path, place: str) -> None:
    """What the command line takes is passed on, also as a `Path`."""
    assert Parcel(tmp_path).model(place) == Parcel(tmp_path).model(Path(place)) == place


def test_a_modules_function_is_sent_by_its_place(tmp_path: Path) -> None:
    """A function that another process can import needs no file."""
    parcel = Parcel(tmp_path)
    assert parcel.model(build) == "tests.interface.test_parcel:build"
    assert not parcel.files


def received(parcel: Parcel, at: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what a process that gets the parcel finds at a place."""
    sent.receive.cache_clear()
    monkeypatch.setenv(sent.SENT, sent.environment(parcel.files)[sent.SENT])
    return place.find(at)


def closure() -> Callable[[], str]:
    """Return a function that no module has."""
    words = "closed over"

    def inner() -> str:
        return words

    return inner


@pytest.mark.backend
@pytest.mark.parametrize(
    ("function", "value", "at"),
    [
        (closure(), "closed over", "tests.interface.test_parcel:closure.<locals>.inner"),
        (lambda: 3, 3, "tests.interface.test_parcel:<lambda>"),
        (functools.partial(max, 1, 2), 2, "builtins:max with arguments"),
    ],
    ids=["closure", "lambda", "partial"],
)
def test_any_other_function_is_sent_by_value(
    backend: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    function: Callable[[], Any],
    value: object,
    at: str,
) -> None:
    """A function that no module has comes out of the parcel as it was, under a name that tells."""
    parcel = Parcel(tmp_path)
    assert parcel.model(function) == at
    assert received(parcel, at, monkeypatch)() == value


@pytest.mark.backend
def test_two_functions_of_one_name_stay_two(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A builder and a function of data may both have no name."""
    parcel = Parcel(tmp_path)
    places = parcel.model(lambda: "model"), parcel.data(lambda: "data")
    assert [received(parcel, at, monkeypatch)() for at in places] == ["model", "data"]


@pytest.mark.backend
def test_a_module_that_cannot_be_imported_goes_by_value(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function of a module that was loaded from a path brings what it uses of the module."""
    code = "WORDS = 'aside'\ndef helper(): return WORDS\ndef build(): return helper()"
    module = ModuleType("aside")
    exec(code, vars(module))
    monkeypatch.setitem(sys.modules, "aside", module)
    parcel = Parcel(tmp_path)
    at = parcel.model(module.build)
    assert at == "aside:build"
    monkeypatch.delitem(sys.modules, "aside")
    assert received(parcel, at, monkeypatch)() == "aside"


def using(value: object) -> Callable[[], object]:
    """Return a function that uses `value` from outside."""
    return lambda: value


@pytest.mark.parametrize(
    ("value", "words"),
    [(LOCK, "value (cannot pickle '_thread.lock' object)"), (FILE, "value (an open file)")],
    ids=["lock", "file"],
)
def test_what_cannot_be_sent_is_named(tmp_path: Path, value: object, words: str) -> None:
    """A function that uses what lives in this process is refused with its name and the remedy."""
    with pytest.raises(UserError) as refused:
        Parcel(tmp_path).model(using(value))
    assert str(refused.value) == (
        "tests.interface.test_parcel:using.<locals>.<lambda> cannot be sent to another process: "
        f"it uses {words}; make that in the function"
    )


@pytest.mark.backend
def test_what_belongs_to_one_backend_is_named(backend: str, tmp_path: Path) -> None:
    """A live model, layer, variable or tensor is refused, alone and inside a function."""
    import keras

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    with pytest.raises(UserError, match=r"the model is a keras.Model of this process; give a fun"):
        Parcel(tmp_path).model(model)
    tensor = keras.ops.ones((2,))
    for value, words in {
        "a keras.Model of this process": model,
        "a keras.Layer of this process": model.layers[0],
        "a keras.Variable of this process": model.weights[0],
        "a tensor of ": tensor,
    }.items():
        with pytest.raises(UserError, match=rf"it uses value \({value}.*; make that in the fun"):
            Parcel(tmp_path).model(using(words))
        with pytest.raises(UserError, match=f"it uses value .{value}"):
            Parcel(tmp_path).model(using({"deep": [words]}))


@pytest.mark.parametrize("model", [3, None, {}], ids=["number", "none", "dictionary"])
def test_what_is_no_model_is_refused(tmp_path: Path, model: object) -> None:
    """A thing of another type is refused with its type and what to give."""
    with pytest.raises(UserError, match=f"of type {type(model).__name__}; give FILE.py:FUNCTION"):
        Parcel(tmp_path).model(model)


X, Y = np.ones((4, 2), np.float32), np.arange(4)


@pytest.mark.parametrize(
    ("data", "names"),
    [
        ((X, Y), ["x", "y"]),
        ([X.tolist(), Y.tolist()], ["x", "y"]),
        (([X, Y], Y), ["x.0", "x.1", "y"]),
        (({"a": X, "b": Y}, {"c": Y}), ["x.a", "x.b", "y.c"]),
        (((X, Y), (X, Y)), ["x", "y", "x_test", "y_test"]),
    ],
    ids=["arrays", "numbers", "list", "dictionaries", "with-test"],
)
def test_arrays_are_written_under_their_names(tmp_path: Path, data: Any, names: list[str]) -> None:
    """Arrays go into an .npz, each under the name by which `own.data` reads it."""
    path = Path(Parcel(tmp_path).data(data))
    with np.load(path) as file:
        assert file.files == names
    assert all(len(array) == 4 for array in read_npz(path, names))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (3, "the data is of type int; give"),
        ((X,), "the data is of type tuple; give"),
        ((X, list("abcd")), "the data's y is of dtype <U1; give arrays of numbers"),
    ],
    ids=["number", "one", "words"],
)
def test_what_is_no_data_is_refused(tmp_path: Path, data: Any, message: str) -> None:
    """Data of another form is refused with one line."""
    with pytest.raises(UserError, match=message):
        Parcel(tmp_path).data(data)
