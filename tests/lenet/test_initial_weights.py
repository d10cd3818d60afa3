import numpy as np
import pytest

from lenet_multi.lenet.initial_weights import draw_initial_weights

# The square root of 6 over the numbers that come in and go out, for a kernel and a matrix.
LIMITS = ((np.sqrt(6 / (2 * (1 + 3))), (1, 2, 1, 3)), (np.sqrt(6 / (2 + 2)), (2, 2)))


def test_the_weights_stay_the_same() -> None:
    """From a seed the same numbers come, in the tensors' order; only they keep old runs right."""
    kernel, bias, dense = draw_initial_weights([(1, 2, 1, 3), (3,), (2, 2)], seed=7)
    generator = np.random.default_rng(7)
    drawn = [generator.uniform(-limit, limit, shape) for limit, shape in LIMITS]
    np.testing.assert_array_equal(kernel, drawn[0].astype(np.float32))
    np.testing.assert_array_equal(bias, [0, 0, 0])
    np.testing.assert_array_equal(dense, drawn[1].astype(np.float32))
    assert {one.dtype for one in (kernel, bias, dense)} == {np.dtype(np.float32)}


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
def test_the_bounds_are_those_of_keras() -> None:
    """Our kernels have the bounds of Keras's GlorotUniform, tensor by tensor."""
    import keras

    for shape in ((5, 5, 20, 50), (800, 500)):
        theirs = keras.ops.convert_to_numpy(keras.initializers.GlorotUniform(seed=0)(shape))
        ours = draw_initial_weights([shape], seed=0)[0]
        np.testing.assert_allclose(np.abs(ours).max(), np.abs(theirs).max(), rtol=1e-3)
