import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from lenet_multi.data.idx_folder import read, sets_in
from lenet_multi.errors import UserError

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 3, 3), dtype=np.uint8)
LABELS = np.array([3, 1, 4, 1])


def write(path: Path, array: np.ndarray, *, packed: bool = False) -> None:
    """Write an array as IDX, of bytes or of four-byte integers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind, dtype = (8, "u1") if array.dtype == np.uint8 else (12, ">i4")
    header = struct.pack(f">HBB{array.ndim}I", 0, kind, array.ndim, *array.shape)
    content = header + array.astype(dtype).tobytes()
    path.write_bytes(gzip.compress(content) if packed else content)


STYLES = {
    "MNIST": "{t10k}-{side}-idx{axes}-ubyte",
    "dots": "{t10k}-{side}.idx{axes}-ubyte",
    "EMNIST": "emnist-letters-{test}-{side}-idx{axes}-ubyte",
    "prefix": "my_digits_{test}-{side}-idx{axes}-ubyte",
    "a folder for each": "{t10k}-{side}-idx{axes}-ubyte/{t10k}-{side}-idx{axes}-ubyte",
}


def style(name: str, part: str, side: str, axes: int) -> str:
    """Return the name of a file in a style."""
    test = "t10k" if part == "test" else part
    return STYLES[name].format(t10k=test, test=part, side=side, axes=axes)


@pytest.mark.parametrize("name", STYLES)
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("inside", ["", "raw"])
def test_a_set_is_found_by_its_usual_names(
    tmp_path: Path, name: str, packed: bool, inside: str
) -> None:
    """Each usual style of names is read, plain or gzipped, also in torchvision's folder raw."""
    for part in ("train", "test"):
        for side, array in (("images", IMAGES), ("labels", LABELS.astype(np.uint8))):
            file = style(name, part, side, array.ndim) + ".gz" * packed
            if packed:
                file = file.replace("ubyte/", "ubyte.gz/")
            write(tmp_path / inside / file, array, packed=packed)
    found = read(tmp_path, sets_in(tmp_path))
    assert set(found.parts) == {"train", "test"}
    for images, labels in found.parts.values():
        np.testing.assert_array_equal(images, IMAGES)
        np.testing.assert_array_equal(labels, LABELS)


def test_qmnists_labels_are_the_first_of_eight_numbers(tmp_path: Path) -> None:
    """QMNIST has eight integers for an image; the first is the digit, others exceed a byte."""
    eight = np.column_stack([LABELS, *np.full((7, 4), 3000)]).astype(np.int32)
    for part in ("train", "test"):
        write(tmp_path / f"qmnist-{part}-images-idx3-ubyte", IMAGES)
        write(tmp_path / f"qmnist-{part}-labels-idx2-int", eight)
    for _, labels in read(tmp_path, sets_in(tmp_path)).parts.values():
        np.testing.assert_array_equal(labels, LABELS)


def test_a_test_set_alone_is_a_set(tmp_path: Path) -> None:
    """Without training files the test set alone is read."""
    write(tmp_path / "t10k-images-idx3-ubyte", IMAGES)
    write(tmp_path / "t10k-labels-idx1-ubyte", LABELS.astype(np.uint8))
    assert set(read(tmp_path, sets_in(tmp_path)).parts) == {"test"}


@pytest.mark.parametrize(
    ("first", "lacks"),
    [
        ("t10k", "t10k-labels-idx1-ubyte nor t10k-labels-idx1-ubyte.gz"),
        ("emnist-letters-test", "emnist-letters-test-labels-idx1-ubyte nor"),
    ],
)
def test_a_missing_file_is_named(tmp_path: Path, first: str, lacks: str) -> None:
    """The error names the file that is missing, in the style of the others."""
    write(tmp_path / f"{first}-images-idx3-ubyte", IMAGES)
    with pytest.raises(UserError, match=f"holds neither {lacks}"):
        read(tmp_path, sets_in(tmp_path))


def test_several_sets_are_refused_with_their_names(tmp_path: Path) -> None:
    """The error lists what to give instead of a folder of several sets."""
    for name in ("emnist-letters", "emnist-digits"):
        write(tmp_path / f"{name}-test-images-idx3-ubyte", IMAGES)
    with pytest.raises(UserError, match=r"emnist-digits, .*emnist-letters$"):
        read(tmp_path, sets_in(tmp_path))


def test_a_missing_file_is_named_with_the_other_ending(tmp_path: Path) -> None:
    """Of a set without a name in front, the training part is called train and the test t10k."""
    for part, lacks in (("train", "train-images-idx3"), ("t10k", "t10k-images-idx3")):
        folder = tmp_path / part
        write(folder / f"{part}-labels-idx1-ubyte", LABELS.astype(np.uint8))
        with pytest.raises(UserError) as refused:
            read(folder, sets_in(folder))
        assert str(refused.value) == (
            f"{folder} holds neither {lacks}-ubyte nor {lacks}-ubyte.gz; put one of them there"
        )


def test_the_plain_file_is_taken_before_the_packed_one(tmp_path: Path) -> None:
    """A packed copy beside it is not read."""
    for part in ("train", "t10k"):
        write(tmp_path / f"{part}-images-idx3-ubyte", IMAGES)
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(b"damaged")
        write(tmp_path / f"{part}-labels-idx1-ubyte", LABELS.astype(np.uint8))
    assert set(read(tmp_path, sets_in(tmp_path)).parts) == {"train", "test"}


def test_several_sets_have_places(tmp_path: Path) -> None:
    """Each is the folder and the name in front, so that it can be given instead."""
    for name in ("b", "a"):
        write(tmp_path / f"{name}-test-images-idx3-ubyte", IMAGES)
    with pytest.raises(UserError) as refused:
        read(Path("source"), sets_in(tmp_path))
    assert str(refused.value) == (
        f"source holds several sets; give one of them: {tmp_path / 'a'}, {tmp_path / 'b'}"
    )


def test_other_files_and_folders_are_left_alone(tmp_path: Path) -> None:
    """A folder without a file of its name is none, and neither is a missing folder."""
    (tmp_path / "t10k-images-idx3-ubyte").mkdir()
    (tmp_path / "README").touch()
    assert sets_in(tmp_path) == {}
    assert sets_in(tmp_path / "missing") == {}


def test_a_folder_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error has the system's words."""

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(UserError) as refused:
        sets_in(tmp_path)
    assert str(refused.value) == (
        f"cannot read {tmp_path}: Permission denied; give a readable file"
    )
