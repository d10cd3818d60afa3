"""Walk a model's layers, also those inside other layers, and its random generators."""

from collections.abc import Iterator
from typing import Any

import keras

_WALKED = keras.layers.Layer | keras.random.SeedGenerator


def layers(model: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    """Yield `model` and each layer in it once, also those that another layer holds."""
    for part in _parts(model):
        if isinstance(part, keras.layers.Layer):
            yield part


def seed_generators(model: keras.layers.Layer) -> list[keras.random.SeedGenerator]:
    """Return the generators of random numbers of all layers, in the order of the layers."""
    return [part for part in _parts(model) if isinstance(part, keras.random.SeedGenerator)]


def _parts(model: keras.layers.Layer) -> Iterator[Any]:
    seen: set[int] = set()
    waiting: list[Any] = [model]
    while waiting:
        part = waiting.pop(0)
        if id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        if isinstance(part, keras.layers.Layer):
            held = [one for value in vars(part).values() for one in _flat(value)]
            waiting[:0] = [one for one in held if isinstance(one, _WALKED)]


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list | tuple | set):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _flat(one)
    else:
        yield value
