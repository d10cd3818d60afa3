import functools
import io
import pickle
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cloudpickle
import numpy as np
import pytest

from lenet_multi.data.npz import read_npz
from lenet_multi.errors import UserError
from lenet_multi.interface.parcel import Parcel, _live
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


def unpacked(parcel: Parcel, at: str) -> Any:
    """Return what is sent for a place."""
    return pickle.loads(parcel.files[at].read_bytes())


class Builder:
    """A builder that is no function."""

    def __call__(self) -> str:
        """Build."""
        return "built"

    def model(self) -> str:
        """Build otherwise."""
        return "otherwise"


HERE = "tests.interface.test_parcel"


@pytest.mark.parametrize(
    ("function", "value", "at"),
    [
        (closure(), "closed over", f"{HERE}:closure.<locals>.inner"),
        (lambda: 3, 3, f"{HERE}:<lambda>"),
        (functools.partial(max, 1, 2), 2, "builtins:max with arguments"),
        (
            functools.partial(closure()),
            "closed over",
            f"{HERE}:closure.<locals>.inner with arguments",
        ),
        (Builder(), "built", f"{HERE}:Builder"),
        (Builder().model, "otherwise", f"{HERE}:Builder.model"),
    ],
    ids=["closure", "lambda", "partial", "of a closure", "object", "method"],
)
def test_a_file_has_what_no_module_has(
    tmp_path: Path, function: Callable[[], Any], value: object, at: str
) -> None:
    """Each function has a file of its own; two of one name have two places."""
    parcel = Parcel(tmp_path)
    assert parcel.model(function) == at
    assert parcel.data(function) == f"{at} again"
    assert parcel.data(function) == f"{at} again again"
    assert unpacked(parcel, at)() == value
    names = ["0.pickle", "1.pickle", "2.pickle"]
    assert list(parcel.files.values()) == [tmp_path / name for name in names]


def test_a_module_is_sent_whole_for_one_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cloudpickle forgets it afterwards, also when it cannot be sent."""
    code = "WORDS = 'aside'\ndef helper(): return WORDS\ndef build(): return helper()"
    module: Any = ModuleType("aside")
    exec(code, vars(module))
    monkeypatch.setitem(sys.modules, "aside", module)
    parcel = Parcel(tmp_path)
    assert parcel.model(module.build) == "aside:build"
    assert "aside" not in cloudpickle.list_registry_pickle_by_value()
    module.WORDS = LOCK
    with pytest.raises(
        UserError, match=r"^aside:build again cannot .* it uses helper \(cannot pick"
    ):
        parcel.data(module.build)
    assert "aside" not in cloudpickle.list_registry_pickle_by_value()
    monkeypatch.delitem(sys.modules, "aside")
    assert unpacked(parcel, "aside:build")() == "aside"


def test_another_function_of_the_same_name_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its module must have this very function, from a file that others import too."""
    first, parcel = build, Parcel(tmp_path)
    monkeypatch.setattr(sys.modules[HERE], "build", closure())
    parcel.model(first)
    assert unpacked(parcel, f"{HERE}:build")() == "built"
    imposter: Any = ModuleType("json")
    imposter.__file__ = "/elsewhere/json.py"
    exec("def dumps(): return 7", vars(imposter))
    monkeypatch.setitem(sys.modules, "json", imposter)
    parcel.model(imposter.dumps)
    assert unpacked(parcel, "json:dumps")() == 7
    del imposter.__file__
    parcel.model(imposter.dumps)
    assert unpacked(parcel, "json:dumps again")() == 7


def test_a_function_of_main_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script's module has another name in every other process."""
    main: Any = ModuleType("__main__")
    exec("def build(): return 5", vars(main))
    monkeypatch.setitem(sys.modules, "__main__", main)
    parcel = Parcel(tmp_path)
    assert parcel.model(main.build) == "__main__:build"
    assert unpacked(parcel, "__main__:build")() == 5


class Array:
    """What a backend computes with: it has a shape and a dtype."""

    shape, dtype = (2,), "float32"


