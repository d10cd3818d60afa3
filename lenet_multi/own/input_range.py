"""Read from a saved model's first layers which numbers it takes for a pixel; run none of them."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np

from lenet_multi.own.keras_file import WEIGHTS, dictionaries

# Layers that leave the range of pixels as it is when a model answers.
_PASSING = {
    *("InputLayer", "Identity", "Reshape", "Flatten", "Permute", "Concatenate", "RepeatVector"),
    *("CenterCrop", "Resizing", "ZeroPadding2D", "Cropping2D", "UpSampling2D", "MaxPooling2D"),
    *("AveragePooling2D", "Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout"),
    *("RandAugment", "AugMix", "CutMix", "MixUp"),
    *("GetItem", "Cast", "ExpandDims", "Repeat", "Tile", "Transpose", "Stack", "Flip"),
}
_OF_LAYERS = ("Sequential", "Functional", "Model", "Pipeline")
_FORK = {"class_name": "", "config": {}}  # stands for layers that share one input

_MOST = 30  # models train well on numbers up to this
_ROUNDING = 1e-6
_MOST_STATISTICS = 2**20  # numbers: a mean for each pixel of a large image


def from_layers(path: Path, config: Any) -> tuple[str, str] | None:
    """Return the one of `INPUT_RANGES` that the model at `path` takes, and the layer that tells it.

    `config` is the configuration in the file. Returns None when the layers do not tell.
    """
    scale, offset, teller = 1.0, 0.0, ""
    try:
        for layer in _from_the_input(config):
            kind = layer["class_name"]
            if kind == "InputLayer" and "int" in str(layer["config"].get("dtype")):
                return "0,255", f"an input of {layer['config']['dtype']}"
            if _passes(kind):
                continue
            if (change := _line(path, layer)) is None:
                break
            scale, offset = change[0] * scale, change[0] * offset + change[1]
            teller = teller or kind
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RecursionError):
        return None  # Keras refuses such a file
    except (OSError, RuntimeError, BadZipFile):  # h5py cannot read its weights
        return None
    found = _range_of(scale, offset, measured=teller.endswith("Normalization"))
    return (found, teller) if found else None


def _from_the_input(model: Any) -> Iterator[Any]:
    """Yield the layers that change a pixel one after the other, and `_FORK` where it goes two ways.

    Yields the layers of models within the model too, and among them some that change nothing.
    """
    layers = model["config"]["layers"]
    if model["class_name"] in ("Sequential", "Pipeline"):
        for layer in layers:
            yield from _inside(layer)
        return
    (first,) = (layer for layer in layers if layer["class_name"] == "InputLayer")
    yield first
    reached = {first["config"]["name"]}
    for _ in layers:  # no more steps, if they go in a circle
        takers = [one for one in layers if one["config"]["name"] not in reached]
        takers = [one for one in takers if _sources(one) & reached]
        whole = [one for one in takers if _sources(one) <= reached]
        if passing := {one["config"]["name"] for one in whole if _passes(one["class_name"])}:
            reached |= passing
        elif len(takers) == len(whole) == 1:
            yield from _inside(takers[0])
            reached = {takers[0]["config"]["name"]}
        else:
            if takers:
                yield _FORK
            return


def _passes(kind: str) -> bool:
    return kind in _PASSING or kind.startswith("Random")


def _inside(layer: Any) -> Iterator[Any]:
    if layer["class_name"] in _OF_LAYERS:
        yield from _from_the_input(layer)
    else:
        yield layer


def _sources(layer: Any) -> set[str]:
    """Return the names of the layers whose outputs a layer of a functional model takes."""
    parts = dictionaries(layer.get("inbound_nodes"))
    return {part["keras_history"][0] for part in parts if "keras_history" in part}


def _line(path: Path, layer: Any) -> tuple[float, float] | None:
    """Return a and b where a layer turns a pixel x into a * x + b, on average over the channels."""
    settings = layer["config"]
    match layer["class_name"]:
        case "Rescaling":
            return _number(settings["scale"]), _number(settings["offset"])
        case "Normalization":
            if settings["mean"] is None:  # it was adapted
                mean, variance, *_ = _variables(path, settings["name"])
            else:
                mean, variance = _number(settings["mean"]), _number(settings["variance"])
            deviation = math.sqrt(variance)
            if settings["invert"]:
                return deviation, mean
            return 1 / deviation, -mean / deviation
        case "BatchNormalization":
            first = settings["scale"] + settings["center"]
            mean, variance = _variables(path, settings["name"])[first : first + 2]
            deviation = math.sqrt(variance + settings["epsilon"])
            return 1 / deviation, -mean / deviation
        case "Add" | "Subtract" | "Multiply" | "Divide" | "TrueDivide" as operation:
            return _arithmetic(operation, layer["inbound_nodes"])
    return None


def _arithmetic(operation: str, nodes: Any) -> tuple[float, float] | None:
    """Return the same of an operation such as x / 255."""
    (node,) = nodes
    operands = [*node["args"], *node["kwargs"].values()]
    is_pixel = [isinstance(one, dict) and "keras_history" in one["config"] for one in operands]
    if sorted(is_pixel) != [False, True]:
        return None
    number = _number(operands[is_pixel.index(False)])
    match operation, is_pixel[0]:
        case "Add", _:
            return 1, number
        case "Subtract", True:
            return 1, -number
        case "Subtract", False:
            return -1, number
        case "Multiply", _:
            return number, 0
        case _, True:
            return 1 / number, 0
    return None


def _number(value: Any) -> float:
    """Return the mean of a number, a list of them, or an array as Keras writes it."""
    numbers = np.asarray(value["config"]["value"] if isinstance(value, dict) else value, np.float64)
    return float(numbers.sum()) / numbers.size


def _variables(path: Path, name: str) -> list[float]:
    """Return the mean of each variable of a layer in the file's weights."""
    import h5py

    def means(place: str, group: Any) -> list[float] | None:
        *_, parent, last = ("", *place.split("/"))
        if last != "vars" or group.attrs.get("name", parent) != name:
            return None
        if not all(isinstance(group.get(key, getlink=True), h5py.HardLink) for key in group):
            raise ValueError  # it would lead out of the file
        arrays = [group[key] for key in sorted(group, key=int)]
        if any(
            array.external or array.dtype.kind not in "fiu" or array.size > _MOST_STATISTICS
            for array in arrays
        ):
            raise ValueError
        return [float(np.mean(array[()])) for array in arrays]

    with ZipFile(path) as archive, archive.open(WEIGHTS) as file, h5py.File(file) as weights:
        found: list[float] | None = weights.visititems(means)
    if found is None:
        raise LookupError
    return found


def _range_of(scale: float, offset: float, *, measured: bool) -> str | None:
    """Return the range that x * `scale` + `offset` turns into numbers around 0, if one does.

    The pixel that becomes 0 lies within the range: it is black, or the middle, or the mean. If mean
    and deviation were `measured`, numbers in [0, 1] cannot deviate more than their mean allows.
    """
    if (scale, offset) == (1, 0) or not scale or not math.isfinite(scale + offset):
        return None
    zero = -offset / scale
    if 255 * abs(scale) <= _MOST or zero > 1:
        return "0,255" if -1 <= zero <= 256 else None
    if zero < -_ROUNDING:
        return "-1,1" if zero >= -1 - _ROUNDING else None
    return None if measured and scale**-2 > zero * (1 - zero) + _ROUNDING else "0,1"
