"""A block as one product of matrices: patches that the pooling shares, times the kernel."""

from collections.abc import Iterator
from itertools import product
from typing import Any

from keras import ops

from lenet_multi.forms.pooling import POOL, largest

Tensor = Any  # the backend's own


def tiles(images: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """Compute the block as one matrix product, which XLA does several times faster.

    One pooled output is the largest of four convolutions. With a 5x5 kernel the four together
    look at a 6x6 patch of the image; a tile of t x t pooled outputs looks at a patch of side
    2t + 4. So:

    1. Cut the image into cells of 2t x 2t pixels, a cell's pixels side by side as channels
       (space to depth). The patches of two neighbouring tiles lie one cell apart, and a patch
       is 3x3 whole cells (t = 1: 6 = 3 * 2) or 2x2 (t = 2: 8 = 2 * 4).
    2. So all patches are 9 (or 4) shifted views of the cells, one after the other:
       (N, rows, columns, patch) with patch = (2t + 4)^2 C. Each pixel is copied 9 (or 4) times;
       the usual patches of a convolution copy it 25 times.
    3. Lay the kernel into a patch of zeros at each of the 4 t^2 places that it takes there: a
       matrix (patch, 4 t^2 O). This is once a step and small.
    4. One product, (N rows columns, patch) times (patch, 4 t^2 O), is all convolutions. The four
       that share a pooling window stand t^2 O columns apart; take the largest, add the bias, ReLU.

    The zeros are multiplied too: each output costs (2t + 4)^2 multiplications for 25, 1.44 times
    (t = 1) or 2.56 times (t = 2) as many, at several times the rate. The wider tile pays where
    the patch is otherwise too small to fill a product, 36 numbers with one channel.

    Shapes as in `pool_first`; the kernel is square, its side odd.
    """
    side, filters = kernel.shape[0], kernel.shape[3]
    rows, columns = ((length - side + 1) // POOL for length in images.shape[1:3])
    tile = _tile(side, kernel.shape[2], rows, columns)
    down, across = rows // tile, columns // tile  # tiles
    patches = _patches(images, side, tile, down, across)
    # einsum, for Keras's matmul rounds float64 on PyTorch (see `parity.float64`); two axes, for
    # with more XLA takes 1.3 times as long
    convolved = ops.einsum("np,po->no", patches, _matrix(kernel, tile))
    pooled = largest(ops.split(convolved, POOL * POOL, axis=-1))  # (N down across, tile tile O)
    pooled = ops.reshape(pooled, (-1, down, across, tile, tile, filters))
    # The bias comes before the transposition, which XLA then cancels against the next block's.
    blocks = ops.transpose(ops.relu(pooled + bias), (0, 1, 3, 2, 4, 5))
    return ops.reshape(blocks, (-1, rows, columns, filters))


def _patches(images: Tensor, side: int, tile: int, down: int, across: int) -> Tensor:
    """Return the patches under all tiles: (N, H, W, C) to (N down across, patch)."""
    cell, span, channels = POOL * tile, _span(side, tile), images.shape[3]
    height, width = down + span - 1, across + span - 1  # in cells
    cells = images[:, : height * cell, : width * cell]
    cells = ops.reshape(cells, (-1, height, cell, width, cell, channels))
    cells = ops.transpose(cells, (0, 1, 3, 2, 4, 5))
    cells = ops.reshape(cells, (-1, height, width, cell * cell * channels))
    views = [cells[:, i : i + down, j : j + across] for i, j in product(range(span), repeat=2)]
    patches = ops.concatenate(views, axis=-1)  # (N, down, across, patch)
    return ops.reshape(patches, (-1, patches.shape[-1]))


def _matrix(kernel: Tensor, tile: int) -> Tensor:
    """Return the kernel at all its places in a patch: (K, K, C, O) to (patch, 4 tile tile O)."""
    side, channels = kernel.shape[0], kernel.shape[2]
    cell, span = POOL * tile, _span(side, tile)
    slack = cell - 1  # the places that the kernel can move by
    copies = ops.stack(
        [
            ops.pad(kernel, ((i, slack - i), (j, slack - j), (0, 0), (0, 0)))
            for i, j in _places(tile)
        ],
        axis=3,
    )
    # Rows in the order of a patch's numbers: by cell, then within the cell.
    copies = ops.reshape(copies, (span, cell, span, cell, channels, -1))
    copies = ops.transpose(copies, (0, 2, 1, 3, 4, 5))
    return ops.reshape(copies, (span * span * cell * cell * channels, -1))


def _span(side: int, tile: int) -> int:
    """Return how many cells a patch's side has."""
    return (POOL * tile + side - 1) // (POOL * tile)


def _tile(side: int, channels: int, rows: int, columns: int) -> int:
    """Return how many pooled outputs a tile's side has: 2 for one channel where they fit, or 1."""
    return 2 if channels == 1 and rows % 2 == columns % 2 == 0 and (side - 1) % 4 == 0 else 1


def _places(tile: int) -> Iterator[tuple[int, int]]:
    """Yield where the kernel lies in a patch: by place in the pooling window, then in the tile."""
    for (down, across), (row, column) in product(
        product(range(POOL), repeat=2), product(range(tile), repeat=2)
    ):
        yield POOL * row + down, POOL * column + across
