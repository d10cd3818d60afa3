from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from lenet_multi.data.examples import Dataset
from lenet_multi.lenet.photographs import likeness
from lenet_multi.lenet.photographs.digit import prepare
from lenet_multi.lenet.photographs.likeness import are_prepared
from tests.lenet.photographs.material import seven


@pytest.mark.parametrize(
    ("found", "side", "wanted"),
    [
        ([(14, 0.9)] * 10, 28, True),
        ([(13, 0.9)] * 10, 28, False),
        ([(25, 0.9)] * 10, 28, True),
        ([(26, 0.9)] * 10, 28, False),
        ([(20, 0.45)] * 10, 28, True),
        ([(20, 0.44)] * 10, 28, False),
        ([(20, 0.9)] * 9 + [(20, 0.1)], 28, True),
        ([(20, 0.9)] * 8 + [(20, 0.1)] * 2, 28, False),
        ([(20, 0.9)] * 8 + [(18, 0.9), (22, 0.9)], 28, True),
        ([(20, 0.9)] * 8 + [(17, 0.9), (23, 0.9)], 28, False),
        ([(20, 0.9)] * 8 + [(17, 0.9), (23, 0.9)], 30, True),
        ([(18, 0.9)] * 10, 20, True),
        ([(12, 0.9)] * 10, 16, True),
        ([(12, 0.9)] * 10, 15, False),
    ],
    ids=[
        *("smallest", "too small", "largest", "too large", "alike", "unlike", "one other"),
        *("two others", "two near", "two far", "two at the limit", "largest of all"),
        *("least side", "smaller side"),
    ],
)
def test_most_images_must_be_alike(
    monkeypatch: pytest.MonkeyPatch, found: list[tuple[float, float]], side: int, wanted: bool
) -> None:
    """Nine of ten: in size to a tenth of the side, and in where their ink is."""
    left = iter(found)
    monkeypatch.setattr(likeness, "_likeness", lambda image: next(left))
    images = np.zeros((len(found), side, side, 1), np.uint8)
    assert are_prepared(images) is wanted
    assert not are_prepared(images[:, 1:])


@pytest.mark.parametrize(("images", "seen"), [(100, 100), (101, 51), (250, 84)])
def test_a_hundred_images_at_most_are_looked_at(
    monkeypatch: pytest.MonkeyPatch, images: int, seen: int
) -> None:
    """They are spread over all."""
    shades: list[int] = []

    def compare(image: NDArray[np.uint8]) -> tuple[float, float]:
        assert image.shape == (16, 16)
        shades.append(int(image[0, 0]))
        return 12.0, 1.0

    monkeypatch.setattr(likeness, "_likeness", compare)
    numbered = np.arange(images, dtype=np.uint8)[:, np.newaxis, np.newaxis, np.newaxis]
    assert are_prepared(np.broadcast_to(numbered, (images, 16, 16, 3)))
    assert len(shades) == seen
    assert shades[:2] == [0, -(-images // 100)]
    coloured = np.zeros((images, 16, 16, 3), np.uint8)
    coloured[0, 0, 0, 2] = 1
    assert not are_prepared(coloured)


def test_an_image_is_like_what_would_be_made_of_it() -> None:
    """Its size is that of the ink; without ink, or with ink from edge to edge, there is none."""
    size, share = likeness._likeness(prepare(seven()))
    assert size == 20
    assert 0.9 < share <= 1
    assert likeness._likeness(np.zeros((28, 28), np.uint8)) == (0, 0)
    across = np.zeros((28, 28), np.uint8)
    across[:, 12:16] = 255
    assert likeness._likeness(across) == (0, 0)
    moved = np.roll(prepare(seven()), 4, axis=1)
    assert likeness._likeness(moved)[1] == pytest.approx(0.343, abs=0.001)
    assert likeness._likeness(prepare(seven()) // 4) == (0, 0)  # too faint to have a size


def test_mnists_own_images_are_prepared(small: Dataset) -> None:
    """MNIST's images are like MNIST's, also with a wider or narrower margin, or equal channels."""
    images = small.train.x
    assert are_prepared(images)
    assert are_prepared(np.repeat(images, 3, axis=-1))
    assert are_prepared(np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0))))
    assert are_prepared(images[:, 2:-2, 2:-2])  # EMNIST's margin is as narrow
    assert are_prepared(images.transpose(0, 2, 1, 3))


def clothes(count: int) -> NDArray[np.uint8]:
    """Return light filled shapes on black that fill the image, as clothes do in Fashion-MNIST."""
    generator = np.random.default_rng(0)
    images = np.zeros((count, 28, 28, 1), np.uint8)
    for image in images:
        left, right = generator.integers(0, 8), generator.integers(20, 28)
        image[:, left:right] = generator.integers(60, 255, (28, right - left, 1))
    return images


@pytest.mark.parametrize(
    "change",
    [
        lambda images: 255 - images,
        lambda images: images // 2 + 100,
        lambda images: np.roll(images, 6, axis=2),
        lambda images: np.maximum(images, np.random.default_rng(0).integers(0, 80, images.shape)),
        lambda images: images[:, 4:-4, 4:-4],
        lambda images: np.concatenate([images, images[..., ::-1], images * 0], axis=-1),
        lambda images: images[:, :24],
        lambda images: images[:, ::2, ::2],
        lambda images: np.pad(images, ((0, 0), (14, 14), (14, 14), (0, 0))),
        lambda images: clothes(len(images)),
        lambda images: images * 0,
    ],
    ids=[
        *("dark on light", "grey ground", "shifted", "noise", "fills the image", "colour"),
        *("not square", "tiny", "small in the image", "clothes", "nothing"),
    ],
)
def test_other_images_are_not_prepared(
    small: Dataset, change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
) -> None:
    """Images that `prepare` would change are not like MNIST's."""
    assert not are_prepared(change(small.train.x).astype(np.uint8))
