"""The backend's own convolution and pooling, with less work around them."""

from typing import Any

from keras import ops

from lenet_multi.backends.forms.after import After
from lenet_multi.backends.forms.pooling import POOL, max_pooled, pooled_sides

Tensor = Any  # the backend's own


def pool_first(images: Tensor, kernel: Tensor, after: After) -> Tensor:
    """Pool, then do all that follows: a quarter of the element-wise work.

    Adding a constant and ReLU keep the order of numbers, so the largest of four stays the
    largest: relu(max(a, b) + c) = max(relu(a + c), relu(b + c)), to the bit. Shapes: `images`
    (N, H, W, C), `kernel` (K, K, C, O); the result is (N, (H-K+1)//2, (W-K+1)//2, O).
    """
    return after(ops.max_pool(ops.conv(images, kernel), POOL, POOL), 3)


def channels_first(images: Tensor, kernel: Tensor, after: After) -> Tensor:
    """Pool first, with channels-first axes, which saves copies on PyTorch.

    Before each operation of PyTorch, Keras copies channels-last images to another memory layout,
    but not channels-first ones. There a transposition copies nothing: it only renames axes. So
    PyTorch gets channels first in name and last in memory, which its convolutions compute fastest.
    Shapes as in `pool_first`; the images between are (N, C, H, W).
    """
    convolved = ops.conv(ops.transpose(images, (0, 3, 1, 2)), kernel, data_format="channels_first")
    pooled = ops.max_pool(convolved, POOL, POOL, data_format="channels_first")
    return after(ops.transpose(pooled, (0, 2, 3, 1)), 3)


def row_pairs(images: Tensor, kernel: Tensor, after: After) -> Tensor:
    """Convolve two rows at once, so that the values of a pooling window are close in memory.

    The kernel gets one more row, moves down two rows at a time, and holds each filter twice, one
    row apart. Its 2 O output channels are O of an even row and O of the odd row below. With the
    channels last in memory, a window's four values are neighbours, for all filters together, and
    pooling and its gradient read memory in order. A 5x5 kernel needs 1.2 times the arithmetic, but
    40 channels fill oneDNN's blocks of 16 better than 20.
    Shapes as in `pool_first`; `channels_first` explains how these axes save copies on PyTorch.
    """
    side, _, channels, filters = kernel.shape
    rows, columns = pooled_sides(images, side)
    places = [ops.pad(kernel, ((i, 1 - i), (0, 0), (0, 0), (0, 0))) for i in range(POOL)]
    kernel = ops.reshape(ops.stack(places, axis=3), (side + 1, side, channels, POOL * filters))
    images = ops.transpose(images[:, :, : POOL * columns + side - 1], (0, 3, 1, 2))
    convolved = ops.conv(images, kernel, strides=(POOL, 1), data_format="channels_first")
    windows = ops.reshape(ops.transpose(convolved, (0, 2, 3, 1)), (-1, POOL, POOL, filters))
    pooled = ops.reshape(max_pooled(windows), (-1, filters))
    return ops.reshape(after(pooled, 1), (-1, rows, columns, filters))
