import numpy as np
import pytest
from PIL import Image

from lenet_multi.errors import UserError
from lenet_multi.lenet.photographs import ink
from lenet_multi.lenet.photographs.ink import Array
from tests.lenet.photographs.material import page


@pytest.mark.parametrize(
    ("size", "reduced"),
    [((16, 9), (9, 16)), ((32, 1), (1, 16)), ((6, 64), (16, 2)), ((3, 2), (2, 3))],
)
def test_a_large_image_is_reduced(size: tuple[int, int], reduced: tuple[int, int]) -> None:
    """To the working size on the longer side, by means of boxes."""
    assert ink.WORKING_SIDE == 256
    pixels = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8)
    found = ink.reduced(Image.fromarray(pixels), 16)
    assert (found.shape, found.dtype.name) == ((*reduced, 3), "float32")
    if size == (32, 1):
        means = pixels.reshape(1, 16, 2, 3).mean(axis=2)
        assert np.abs(found - means).max() <= 0.5


def test_a_surface_has_six_terms() -> None:
    """1, x, y and their products, from -1 at the left and the top to 1."""
    found = ink._quadratic(3, 5)
    assert (found.shape, found.dtype.name) == ((3, 5, 6), "float32")
    assert found[0, 0].tolist() == [1, -1, -1, 1, 1, 1]
    assert found[0, 4].tolist() == [1, 1, -1, 1, -1, 1]
    assert found[2, 1].tolist() == [1, -0.5, 1, 0.25, -0.5, 1]


def test_an_even_ground_is_found_under_ink() -> None:
    """A quadratic surface is fitted exactly, whatever a few pixels are."""
    y, x = np.mgrid[-1:1:60j, -1:1:100j]
    plane = np.stack([100 + 20 * x, 150 - 30 * y, 90 + 9 * x * x - 7 * x * y], axis=-1)
    pixels = plane.copy()
    pixels[20:40, 45:55] = 10
    found = ink._ground(pixels.astype(np.float32))
    assert (found.shape, found.dtype.name) == ((60, 100, 3), "float32")
    assert np.abs(found - plane).max() < 0.5


def test_a_ground_of_few_pixels_is_found_from_all_of_them() -> None:
    """Every other pixel would be too few for six terms."""
    y, x = np.mgrid[-1:1:4j, -1:1:4j]
    bowl = np.stack([100 + 20 * x, 90 + 30 * x * y, 80 + 9 * x * x - 7 * y * y], axis=-1)
    assert np.abs(ink._ground(bowl.astype(np.float32)) - bowl).max() < 0.01


