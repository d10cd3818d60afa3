"""Winograd's convolution: with five taps, four outputs in a row take eight products, not twenty.

Inputs d0 to d7 and taps g0 to g4 give outputs y_k = sum over j of d_(k+j) g_j, k = 0 to 3: twenty
products. Multiplying a polynomial of four coefficients by one of five takes twenty too. By value it
takes eight: evaluate both at seven points and at infinity (the highest coefficients), multiply the
values, and interpolate. The outputs are this computation transposed, which takes eight as well:

    s_i = (coefficients of the product of all x - a_j but x - a_i) . (d0, ..., d7)
    t_i = (1, a_i, ..., a_i^4) . (g0, ..., g4) / (product of all a_i - a_j but j = i)
    y_k = sum over i of a_i^k s_i t_i                          a_i: the points

For infinity, s_7 uses the product of all x - a_j, t_7 = g4, and only y3 gets s_7 t_7. In a network
each d is a patch's column with all its channels, and each g is a matrix. So this saves products of
large matrices and adds products with three small ones.

S. Winograd, Arithmetic Complexity of Computations, 1980; A. Lavin and S. Gray, Fast Algorithms for
Convolutional Neural Networks, CVPR 2016.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops
from ml_dtypes import finfo
from numpy.typing import NDArray

from lenet_multi.backends.forms.after import After
from lenet_multi.backends.forms.pooling import POOL, Pool, pooled_sides

Tensor = Any  # the backend's own
Matrix = NDArray[np.float64]

OUTPUTS = 4  # in a row, from one set of products

# Small, because powers of a point enlarge rounding errors; powers of two, which are exact.
POINTS = (0, 1, -1, 2, -2, 1 / 2, -1 / 2)

ROUNDINGS = 8  # times eps and an image's largest output: sums up to this are noise; measured: 1

SIDES = (3, 5)  # of kernels; wider ones need more points


def winograd(
    images: Tensor,
    kernel: Tensor,
    after: After,
    *,
    otherwise: Callable[..., Tensor],
    pool: Pool,
) -> Tensor:
    """Compute the block with 12 multiplications for each output of 25 taps.

    Two rows of four outputs are two pooled outputs. With a 5x5 kernel they read a patch of six rows
    and eight columns. The batch is last, as in `tiles`.

    1. Make eight sums s from the patch's eight columns, each a column of six rows: one product with
       a small matrix for all patches. The images' columns come first for it, (W, H C N).
    2. Stack the six rows of each sum, (6 C, patches). This copies each row three times.
    3. Make eight values t from the kernel's five columns; put each at two places in six rows of
       zeros, (2 O, 6 C).
    4. Make eight products, (2 O, 6 C) times (6 C, patches), and the outputs y with a small matrix.
    5. Take each window's largest (`pool`), set noise to zero, do what follows.

    An output costs 8 * 6 / 4 = 12 multiplications; a convolution takes 25, `tiles` 36. It rounds no
    more than XLA's sum of 25 terms. Equal values may round differently, but their patches are
    equal, so the weights get the same gradient from each.

    `otherwise` computes blocks with one channel (their products are too small), an odd number of
    pooled columns, or another kernel side. Shapes as in `pool_first`.
    """
    side, channels, filters = kernel.shape[1:]
    rows, columns = pooled_sides(images, side)
    if channels == 1 or columns % POOL or side not in SIDES:
        return otherwise(images, kernel, after)
    of_inputs, of_taps, of_products = _transforms(side)
    across = columns // POOL  # patches
    sums = _sums(images[:, : POOL * rows + side - 1], of_inputs, across, rows)
    products = _values(kernel, of_taps) @ sums  # (8, 2 O, rows across N)
    outputs = _product(of_products, products)  # (4, 2 O rows across N)
    pooled = pool(ops.reshape(outputs, (OUTPUTS // POOL, POOL, POOL, -1)))
    pooled = ops.reshape(pooled, (OUTPUTS // POOL, filters, rows, across, -1))
    blocks = after(_without_noise(pooled), 1)
    # In two steps: on PyTorch a dense layer then multiplies this memory, not a copy.
    blocks = ops.reshape(ops.transpose(blocks, (2, 3, 0, 1, 4)), (rows, columns, filters, -1))
    return ops.transpose(blocks, (3, 0, 1, 2))


def _transforms(side: int) -> tuple[Matrix, Matrix, Matrix]:
    """Return the matrices that make s (8, 8), t (8, K) and y (4, 8); with K = 3, 6 replaces 8."""
    points = np.array(POINTS[: OUTPUTS + side - 2])
    others = [np.delete(points, i) for i in range(len(points))]
    of_inputs = [np.append(np.poly(other)[::-1], 0) for other in others]  # lowest power first
    of_taps = [
        point ** np.arange(side) / np.prod(point - other)
        for point, other in zip(points, others, strict=True)
    ]
    of_products = [point ** np.arange(OUTPUTS) for point in points]
    # At infinity: the highest coefficients.
    return (
        np.array([*of_inputs, np.poly(points)[::-1]]),
        np.array([*of_taps, np.eye(side)[-1]]),
        np.array([*of_products, np.eye(OUTPUTS)[-1]]).T,
    )


def _sums(images: Tensor, of_inputs: Matrix, across: int, rows: int) -> Tensor:
    """Return each patch's sums, row after row: (N, H, W, C) to (8, 6 C, rows across N)."""
    height, width, channels = images.shape[1:]
    count, taps = of_inputs.shape
    in_place = [
        np.pad(of_inputs, ((0, 0), (begin, width - taps - begin)))
        for begin in range(0, OUTPUTS * across, OUTPUTS)
    ]
    matrix = np.stack(in_place, axis=1).reshape(-1, width)  # (8 across, W)
    # In two steps: PyTorch copies a gradient faster when only the batch axis moves.
    batch_last = ops.transpose(images, (1, 2, 3, 0))
    pairs = ops.reshape(batch_last, (height // POOL, POOL, width, channels, -1))  # of rows
    sums = _product(matrix, ops.transpose(pairs, (2, 1, 3, 0, 4)))
    sums = ops.reshape(sums, (count, across, POOL * channels, height // POOL, -1))
    sums = ops.transpose(sums, (0, 2, 3, 1, 4))  # (8, 2 C, pairs of rows, across, N)
    views = [sums[:, :, i : i + rows] for i in range(height // POOL - rows + 1)]
    return ops.reshape(ops.stack(views, axis=1), (count, len(views) * POOL * channels, -1))


def _values(kernel: Tensor, of_taps: Matrix) -> Tensor:
    """Return the kernel's values t, each at two places: (K, K, C, O) to (8, 2 O, (K + 1) C)."""
    side, _, channels, filters = kernel.shape
    values = _product(of_taps, ops.transpose(kernel, (1, 3, 0, 2)))
    values = ops.reshape(values, (-1, filters, side, channels))
    places = [ops.pad(values, ((0, 0), (0, 0), (i, 1 - i), (0, 0))) for i in range(POOL)]
    return ops.reshape(ops.stack(places, axis=1), (-1, POOL * filters, (side + 1) * channels))


def _without_noise(sums: Tensor) -> Tensor:
    """Return `sums` (..., N) with zero for each that is within an image's rounding.

    Other forms give exactly zero on an empty patch, and ReLU blocks the gradient while the bias is
    zero. Here, eight products of neighbouring columns cancel but leave rounding noise that would
    let it through. The gradient of the sums does not change.
    """
    sizes = ops.abs(sums)
    largest = ops.max(sizes, axis=(0, 1, 2, 3), keepdims=True)
    dtype = keras.backend.standardize_dtype(sums.dtype)
    rounding = float(finfo(dtype).eps)  # type: ignore[no-untyped-call]
    noise = sizes <= ROUNDINGS * rounding * largest
    return sums - ops.stop_gradient(ops.where(noise, sums, ops.zeros_like(sums)))


def _product(matrix: Matrix, tensor: Tensor) -> Tensor:
    """Return `matrix` (I, J) times `tensor` (J, ...), flattened: (I, all other axes)."""
    # Not Keras's matmul, which rounds float64 on PyTorch (see `parity.float64`).
    flat = ops.reshape(tensor, (matrix.shape[1], -1))
    return ops.convert_to_tensor(matrix, dtype=tensor.dtype) @ flat
