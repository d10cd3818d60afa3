import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from lenet_multi.data.class_names import (
    as_setting,
    by_value,
    few,
    given,
    matched,
    named,
    refuse_misfit,
    shortened,
    shown,
)
from lenet_multi.data.examples import Dataset, Examples
from lenet_multi.errors import UserError

PETS = ("cat", "dog", "owl")
LABELS = np.array([0, 1, 2, 2], np.uint8)


def dataset(names: tuple[str, ...] | None) -> Dataset:
    """Return a data set of four images with these names."""
    examples = Examples(np.zeros((4, 2, 2, 1), np.uint8), LABELS)
    return Dataset(examples, examples, class_names=names)


def test_names_come_from_a_list_or_a_file(tmp_path: Path) -> None:
    """A user gives names with commas between them, or a file with one on each line."""
    assert given("cat, dog ,owl") == PETS
    for content in ("cat\ndog\nowl\n", "\ufeffcat\r\ndog\r\nowl\r\n\r\n", "cat\ndog\nowl"):
        (tmp_path / "names.txt").write_bytes(content.encode())
        assert given(str(tmp_path / "names.txt")) == PETS
    (tmp_path / "commas").write_text("black, white\nred")
    assert given(str(tmp_path / "commas")) == ("black, white", "red")
    assert given("") is None


def test_a_record_has_the_names_and_no_place_of_a_file(tmp_path: Path) -> None:
    """A file may change or go: the setting has its names, and they are read from there."""
    for content, setting in (("cat\ndog\n", "cat,dog"), ("a, b\nc", "a, b\nc")):
        (tmp_path / "names.txt").write_text(content)
        assert as_setting(str(tmp_path / "names.txt")) == setting
        assert given(setting) == tuple(content.split("\n")[:2])
    assert as_setting("cat, dog") == "cat,dog"
    assert as_setting("") == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pets.txt", r"--class-names pets\.txt is no file; give one with a name on each line"),
        ("cat,,owl", "name 2 is empty; name every class"),
        ("cat,dog,cat", "'cat' is there twice; name each class differently"),
    ],
)
def test_a_list_that_names_no_classes_is_refused(text: str, message: str) -> None:
    """The error quotes the flag and says what to give."""
    with pytest.raises(UserError, match=message):
        given(text)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"cat\n\nowl", "name 2 is empty"), (b"\xff\xfe\x00", "is no text; give a file")],
)
def test_a_file_that_names_no_classes_is_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    """An empty line between names and a file that is no text are refused."""
    (tmp_path / "names").write_bytes(content)
    with pytest.raises(UserError, match=message):
        given(str(tmp_path / "names"))


def test_a_users_names_are_for_data_without() -> None:
    """Only data without names take the user's; the user may repeat the data's own names."""
    assert named(dataset(None), "cat,dog,owl", "a.npz").class_names == PETS
    assert named(dataset(PETS), "cat,dog,owl", "hf:pets").class_names == PETS
    assert named(dataset(PETS), "", "hf:pets").class_names == PETS
    for other in ("a,b,c", "dog,cat,owl"):
        with pytest.raises(UserError, match="hf:pets names its classes cat, dog, owl; drop"):
            named(dataset(PETS), other, "hf:pets")


def test_as_many_names_as_classes_are_needed() -> None:
    """Names must be as many as the model's classes; no names fit any model."""
    refuse_misfit(PETS, 3, "a", "b")
    refuse_misfit(None, 10, "a", "b")
    with pytest.raises(UserError) as refused:
        refuse_misfit([*"abcdefg"], 10, "hf:pets", "give --classes 7")
    assert str(refused.value) == (
        "hf:pets names 7 classes (a, b, c, d, e, ...), but the model has 10; give --classes 7"
    )


def test_a_name_is_shown_for_a_label() -> None:
    """A label is shown by its name, without codes for the terminal, or else by its number."""
    assert [shown(names, 1) for names in (None, [], PETS, ["a", "\x1b[2J"])] == [
        *("1", "1", "dog", "\\x1b[2J")
    ]


