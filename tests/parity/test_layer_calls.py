import dataclasses
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.backend


@pytest.fixture
def model(backend: str) -> Any:
    """A model with a mask, a recurrent layer within another, and a layer that is used twice."""
    import keras

    layers = keras.layers
    tokens = keras.Input((6,), dtype="int32")
    embedded = layers.Embedding(9, 4, mask_zero=True, name="embedded")(tokens)
    memory = layers.Bidirectional(layers.LSTM(3, return_sequences=True), name="both")(embedded)
    twice = layers.Dense(6, name="twice")
    return keras.Model(tokens, layers.Dense(2, name="last")(twice(twice(memory))))


X = np.array([[1, 2, 3, 0, 0, 0], [4, 5, 6, 7, 8, 1]], np.int32)


def test_each_layer_is_recorded(model: Any) -> None:
    """Every call has a name; a recurrent layer's cells, which some backends trace, have none."""
    from lenet_multi.parity import layer_calls

    names = {name.rpartition("/")[2] for name in layer_calls.recorded(model, X).outputs}
    assert {"embedded", "both", "twice", "twice call 2", "last"} <= names
    assert not any("cell" in name for name in names)


def test_the_same_model_has_no_gap(model: Any) -> None:
    """A model that gets its own values again gives the same bits, masks included."""
    from lenet_multi.parity import layer_calls

    calls = layer_calls.recorded(model, X)
    found = layer_calls.compared(model, X, calls)
    assert found.keys() == calls.outputs.keys()
    assert {gap.size for gap in found.values()} == {0.0}


def test_only_the_layer_that_differs_has_a_gap(model: Any) -> None:
    """A change in one layer does not reach the next, and the entries are counted."""
    from lenet_multi.parity import layer_calls

    calls = layer_calls.recorded(model, X)
    name = next(name for name in calls.outputs if name.endswith("twice"))
    outputs = [array.copy() for array in calls.outputs[name]]
    outputs[0][1, 2, 3] *= 1.5
    others = dataclasses.replace(calls, outputs=calls.outputs | {name: outputs})
    found = layer_calls.compared(model, X, others)
    after = next(call for call in found if call.endswith("twice call 2"))
    assert found[name].size > others.limit(name)
    assert found[name].entries == "1 of 72 entries differ, largest at (1, 2, 3)"
    assert {name} <= {call for call, gap in found.items() if gap.size} <= {name, after}
