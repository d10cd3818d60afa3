"""Random numbers of layers as a hash of seed, count and place: the same bits on every backend.

Each backend has another generator, so a model with Dropout trains differently on each. A climber
draws the numbers by integer arithmetic instead, which is exact everywhere. The hash is lowbias32
(Wellons, 2018, "Prospecting for hash functions").
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from lenet_multi.backends import private
from lenet_multi.backends.layers import seed_generators

Tensor = Any  # the backend's own

_BITS = 24  # of a number; float32 holds them all
_STEP = 0x9E3779B9  # between the keys of two counts: 2^32 / the golden ratio


@contextmanager
def hashed(*, off: bool = False) -> Iterator[list[str]]:
    """Let layers draw hashed numbers in the block, or with `off` let Dropout do nothing.

    Yields the private names that this version lacks; their numbers stay the backend's own.
    """
    functions = {"dropout": _no_dropout if off else _dropout, "uniform": _uniform}
    functions["normal"] = _normal
    with ExitStack() as stack:
        yield [
            private.RANDOM[name]
            for name, function in functions.items()
            if not stack.enter_context(private.replaced(private.RANDOM[name], function))
        ]


def set_seeds(model: keras.Model, seed: int) -> None:
    """Give each random generator of `model` a seed of its own, from `seed`, and the count 0."""
    for index, generator in enumerate(seed_generators(model)):
        generator.state.assign(np.array([seed + index, 0]))


def states(model: keras.Model) -> list[list[int]]:
    """Return seed and count of each random generator of `model`."""
    found = (keras.ops.convert_to_numpy(one.state) for one in seed_generators(model))
    return [[int(value) for value in state] for state in found]


def put_back(model: keras.Model, kept: Sequence[Sequence[int]]) -> None:
    """Give the random generators of `model` what `states` returned."""
    for generator, state in zip(seed_generators(model), kept, strict=True):
        generator.state.assign(np.array(state))


def _dropout(
    inputs: Tensor, rate: float, noise_shape: Sequence[int | None] | None = None, seed: Any = None
) -> Tensor:
    """Return `inputs`, a share `rate` of them zero and the others divided by 1 - rate."""
    if rate >= 1:
        return ops.zeros_like(inputs)
    if rate == 0:
        return inputs
    shape = list(ops.shape(inputs))
    for axis, length in enumerate(noise_shape or ()):
        shape[axis] = shape[axis] if length is None else length
    kept = ops.less(_bits(shape, seed), _int32(int((1 - rate) * 2**_BITS)))
    scale = np.asarray(1 / (1 - rate), keras.backend.standardize_dtype(inputs.dtype))
    return ops.multiply(inputs, ops.multiply(ops.cast(kept, inputs.dtype), scale))


def _no_dropout(
    inputs: Tensor, rate: float, noise_shape: Sequence[int | None] | None = None, seed: Any = None
) -> Tensor:
    return inputs


def _uniform(
    shape: Sequence[int],
    minval: float = 0.0,
    maxval: float = 1.0,
    dtype: str | None = None,
    seed: Any = None,
) -> Tensor:
    """Return numbers of `shape` from `minval` to below `maxval`."""
    dtype = keras.backend.standardize_dtype(dtype or keras.config.floatx())
    share = ops.multiply(ops.cast(_bits(shape, seed), dtype), np.asarray(2.0**-_BITS, dtype))
    low, high = (ops.cast(limit, dtype) for limit in (minval, maxval))
    return ops.add(ops.multiply(share, ops.subtract(high, low)), low)


def _normal(
    shape: Sequence[int],
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: str | None = None,
    seed: Any = None,
) -> Tensor:
    """Return normal numbers of `shape`: the sum of twelve uniform ones, minus 6.

    It needs no logarithm and no cosine, which backends round differently.
    """
    dtype = keras.backend.standardize_dtype(dtype or keras.config.floatx())
    twelve = ops.sum(_uniform([12, *shape], dtype=dtype, seed=seed), axis=0)
    return ops.add(ops.multiply(ops.subtract(twelve, 6.0), stddev), mean)


def _bits(shape: Sequence[int], seed: Any) -> Tensor:
    """Return random integers of 24 bits, int32, and count the draw in the seed's generator."""
    state = ops.cast(private.find(private.DRAW_SEED)(seed), "int32")
    key = _mixed(ops.add(state[0], _mixed(ops.add(state[1], _int32(_STEP)))))
    count = 1
    for length in shape:
        count = count * length
    places = ops.arange(count, dtype="int32")
    mixed = _mixed(ops.bitwise_xor(_mixed(ops.add(places, key)), key))
    return ops.reshape(_shifted(mixed, 32 - _BITS), shape)


def _mixed(x: Tensor) -> Tensor:
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = ops.multiply(ops.bitwise_xor(x, _shifted(x, shift)), _int32(factor))
    return ops.bitwise_xor(x, _shifted(x, 16))


def _shifted(x: Tensor, bits: int) -> Tensor:
    """Return `x`, int32, shifted right as if it had no sign."""
    return ops.bitwise_and(ops.right_shift(x, _int32(bits)), _int32((1 << (32 - bits)) - 1))


def _int32(value: int) -> Tensor:
    value &= 0xFFFFFFFF
    signed = value - 2**32 if value >= 2**31 else value
    return ops.convert_to_tensor(np.int32(signed), dtype="int32")
