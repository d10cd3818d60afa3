import numpy as np
import pytest

from tests.conftest import Lenet

NAMES = ("batch_norm", "dropout", "inception")


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("name", NAMES)
def test_each_option_is_a_model_to_climb_with(name: str) -> None:
    """The function returns a compiled model with drawn kernels, so no rung compares zeros."""
    from lenet_multi.lenet import options

    model = getattr(options, name)()
    assert model.compiled
    kernels = [weight for weight in model.get_weights() if weight.ndim > 1]
    assert all(np.abs(kernel).max() > 0 for kernel in kernels)
    images, labels = options.digits()
    assert (images.shape, labels.shape) == ((3200, 28, 28, 1), (3200,))
    assert images.dtype == np.float32
    assert (images.min(), images.max()) == (0, 1)
    assert model(images[:2]).shape == (2, 10)


@pytest.mark.all_backends
@pytest.mark.study
def test_batch_normalisation_trains_the_same(lenet: Lenet) -> None:
    """The LeNet with batch normalisation passes the quick climb in float32 on all backends."""
    place = "lenet_multi.lenet.options"
    done = lenet(
        *("parity", f"{place}:batch_norm", "--data", f"{place}:digits"),
        *("--quick", "--precision", "float32"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The same at every rung: tensorflow, jax, torch." in done.stdout
