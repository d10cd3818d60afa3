import numpy as np
import pytest

from lenet_multi.lenet.initial_weights import draw_initial_weights

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("backend")]


def test_the_bounds_are_those_of_keras() -> None:
    """Our kernels have the bounds of Keras's GlorotUniform, tensor by tensor."""
    import keras

    for shape in ((5, 5, 20, 50), (800, 500)):
        theirs = keras.ops.convert_to_numpy(keras.initializers.GlorotUniform(seed=0)(shape))
        ours = draw_initial_weights([shape], seed=0)[0]
        np.testing.assert_allclose(np.abs(ours).max(), np.abs(theirs).max(), rtol=1e-3)
