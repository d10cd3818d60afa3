import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lenet_multi.data.converted import _refuse_two_scales, _scale, converted
from lenet_multi.data.found import Found
from lenet_multi.errors import UserError

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (6, 5, 5), dtype=np.uint8)
COLOUR = RANDOM.integers(0, 256, (6, 5, 5, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def convert(x: Any, y: Any = LABELS, *, classes: int = 10) -> tuple[Any, Any, Found]:
    """Return images and labels as converted, and all that was found."""
    found = converted(Found({"train": (x, y)}), "some data", classes=classes)
    return *found.parts["train"], found


@given(
    images=hnp.arrays(np.uint8, (6, 4, 4)),
    dtype=st.sampled_from(["f2", "f4", "f8"]),
)
def test_bytes_come_back_from_floats(images: np.ndarray, dtype: str) -> None:
    """Bytes divided by 255 in any precision become the same bytes again."""
    images[0, 0, 0] = 255
    x, _, found = convert(images.astype(dtype) / np.dtype(dtype).type(255))
    np.testing.assert_array_equal(x[..., 0], images)
    assert "floats in [0, 1]" in found.notes[0]


def test_floats_of_both_signs_come_back() -> None:
    """Floats in [-1, 1] become bytes, and a note says so."""
    x, _, found = convert(IMAGES / np.float32(127.5) - 1)
    np.testing.assert_array_equal(x[..., 0], IMAGES)
    assert "floats in [-1, 1]" in found.notes[0]


@pytest.mark.parametrize(
    ("given", "note"),
    [
        (IMAGES, None),
        (IMAGES[..., np.newaxis], None),
        (IMAGES.astype(np.int64), None),
        (IMAGES.astype(np.float64), None),
        (IMAGES.reshape(6, 25), "rows of 25 pixels are taken for images of 5x5"),
        (IMAGES[:, np.newaxis], "images have their channels first"),
        (np.moveaxis(IMAGES, 0, -1), "the last axis of the images counts them"),
        (IMAGES.astype(np.float32) + 0.2 * (IMAGES > 0) * (IMAGES < 255), "were rounded to bytes"),
    ],
    ids=["plain", "channel", "int64", "float64", "rows", "channels first", "MATLAB", "fractions"],
)
def test_images_of_any_layout_are_one(given: np.ndarray, note: str | None) -> None:
    """Images in any layout or dtype become the plain ones, and a note says what changed them."""
    x, y, found = convert(given)
    np.testing.assert_array_equal(x, IMAGES[..., np.newaxis])
    assert x.dtype == np.uint8
    np.testing.assert_array_equal(y, LABELS)
    assert len(found.notes) == (note is not None)
    assert note is None or note in found.notes[0]


@pytest.mark.parametrize("given", [COLOUR, COLOUR.transpose(0, 3, 1, 2), COLOUR / 255])
def test_coloured_images_of_any_layout_are_one(given: np.ndarray) -> None:
    """Channels first, or floats, make the same coloured images."""
    np.testing.assert_array_equal(convert(given)[0], COLOUR)


def test_zeros_and_ones_are_black_and_white() -> None:
    """Images of 0 and 1 of any dtype become 0 and 255, and a note says so."""
    for dtype in (bool, np.uint8, np.int32, np.float32):
        x, _, found = convert((IMAGES > 99).astype(dtype))
        np.testing.assert_array_equal(x[..., 0], (IMAGES > 99) * np.uint8(255))
        assert "multiplied by 255" in found.notes[0]


def test_both_halves_have_one_scale() -> None:
    """A dark test set keeps the scale of the training set."""
    dark = np.minimum(IMAGES, 1)
    found = converted(Found({"train": (IMAGES, LABELS), "test": (dark, LABELS)}), "some", classes=3)
    np.testing.assert_array_equal(found.parts["test"][0][..., 0], dark)


@pytest.mark.parametrize(
    ("training", "test", "message"),
    [
        (
            IMAGES / 255,
            IMAGES,
            "training pixels run from 0 to 0.9.*, but test pixels .* to 249; give",
        ),
        (
            IMAGES,
            IMAGES / 255,
            "test pixels run from .* to 0.9.*, but training pixels .* to 249; give",
        ),
        (IMAGES / 255, IMAGES / 127.5 - 1, "training pixels run .*, but test pixels run from -1 "),
    ],
)
def test_parts_of_two_scales_are_refused(
    training: np.ndarray, test: np.ndarray, message: str
) -> None:
    """Who divides one part by 255 and forgets the other gets no black images for the first."""
    found = Found({"train": (training, LABELS), "test": (test, LABELS)})
    with pytest.raises(UserError, match=f"^some data: {message}"):
        converted(found, "some data", classes=10)


def test_floats_divided_twice_are_asked_about() -> None:
    """Pixels that end far below 1 stay dark, and a note says how bright the brightest is."""
    _, _, found = convert(IMAGES / 255 / 255)
    assert "the brightest pixel is 0.976471 of 255" in found.notes[0]


def test_images_of_few_levels_are_asked_about() -> None:
    """Pixels from 0 to 16, as in scikit-learn's digits, stay, and a note asks about them."""
    x, _, found = convert(IMAGES.astype(np.float64) // 16)
    np.testing.assert_array_equal(x[..., 0], IMAGES // 16)
    assert "the brightest pixel is 15 of 255" in found.notes[0]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (LABELS[:, np.newaxis], None),
        (LABELS[np.newaxis], None),
        (LABELS.astype(np.float64), None),
        (LABELS.astype(np.uint8), None),
        (np.eye(3)[LABELS], None),
        (np.eye(3, dtype=bool)[LABELS], None),
        (np.eye(3, dtype=np.int32)[LABELS].T, None),
        (np.array(["0", "1", "2"])[LABELS], None),
        (np.array([b"a", b"b", b"c"])[LABELS], ("a", "b", "c")),
        (np.array(["cat", "dog", "fish"])[LABELS], ("cat", "dog", "fish")),
    ],
    ids=[
        *("column", "row", "floats", "bytes", "one-hot", "booleans", "one-hot columns"),
        *("digits", "byte strings", "names"),
    ],
)
def test_labels_of_any_layout_are_one(given: np.ndarray, names: tuple[str, ...] | None) -> None:
    """Columns, whole floats, one-hot rows and names become integers."""
    _, y, found = convert(IMAGES, given)
    np.testing.assert_array_equal(y, LABELS)
    assert y.ndim == 1
    assert found.class_names == names
    assert ("one-hot" in str(found.notes)) == (given.ndim == 2 and min(given.shape) == 3)


@pytest.mark.parametrize(
    ("names", "classes", "labels", "class_names"),
    [
        (("0", "10", "2"), 11, [0, 10, 2], None),
        (("1", "9", "3"), 10, [1, 9, 3], None),
        (("10", "9", "30"), 3, [1, 0, 2], ("9", "10", "30")),
        (("01", "02", "10"), 100, [1, 2, 10], None),
        (("b", "10", "9"), 10, [2, 1, 0], ("9", "10", "b")),
    ],
    ids=["by value", "as they are", "by rank", "with zeros", "mixed"],
)
def test_numbers_as_names_keep_their_value(
    names: tuple[str, ...], classes: int, labels: list[int], class_names: tuple[str, ...] | None
) -> None:
    """Integer names are the labels if all are below the classes; else they are counted by value."""
    _, y, found = convert(IMAGES, np.array(names)[LABELS], classes=classes)
    np.testing.assert_array_equal(y, np.array(labels)[LABELS])
    assert found.class_names == class_names


@pytest.mark.parametrize(
    ("names", "labels", "kept"),
    [
        (("2", "0", "1"), [2, 0, 1], ("0", "1", "2")),
        (("dog", "cat", "fish"), [0, 1, 2], ("dog", "cat", "fish")),
        (("0", "1", "7"), [0, 1, 2], ("0", "1", "7")),
    ],
)
def test_names_beside_integer_labels_are_kept(
    names: tuple[str, ...], labels: list[int], kept: tuple[str, ...]
) -> None:
    """Names beside integer labels keep the order of the source, unless they are the labels."""
    given = Found({"train": (IMAGES, LABELS)}, class_names=names)
    found = converted(given, "some", classes=3)
    np.testing.assert_array_equal(found.parts["train"][1], np.array(labels)[LABELS])
    assert found.class_names == kept


def test_all_parts_share_their_names() -> None:
    """A class that one part lacks does not shift the labels of that part."""
    few = np.array(["fish", "fish", "dog", "dog", "fish", "dog"])
    all_three = np.array(["cat", "dog", "fish"])[LABELS]
    found = converted(
        Found({"train": (IMAGES, all_three), "test": (IMAGES, few)}), "some", classes=9
    )
    assert list(found.parts["test"][1]) == [2, 2, 1, 1, 2, 1]


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (IMAGES.reshape(6, 5, 5, 1, 1), LABELS, "not the shape 6x5x5x1x1"),
        (IMAGES[:, 0], LABELS, "not the shape 6x5"),
        (IMAGES.reshape(-1), LABELS, "not the shape 150"),
        (np.full((6, 5, 5), 510.0), LABELS, "pixels run from 510 to 510; give them from 0 to 255"),
        (IMAGES - 128.0, LABELS, "pixels run from -128 to"),
        (IMAGES / 255 - 0.5, LABELS, r"pixels run from -0\.5 to .*; give them from 0 to 255"),
        (IMAGES / 255 - 0.13, LABELS, r"pixels run from -0\.13 to .*; give them from 0 to 255"),
        (np.full((6, 5, 5), np.nan), LABELS, "must be finite"),
        (IMAGES.astype(np.uint16) * 257, LABELS, "pixels run from"),
        (IMAGES.astype(complex), LABELS, "must be numbers from 0 to 255, not complex128"),
        (IMAGES.astype(str), LABELS, "must be numbers"),
        (IMAGES, LABELS + 0.5, "labels must be integers .* not float64 of the shape 6"),
        (IMAGES, np.full(6, np.inf), "labels must be integers"),
        (IMAGES, np.ones((6, 3)), "labels must be integers .* not float64 of the shape 6x3"),
        (IMAGES, np.int64(3), "labels must be integers"),
        (IMAGES, LABELS[:5], "6 images but 5 labels"),
        (IMAGES[:0], LABELS[:0], "there are no images"),
    ],
)
def test_what_is_no_image_or_label_is_refused(x: np.ndarray, y: np.ndarray, message: str) -> None:
    """The error names the given shape or values, not those of a converted array."""
    with pytest.raises(UserError, match=message) as caught:
        convert(x, y)
    assert "some data" in str(caught.value)