@drawn(st.text("abc", max_size=40), st.integers(6, 30))
def test_a_short_name_has_both_ends(name: str, most: int) -> None:
    """A name that is too long keeps its beginning and its end, and has the length asked for."""
    short = shortened(name, most)
    if len(name) <= most:
        assert short == name
    else:
        begin, end = short.split("…")
        assert len(short) == most
        assert begin
        assert name.startswith(begin)
        assert name.endswith(end)


@pytest.mark.parametrize(
    ("names", "classes", "values", "left"),
    [
        (("0", "1", "10", "11", "2"), 12, [0, 1, 10, 10], None),
        (("1", "2", "3"), 10, [1, 2, 3, 3], None),
        (("2", "0", "1"), 3, [2, 0, 1, 1], ("0", "1", "2")),
        (("1", "2", "3"), 3, [0, 1, 2, 2], ("1", "2", "3")),
        (("007", "7", "1"), 10, [0, 1, 2, 2], ("007", "7", "1")),
        (("1", "2", "x"), 10, [0, 1, 2, 2], ("1", "2", "x")),
        (("1", "2", "-3"), 10, [0, 1, 2, 2], ("1", "2", "-3")),
        (("1", "2", "\u00b2"), 10, [0, 1, 2, 2], ("1", "2", "\u00b2")),
        (None, 10, [0, 1, 2, 2], None),
    ],
    ids=[
        *("some", "from one", "all", "beyond", "zeros in front", "a letter", "a minus", "a power"),
        "none",
    ],
)
def test_integer_names_keep_their_value(
    names: tuple[str, ...] | None, classes: int, values: list[int], left: tuple[str, ...] | None
) -> None:
    """Labels become the numbers that name the classes, if all are numbers below --classes."""
    (found,), after = by_value([LABELS], names, classes)
    assert (found.tolist(), after) == (values, left)


def test_labels_beyond_the_names_are_left_to_the_reader() -> None:
    """A label below 0, or without a name, is not taken for another class."""
    for labels in ([-1, 0], [0, 3]):
        (found,), names = by_value([np.array(labels)], ("5", "6", "7"), 10)
        assert (found.tolist(), names) == (labels, ("5", "6", "7"))


@pytest.mark.parametrize(
    ("of_data", "of_model", "classes", "labels", "names", "said"),
    [
        (PETS, PETS, 3, [0, 1, 2, 2], PETS, ""),
        (("owl", "dog", "cat"), PETS, 3, [2, 1, 0, 0], PETS, "by name"),
        (("bat", "cat", "owl"), ("ant", "bat", "cat", "owl"), 4, [1, 2, 3, 3], None, "by name"),
        (PETS, None, 3, [0, 1, 2, 2], PETS, "does not name its classes"),
        (("1", "2", "3"), None, 10, [1, 2, 3, 3], None, "by name"),
        (("01", "02", "3"), ("1", "2", "3"), 3, [0, 1, 2, 2], ("1", "2", "3"), ""),
        (None, None, 10, [0, 1, 2, 2], None, ""),
        (None, PETS, 3, [0, 1, 2, 2], PETS, ""),
        (None, ("2", "1", "0"), 3, [2, 1, 0, 0], ("2", "1", "0"), "which are numbers"),
        (None, ("0", "1", "2"), 3, [0, 1, 2, 2], ("0", "1", "2"), ""),
        (None, ("5", "6", "7"), 3, [0, 1, 2, 2], ("5", "6", "7"), ""),
    ],
    ids=str,
)
def test_labels_are_matched_by_name(
    of_data: tuple[str, ...] | None,
    of_model: tuple[str, ...] | None,
    classes: int,
    labels: list[int],
    names: tuple[str, ...] | None,
    said: str,
) -> None:
    """Labels become those of the model's classes with the same names; a change is said."""
    found, known, notes = matched(LABELS, of_data, of_model, classes, "hf:pets")
    assert found.tolist() == labels
    assert found.dtype == LABELS.dtype
    assert known == (names or of_model or (tuple(map(str, range(classes))) if of_data else None))
    assert len(notes) == bool(said)
    assert said in "".join(notes)


