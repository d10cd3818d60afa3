"""The matrices for the second layer in Winograd's form (see `backends.forms.winograd`)."""

import numpy as np

_POINTS = (0, 1, -1, 2, -2, 1 / 2, -1 / 2)


def _values(coefficients: int) -> np.ndarray:
    """Return the matrix from coefficients to values at the points and the highest coefficient."""
    powers = np.vander(_POINTS, coefficients, increasing=True)
    return np.vstack([powers, np.eye(coefficients)[-1:]])


_OF_INPUTS = np.linalg.inv(_values(8)).T

# (16, 12): eight sums for each of two overlapping patches of eight columns
OF_IMAGES = np.stack([np.pad(_OF_INPUTS, ((0, 0), (t, 4 - t))) for t in (0, 4)], axis=1)
OF_IMAGES = OF_IMAGES.reshape(16, 12).astype(np.float32)
OF_TAPS = _values(5).astype(np.float32)  # (8, 5)
OF_PRODUCTS = _values(4).T.astype(np.float32)  # (4, 8)

ROUNDING = 1e-6  # times the largest output; smaller values should be zero