def test_nothing_stays_nothing() -> None:
    """Data without any labelled part, as Kaggle's test.csv alone, are left to the caller."""
    found = Found({}, ("a note",))
    assert converted(found, "test.csv", classes=10) == found


def test_half_precision_gives_no_warning() -> None:
    """Labels and pixels may be float16, whose largest number is 65504."""
    labels = np.array([0, 1], np.float16)
    pixels = np.full((2, 4, 4), 200, np.float16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = converted(Found({"train": (pixels, labels)}), "a.npz", classes=10)
    assert found.parts["train"][0].max() == 200


ONE_HOT = np.eye(3)[LABELS]
TO_255 = "they were multiplied by 255 and kept as bytes"


def test_all_that_was_done_is_said_once_and_in_order() -> None:
    """What the reader said comes first; parts that were changed alike are one line."""
    pair = IMAGES.reshape(6, 25) / 255, ONE_HOT
    given = Found({"train": pair, "test": pair}, ("before",))
    assert converted(given, "some", classes=3).notes == (
        "before",
        "rows of 25 pixels are taken for images of 5x5",
        "one-hot labels of 3 classes were turned into integers",
        f"pixels are floats in [0, 1]; {TO_255}",
    )


@pytest.mark.parametrize(
    ("x", "note"),
    [
        (np.moveaxis(IMAGES, 0, -1), "the last axis of the images counts them; it was put first"),
        (IMAGES[:, np.newaxis], "images have their channels first; they were put last"),
        (IMAGES > 99, f"pixels are of 0 and 1; {TO_255}"),
        (
            IMAGES / np.float32(127.5) - 1,
            "pixels are floats in [-1, 1]; they were brought to 0 to 255 and kept as bytes",
        ),
        (IMAGES * 0.99, "pixels are floats from 0 to 255; they were rounded to bytes"),
        (
            IMAGES // 16,
            "the brightest pixel is 15 of 255; if that is white, divide the pixels by it",
        ),
    ],
)
def test_a_note_is_one_whole_line(x: np.ndarray, note: str) -> None:
    """It says what the images were and what became of them."""
    assert convert(x)[2].notes == (note,)


@pytest.mark.parametrize(
    "y", [LABELS, LABELS[:, np.newaxis], LABELS[np.newaxis], ONE_HOT, np.eye(2)[LABELS % 2]]
)
def test_labels_of_any_layout_count_the_images_of_matlab(y: np.ndarray) -> None:
    """The axis that has as many entries as there are labels counts the images, of rows too."""
    for images in (np.moveaxis(IMAGES, 0, -1), IMAGES.reshape(6, 25).T):
        np.testing.assert_array_equal(convert(images, y)[0], IMAGES[..., np.newaxis])


def test_a_row_of_four_pixels_is_the_smallest_image() -> None:
    """One pixel is no image, and three are no square."""
    np.testing.assert_array_equal(
        convert(IMAGES.reshape(6, 25)[:, :4])[0], IMAGES.reshape(6, 25)[:, :4].reshape(6, 2, 2, 1)
    )
    for pixels in (1, 3):
        with pytest.raises(UserError, match=f"not the shape 6x{pixels}$"):
            convert(IMAGES.reshape(6, 25)[:, :pixels])


@pytest.mark.parametrize(
    ("part", "name"), [("train", "training"), ("test", "test"), ("validation", "validation")]
)
def test_a_refusal_names_the_part(part: str, name: str) -> None:
    """It is one whole line: what is needed, and what is there."""
    one: Any = np.uint8(5)
    for pair, words in (
        (
            (one, LABELS),
            "images must have 3 or 4 axes, or rows of as many pixels as a square has, not the "
            "shape of one number",
        ),
        (
            (IMAGES, one),
            "labels must be integers of 1 axis, names, or one-hot rows, not uint8 of the shape of "
            "one number",
        ),
        ((IMAGES, LABELS[:5]), "6 images but 5 labels; give as many of both"),
        ((IMAGES[:0], LABELS[:0]), "there are no images, or they have no pixels; give others"),
    ):
        with pytest.raises(UserError) as refused:
            converted(Found({part: pair}), "some", classes=3)
        assert str(refused.value) == f"some ({name}): {words}"


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.where(IMAGES > 9, 5.0, np.inf), "pixels must be finite numbers, but some are not"),
        (np.where(IMAGES > 9, 99.0, -156.0), "pixels run from -156 to 99"),
        (np.where(IMAGES > 9, 0.5, -1.5), "pixels run from -1.5 to 0.5"),
        (np.where(IMAGES > 9, 1.5, -1.0), "pixels run from -1 to 1.5"),
        (np.where(IMAGES > 9, 1, -1), "pixels run from -1 to 1"),
        (np.where(IMAGES > 9, 256, 0), "pixels run from 0 to 256"),
    ],
)
def test_pixels_of_no_known_range_are_refused(x: np.ndarray, words: str) -> None:
    """The error has both ends, and the ranges that are known."""
    remedy = "; give them from 0 to 255, or in [0, 1]" if "run" in words else ""
    with pytest.raises(UserError) as refused:
        convert(x)
    assert str(refused.value) == f"some data: {words}{remedy}"


