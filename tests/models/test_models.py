from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.models import NAMES
from tests.test_imports import imports

EXAMPLES, BATCH = 832, 16
ALL = [*NAMES, "two_inputs"]
STUDY = {"__init__", "__main__", "differences", "test_models", "test_study"}
FILES = sorted(path for path in Path(__file__).parent.glob("*.py") if path.stem not in STUDY)


def first(arrays: Any, count: int) -> Any:
    """Return the first examples of an array, or of each array of a dictionary."""
    if isinstance(arrays, dict):
        return {name: array[:count] for name, array in arrays.items()}
    return arrays[:count]


def named(arrays: Any) -> dict[str, np.ndarray]:
    """Return the arrays by name; a single one has no name."""
    return arrays if isinstance(arrays, dict) else {"": arrays}


def test_each_model_has_a_file() -> None:
    """The names are those of the files, and the table lists each file."""
    files = {path.stem for path in FILES}
    assert files == set(ALL)
    assert len(NAMES) == 12
    table = import_module("tests.models").__doc__ or ""
    assert all(f"| `{name}.py` |" in table for name in files)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_model_is_plain_keras(path: Path) -> None:
    """A model's file imports Keras and NumPy, and nothing of this project or of a backend."""
    roots = {name.partition(".")[0] for name in imports(path, top_level_only=False)}
    assert roots <= {"keras", "numpy", "typing"}


# The study of `nox -s models` trains and saves all of them.
@pytest.mark.parametrize("name", ["convnet", "transformer_masked", "subclassed", "two_inputs"])
@pytest.mark.backend
def test_a_model_learns_its_data_and_can_be_saved(name: str, backend: str, tmp_path: Path) -> None:
    """A model has few weights, fits its data, learns from them, and is the same after saving."""
    import keras

    keras.utils.set_random_seed(0)
    module = import_module(f"tests.models.{name}")
    model, (x, y) = module.build(), module.data()
    arrays = [*named(x).values(), *named(y).values()]
    assert {len(array) for array in arrays} == {EXAMPLES}
    assert {array.dtype.name for array in arrays} <= {"float32", "int32"}

    outputs = model(first(x, BATCH))
    assert model.compiled
    assert model.trainable_weights
    assert model.count_params() < 100_000
    assert {len(output) for output in named(outputs).values()} == {BATCH}

    before = model.evaluate(x, y, batch_size=208, verbose=0, return_dict=True)["loss"]
    model.fit(x, y, batch_size=BATCH, verbose=0)
    after = model.evaluate(x, y, batch_size=208, verbose=0, return_dict=True)["loss"]
    assert after < 0.9 * before

    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    ours, theirs = (named(each.predict(first(x, BATCH), verbose=0)) for each in (model, loaded))
    assert ours.keys() == theirs.keys()
    for key in ours:
        np.testing.assert_array_equal(ours[key], theirs[key])
