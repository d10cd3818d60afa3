"""The matrices of Winograd's way to compute the second layer (see `backends.forms.winograd`)."""

import numpy as np

_POINTS = (0, 1, -1, 2, -2, 1 / 2, -1 / 2)


def _values(coefficients: int) -> np.ndarray:
    """Return what takes a polynomial to its values at the points and its highest coefficient."""
    powers = np.vander(_POINTS, coefficients, increasing=True)
    return np.vstack([powers, np.eye(coefficients)[-1:]])


_OF_INPUTS = np.linalg.inv(_values(8)).T

# Eight sums of each of two overlapping patches of eight columns: (16, 12)
OF_IMAGES = np.stack([np.pad(_OF_INPUTS, ((0, 0), (t, 4 - t))) for t in (0, 4)], axis=1)
OF_IMAGES = OF_IMAGES.reshape(16, 12).astype(np.float32)
OF_TAPS = _values(5).astype(np.float32)  # (8, 5)
OF_PRODUCTS = _values(4).T.astype(np.float32)  # (4, 8)

ROUNDING = 1e-6  # of the largest output; what is less should be zero