@pytest.mark.parametrize(
    ("of_data", "of_model", "classes", "message"),
    [
        (PETS, ("cat", "dog", "cow"), 3, "a class 'owl', but the model has cat, dog, cow; give"),
        (PETS, ("cat", "dog"), 2, "has a class 'owl', but the model has cat, dog"),
        (PETS, tuple("0123456789"), 10, "has a class 'cat', but the model has 0, 1, 2, 3, 4, ..."),
        (PETS, None, 10, "names 3 classes .*, but the model has 10; give --class-names"),
        (("1", "2", "12"), None, 10, "has a class '12', but the model has 0, 1"),
        (("cat", "dog"), ("cat", "dog"), 2, "labels up to 2, but names only 2 classes; give data"),
        (("Cat", "dog", "owl"), PETS, 3, "has a class 'Cat'"),
    ],
    ids=str,
)
def test_other_classes_are_refused(
    of_data: tuple[str, ...], of_model: tuple[str, ...] | None, classes: int, message: str
) -> None:
    """Data with a class that the model lacks are refused in one line that names it."""
    with pytest.raises(UserError, match=message) as refused:
        matched(LABELS, of_data, of_model, classes, "hf:pets")
    assert "\n" not in str(refused.value)


@drawn(st.permutations([*"abcdef"]), st.permutations([*"abcdef"]))
def test_the_name_of_every_label_stays(first: list[str], second: list[str]) -> None:
    """Whatever the two orders, each matched label has the same name as before."""
    labels = np.arange(6, dtype=np.uint8)
    found, names, _ = matched(labels, tuple(first), tuple(second), 6, "data")
    assert names
    assert [names[label] for label in found] == first


def test_names_do_not_change_the_hash() -> None:
    """Data have the same hash with and without names, so older runs still know their data."""
    assert dataset(PETS).sha256() == dataset(None).sha256()


def test_a_long_list_is_refused_at_once_and_shortly(tmp_path: Path) -> None:
    """A hundred thousand names take no long search, and no message shows a long name whole."""
    names = [*map(str, range(100_000)), "x" * 10**6, "x" * 10**6]
    (tmp_path / "names").write_text("\n".join(names))
    began = time.process_time()
    with pytest.raises(UserError, match="is there twice") as caught:
        given(str(tmp_path / "names"))
    assert time.process_time() - began < 5  # seconds
    with pytest.raises(UserError, match="name 2 is empty") as typed:
        given(f"{'x' * 10**5},")
    with pytest.raises(UserError, match="names 2 classes") as misfit:
        refuse_misfit(names[-2:], 3, "a.npz", "give others")
    for error in (caught, typed, misfit):
        assert len(str(error.value)) < 1000


def test_a_refusal_of_a_users_names_is_one_whole_line(tmp_path: Path) -> None:
    """It quotes what was given; a missing name is counted from 1."""
    (tmp_path / "names").write_bytes(b"\xff\xfe\x00")
    for text, words in (
        (
            "pets.txt",
            "pets.txt is no file; give one with a name on each line, or names with commas between "
            "them",
        ),
        (",cat", ",cat: name 1 is empty; name every class"),
        ("dog,cat,dog,cat", "dog,cat,dog,cat: 'dog' is there twice; name each class differently"),
        (
            str(tmp_path / "names"),
            f"{tmp_path / 'names'} is no text; give a file with a name on each line",
        ),
    ):
        with pytest.raises(UserError) as refused:
            given(text)
        assert str(refused.value) == f"--class-names {words}"


