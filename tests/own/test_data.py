from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import parts
from lenet_multi.errors import UserError

X, Y = np.ones((20, 2), np.float32), np.zeros((20, 1), np.float32)


@pytest.mark.backend
@pytest.mark.parametrize(
    ("arrays", "kind"),
    [
        ({"x": X, "y": Y}, np.ndarray),
        ({"x.1": X, "x.0": X[:, :1], "y": Y}, tuple),
        ({f"x.{index}": X[:, :1] + index for index in range(11)} | {"y": Y}, tuple),
        ({"x.b": X, "x.a": X[:, :1], "y": Y}, dict),
    ],
    ids=["one", "list", "long-list", "dictionary"],
)
def test_an_npz_holds_one_input_or_several(
    backend: str, tmp_path: Path, arrays: dict[str, Any], kind: type
) -> None:
    """Names after a dot are those of a dictionary, and numbers the order of a list."""
    import keras

    from lenet_multi.own import data

    np.savez(tmp_path / "data.npz", **arrays)
    model = keras.Model()  # one that does not say what it takes
    config = TrainConfig(architecture="a:b", data=str(tmp_path / "data.npz"), **OWN)
    found = data.load(config, model, None)
    assert isinstance(found.train.x, kind)
    assert (len(found.train), len(found.test)) == (18, 2)
    if kind is tuple:
        names = sorted((name for name in arrays if name != "y"), key=lambda name: int(name[2:]))
        for index, name in enumerate(names):
            assert np.array_equal(parts(found.train.x)[index], arrays[name][:18])


@pytest.mark.backend
def test_an_npz_may_have_kerass_names(backend: str, tmp_path: Path) -> None:
    """x_train and y_train are x and y; other names are refused with those that are read."""
    import keras

    from lenet_multi.own import data

    path = tmp_path / "data.npz"
    config = TrainConfig(architecture="a:b", data=str(path), **OWN)
    np.savez(path, x_train=X, y_train=Y, x_test=X[:3], y_test=Y[:3])
    found = data.load(config, keras.Model(), None)
    assert (len(found.train), len(found.test)) == (20, 3)
    np.savez(path, a=X, b=Y)
    with pytest.raises(UserError, match=r"data\.npz has a, b; name its arrays x and y"):
        data.load(config, keras.Model(), None)


@pytest.mark.backend
@pytest.mark.parametrize("source", ["mnist", "some/folder", "table.csv"])
def test_data_of_the_packages_models_are_refused(backend: str, source: str) -> None:
    """A user's model has its own kinds of data, and the error names them."""
    import keras

    from lenet_multi.own import data

    config = TrainConfig(architecture="a:b", data=source, **OWN)
    with pytest.raises(UserError, match=f"--data {source} is for models of .* an .npz with x and"):
        data.load(config, keras.Model(), None)


OWN: dict[str, Any] = {"loss": "model", "optimizer": "model", "metrics": "model"}


@pytest.mark.backend
def test_an_npz_may_hold_other_examples_for_the_test(backend: str, tmp_path: Path) -> None:
    """With x_test and y_test no example of x is kept for the test."""
    import keras

    from lenet_multi.own import data

    np.savez(tmp_path / "data.npz", x=X, y=Y, x_test=X[:3], y_test=Y[:3])
    config = TrainConfig(architecture="a:b", data=str(tmp_path / "data.npz"), **OWN)
    found = data.load(config, keras.Model(), None)
    assert (len(found.train), len(found.test)) == (20, 3)


@pytest.mark.backend
@pytest.mark.parametrize("called", [False, True], ids=["new", "called"])
def test_a_sequential_says_what_it_takes(backend: str, called: bool) -> None:
    """Data are drawn for a Sequential that was never called, and others are refused."""
    import keras

    from lenet_multi.own import data

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    if called:
        model(np.ones((1, 3), np.float32))
    x, y = data.draw(model, "mean_squared_error", seed=0, count=5)
    assert (x.shape, y.shape) == ((5, 3), (5, 1))
    with pytest.raises(UserError, match="has float32 2, but the model takes float32 3; change one"):
        data.refuse_misfit(model, X, "my.npz")
