"""The forms of a convolution block: six ways to compute the same function.

A block is a convolution, perhaps its bias and ReLU, 2x2 max pooling, and perhaps batch
normalisation and ReLU after it. A LeNet spends its time there. The forms differ only by the
rounding of a sum. Like max pooling, each sends a window's gradient to the first of equal maxima.
`backends.fast` makes a model compute its blocks in one form.
"""

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from itertools import takewhile
from typing import Any

import keras
from keras import layers, ops

from lenet_multi.backends import choice
from lenet_multi.backends.forms.after import After, after, is_known, is_monotone
from lenet_multi.backends.forms.convolutions import channels_first, pool_first, row_pairs
from lenet_multi.backends.forms.pooling import POOL, compared, max_pooled
from lenet_multi.backends.forms.tiles import tiles
from lenet_multi.backends.forms.winograd import winograd
from lenet_multi.backends.layers import layers as layers_of

Tensor = Any  # the backend's own
Block = Callable[[Tensor, Tensor, After], Tensor]
Step = Callable[[Tensor, bool | None], Tensor]  # inputs, whether the model trains

BLOCKS: dict[str, Block] = {
    choice.POOL_FIRST: pool_first,
    choice.CHANNELS_FIRST: channels_first,
    choice.TILES: tiles,
    choice.WINOGRAD: partial(winograd, otherwise=tiles, pool=compared),
    choice.WINOGRAD_CHANNELS_FIRST: partial(winograd, otherwise=row_pairs, pool=max_pooled),
}


def are_plain_layers(model: keras.Model) -> bool:
    """Return whether `model` is a stack of layers: each takes the outputs of the one before."""
    return type(model) is keras.Sequential  # a subclass may compute something else


def holds_convolution(model: keras.Model, form: str) -> bool:
    """Return whether `model` has a convolution outside the blocks that `form` computes."""
    if form == choice.STOCK:  # the model may be no stack of layers
        return _convolves(model)
    return any(_convolves(layer) for layer, rest in _parts(model.layers, form) if rest is None)


def _convolves(layer: keras.layers.Layer) -> bool:
    """Return whether a layer, or one within it, is a convolution: it has a kernel size."""
    return any(hasattr(one, "kernel_size") for one in layers_of(layer))


def steps_of(stack: list[keras.layers.Layer], form: str) -> Iterator[Step]:
    """Yield what a model computes one after the other: blocks and single layers."""
    for layer, rest in _parts(stack, form):
        yield _call(layer) if rest is None else partial(_compute, form, layer, rest)


def _parts(
    stack: list[keras.layers.Layer], form: str
) -> Iterator[tuple[keras.layers.Layer, list[keras.layers.Layer] | None]]:
    """Yield each layer outside blocks with None, and of a block its convolution and what follows.

    What follows are the layers after the pooling that belong to the block.
    """
    stack = list(stack)
    while stack:
        layer = stack.pop(0)
        if form == choice.STOCK or not stack or not _are_block(layer, stack[0]):
            yield layer, None
            continue
        rest = list(takewhile(is_known, stack[1:]))
        del stack[: 1 + len(rest)]
        yield layer, rest


def _call(layer: keras.layers.Layer) -> Step:
    """Return the call of a layer, with `training` if it takes it: JAX tells only the model."""
    if "training" in inspect.signature(layer.call).parameters:
        return lambda inputs, training: layer(inputs, training=training)
    return lambda inputs, training: layer(inputs)


def _compute(
    form: str,
    conv: keras.layers.Conv2D,
    rest: list[keras.layers.Layer],
    images: Tensor,
    training: bool | None,
) -> Tensor:
    dtype = conv.compute_dtype
    # Read the weights here, because JAX replaces them; cast them as the layer would.
    tensors = [ops.cast(tensor, dtype) for tensor in (images, conv.kernel)]
    if form not in {choice.POOL_FIRST, choice.CHANNELS_FIRST} and dtype in ("bfloat16", "float16"):
        # XLA multiplies such matrices slowly, and Winograd's sums would lose digits.
        dtype = "float32"
        tensors = [ops.cast(tensor, dtype) for tensor in tensors]
    images, kernel = tensors
    outputs = BLOCKS[form](images, kernel, after(conv, rest, dtype, training))
    return ops.cast(outputs, (rest[-1] if rest else conv).compute_dtype)


def _are_block(conv: keras.layers.Layer, pool: keras.layers.Layer) -> bool:
    """Return whether two layers are a convolution and a pooling that each form can compute."""
    return (
        type(conv) is layers.Conv2D  # a subclass may compute something else
        and type(pool) is layers.MaxPooling2D
        and conv.activity_regularizer is None
        and is_monotone(conv)
        and (conv.padding, conv.strides, conv.dilation_rate, conv.groups)
        == ("valid", (1, 1), (1, 1), 1)
        and conv.kernel_size[0] == conv.kernel_size[1]
        and conv.kernel_size[0] % 2 == 1
        and (pool.padding, pool.pool_size, pool.strides) == ("valid", (POOL, POOL), (POOL, POOL))
        and conv.data_format == pool.data_format == "channels_last"
    )