def of_backend(name: str, *, own: type = Array) -> Any:
    """Return a thing of a backend's."""
    kind: Any = type("Thing", (own,), {"__module__": name})
    return kind()


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (of_backend("torch.of_it"), "a tensor of torch"),
        (of_backend("tensorflow.python.eager"), "a tensor of tensorflow"),
        (of_backend("jaxlib._jax"), "a tensor of jaxlib"),
        (of_backend("jax"), "a tensor of jax"),
        (of_backend("numpy"), None),
        (of_backend("torch", own=type("Size", (), {"shape": ()})), None),
        (of_backend("torch", own=type("Size", (), {"dtype": ""})), None),
        (FILE, "an open file"),
        (Array, None),
        (sys, None),
        (3, None),
    ],
)
def test_what_lives_in_this_process_is_known(thing: object, words: str | None) -> None:
    """Tensors and open files; a class, a module and a number can be sent."""
    assert _live(thing) == words


@pytest.mark.parametrize("name", ["Model", "Layer", "Variable", "KerasTensor"])
def test_what_keras_made_is_known(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """If Keras was imported, in any version."""
    monkeypatch.setitem(sys.modules, "keras", SimpleNamespace(**{name: Builder}))
    assert _live(Builder()) == f"a keras.{name} of this process"
    assert _live(3) is None
    monkeypatch.delitem(sys.modules, "keras")
    assert _live(Builder()) is None


def test_a_thing_of_a_backend_is_named_where_it_is_used(tmp_path: Path) -> None:
    """Alone, deep inside of what a function uses, and in one that is no function."""
    tensor = of_backend("torch")
    with pytest.raises(UserError) as refused:
        Parcel(tmp_path).model(tensor)
    assert str(refused.value) == (
        "the model is a tensor of torch; give a function that builds it, or its file"
    )
    begins = f"{HERE}:using.<locals>.<lambda> cannot be sent to another process: it uses "
    for value in (tensor, {"deep": [tensor]}):
        with pytest.raises(UserError) as refused:
            Parcel(tmp_path).model(using(value))
        why = "value (a tensor of torch); make that in the function"
        assert str(refused.value) == begins + why
    with pytest.raises(UserError, match=r"uses something in it \(a tensor of torch\); make that"):
        Parcel(tmp_path).model(functools.partial(using, tensor))


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
    words = f"the model is of type {type(model).__name__}; give FILE.py:FUNCTION, or a function"
    with pytest.raises(UserError, match=f"^{words}$"):
        Parcel(tmp_path).model(model)


X, Y = np.ones((4, 2), np.float32), np.arange(4)
GIVE = "give (x, y), a path, or a function"


@pytest.mark.parametrize("data", ["d.npz", Path("d.npz"), "m.py:data"], ids=repr)
def test_a_place_of_data_stays_as_it_is(tmp_path: Path, data: str | Path) -> None:
    """What the command line takes is passed on."""
    assert Parcel(tmp_path).data(data) == str(data)


def test_a_modules_function_of_data_is_sent_by_its_place(tmp_path: Path) -> None:
    """Like one that builds a model."""
    assert Parcel(tmp_path).data(build) == f"{HERE}:build"


@pytest.mark.parametrize(
    ("data", "names"),
    [
        ((X, Y), ["x", "y"]),
        ([X.tolist(), Y.tolist()], ["x", "y"]),
        (([X, Y], Y), ["x.0", "x.1", "y"]),
        (((X, X), Y), ["x.0", "x.1", "y"]),
        (([X, Y], [Y, X]), ["x.0", "x.1", "y.0", "y.1"]),
        ((X > 2, Y > 2), ["x", "y"]),
        (({"a": X, "b": Y}, {"c": Y}), ["x.a", "x.b", "y.c"]),
        (((X, Y), (X, Y)), ["x", "y", "x_test", "y_test"]),
    ],
    ids=["arrays", "numbers", "list", "tuple", "lists", "booleans", "dictionaries", "with-test"],
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
        (3, f"the data is of type int; {GIVE}"),
        ((X,), f"the data is of type tuple; {GIVE}"),
        ([X, Y, Y], f"the data is of type list; {GIVE}"),
        ((X, list("abcd")), "the data's y is of dtype <U1; give arrays of numbers"),
    ],
    ids=["number", "one", "three", "words"],
)
def test_what_is_no_data_is_refused(tmp_path: Path, data: Any, message: str) -> None:
    """Data of another form is refused with one line."""
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        Parcel(tmp_path).data(data)
