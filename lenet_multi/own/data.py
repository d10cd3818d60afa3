"""The data of a user's model: from the user's function, from an .npz, or drawn to fit the model."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import tree

from lenet_multi.config import DRAWN, TrainConfig
from lenet_multi.data.examples import (
    TEST_SHARE,
    Arrays,
    Dataset,
    Examples,
    hold_out,
    named,
    parts,
)
from lenet_multi.data.npz import names_in, read_side
from lenet_multi.errors import UserError, by, listed
from lenet_multi.own import builder, drawn, place

_EXAMPLES = 2048  # drawn


def load(config: TrainConfig, model: keras.Model, loss: Any) -> Dataset:
    """Return the examples of `config.data` for a user's `model` and its `loss`.

    Raises `UserError` when there are none, when the user's function fails, or when inputs do not
    fit the model's signature.
    """
    source = config.data
    if source == DRAWN:
        x, y = draw(model, loss, seed=config.seed)
        pairs = [(x, y)]
    elif source.endswith(".npz"):
        pairs = _of_npz(Path(source))
    else:
        pairs = _of_function(source)
    examples = [_examples(source, *pair) for pair in pairs]
    refuse_misfit(model, examples[0].x, source)
    if len(examples) == 2:
        return Dataset(examples[0], examples[1])
    whole = examples[0]
    if config.shuffle_split:
        return hold_out(Dataset(whole, whole[:0]), source, kind="examples")
    test = -(-len(whole) // TEST_SHARE)  # the last ones
    if test == len(whole):
        raise UserError(f"--data {source} has {len(whole)} examples; give two or more")
    return Dataset(whole[: len(whole) - test], whole[len(whole) - test :])


def draw(model: keras.Model, loss: Any, *, seed: int, count: int = _EXAMPLES) -> tuple[Any, Any]:
    """Return `count` inputs and targets that fit `model` and `loss`."""
    generator = np.random.default_rng(seed)
    x = drawn.inputs(model, count, generator)
    return x, drawn.targets(model, loss, x, generator)


def _of_npz(path: Path) -> list[tuple[Arrays, Arrays]]:
    """Return x and y of an .npz, or x_train and y_train, and x_test and y_test if it has them.

    Arrays called x.NAME are the inputs of several by name, and x.0, x.1 those of a list.
    """
    if not path.exists():
        raise UserError(f"no file {path}; give an .npz with x and y")
    names = names_in(path)
    sides = {name.partition(".")[0] for name in names}
    first = "_train" if "x_train" in sides and "x" not in sides else ""
    if f"x{first}" not in sides:
        raise UserError(f"{path} has {listed(names) or 'no arrays'}; name its arrays x and y")
    endings = (first, "_test") if "x_test" in sides else (first,)
    return [(_side(path, f"x{ending}"), _side(path, f"y{ending}")) for ending in endings]


def _side(path: Path, name: str) -> Arrays:
    found = read_side(path, name)
    if isinstance(found, dict) and all(key.isdecimal() for key in found):
        return tuple(found[key] for key in sorted(found, key=int))
    return found


def _of_function(source: str) -> list[tuple[Arrays, Arrays]]:
    """Return what a user's function returns: (x, y), or two such pairs, for training and test."""
    if ":" not in source:
        raise UserError(
            f"--data {source} is for models of this package; give your own an .npz with x and y, "
            "or FILE.py:FUNCTION that returns (x, y)"
        )
    found = place.find(source)
    returned = builder.call(source, found) if callable(found) else found
    try:
        first, second = returned
    except (TypeError, ValueError) as error:
        raise UserError(
            f"--data {source} returns {type(returned).__name__}; it must return (x, y), or "
            "((x, y), (x_test, y_test))"
        ) from error
    pairs = [first, second]
    if all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs):
        return pairs
    return [(first, second)]


def _examples(source: str, x: Arrays, y: Arrays) -> Examples:
    x, y = (tree.map_structure(np.asarray, side) for side in (x, y))
    for array in (*parts(x), *parts(y)):
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub" or not array.ndim:
            raise UserError(
                f"--data {source} has {getattr(array, 'dtype', type(array).__name__)} "
                f"{getattr(array, 'shape', '')}; give arrays of numbers, an example a row"
            )
    counts = sorted({len(array) for array in (*parts(x), *parts(y))})
    if len(counts) > 1 or counts[0] == 0:
        raise UserError(
            f"--data {source} has arrays of {' and '.join(map(str, counts))} examples; give x and "
            "y of the same length"
        )
    return Examples(x, y)


def refuse_misfit(model: keras.Model, x: Arrays, source: str) -> None:
    """Raise `UserError` when inputs do not have the structure, shapes or kind of the model's."""
    wanted = drawn.signature(model)
    if wanted is None:
        return
    remedy = f"--data {source} has {shown(x)}, but the model takes {shown(wanted)}; change one"
    given, taken = named(x), named(wanted)
    if len(given) != len(taken) or (isinstance(x, dict) and set(given) - set(taken)):
        raise UserError(remedy)
    for name, array in given.items():
        tensor = taken.get(name, taken[list(taken)[list(given).index(name)]])
        lengths = zip(array.shape[1:], tensor.shape[1:], strict=False)
        fits = array.ndim == len(tensor.shape) and all(
            length in (None, own) for own, length in lengths
        )
        whole = "int" in str(tensor.dtype)
        if not fits or (whole and array.dtype.kind not in "iub"):
            raise UserError(remedy)


def shown(arrays: Arrays) -> str:
    """Return the dtypes and shapes of inputs: "float32 28x28x1", or "points float32 6, ..."."""
    names = named(arrays)
    shown = {
        name: f"{array.dtype} {by(array.shape[1:]) or 'scalars'}" for name, array in names.items()
    }
    if isinstance(arrays, dict):
        return ", ".join(f"{name} {words}" for name, words in shown.items())
    return " and ".join(shown.values())