def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error has the system's words."""
    (tmp_path / "names").touch()

    def refuse(path: Path, encoding: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(UserError) as refused:
        given(str(tmp_path / "names"))
    assert str(refused.value) == (
        f"cannot read {tmp_path / 'names'}: Permission denied; give a readable file"
    )


def test_data_with_other_names_drop_the_flag() -> None:
    """The line names the data's own classes."""
    with pytest.raises(UserError) as refused:
        named(dataset(PETS), "a,b,c", "hf:pets")
    assert str(refused.value) == "hf:pets names its classes cat, dog, owl; drop --class-names"


def test_five_names_are_shown() -> None:
    """More are cut, and codes for the terminal are written out."""
    assert few([*"abcde"]) == "a, b, c, d, e"
    assert few([*"abcdef"]) == "a, b, c, d, e, ..."
    assert few(["\x1b[2J", "b"]) == "\\x1b[2J, b"


def test_a_shortened_name_has_its_ends() -> None:
    """Its beginning is a little shorter than its end."""
    assert shortened("abcdefghijklmnop", 10) == "abc…klmnop"
    assert shortened("abcdefghij", 10) == "abcdefghij"


@pytest.mark.parametrize(
    ("names", "classes", "values"),
    [
        (("0", "9"), 10, [0, 9]),
        (("0", "10"), 10, [0, 1]),
        ((), 10, [0, 1]),
    ],
    ids=["the last class", "beyond it", "no names"],
)
def test_a_number_below_the_classes_is_a_value(
    names: tuple[str, ...], classes: int, values: list[int]
) -> None:
    """The largest number that may be one is the last class."""
    (found,), _ = by_value([np.array([0, 1])], names, classes)
    assert found.tolist() == values


def test_a_number_of_more_than_nine_figures_is_a_name() -> None:
    """A shorter one is a value, which the model must have."""
    labels = np.array([0, 1])
    with pytest.raises(UserError, match="has a class '999999999'"):
        matched(labels, ("0", "999999999"), None, 10, "hf:long")
    with pytest.raises(UserError, match="names 2 classes"):
        matched(labels, ("0", "1000000000"), None, 10, "hf:long")


def test_no_labels_are_outside_of_nothing() -> None:
    """Data without images have labels as others have."""
    (found,), names = by_value([np.array([], np.int64)], ("1", "0"), 2)
    assert (found.tolist(), names) == ([], ("0", "1"))


def test_what_was_done_with_labels_is_one_whole_line() -> None:
    """It names the source and what to do if it is wrong."""
    notes = [
        matched(LABELS, PETS, None, 3, "hf:pets")[2],
        matched(LABELS, PETS, ("owl", "dog", "cat"), 3, "hf:pets")[2],
        matched(LABELS, None, ("2", "1", "0"), 3, "hf:pets")[2],
    ]
    assert notes == [
        (
            "the model does not name its classes; they are taken for those of hf:pets in their "
            "order: cat, dog, owl; if they are others, give --class-names",
        ),
        ("the classes of hf:pets have other labels than the model's; they are matched by name",),
        ("the labels of hf:pets are taken for the model's names, which are numbers",),
    ]


def test_a_refusal_of_other_classes_is_one_whole_line() -> None:
    """It names the source, the class, those of the model, and the remedy."""
    for of_data, of_model, classes, words in (
        (
            *(PETS, ("cat", "dog"), 2),
            "has a class 'owl', but the model has cat, dog; give data of the model's classes, or "
            "--class-names for a model without names",
        ),
        (
            *(PETS, None, 10),
            "names 3 classes (cat, dog, owl), but the model has 10; give --class-names with the 10 "
            "names of the model's classes",
        ),
        (
            *(("cat", "dog"), ("cat", "dog"), 2),
            "has labels up to 2, but names only 2 classes; give data with a name for each",
        ),
    ):
        with pytest.raises(UserError) as refused:
            matched(LABELS, of_data, of_model, classes, "hf:pets")
        assert str(refused.value) == f"hf:pets {words}"
