"""The backend's own convolution and pooling, with less to do around them."""

from typing import Any

from keras import ops

from lenet_multi.forms.pooling import POOL

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
