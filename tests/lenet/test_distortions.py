import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lenet_multi.config import DISTORTIONS, TrainConfig
from lenet_multi.data.examples import Dataset
from lenet_multi.lenet import distortions
from lenet_multi.lenet.distortions import distorted

PLAIN = TrainConfig(epochs=10)
ALL = dataclasses.replace(PLAIN, rotation=10.0, shear=8.0, zoom=0.12, translation=2.0, elastic=0.8)


def with_only(**settings: Any) -> TrainConfig:
    """Return settings with these distortions alone."""
    return dataclasses.replace(PLAIN, **settings)


@pytest.fixture(scope="module")
def images(mnist: Dataset) -> NDArray[np.uint8]:
    """A hundred digits; the last batch of images that are distorted together is not full."""
    return np.asarray(mnist.train.x[:100])


def test_without_distortions_the_images_are_the_same_array(images: NDArray[np.uint8]) -> None:
    """Nothing is copied where nothing is asked for."""
    assert distorted(images, PLAIN, 0) is images


@pytest.mark.parametrize(
    ("share", "last"), [(0.0, 9), (0.1, 8), (0.5, 4), (1.0, -1)], ids=["0", "0.1", "0.5", "1"]
)
def test_the_last_epochs_see_the_images_as_they_are(
    images: NDArray[np.uint8], share: float, last: int
) -> None:
    """`undistorted` is the share of all epochs, at the end, without distortions."""
    config, some = dataclasses.replace(ALL, undistorted=share), images[:2]
    changed = [epoch for epoch in range(10) if distorted(some, config, epoch) is not some]
    assert changed == list(range(last + 1))


def test_images_follow_from_seed_epoch_and_place(images: NDArray[np.uint8]) -> None:
    """The same seed and epoch give the same bytes; another seed, epoch or place gives others."""
    found = distorted(images, ALL, 3)
    assert np.array_equal(found, distorted(images, ALL, 3))
    assert not np.array_equal(found, distorted(images, ALL, 4))
    assert not np.array_equal(found, distorted(images, dataclasses.replace(ALL, seed=1), 3))
    alike = distorted(np.repeat(images[:1], 100, axis=0), ALL, 3)
    assert len(np.unique(alike.reshape(100, -1), axis=0)) == 100


def test_the_images_are_those_of_before(images: NDArray[np.uint8]) -> None:
    """What is drawn, and in which order, is fixed: committed results depend on it.

    Other processors may round another way.
    """
    found = distorted(images, ALL, 0).astype(np.int64)
    assert found.sum() == pytest.approx(2_567_268, rel=1e-5)
    column = [54, 0, 0, 87, 226, 253, 254, 102]
    np.testing.assert_allclose(found[7, 10:18, 14, 0], column, atol=1)


@pytest.mark.parametrize("name", DISTORTIONS)
def test_each_distortion_changes_images_by_itself(name: str, images: NDArray[np.uint8]) -> None:
    """Each setting alone changes nearly all images, and keeps most of their ink."""
    images = np.repeat(images, 3, axis=0)
    found = distorted(images, with_only(**{name: 0.1 if name == "zoom" else 2.0}), 0)
    assert np.mean([not np.array_equal(*pair) for pair in zip(found, images, strict=True)]) > 0.95
    ink = found.sum(dtype=np.int64) / images.sum(dtype=np.int64)
    assert 0.9 < ink < 1.1  # measured 0.98 to 1.01


@given(
    move=st.tuples(st.integers(-3, 3), st.integers(-3, 3)),
    shape=st.tuples(st.integers(16, 20), st.integers(16, 20)),
    channels=st.sampled_from([1, 2, 3]),
)
def test_a_move_by_whole_pixels_is_numpys(
    move: tuple[int, int], shape: tuple[int, int], channels: int
) -> None:
    """Coordinates moved by whole pixels give the moved image, and zeros where nothing was."""
    image = np.random.default_rng(0).integers(1, 256, (1, *shape, channels), np.uint8)
    affine = np.array([[[1, 0, move[0]], [0, 1, move[1]]]], np.float32)
    found = distortions._interpolated(image, distortions._coordinates(shape, affine, None))
    padded = np.pad(image[0], ((3, 3), (3, 3), (0, 0)))
    rows, columns = (slice(3 + by, 3 + by + side) for by, side in zip(move, shape, strict=True))
    np.testing.assert_array_equal(found[0], padded[rows, columns])


def test_half_a_pixel_is_the_mean_of_two(images: NDArray[np.uint8]) -> None:
    """Between two pixels the image is their mean, rounded."""
    affine = np.array([[[1, 0, 0.0], [0, 1, 0.5]]], np.float32)
    at = distortions._coordinates((28, 28), affine, None)
    found = distortions._interpolated(images[:1], at)[0, :, :, 0]
    here = images[0, :, :, 0].astype(int)
    right = np.pad(here, ((0, 0), (0, 1)))[:, 1:]
    np.testing.assert_array_equal(found, (here + right + 1) // 2)


def test_angles_and_shares_have_their_units() -> None:
    """Turns, shears, zooms and moves stay within the settings, and come near to them."""

    def matrices(**settings: float) -> NDArray[np.float64]:
        return distortions._affine(10_000, with_only(**settings), 0).astype(np.float64)

    turned = matrices(rotation=30.0)
    angles = np.rad2deg(np.arctan2(turned[:, 1, 0], turned[:, 0, 0]))
    assert 29.9 < np.abs(angles).max() <= 30.001
    assert abs(angles.mean()) < 1
    np.testing.assert_allclose(np.linalg.det(turned[:, :, :2]), 1, atol=1e-6)
    sheared = matrices(shear=20.0)
    slants = np.rad2deg(np.arctan(sheared[:, 1, 0]))
    assert 19.9 < np.abs(slants).max() <= 20.001
    zoomed = matrices(zoom=0.25)
    for axis in range(2):
        sizes = 1 / zoomed[:, axis, axis]
        assert 0.75 <= sizes.min() + 1e-6 < 0.751
        assert 1.249 < sizes.max() - 1e-6 <= 1.25
    moved = matrices(translation=3.0)[:, :, 2]
    assert (np.abs(moved).max(axis=0) > 2.99).all()
    assert (np.abs(moved) <= 3).all()


def test_elastic_displacements_have_their_deviation() -> None:
    """The displacements of an epoch's fields have the asked deviation, in pixels, and no drift."""
    fields, choice = distortions._elastic(5000, (28, 28), with_only(elastic=1.5), 0)
    assert fields.shape == (distortions.FIELDS, 2, 28, 28)
    assert fields.std() == pytest.approx(1.5, rel=0.05)
    assert abs(fields.mean()) < 0.05
    near = np.abs(np.diff(fields, axis=2)).mean()
    assert near < 0.3 * np.abs(fields).mean()  # neighbours move alike; measured 0.25
    assert set(choice) <= set(range(distortions.FIELDS))
    assert len(set(choice)) > 0.9 * distortions.FIELDS
