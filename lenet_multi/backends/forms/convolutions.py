"""The backend's own convolution and pooling, with less to do around them."""

from typing import Any

from keras import ops

from lenet_multi.backends.forms.pooling import POOL, max_pooled, pooled_sides

Tensor = Any  # the backend's own


def pool_first(images: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """Pool, then add the bias and take ReLU: a quarter of the element-wise work.

    Adding a constant and ReLU keep the order of numbers, so that the largest of four stays the
    largest: relu(max(a, b) + c) = max(relu(a + c), relu(b + c)), to the bit.

    `images` (N, H, W, C), `kernel` (K, K, C, O) and `bias` (O,) give
    (N, (H-K+1)//2, (W-K+1)//2, O).
    """
    return ops.relu(ops.max_pool(ops.conv(images, kernel), POOL, POOL) + bias)


def channels_first(images: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """Pool first, and call the channels first, which on PyTorch saves copies.

    Keras copies an image to another layout in memory before each of PyTorch's operations if
    its channels come last, and not if they come first. Transposing copies nothing there: the
    values stay where they are and only their axes are named in another order. So PyTorch gets
    channels first in name and last in memory, which is how its convolutions are fastest.

    Shapes as in `pool_first`; the images between are (N, C, H, W).
    """
    convolved = ops.conv(ops.transpose(images, (0, 3, 1, 2)), kernel, data_format="channels_first")
    pooled = ops.max_pool(convolved, POOL, POOL, data_format="channels_first")
    return ops.relu(ops.transpose(pooled, (0, 2, 3, 1)) + bias)


def row_pairs(images: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """Convolve for two rows at once, so that what is pooled together lies together.

    A kernel of one row more, which goes down two rows at a time, holds each filter twice, at its
    two places: the convolution has 2 O channels, which are O of an even row and O of the odd one
    below. With its channels last in memory the four of a pooling window and their like of all
    filters are neighbours, and pooling, there and back, walks straight through memory. That is
    1.2 times the arithmetic with a 5x5 kernel, but 40 channels fill oneDNN's blocks of 16 better
    than 20 do.

    Shapes as in `pool_first`, and how channels first saves copies on PyTorch in `channels_first`.
    """
    side, _, channels, filters = kernel.shape
    rows, columns = pooled_sides(images, side)
    places = [ops.pad(kernel, ((i, 1 - i), (0, 0), (0, 0), (0, 0))) for i in range(POOL)]
    kernel = ops.reshape(ops.stack(places, axis=3), (side + 1, side, channels, POOL * filters))
    images = ops.transpose(images[:, :, : POOL * columns + side - 1], (0, 3, 1, 2))
    convolved = ops.conv(images, kernel, strides=(POOL, 1), data_format="channels_first")
    windows = ops.reshape(ops.transpose(convolved, (0, 2, 3, 1)), (-1, POOL, POOL, filters))
    pooled = ops.reshape(max_pooled(windows), (-1, filters))
    return ops.reshape(ops.relu(pooled + bias), (-1, rows, columns, filters))