@pytest.mark.parametrize(
    ("shape", "levels", "waves", "wanted"),
    [
        ((20, 30), 2, 0, [148.19, 150.16, 149.634, 149.845]),
        ((72, 96), 6, 2, [146.751, 154.059, 145.821, 149.72]),
        ((17, 17), 60, 2, [93.61, 151.321, 142.35, 146.471]),
    ],
    ids=["faint", "less faint", "strong"],
)
def test_the_ground_under_much_ink_is_as_recorded(
    shape: tuple[int, int], levels: int, waves: int, wanted: list[float]
) -> None:
    """With ink in the middle and at two edges, on even or wavy paper."""
    y, x = np.mgrid[0 : 1 : 1j * shape[0], 0 : 1 : 1j * shape[1]]
    page = 150 + waves * np.sin(9 * x + 5 * y)
    page[(abs(x - 0.5) < 0.3) & (abs(y - 0.45) < 0.3)] -= levels
    page[(x < 0.4) & (y < 0.15)] -= levels
    page[(x > 0.92) & (y > 0.4)] += levels / 2
    found = ink._ground(np.stack([page] * 3, axis=-1).astype(np.float32))[..., 0]
    at = [found[0, 0], found[0, -1], found[shape[0] // 2, shape[1] // 2], found[-1, shape[1] // 2]]
    np.testing.assert_allclose(at, wanted, atol=0.005)


def test_ink_is_what_departs_from_the_ground() -> None:
    """Darker or lighter: 1 within a stroke, soft at its edge, 0 on the ground."""
    pixels = np.asarray(page((40, 30, 49, 59)), np.float32)
    seen = ink.over_ground(pixels)
    assert (seen.shape, seen.dtype.name) == ((80, 100), "float32")
    at = [(45, 45), (31, 41), (30, 40), (29, 45), (28, 45), (5, 5)]
    found = [seen[place] for place in at]
    assert seen.min() == 0
    np.testing.assert_allclose(found, [1, 1, 0.978, 0.011, 0, 0], atol=0.002)
    np.testing.assert_allclose(ink.over_ground(255 - pixels), seen, atol=0.002)
    colour = pixels * np.array([1, 0, 0], np.float32) + 50
    np.testing.assert_allclose(ink.over_ground(colour)[45, 45], 1, atol=0.002)


def test_a_large_faint_glow_does_not_make_dark_ink_the_ground() -> None:
    """Ink is on the side of the strongest departures, not of the most."""
    pixels = np.asarray(page((45, 30, 49, 54)), np.float32).copy()
    pixels[15:70, 15:40] += 15
    seen = ink.over_ground(pixels)
    assert seen[40, 47] == 1
    assert seen[40, 25] == 0


def test_wavy_paper_is_no_noise() -> None:
    """Waves are smooth, so ink that is hardly stronger is found."""
    y, x = np.mgrid[0:80, 0:100]
    pixels = np.stack([150 + 8 * np.sin((x + y) / 8)] * 3, axis=-1).astype(np.float32)
    pixels[30:60, 40:44] -= 60
    assert ink.over_ground(pixels)[45, 42] > 0.9


@pytest.mark.parametrize(("level", "is_ink"), [(12, False), (13, True)])
def test_faint_ink_is_refused(level: int, *, is_ink: bool) -> None:
    """A dozen levels are none, as the ground is drawn to them a little."""
    pixels = np.full((80, 100, 3), 100, np.float32)
    pixels[30:60, 40:50, 0] += level
    if is_ink:
        assert ink.over_ground(pixels).max() == 1
        return
    words = "^nothing is drawn on it, or too faintly; give a clearer image$"
    with pytest.raises(UserError, match=words):
        ink.over_ground(pixels)


def shaded(pixels: Array, angle: float) -> Array:
    """Return pixels with the hard edge of a shadow across them."""
    y, x = np.mgrid[-1 : 1 : pixels.shape[0] * 1j, -1 : 1 : pixels.shape[1] * 1j]
    dark = np.cos(angle) * x + np.sin(angle) * y > 0.1
    return np.where(dark[..., np.newaxis], 0.45 * pixels, pixels).astype(np.float32)


@pytest.mark.parametrize("angle", [0.0, 0.4, 1.2, 2.5, 4.0])
def test_the_edge_of_a_shadow_is_no_ink(angle: float) -> None:
    """Ink on both sides of it is found, and nothing at the frame."""
    plain = np.asarray(page((45, 20, 54, 60)), np.float32)
    found = ink.over_ground(shaded(plain, angle)) > ink.THRESHOLD
    wanted = plain[..., 0] < 100
    assert (found & wanted).sum() >= 0.9 * wanted.sum()
    assert (found & ~wanted).sum() <= 0.1 * wanted.sum()
    assert ink.at_the_frame(found.astype(np.float32)) == 0


def test_gaps_between_light_strokes_are_no_ink() -> None:
    """They are no darker than the ground elsewhere."""
    pixels = np.full((100, 100, 3), 40, np.float32)
    pixels[10:90, 20:40] = pixels[10:90, 50:70] = 230
    assert ink.over_shadowed_ground(pixels) is None
    assert ink.over_shadowed_ground(np.full((100, 100, 3), 200, np.float32)) is None
