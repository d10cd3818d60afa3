"""Kinds of stock layers, each harmed as a bug or a slip would do it, and the finding that shows it.

A case gets Keras and whether to harm the layer, which is called "layer". It returns the layer, or a
function that calls it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from lenet_multi.parity.ladder import FORWARD, GRADIENT
from tests.parity.small import IMAGES, SEQUENCES, TOKENS, VECTORS, WORDS, Shape

NAME = "layer"
LAYERS = "layers"  # what the ladder calls the comparison layer by layer

Case = Callable[[Any, bool], Any]


@dataclass(frozen=True)
class Harm:
    """A layer of a kind, harmed, and the finding that must fail first."""

    part: Case
    kind: str
    inputs: Shape
    rung: str
    what: str
    where: str


HARMS: dict[str, Harm] = {}


def harm(
    kind: str, inputs: Shape, rung: str = FORWARD, what: str = LAYERS, where: str = NAME
) -> Callable[[Case], Case]:
    """Register the decorated case under its name in words."""

    def file(part: Case) -> Case:
        HARMS[part.__name__.replace("_", " ")] = Harm(part, kind, inputs, rung, what, where)
        return part

    return file


def calling(layer: Any, harmed: bool, call: Callable[..., Any]) -> Any:
    """Let `layer`, if `harmed`, compute `call(its own call, inputs, ...)` instead."""
    if harmed:
        own = layer.call
        layer.call = lambda *given, **named: call(own, *given, **named)
    return layer


def turned(keras: Any, x: Any) -> Any:
    """Return images with height and width exchanged."""
    return keras.ops.transpose(x, (0, 2, 1, 3))


@harm("Dense", VECTORS, GRADIENT, "gradients", "initial, layer/bias")
def dense_leaves_its_bias_out(keras: Any, harmed: bool) -> Any:
    # The bias is zero at first, so no output shows it yet.
    layer = keras.layers.Dense(5, name=NAME)
    return calling(layer, harmed, lambda call, x, **_: keras.ops.matmul(x, layer.kernel))


@harm("Dense", VECTORS, GRADIENT, "gradients", "initial, layer/kernel")
def dense_loses_its_regularizer(keras: Any, harmed: bool) -> Any:
    penalty = None if harmed else keras.regularizers.L2(0.01)
    return keras.layers.Dense(5, kernel_regularizer=penalty, name=NAME)


@harm("EinsumDense", SEQUENCES)
def einsum_dense_sums_over_the_other_axis_of_its_kernel(keras: Any, harmed: bool) -> Any:
    layer = keras.layers.EinsumDense("abc,cd->abd", (7, 4), name=NAME)
    return calling(
        layer, harmed, lambda call, x, **_: keras.ops.einsum("abc,dc->abd", x, layer.kernel)
    )


@harm("Conv2D", IMAGES)
def a_convolution_flips_its_kernel(keras: Any, harmed: bool) -> Any:
    layer = keras.layers.Conv2D(5, 3, use_bias=False, name=NAME)
    return calling(
        layer,
        harmed,
        lambda call, x: keras.ops.conv(x, keras.ops.flip(layer.kernel, (0, 1)), 1, "valid"),
    )


@harm("Conv2D", IMAGES)
def a_convolution_pads_the_wrong_side(keras: Any, harmed: bool) -> Any:
    layer = keras.layers.Conv2D(5, 3, strides=2, padding="same", use_bias=False, name=NAME)

    def padded(call: Any, x: Any) -> Any:
        x = keras.ops.pad(x, ((0, 0), (1, 0), (1, 0), (0, 0)))  # TensorFlow pads 0 and 1
        return keras.ops.conv(x, layer.kernel, 2, "valid")

    return calling(layer, harmed, padded)


@harm("DepthwiseConv2D", IMAGES)
def a_depthwise_convolution_transposes_its_kernel(keras: Any, harmed: bool) -> Any:
    layer = keras.layers.DepthwiseConv2D(3, name=NAME)
    return calling(layer, harmed, lambda call, x: turned(keras, call(turned(keras, x))))


@harm("SeparableConv2D", IMAGES)
def a_separable_convolution_mixes_channels_first(keras: Any, harmed: bool) -> Any:
    layer = keras.layers.SeparableConv2D(4, 3, use_bias=False, name=NAME)

    def reversed_(call: Any, x: Any) -> Any:
        x = keras.ops.conv(x, layer.pointwise_kernel, 1, "valid")
        return keras.ops.depthwise_conv(x, layer.depthwise_kernel, 1, "valid")

    return calling(layer, harmed, reversed_)


@harm("Conv1D", SEQUENCES)
def a_causal_convolution_sees_the_future(keras: Any, harmed: bool) -> Any:
    return keras.layers.Conv1D(5, 3, padding="same" if harmed else "causal", name=NAME)


@harm("Conv2DTranspose", IMAGES)
def a_transposed_convolution_crops_the_wrong_side(keras: Any, harmed: bool) -> Any:
    layer = keras.layers.Conv2DTranspose(3, 3, 2, "same", use_bias=False, name=NAME)

    def cropped(call: Any, x: Any) -> Any:
        return keras.ops.conv_transpose(x, layer.kernel, 2, "valid")[:, 1:, 1:]

    return calling(layer, harmed, cropped)


@harm("BatchNormalization", IMAGES, GRADIENT, "gradients", "initial, layer/moving_mean")
def batch_normalization_has_another_momentum(keras: Any, harmed: bool) -> Any:
    return keras.layers.BatchNormalization(momentum=0.9 if harmed else 0.99, name=NAME)


@harm("BatchNormalization", IMAGES)
def batch_normalization_has_another_epsilon(keras: Any, harmed: bool) -> Any:
    return keras.layers.BatchNormalization(epsilon=1e-5 if harmed else 1e-3, name=NAME)


@harm("BatchNormalization", IMAGES, GRADIENT, "gradients", "initial, layer/moving_variance")
def batch_normalization_stores_the_unbiased_variance(keras: Any, harmed: bool) -> Any:
    layer = keras.layers.BatchNormalization(name=NAME)

    def unbiased(call: Any, x: Any, training: bool | None = None, **named: Any) -> Any:
        before = keras.ops.copy(layer.moving_variance.value)
        outputs = call(x, training=training, **named)
        if training:
            count = math.prod(x.shape[:-1])
            kept = layer.momentum * before
            stored = kept + (layer.moving_variance.value - kept) * count / (count - 1)
            layer.moving_variance.assign(stored)
        return outputs

    return calling(layer, harmed, unbiased)


@harm("LayerNormalization", SEQUENCES)
def layer_normalization_has_another_epsilon(keras: Any, harmed: bool) -> Any:
    return keras.layers.LayerNormalization(epsilon=1e-5 if harmed else 1e-3, name=NAME)


@harm("GroupNormalization", IMAGES)
def group_normalization_has_other_groups(keras: Any, harmed: bool) -> Any:
    return keras.layers.GroupNormalization(4 if harmed else 2, name=NAME)


@harm("RMSNormalization", SEQUENCES)
def rms_normalization_subtracts_the_mean(keras: Any, harmed: bool) -> Any:
    layer = keras.layers.RMSNormalization(name=NAME)
    return calling(
        layer, harmed, lambda call, x: call(x - keras.ops.mean(x, axis=-1, keepdims=True))
    )


@harm("UnitNormalization", SEQUENCES)
def unit_normalization_takes_another_axis(keras: Any, harmed: bool) -> Any:
    return keras.layers.UnitNormalization(axis=1 if harmed else -1, name=NAME)


@harm("SpectralNormalization", VECTORS)
def spectral_normalization_does_not_iterate(keras: Any, harmed: bool) -> Any:
    layer = keras.layers.SpectralNormalization(keras.layers.Dense(5, name="inner"), name=NAME)
    return calling(layer, harmed, lambda call, x, training=None: call(x, training=False))


@harm("Embedding", TOKENS)
def an_embedding_loses_its_mask(keras: Any, harmed: bool) -> Any:
    layer = keras.layers.Embedding(WORDS, 4, mask_zero=not harmed, name=NAME)
    return lambda x: keras.layers.LSTM(3, name="reader")(layer(x))


@harm("Masking", SEQUENCES)
def masking_masks_another_value(keras: Any, harmed: bool) -> Any:
    # ReLU makes zeros, and with them masked steps.
    layer = keras.layers.Masking(1.0 if harmed else 0.0, name=NAME)
    zeros = keras.layers.Rescaling(1.0, name="rescaling")
    zeros = calling(zeros, True, lambda call, x: keras.ops.relu(x - 0.5))
    return lambda x: keras.layers.GRU(3, name="reader")(layer(zeros(x)))


@harm("GlobalAveragePooling1D", TOKENS)
def pooling_ignores_the_mask(keras: Any, harmed: bool) -> Any:
    layer = keras.layers.GlobalAveragePooling1D(name=NAME)
    layer = calling(layer, harmed, lambda call, x, mask=None: call(x))
    return lambda x: layer(keras.layers.Embedding(WORDS, 4, mask_zero=True, name="words")(x))


@harm("LSTM", SEQUENCES)
def an_lstm_has_another_order_of_gates(keras: Any, harmed: bool) -> Any:
    layer = keras.layers.LSTM(5, name=NAME)

    def other_order(call: Any, x: Any, states: Any, training: bool = False) -> Any:
        ops, cell = keras.ops, layer.cell
        sums = ops.matmul(x, cell.kernel) + ops.matmul(states[0], cell.recurrent_kernel) + cell.bias
        i, g, f, o = ops.split(sums, 4, axis=1)  # Keras's order is i, f, g, o
        carry = ops.sigmoid(f) * states[1] + ops.sigmoid(i) * ops.tanh(g)
        hidden = ops.sigmoid(o) * ops.tanh(carry)
        return hidden, [hidden, carry]

    calling(layer.cell, harmed, other_order)
    if harmed:  # else PyTorch's own LSTM computes all steps, without the cell's call
        layer.inner_loop = partial(keras.layers.RNN.inner_loop, layer)
    return layer


@harm("GRU", SEQUENCES)
def a_gru_resets_after_the_product(keras: Any, harmed: bool) -> Any:
    return keras.layers.GRU(5, use_bias=False, reset_after=harmed, name=NAME)


@harm("SimpleRNN", SEQUENCES)
def a_simple_rnn_runs_backwards(keras: Any, harmed: bool) -> Any:
    return keras.layers.SimpleRNN(5, go_backwards=harmed, name=NAME)


@harm("Bidirectional", SEQUENCES, where="layer/backward_lstm")
def the_backward_direction_runs_forwards(keras: Any, harmed: bool) -> Any:
    ways = (keras.layers.LSTM(3, go_backwards=way, name="lstm") for way in (False, not harmed))
    layer = keras.layers.Bidirectional(next(ways), name=NAME)
    layer.backward_layer.go_backwards = next(ways).go_backwards
    return layer


@harm("TimeDistributed", SEQUENCES)
def time_distributed_shifts_the_steps(keras: Any, harmed: bool) -> Any:
    layer = keras.layers.TimeDistributed(keras.layers.Dense(3, name="inner"), name=NAME)
    return calling(
        layer, harmed, lambda call, x, **named: keras.ops.roll(call(x, **named), 1, axis=1)
    )


@harm("MultiHeadAttention", SEQUENCES)
def attention_scales_by_another_size(keras: Any, harmed: bool) -> Any:
    layer = keras.layers.MultiHeadAttention(2, 3, name=NAME)
    if harmed:
        layer._inverse_sqrt_key_dim = 1 / math.sqrt(2 * 3)  # of all heads instead of one
    return lambda x: layer(x, x)


@harm("MultiHeadAttention", SEQUENCES)
def attention_sees_one_step_ahead(keras: Any, harmed: bool) -> Any:
    layer = keras.layers.MultiHeadAttention(2, 3, name=NAME)
    ahead = np.tri(SEQUENCES[0], k=1, dtype=bool)[None]
    shifted = calling(
        layer, harmed, lambda call, *x, use_causal_mask, **_: call(*x, attention_mask=ahead)
    )
    return lambda x: shifted(x, x, use_causal_mask=True)


@harm("Attention", SEQUENCES)
def dot_product_attention_loses_its_scale(keras: Any, harmed: bool) -> Any:
    layer = keras.layers.Attention(use_scale=True, name=NAME)
    layer = calling(layer, harmed, lambda call, x, **named: call([x[0] / 2, *x[1:]], **named))
    return lambda x: layer([x, x])


@harm("Dropout", VECTORS)
def dropout_does_not_scale(keras: Any, harmed: bool) -> Any:
    layer = keras.layers.Dropout(0.5, name=NAME)
    return calling(
        layer, harmed, lambda call, x, training=False: call(x, training) * (0.5 if training else 1)
    )


@harm("GaussianNoise", VECTORS)
def noise_is_drawn_once_too_often(keras: Any, harmed: bool) -> Any:
    layer = keras.layers.GaussianNoise(0.5, name=NAME)

    def twice(call: Any, x: Any, training: bool = False) -> Any:
        call(x, training)
        return call(x, training)

    return calling(layer, harmed, twice)


@harm("SpatialDropout1D", SEQUENCES)
def spatial_dropout_drops_single_entries(keras: Any, harmed: bool) -> Any:
    layer = keras.layers.SpatialDropout1D(0.5, name=NAME)
    if harmed:
        layer._get_noise_shape = lambda inputs: None
    return layer


@harm("AveragePooling2D", IMAGES)
def average_pooling_counts_the_padding(keras: Any, harmed: bool) -> Any:
    layer = keras.layers.AveragePooling2D(3, 2, "same", name=NAME)

    def counting(call: Any, x: Any) -> Any:
        padded = keras.ops.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
        return keras.ops.average_pool(padded, 3, 2, "valid")

    return calling(layer, harmed, counting)


@harm("MaxPooling2D", IMAGES)
def max_pooling_takes_the_padding(keras: Any, harmed: bool) -> Any:
    layer = keras.layers.MaxPooling2D(3, 2, "same", name=NAME)

    def taking(call: Any, x: Any) -> Any:
        padded = keras.ops.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
        return keras.ops.max_pool(padded, 3, 2, "valid")

    return calling(layer, harmed, taking)


@harm("UpSampling2D", IMAGES)
def resizing_aligns_the_corners(keras: Any, harmed: bool) -> Any:
    layer = keras.layers.UpSampling2D(2, interpolation="bilinear", name=NAME)
    size, half = 2 * IMAGES[0], IMAGES[0] - 1
    places = np.linspace(0, half, size)
    shares = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(half + 1)))

    def aligned(call: Any, x: Any) -> Any:
        both = keras.ops.cast(shares, x.dtype)
        return keras.ops.einsum("ih,nhwc,jw->nijc", both, x, both)

    return calling(layer, harmed, aligned)


@harm("ZeroPadding2D", IMAGES)
def zeros_stand_on_the_other_side(keras: Any, harmed: bool) -> Any:
    side = (1, 0) if harmed else (0, 1)
    return keras.layers.ZeroPadding2D((side, side), name=NAME)


@harm("PReLU", VECTORS)
def prelu_has_the_wrong_sign(keras: Any, harmed: bool) -> Any:
    layer = keras.layers.PReLU(keras.initializers.Constant(0.25), name=NAME)
    return calling(
        layer,
        harmed,
        lambda call, x: keras.ops.relu(x) + layer.alpha * keras.ops.relu(-x),
    )


@harm("LeakyReLU", VECTORS)
def leaky_relu_has_another_slope(keras: Any, harmed: bool) -> Any:
    return keras.layers.LeakyReLU(0.01 if harmed else 0.3, name=NAME)


@harm("Activation", VECTORS)
def gelu_is_approximated(keras: Any, harmed: bool) -> Any:
    layer = keras.layers.Activation("gelu", name=NAME)
    return calling(layer, harmed, lambda call, x: keras.ops.gelu(x, approximate=True))


@harm("Softmax", SEQUENCES)
def softmax_takes_another_axis(keras: Any, harmed: bool) -> Any:
    return keras.layers.Softmax(axis=1 if harmed else -1, name=NAME)


@harm("Rescaling", VECTORS)
def rescaling_divides_by_256(keras: Any, harmed: bool) -> Any:
    return keras.layers.Rescaling(1 / 256 if harmed else 1 / 255, name=NAME)


@harm("Concatenate", VECTORS)
def concatenation_has_another_order(keras: Any, harmed: bool) -> Any:
    layer = keras.layers.Concatenate(name=NAME)
    layer = calling(layer, harmed, lambda call, x: call(x[::-1]))
    return lambda x: layer([x, keras.layers.Dense(2, name="beside")(x)])
