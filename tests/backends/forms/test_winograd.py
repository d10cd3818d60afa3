import importlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lenet_multi.lenet.initial_weights import draw_initial_weights

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("backend")]


@pytest.fixture
def module() -> Any:
    """The module; its package exports a function of the same name."""
    return importlib.import_module("lenet_multi.backends.forms.winograd")


def computed(form: str, *tensors: Any) -> NDArray[np.float32]:
    """Return the outputs of a block's form on images, kernel and bias."""
    from keras import ops

    from lenet_multi.backends.forms import BLOCKS
    from lenet_multi.backends.forms.after import activated

    images, kernel, bias = map(ops.convert_to_tensor, tensors)
    found = BLOCKS[form](images, kernel, activated(bias, ops.relu))
    return np.asarray(ops.convert_to_numpy(found))


@given(
    side=st.sampled_from([3, 5]),
    seed=st.integers(0, 2**32 - 1),
)
def test_eight_products_are_four_sums_of_five_taps(side: int, seed: int) -> None:
    """Winograd's eight products (six for three taps) give NumPy's correlation."""
    transforms = importlib.import_module("lenet_multi.backends.forms.winograd")._transforms
    of_inputs, of_taps, of_products = transforms(side)
    draw = np.random.default_rng(seed)
    inputs, taps = draw.normal(size=side + 3), draw.normal(size=side)
    found = of_products @ ((of_inputs @ inputs) * (of_taps @ taps))
    np.testing.assert_allclose(found, np.correlate(inputs, taps, "valid"), rtol=0, atol=1e-12)


def test_its_rounding_is_that_of_a_convolution(module: Any) -> None:
    """In float32, Winograd's outputs differ from a float64 convolution by a few roundings."""
    images = np.maximum(np.random.default_rng(0).normal(size=(8, 12, 12, 20)), 0)
    kernel, bias = draw_initial_weights([(5, 5, 20, 50), (50,)], seed=0)
    patches = np.lib.stride_tricks.sliding_window_view(images.astype(np.float32), (5, 5), (1, 2))
    sums = np.einsum("nrqcij,ijco->nrqo", patches.astype(np.float64), kernel.astype(np.float64))
    wanted = np.maximum(sums.reshape(-1, 4, 2, 4, 2, 50).max(axis=(2, 4)) + bias, 0)
    found = computed("winograd", images.astype(np.float32), kernel, bias)
    assert np.abs(found - wanted).max() < 2e-6 * wanted.max()  # measured 6e-7


@pytest.mark.parametrize("form", ["winograd", "winograd-channels-first"])
def test_an_empty_patch_gives_exactly_zero(backend: str, form: str) -> None:
    """Winograd leaves no rounding noise where the patch is empty and a convolution gives zero."""
    from lenet_multi.backends.choice import forms_of

    if form not in forms_of(backend):
        return
    images = np.zeros((1, 12, 12, 20), np.float32)
    images[:, :, 6:] = np.random.default_rng(1).normal(size=(1, 12, 6, 20))
    kernel, bias = draw_initial_weights([(5, 5, 20, 50), (50,)], seed=0)
    found = computed(form, images, kernel, bias)
    assert not found[:, :, 0].any()  # columns 0 to 5
    assert found[:, :, 1].any()


def test_a_lost_product_is_seen(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison detects an error: a missing value of the taps changes the outputs."""
    images = np.random.default_rng(3).normal(size=(4, 12, 12, 2)).astype("float32")
    kernel, bias = draw_initial_weights([(5, 5, 2, 3), (3,)], seed=0)
    wanted = computed("tiles", images, kernel, bias)
    np.testing.assert_allclose(computed("winograd", images, kernel, bias), wanted, atol=1e-5)
    of_inputs, of_taps, of_products = module._transforms(5)
    of_taps[3] = 0
    monkeypatch.setattr(module, "_transforms", lambda side: (of_inputs, of_taps, of_products))
    assert np.abs(computed("winograd", images, kernel, bias) - wanted).max() > 0.01
