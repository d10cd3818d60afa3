"""A block as one matrix product: the kernel times patches that a window's convolutions share."""

from collections.abc import Iterator
from itertools import product
from typing import Any

from keras import ops

from lenet_multi.backends.forms.after import After
from lenet_multi.backends.forms.pooling import POOL, compared, pooled_sides

Tensor = Any  # the backend's own


def tiles(images: Tensor, kernel: Tensor, after: After) -> Tensor:
    """Compute the block as one matrix product, which XLA does several times faster.

    One pooled output is the largest of four convolutions. With a 5x5 kernel these read a 6x6 patch
    of the image. A tile of t pooled outputs, one below the other, reads 2t + 4 rows, 6 columns.

    1. Put the batch last, (H, W, C, N): the same pixel of all images is a row of N numbers.
    2. Place (i, j) of all patches is a view of the images: from row i and column j, each 2t-th row
       and each second column. Stack the views: ((2t + 4) 6 C, patches). This copies each pixel
       nine times (t = 1) or six (t = 2); the usual patches of a convolution copy it 25 times.
    3. Put the kernel into a patch of zeros at each of its 4t places: a matrix
       (4t O, (2t + 4) 6 C). It is small and made once a step.
    4. Their product holds all convolutions, (4t O, patches). The four of a pooling window are t O
       rows apart: take the largest, do what follows, put the batch first.

    The zeros are multiplied too: (2t + 4) 6 multiplications for each output instead of 25. This is
    1.44 times (t = 1) or 1.92 times (t = 2) as many, at several times the rate. The taller tile
    pays with one channel, where 36 numbers are too few to fill a product.
    Shapes as in `pool_first`; the kernel is square and its side odd.
    """
    side, channels, filters = kernel.shape[1:]
    rows, columns = pooled_sides(images, side)
    tile = 2 if channels == 1 and rows % 2 == 0 else 1
    height, width, down = POOL * tile + side - 1, POOL + side - 1, rows // tile
    # Not Keras's matmul, which rounds float64 on PyTorch (see `parity.float64`). Two axes: with
    # more, XLA takes 1.3 times as long.
    patches = _patches(images, height, width, POOL * tile, down, columns)
    convolved = _matrix(kernel, tile, height, width) @ patches
    pooled = compared(ops.reshape(convolved, (1, POOL, POOL, -1)))
    pooled = ops.reshape(pooled, (tile, filters, down, columns, -1))
    blocks = after(pooled, 1)
    # The next block puts the batch last again; XLA cancels the two.
    return ops.reshape(ops.transpose(blocks, (4, 2, 0, 3, 1)), (-1, rows, columns, filters))


def _patches(images: Tensor, height: int, width: int, step: int, down: int, across: int) -> Tensor:
    """Return the patches, `step` rows apart: (N, H, W, C) to (height width C, down across N)."""
    batch_last = ops.transpose(images, (3, 1, 2, 0))
    views = [
        batch_last[:, i : i + step * (down - 1) + 1 : step, j : j + POOL * (across - 1) + 1 : POOL]
        for i, j in product(range(height), range(width))
    ]
    return ops.reshape(ops.stack(views), (height * width * images.shape[3], -1))


def _matrix(kernel: Tensor, tile: int, height: int, width: int) -> Tensor:
    """Return the kernel at each place in a patch: (K, K, C, O) to (4 tile O, patch)."""
    side = kernel.shape[0]
    kernel = ops.transpose(kernel, (3, 0, 1, 2))
    copies = [
        ops.pad(kernel, ((0, 0), (i, height - side - i), (j, width - side - j), (0, 0)))
        for i, j in _places(tile)
    ]
    return ops.reshape(ops.stack(copies), (-1, height * width * kernel.shape[3]))


def _places(tile: int) -> Iterator[tuple[int, int]]:
    """Yield the kernel's places in a patch, by place in the pooling window, then in the tile."""
    for across, down, row in product(range(POOL), range(POOL), range(tile)):
        yield POOL * row + down, across
