from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy import io

from lenet_multi.data import mat
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


@pytest.mark.parametrize("inside", [False, True], ids=["an array", "in a structure"])
def test_a_file_that_unpacks_to_far_more_is_refused(tmp_path: Path, inside: bool) -> None:
    """Zeros that are packed a thousand times are refused."""
    zeros: Any = np.zeros((90, 2**20), np.uint8)
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
