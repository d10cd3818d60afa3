import sys
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy import io

from lenet_multi.data import bombs, mat
from lenet_multi.data.found import WHOLE
from lenet_multi.errors import UserError

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 25), dtype=np.uint8)
LABELS = np.arange(6) % 3


@pytest.mark.parametrize("options", [{}, {"do_compression": True}, {"format": "4"}])
def test_arrays_come_back(tmp_path: Path, options: dict[str, Any]) -> None:
    """Files of versions 4 to 7.2, packed or not, give their arrays; labels are a row."""
    io.savemat(tmp_path / "a.mat", {"X": IMAGES, "y": LABELS.astype(float)}, **options)
    images, labels = mat.read(tmp_path / "a.mat").parts[WHOLE]
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(labels, LABELS[np.newaxis])


def test_structures_are_parts(tmp_path: Path) -> None:
    """EMNIST's files have a structure of structures."""
    part = {"images": IMAGES, "labels": LABELS[:, np.newaxis], "writers": LABELS[:, np.newaxis]}
    content = {"dataset": {"train": part, "test": part, "mapping": np.eye(3)}}
    io.savemat(tmp_path / "emnist.mat", content, do_compression=True)
    found = mat.read(tmp_path / "emnist.mat")
    assert set(found.parts) == {"train", "test"}
    np.testing.assert_array_equal(found.parts["train"][0], IMAGES)


def test_version_7_3_is_hdf5(tmp_path: Path) -> None:
    """MATLAB's newest files are HDF5 with the axes in the other order, behind 512 bytes."""
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        file["X"], file["y"] = IMAGES.T, LABELS[:, np.newaxis]
    images, labels = mat.read(tmp_path / "a.mat").parts[WHOLE]
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(labels, LABELS[np.newaxis])


@pytest.fixture
def one_mebibyte(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let that be the most that any file may become, so that bombs are small."""
    monkeypatch.setattr(bombs, "_HARMLESS", 2**20)


@pytest.mark.usefixtures("one_mebibyte")
@pytest.mark.parametrize("inside", [False, True], ids=["an array", "in a structure"])
def test_a_file_that_unpacks_to_far_more_is_refused(tmp_path: Path, inside: bool) -> None:
    """Zeros that are packed a thousand times are refused."""
    zeros: Any = np.zeros((3, 2**20), np.uint8)
    content = {"X": {"images": zeros} if inside else zeros, "y": LABELS}
    io.savemat(tmp_path / "a.mat", content, do_compression=True)
    with pytest.raises(UserError, match="decompression bomb"):
        mat.read(tmp_path / "a.mat")


def test_objects_are_no_arrays(tmp_path: Path) -> None:
    """Cells are not read as images or labels."""
    cells = np.empty(2, object)
    cells[:] = ["a", IMAGES]
    io.savemat(tmp_path / "a.mat", {"X": cells, "y": LABELS})
    with pytest.raises(UserError, match="has y but not its images"):
        mat.read(tmp_path / "a.mat")


@pytest.mark.parametrize("content", [b"", b"MATLAB 5.0 MAT-file" + bytes(200), b"x" * 999])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """Bytes that are no .mat file give one line that names the file."""
    (tmp_path / "bad.mat").write_bytes(content)
    with pytest.raises(UserError, match=r"bad\.mat"):
        mat.read(tmp_path / "bad.mat")
    with pytest.raises(UserError, match=r"missing\.mat"):
        mat.read(tmp_path / "missing.mat")


def test_a_refusal_is_one_whole_line(tmp_path: Path) -> None:
    """The path comes first, then the reason, and the remedy last."""
    path = tmp_path / "a.mat"
    with pytest.raises(UserError) as refused:
        mat.read(path)
    assert str(refused.value) == (
        f"cannot read {path}: No such file or directory; give a readable file"
    )
    path.write_bytes(b"x" * 999)
    with pytest.raises(UserError) as refused:
        mat.read(path)
    assert str(refused.value) == (
        f"{path} is no readable .mat file: Unknown mat file type, version 120, 120; save it again"
    )
    io.savemat(path, {"a": IMAGES})
    with pytest.raises(UserError, match=f"^{path} has a; name its arrays"):
        mat.read(path)


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package itself installs it."""
    (tmp_path / "a.mat").write_bytes(b"x" * 999)
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(UserError, match=r"scipy\.io .* install it with: pip install lenet-multi$"):
        mat.read(tmp_path / "a.mat")


@pytest.mark.parametrize("order", ["<", ">"])
def test_what_is_packed_is_counted_in_either_order(tmp_path: Path, order: str) -> None:
    """The bytes of all packed variables are counted; a file of version 4 has none."""
    packed = [zlib.compress(bytes(count)) for count in (1000, 3 * 2**20)]
    header = bytes(126) + (b"IM" if order == "<" else b"MI")
    elements = [np.array([15, len(one)], f"{order}u4").tobytes() + one for one in packed]
    plain = np.array([14, 8], f"{order}u4").tobytes() + bytes(8)
    path = tmp_path / "a.mat"
    path.write_bytes(header + elements[0] + plain + elements[1] + bytes(7))
    assert mat._unpacked(path) == 1000 + 3 * 2**20
    path.write_bytes(bytes(128) + elements[0])
    assert mat._unpacked(path) == 0
    path.write_bytes(header + elements[0][:-4])  # without the checksum at its end
    assert mat._unpacked(path) == 1000


@pytest.mark.usefixtures("one_mebibyte")
def test_a_bomb_is_not_unpacked_whole(tmp_path: Path) -> None:
    """Unpacking ends at the limit, whatever the variable would become."""
    bomb = zlib.compress(bytes(9 * 2**20))
    element = np.array([15, len(bomb)], "<u4").tobytes() + bomb
    (tmp_path / "a.mat").write_bytes(bytes(126) + b"IM" + element)
    with pytest.raises(UserError, match="announces 2,097,152 bytes"):
        mat._unpacked(tmp_path / "a.mat")


@pytest.mark.usefixtures("one_mebibyte")
def test_what_is_announced_without_packing_is_counted(tmp_path: Path) -> None:
    """Eight bytes for each number; version 4 begins with kind, rows, columns and the name."""
    path = tmp_path / "a.mat"
    for rows in (2**17, 2**17 + 1):
        header = np.array([0, rows, 1, 0, 2], "<i4").tobytes() + b"X\0"
        path.write_bytes(header)
        message = "no readable .mat file" if rows == 2**17 else "announces 1,048,584 bytes"
        with pytest.raises(UserError, match=message):
            mat.read(path)


def test_arrays_of_structures_have_their_names() -> None:
    """A structure of one entry is opened; one of several, cells and MATLAB's own are left."""
    one = np.zeros((1, 1), [("b", "O")])
    one["b"][0, 0] = np.array([1, 2])
    content = {
        "__header__": np.array([1]),
        "a": one,
        "c": np.zeros(2, [("b", "O")]),
        "d": np.array([{}], object),
        "e": np.array(["text"]),
        "f": [True],
    }
    assert [name for name, _ in mat._named(content)] == ["a.b", "e", "f"]
    assert [name for name, _ in mat._named(content, "x.")] == ["x.a.b", "x.e", "x.f"]
