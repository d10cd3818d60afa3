"""The forms of a convolution block: one function of the images, six ways to compute it.

A block is a convolution, its bias, ReLU and 2x2 max pooling: where a LeNet spends its time.
`compute_as` has a model compute its blocks in one of the forms. Nothing else changes: its layers,
weights, summary and file stay those of the stock model.

The forms agree to the rounding of a sum. All send the gradient of a window's maximum to the first
of equal values, as max pooling does.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import keras
from keras import layers, ops

from lenet_multi.forms.convolutions import channels_first, pool_first, row_pairs
from lenet_multi.forms.pooling import POOL, compared, max_pooled
from lenet_multi.forms.tiles import tiles
from lenet_multi.forms.winograd import winograd
from lenet_multi.speed import (
    CHANNELS_FIRST,
    POOL_FIRST,
    STOCK,
    TILES,
    WINOGRAD,
    WINOGRAD_CHANNELS_FIRST,
)
from lenet_multi.torch_step import torch_step

Tensor = Any  # the backend's own
Block = Callable[[Tensor, Tensor, Tensor], Tensor]

BLOCKS: dict[str, Block] = {
    POOL_FIRST: pool_first,
    CHANNELS_FIRST: channels_first,
    TILES: tiles,
    WINOGRAD: partial(winograd, otherwise=tiles, pool=compared),
    WINOGRAD_CHANNELS_FIRST: partial(winograd, otherwise=row_pairs, pool=max_pooled),
}


def compute_as(model: keras.Sequential, form: str, answer_form: str | None = None) -> None:
    """Have `model` compute its convolution blocks in `form`; all else stays the stock model's.

    Where it is not training it computes them in `answer_form`, by default the same.
    """
    answer_form = answer_form or form
    if form == answer_form == STOCK:
        return
    steps, answer_steps = (list(_steps(model.layers, name)) for name in (form, answer_form))

    def call(inputs: Tensor, training: bool | None = None, mask: Tensor | None = None) -> Tensor:
        for step in steps if training else answer_steps:
            inputs = step(inputs)
        return inputs

    model.call = call
    if form != STOCK and keras.backend.backend() == "torch" and not model.non_trainable_variables:
        model.train_step = torch_step(model)


def _steps(stack: list[keras.layers.Layer], form: str) -> Iterator[Callable[[Tensor], Tensor]]:
    """Yield what a model computes one after the other: a block, or a layer of its own."""
    stack = list(stack)
    while stack:
        layer = stack.pop(0)
        if form != STOCK and stack and _are_block(layer, stack[0]):
            stack.pop(0)
            yield partial(_compute, form, layer)
        else:
            yield layer


def _compute(form: str, conv: keras.layers.Layer, images: Tensor) -> Tensor:
    # The weights are read here, for JAX puts others in their place; cast as the layer would.
    tensors = [ops.cast(tensor, conv.compute_dtype) for tensor in (images, conv.kernel, conv.bias)]
    if form not in {POOL_FIRST, CHANNELS_FIRST} and conv.compute_dtype == "bfloat16":
        # XLA multiplies matrices of bfloat16 numbers slowly, and Winograd's sums lose their digits.
        tensors = [ops.cast(tensor, "float32") for tensor in tensors]
    return ops.cast(BLOCKS[form](*tensors), conv.compute_dtype)


def _are_block(conv: keras.layers.Layer, pool: keras.layers.Layer) -> bool:
    """Return whether two layers are a convolution and a pooling that every form can compute."""
    return (
        isinstance(conv, layers.Conv2D)
        and isinstance(pool, layers.MaxPooling2D)
        and conv.activation is keras.activations.relu
        and conv.use_bias
        and (conv.padding, conv.strides, conv.dilation_rate, conv.groups)
        == ("valid", (1, 1), (1, 1), 1)
        and conv.kernel_size[0] == conv.kernel_size[1]
        and conv.kernel_size[0] % 2 == 1
        and (pool.padding, pool.pool_size, pool.strides) == ("valid", (POOL, POOL), (POOL, POOL))
        and conv.data_format == pool.data_format == "channels_last"
    )