def test_arrays_of_two_odd_kinds_are_named() -> None:
    """Each dtype is named once."""
    odd = {"train": (IMAGES.astype(complex), LABELS), "test": (IMAGES.astype("U3"), LABELS)}
    with pytest.raises(UserError) as refused:
        converted(Found(odd), "some", classes=3)
    assert str(refused.value) == (
        "some: images must be numbers from 0 to 255, not complex128 and <U3"
    )


def ranged(low: float, high: float, dtype: str = "f4") -> np.ndarray:
    """Return images whose pixels are the two ends and what lies between."""
    return np.linspace(low, high, 150).reshape(6, 5, 5).astype(dtype)


@pytest.mark.parametrize(
    ("x", "ends"),
    [
        (ranged(0, 1), [0, 255]),
        (ranged(0, 2), [0, 2]),
        (ranged(-1, 1), [0, 255]),
        (ranged(0, 255), [0, 255]),
        (ranged(0, 255, "i8"), [0, 255]),
        (ranged(0.5, 1), [128, 255]),
    ],
)
def test_the_ends_of_a_range_belong_to_it(x: np.ndarray, ends: list[int]) -> None:
    """Black and white are as in the other ranges."""
    found = convert(x)[0].ravel()
    assert [found[0], found[-1]] == ends


