"""Record what each layer of a model is given and gives, and compare with another backend's.

A later layer of another backend gets other inputs, so its outputs differ too. To find the layer
that differs by itself, `compared` hands each layer the outputs that the other backend recorded.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import tree

from lenet_multi.backends import private
from lenet_multi.parity.evidence import Array, Evidence
from lenet_multi.parity.gaps import in_entries
from lenet_multi.parity.twins import of_entries, rounding_limit

PLACE = "layers"  # prefix of filed arrays, and the name of a record: the terms of each layer

After = Callable[[str, keras.layers.Layer, Any, Any], Any]
"""Takes a layer's name, the layer, its inputs and outputs; returns the outputs."""


@dataclass
class Calls:
    """The outputs and masks of each layer's calls by name, as the calls end, and their terms.

    Terms bound the numbers that one output adds: a row of each weight, and all of an input, since a
    normalisation adds over the batch. A recurrent layer adds its weights at each step.
    """

    outputs: dict[str, list[Array]] = field(default_factory=dict)
    terms: dict[str, int] = field(default_factory=dict)

    def limit(self, name: str) -> float:
        """Return the largest gap that rounding explains (see `tolerances.ROUNDING`)."""
        return rounding_limit(keras.config.floatx(), self.terms[name])


@dataclass(frozen=True)
class Gap:
    """The largest difference of a layer's entries over the largest entry, and where it is."""

    size: float
    entries: str = ""


def recorded(model: keras.Model, x: Any) -> Calls:
    """Return what each layer of `model` gives in training for the inputs `x`."""
    calls = Calls()

    def record(name: str, layer: keras.layers.Layer, inputs: Any, outputs: Any) -> Any:
        calls.outputs[name] = _arrays(outputs)
        calls.terms[name] = _terms(layer, inputs)
        return outputs

    with _after_each_layer(record):
        model(_tensors(x), training=True)
    return calls


def file(evidence: Evidence, calls: Calls) -> None:
    """File the calls of a model."""
    evidence.record[PLACE] = calls.terms
    for name, outputs in calls.outputs.items():
        for index, output in enumerate(outputs):
            evidence.arrays[f"{PLACE}/{name}/{index}"] = output


def filed(evidence: Evidence) -> Calls:
    """Return what `file` filed."""
    calls = Calls(terms=evidence.record[PLACE])
    for place, array in evidence.under(PLACE).items():
        calls.outputs.setdefault(place.rpartition("/")[0], []).append(array)
    return calls


def compared(model: keras.Model, x: Any, others: Calls) -> dict[str, Gap]:
    """Return by how much each layer's outputs differ from those that another backend recorded.

    Each layer gets the other backend's values, so one layer's difference does not reach the next.
    Layers that only one of the backends calls are left out.
    """
    gaps: dict[str, Gap] = {}

    def compare(name: str, layer: keras.layers.Layer, inputs: Any, outputs: Any) -> Any:
        if name not in others.outputs:
            return outputs
        theirs, own = others.outputs[name], _arrays(outputs)
        if [one.shape for one in theirs] != [one.shape for one in own]:
            shapes = (" with ".join(str(one.shape) for one in side) for side in (own, theirs))
            gaps[name] = Gap(math.inf, f"outputs and masks of shapes {' and '.join(shapes)}")
            return outputs
        gaps[name] = Gap(0.0)
        for pair in zip(own, theirs, strict=True):
            first, second = (array.astype(np.float64) for array in pair)
            gap = of_entries(first, second) if first.size else 0.0
            if not gap <= gaps[name].size:
                gaps[name] = Gap(gap, in_entries(first, second, others.limit(name)))
        return _replaced(outputs, theirs)

    with _after_each_layer(compare):
        model(_tensors(x), training=True)
    return gaps


@contextmanager
def _after_each_layer(after: After) -> Iterator[None]:
    """Call `after` with the outputs of every layer's call in the block."""
    call = keras.layers.Layer.__call__
    counts: dict[str, int] = {}
    loops: list[keras.layers.Layer] = []  # a recurrent layer, whose cells a backend may trace

    def watched(layer: keras.layers.Layer, *given: Any, **named: Any) -> Any:
        if loops:
            return call(layer, *given, **named)
        if isinstance(layer, keras.layers.RNN):
            loops.append(layer)
        try:
            outputs = call(layer, *given, **named)
        finally:
            loops.clear()
        if not any(map(keras.ops.is_tensor, tree.flatten(outputs))):
            return outputs
        path = str(getattr(layer, "path", None) or layer.name)
        counts[path] = counts.get(path, 0) + 1
        name = path if counts[path] == 1 else f"{path} call {counts[path]}"
        return after(name, layer, (given, named), outputs)

    keras.layers.Layer.__call__ = watched
    try:
        yield
    finally:
        keras.layers.Layer.__call__ = call


def _terms(layer: keras.layers.Layer, inputs: Any) -> int:
    shapes = [tuple(one.shape) for one in tree.flatten(inputs) if keras.ops.is_tensor(one)]
    rows = sum(math.prod(w.shape[:-1]) for w in layer.trainable_weights if len(w.shape) > 1)
    steps = shapes[0][1] if isinstance(layer, keras.layers.RNN) and shapes else 1
    return int(rows * steps) + max((math.prod(shape) for shape in shapes), default=1)


def _replaced(outputs: Any, arrays: list[Array]) -> Any:
    """Return the other backend's values in the structure of `outputs`, with this one's masks."""
    mask_of, set_mask = (private.find(name) for name in (private.MASK_OF, private.SET_MASK))
    waiting = iter(arrays)

    def replace(tensor: Any) -> Any:
        if not keras.ops.is_tensor(tensor):
            return tensor
        dtype = keras.backend.standardize_dtype(tensor.dtype)
        other = keras.ops.convert_to_tensor(next(waiting), dtype=dtype)
        if (mask := mask_of(tensor)) is not None:
            set_mask(other, mask)
        return other

    return tree.map_structure(replace, outputs)


def _tensors(x: Any) -> Any:
    return tree.map_structure(keras.ops.convert_to_tensor, x)


def _arrays(outputs: Any) -> list[Array]:
    """Return the outputs of a layer, and after them their masks."""
    mask_of = private.find(private.MASK_OF)
    flat = [one for one in tree.flatten(outputs) if keras.ops.is_tensor(one)]
    masks = [mask for one in flat if (mask := mask_of(one)) is not None]
    return [np.array(keras.ops.convert_to_numpy(one)) for one in flat + masks]
