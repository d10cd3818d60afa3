import sys
from pathlib import Path
from types import ModuleType

import cloudpickle
import pytest

from lenet_multi.errors import UserError
from lenet_multi.own import place, sent
from tests.conftest import Lenet

OF_A_NOTEBOOK = """
import keras

def swish(x):
    return x * keras.ops.sigmoid(x)

class Scale(keras.layers.Layer):
    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")

    def call(self, x):
        return x * self.scale

def build():
    return keras.Sequential([keras.Input((3,)), Scale(), keras.layers.Dense(1, activation=swish)])
"""


@pytest.fixture
def at(backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The place of a builder of a notebook, which was sent to this process."""
    module = ModuleType("__main__")
    exec(OF_A_NOTEBOOK, vars(module))
    monkeypatch.setitem(sys.modules, "__main__", module)
    path = tmp_path / "0.pickle"
    path.write_bytes(cloudpickle.dumps(module.build))
    monkeypatch.setenv(sent.SENT, sent.environment({"__main__:build": path})[sent.SENT])
    sent.receive.cache_clear()
    return "__main__:build"


@pytest.mark.backend
def test_a_saved_model_with_classes_of_the_notebook_can_be_loaded(at: str, tmp_path: Path) -> None:
    """The layers and functions beside a builder are known to Keras by their names."""
    import keras

    model = place.find(at)()
    model.save(tmp_path / "model.keras")
    del sys.modules["__main__"]
    found = keras.saving.load_model(tmp_path / "model.keras")
    x = keras.ops.ones((2, 3))
    assert keras.ops.convert_to_numpy(found(x) == model(x)).all()


@pytest.mark.backend
def test_only_a_place_that_was_sent_is_received(at: str, tmp_path: Path) -> None:
    """A pickle beside it is nothing that a place can name."""
    (tmp_path / "0.pickle").rename(tmp_path / "other.pickle")
    with pytest.raises(UserError, match=r"there is no module .*other\.pickle|is no module"):
        place.find(f"{tmp_path}/other.pickle:build")


def test_the_command_line_runs_no_pickle(lenet: Lenet, tmp_path: Path) -> None:
    """A user of the command cannot be talked into running a pickle: it is refused in one line."""
    (tmp_path / "evil.pickle").write_bytes(cloudpickle.dumps(lambda: Path("ran").touch()))
    done = lenet("train", "evil.pickle:build", KERAS_BACKEND="jax")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("lenet-multi: there is no module evil.pickle;")
    assert not (tmp_path / "ran").exists()
