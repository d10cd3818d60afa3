import numpy as np
import pytest

from lenet_multi.lenet.photographs import placing


@pytest.mark.parametrize(
    ("width", "row"),
    [
        (1, [0, 0.45, 1, 0.36, 0, 0, 0]),
        (2, [0, 0.32, 1, 0.56, 0, 0, 0]),
        (3, [0, 0.07, 0.98, 0.51, 0, 0, 0]),
        (4, [0, 0.07, 0.95, 0.95, 0.07, 0, 0]),
        (8, [0, 0.07, 0.93, 1, 1, 0.93, 0.07]),
    ],
)
def test_a_bar_is_fitted_with_its_width(width: int, row: list[float]) -> None:
    """At half the size a bar of 1 or 2 pixels would be thinner than MNIST's; it is widened."""
    digit = np.zeros((40, 30), np.float32)
    digit[:, 10 : 10 + width] = 1
    found = placing._fit(digit, 20)
    assert found.shape == (20, 15)
    np.testing.assert_allclose(found[10, 3:10], row, atol=0.01)


def test_half_ink_is_no_part_of_a_strokes_width() -> None:
    """A thin stroke with a shade of half its ink is widened as without the shade."""
    digit = np.zeros((80, 60), np.float32)
    digit[:, 28:32] = 1
    shaded = digit.copy()
    shaded[:, 32:40] = 0.5
    np.testing.assert_array_equal(placing._fit(shaded, 20), placing._fit(digit, 20))


def test_a_digit_is_scaled_to_its_longer_side() -> None:
    """Both sides by the same, none to nothing; what the filter overshoots is cut."""
    digit = np.zeros((10, 20), np.float32)
    digit[:, 10:] = 1
    found = placing._scaled(digit, 40)
    assert (found.shape, found.dtype.name) == ((20, 40), "float32")
    assert (found.min(), found.max()) == (0, 1)
    assert placing._scaled(np.ones((1, 40), np.float32), 4).shape == (1, 4)
    assert placing._scaled(np.ones((4, 3), np.float32), 4).shape == (4, 3)


@pytest.mark.parametrize(
    ("rows", "columns"), [((0, 3), (0, 1)), ((0, 2), (0, 1)), ((4, 6), (0, 1)), ((1, 5), (0, 2))]
)
def test_the_centre_of_mass_is_in_the_middle(
    rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    """As far as the digit has room on both sides."""
    digit = np.zeros((6, 2), np.float32)
    digit[slice(*rows), slice(*columns)] = 0.5
    found = placing._centred(digit, 8)
    assert (found.shape, found.dtype.name) == ((8, 8), "uint8")
    at = np.argwhere(found)
    assert set(found.ravel().tolist()) == {0, 128}
    first, size = at.min(axis=0), at.max(axis=0) - at.min(axis=0) + 1
    middle = [sum(ends) / 2 - 0.5 for ends in (rows, columns)]
    before = [
        int(np.clip(round(4 - centre), 0, 8 - length))
        for centre, length in zip(middle, digit.shape, strict=True)
    ]
    assert (first - before).tolist() == [rows[0], columns[0]]
    assert size.tolist() == [rows[1] - rows[0], columns[1] - columns[0]]