@pytest.mark.parametrize("place", [0, -1])
@pytest.mark.parametrize(("brightest", "asks"), [(16, True), (17, False)])
def test_images_are_dark_to_four_bits(brightest: int, asks: bool, place: int) -> None:
    """The note is for images of which no pixel is brighter, of all of them."""
    dark = np.tile(IMAGES // 16, (30, 1, 1))
    dark[place, -1, -1] = brightest
    notes = convert(dark, np.tile(LABELS, 30))[2].notes
    assert bool(notes) is asks
    if asks:
        assert notes[0].startswith("the brightest pixel is 16 of 255")


def test_bytes_are_not_copied() -> None:
    """Neither bright nor dark ones."""
    for images in (IMAGES, IMAGES // 16):
        assert np.shares_memory(convert(images)[0], images)


def test_labels_may_be_true_or_false() -> None:
    """They are 1 and 0; texts in another code have a sign for what cannot be read."""
    assert convert(IMAGES, LABELS == 1)[1].tolist() == [0, 1, 0, 0, 1, 0]
    names = np.array([b"\xff", b"a", b"b"])[LABELS]
    assert convert(IMAGES, names)[2].class_names == ("a", "b", "\ufffd")


def test_floats_beyond_whole_numbers_are_no_labels() -> None:
    """From 2**53 on, floats cannot tell neighbours apart."""
    assert convert(IMAGES, np.full(6, 2.0**53 - 1))[1].tolist() == [2**53 - 1] * 6
    with pytest.raises(UserError, match="labels must be integers"):
        convert(IMAGES, np.full(6, 2.0**53))


def test_a_long_number_is_a_name() -> None:
    """Of ten figures and more; shorter ones are sorted by value, before all names."""
    names = np.array(["7", "0000000005", "8"])[LABELS]
    assert convert(IMAGES, names)[2].class_names == ("7", "8", "0000000005")
    names = np.array(["70", "000000005", "8"])[LABELS]
    assert convert(IMAGES, names)[2].class_names == ("000000005", "8", "70")


def test_many_images_are_scaled_piece_by_piece() -> None:
    """Each piece lands in its place, also the last one, which is smaller."""
    large = np.linspace(0, 1, 3 * 1600 * 1600, dtype=np.float32).reshape(3, 1600, 1600)
    found = convert(large, LABELS[:3])[0]
    np.testing.assert_array_equal(found[..., 0], np.rint(large * np.float64(255)).astype(np.uint8))


@pytest.mark.filterwarnings("error")
def test_odd_floats_raise_no_warning() -> None:
    """Halves cannot hold the largest whole number, and a signalling NaN is none."""
    halves = (IMAGES // 2 * 2).astype(np.float16)
    np.testing.assert_array_equal(convert(halves, LABELS.astype(np.float16))[0][..., 0], halves)
    signalling = np.array([0x7F800001] * 6, np.uint32).view(np.float32)
    with pytest.raises(UserError, match="labels must be integers"):
        convert(IMAGES, signalling)


def scaled_or_refused(*arrays: Any, dtype: Any = np.float32) -> str:
    """Return what is said of the scale of training and test pixels, or the error."""
    parts = zip(("train", "test"), (np.array(one, dtype) for one in arrays), strict=False)
    images = dict(parts)
    try:
        _refuse_two_scales(images, "a.npz")
        values = list(images.values())
        ends = min(float(one.min()) for one in values), max(float(one.max()) for one in values)
        return _scale(values, *ends, "a.npz")[2]
    except UserError as error:
        return str(error)


def test_scales_differ_where_an_end_does() -> None:
    """Parts are refused if one ends at 1 and another beyond, or begins at 0 and another below."""
    refused = "give both on one scale"
    for train, test, is_refused in (
        ([0, 1], [0, 1.5], True),  # a part may end at 1 itself
        ([0, 0.5], [0, 2], True),
        ([0, 0], [0, 200], False),  # nothing but zeros tells nothing
        ([0, 0], [-1, 1], False),
        ([-1, 1], [0, 1], True),
        ([-1, 1], [0.2, 0.2], False),  # a single value tells no range
    ):
        said = scaled_or_refused(train, test)
        assert said.endswith(refused) is is_refused, said
    said = scaled_or_refused([0, 1], [0, 2])
    assert said == (
        "a.npz: training pixels run from 0 to 1, but test pixels run from 0 to 2; "
        "give both on one scale"
    )


def test_floats_near_both_ends_run_from_minus_one() -> None:
    """Floats reach from -0.9 to 0.9 at least, and from -1 to 1 at most, or they are refused."""
    whole = "pixels are floats in [-1, 1]; they were brought to 0 to 255 and kept as bytes"
    for low, high, is_read in (
        (-1, 1, True),
        (-0.9, 0.95, True),
        (-0.95, 0.9, True),
        (-1.5, 1, False),
        (-0.8, 1, False),
        (-1, 0.8, False),
    ):
        assert (scaled_or_refused([low, high], dtype=np.float64) == whole) is is_read


def test_dark_floats_are_told() -> None:
    """Floats whose brightest pixel is 16 of 255 or less are read, and a note asks about them."""
    kept = "pixels are floats in [0, 1]; they were multiplied by 255 and kept as bytes"
    dark = "; the brightest pixel is 16 of 255; if that is white, divide the pixels by it"
    assert scaled_or_refused([0, 16 / 255], dtype=np.float64) == kept + dark
    assert scaled_or_refused([0, 17 / 255], dtype=np.float64) == kept
