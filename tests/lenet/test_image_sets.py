import gzip
import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lenet_multi.data.examples import Dataset
from lenet_multi.errors import UserError
from lenet_multi.lenet.image_sets import PACKAGED_MNIST, load

# Hashes of the unpacked original files, as published with them.
ORIGINAL_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


@pytest.mark.parametrize("name", ORIGINAL_SHA256)
def test_packaged_bytes_are_the_originals(name: str) -> None:
    """Each packaged file unpacks to the bytes that its authors published."""
    content = gzip.decompress((PACKAGED_MNIST / f"{name}.gz").read_bytes())
    assert hashlib.sha256(content).hexdigest() == ORIGINAL_SHA256[name]


def test_loaded_arrays_are_the_originals_bytes(mnist: Dataset) -> None:
    """After their headers (16 or 8 bytes), the original files hold the arrays that load returns."""
    arrays = [mnist.train.x, mnist.train.y, mnist.test.x, mnist.test.y]
    for name, array in zip(ORIGINAL_SHA256, arrays, strict=True):
        content = gzip.decompress((PACKAGED_MNIST / f"{name}.gz").read_bytes())
        assert content[16 if "images" in name else 8 :] == array.tobytes()


def test_mnist_has_its_counts_and_shapes(mnist: Dataset) -> None:
    """MNIST has 60,000 training and 10,000 test images of 28x28x1 bytes, and ten classes."""
    assert mnist.train.x.shape == (60_000, 28, 28, 1)
    assert mnist.test.x.shape == (10_000, 28, 28, 1)
    assert mnist.train.x.dtype == mnist.train.y.dtype == np.uint8
    assert set(mnist.test.y) == set(range(10))


def test_mnist_loads_fast() -> None:
    """Decoding takes under 0.5 s, best of five (measured 0.19 s on a quiet machine)."""
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        load()
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 0.5


def test_a_folder_of_idx_files_loads_plain_or_packed(tmp_path: Path, mnist: Dataset) -> None:
    """The original files in a folder, two of them unpacked, give the packaged MNIST."""
    for index, name in enumerate(ORIGINAL_SHA256):
        packed = (PACKAGED_MNIST / f"{name}.gz").read_bytes()
        if index % 2:
            (tmp_path / f"{name}.gz").write_bytes(packed)
        else:
            (tmp_path / name).write_bytes(gzip.decompress(packed))
    assert load(str(tmp_path)).sha256() == mnist.sha256()


def test_an_npz_loads(small_npz: Path, small: Dataset) -> None:
    """An .npz in the layout of Keras's mnist.npz gives its arrays."""
    assert load(str(small_npz)).sha256() == small.sha256()


def arrays(**changes: Any) -> dict[str, Any]:
    """Return the four arrays of a good tiny .npz, with changes."""
    good = {
        "x_train": np.zeros((4, 28, 28), np.uint8),
        "y_train": np.arange(4),
        "x_test": np.zeros((2, 28, 28), np.uint8),
        "y_test": np.arange(2),
    }
    return {**good, **changes}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_train": np.array([0, 1, 2, 10])}, "labels run from 0 to 10"),
        ({"y_test": np.array([-1, 0])}, "labels run from -1 to 0"),
        ({"y_train": np.arange(3)}, "4 images but 3 labels"),
        ({"y_train": np.zeros(4)}, "labels must be integers"),
        ({"x_train": np.zeros((4, 28, 28))}, "images must be uint8"),
        ({"x_train": np.zeros((4, 784), np.uint8)}, "3 or 4 axes"),
        ({"x_test": np.zeros((2, 27, 28), np.uint8)}, "differ in shape"),
        ({"x_test": np.zeros((0, 28, 28), np.uint8), "y_test": np.arange(0)}, "no images"),
        ({"x_test": np.zeros((2, 28, 28, 0), np.uint8)}, "no pixels"),
        ({"x_test": np.array([{}, {}], dtype=object)}, "no .npz of plain arrays"),
    ],
)
def test_bad_arrays_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """The error names the fault of the data; pickled objects are never loaded."""
    path = tmp_path / "bad.npz"
    np.savez(path, **arrays(**changes))
    with pytest.raises(UserError, match=message):
        load(str(path))


def test_labels_in_a_column_load(tmp_path: Path) -> None:
    """Labels of shape (N, 1), as in CIFAR, equal labels of shape (N,)."""
    np.savez(tmp_path / "flat.npz", **arrays())
    np.savez(tmp_path / "column.npz", **arrays(y_train=np.arange(4)[:, np.newaxis]))
    flat, column = (load(str(tmp_path / name)) for name in ("flat.npz", "column.npz"))
    assert column.sha256() == flat.sha256()


def test_an_npz_that_lacks_an_array_is_refused(tmp_path: Path) -> None:
    """The error lists the required arrays."""
    np.savez(tmp_path / "half.npz", x_train=np.zeros((4, 28, 28), np.uint8))
    with pytest.raises(UserError, match="; give x_train, y_train, x_test, y_test"):
        load(str(tmp_path / "half.npz"))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"\x93NUMPY"])
def test_a_damaged_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    """Bytes that are not an archive give one clear error."""
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"bad\.npz"):
        load(str(tmp_path / "bad.npz"))


def test_missing_data_is_refused_by_name(tmp_path: Path) -> None:
    """A missing path, and a folder without a required file, are named."""
    with pytest.raises(UserError, match="nowhere"):
        load("nowhere")
    with pytest.raises(UserError, match="train-images-idx3-ubyte"):
        load(str(tmp_path))
    with pytest.raises(UserError, match=r"nowhere\.npz"):
        load("nowhere.npz")
