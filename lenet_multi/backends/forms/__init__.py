"""The forms of a convolution block: six ways to compute the same function.

A block is a convolution, perhaps a bias, ReLU or no activation, and 2x2 max pooling. A LeNet spends
its time there. The
forms differ only by the rounding of a sum. Like max pooling, each sends a window's gradient to the
first of equal maxima. `backends.fast` makes a model compute its blocks in one form.
"""

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import keras
from keras import layers, ops

from lenet_multi.backends import choice
from lenet_multi.backends.forms.convolutions import channels_first, pool_first, row_pairs
from lenet_multi.backends.forms.pooling import POOL, Activation, compared, max_pooled
from lenet_multi.backends.forms.tiles import tiles
from lenet_multi.backends.forms.winograd import winograd
from lenet_multi.backends.layers import layers as layers_of

Tensor = Any  # the backend's own
Block = Callable[[Tensor, Tensor, Tensor | None, Activation], Tensor]
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
    return any(_convolves(layer) for layer, is_block in _parts(model.layers, form) if not is_block)


def _convolves(layer: keras.layers.Layer) -> bool:
    """Return whether a layer, or one within it, is a convolution: it has a kernel size."""
    return any(hasattr(one, "kernel_size") for one in layers_of(layer))


def steps_of(stack: list[keras.layers.Layer], form: str) -> Iterator[Step]:
    """Yield what a model computes one after the other: blocks and single layers."""
    for layer, is_block in _parts(stack, form):
        if is_block:
            yield partial(_compute, form, layer)
        else:
            yield _call(layer)


def _parts(stack: list[keras.layers.Layer], form: str) -> Iterator[tuple[keras.layers.Layer, bool]]:
    """Yield each layer and whether it starts a block; a block's pooling is not yielded."""
    stack = list(stack)
    while stack:
        layer = stack.pop(0)
        is_block = form != choice.STOCK and bool(stack) and _are_block(layer, stack[0])
        if is_block:
            stack.pop(0)
        yield layer, is_block


def _call(layer: keras.layers.Layer) -> Step:
    """Return the call of a layer, with `training` if it takes it: JAX tells only the model."""
    if "training" in inspect.signature(layer.call).parameters:
        return lambda inputs, training: layer(inputs, training=training)
    return lambda inputs, training: layer(inputs)


def _compute(form: str, conv: keras.layers.Layer, images: Tensor, training: bool | None) -> Tensor:
    # Read the weights here, because JAX replaces them; cast them as the layer would.
    tensors = [images, conv.kernel, *([conv.bias] if conv.use_bias else [])]
    tensors = [ops.cast(tensor, conv.compute_dtype) for tensor in tensors]
    halves = ("bfloat16", "float16")
    if form not in {choice.POOL_FIRST, choice.CHANNELS_FIRST} and conv.compute_dtype in halves:
        # XLA multiplies such matrices slowly, and Winograd's sums would lose digits.
        tensors = [ops.cast(tensor, "float32") for tensor in tensors]
    images, kernel, *bias = tensors
    found = BLOCKS[form](images, kernel, bias[0] if bias else None, conv.activation)
    return ops.cast(found, conv.compute_dtype)


def _are_block(conv: keras.layers.Layer, pool: keras.layers.Layer) -> bool:
    """Return whether two layers are a convolution and a pooling that each form can compute."""
    return (
        type(conv) is layers.Conv2D  # a subclass may compute something else
        and type(pool) is layers.MaxPooling2D
        and conv.activity_regularizer is None
        and conv.activation in (keras.activations.relu, keras.activations.linear)
        and (conv.padding, conv.strides, conv.dilation_rate, conv.groups)
        == ("valid", (1, 1), (1, 1), 1)
        and conv.kernel_size[0] == conv.kernel_size[1]
        and conv.kernel_size[0] % 2 == 1
        and (pool.padding, pool.pool_size, pool.strides) == ("valid", (POOL, POOL), (POOL, POOL))
        and conv.data_format == pool.data_format == "channels_last"
    )
