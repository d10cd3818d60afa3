import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from lenet_multi.data import h5
from lenet_multi.errors import UserError

IMAGES = np.random.default_rng(0).random((6, 256)).astype(np.float32)
LABELS = np.arange(6) % 3


def test_groups_are_parts(tmp_path: Path) -> None:
    """USPS's usual file has groups train and test, each with data and target."""
    with h5py.File(tmp_path / "usps.h5", "w") as file:
        for part in ("train", "test"):
            file[f"{part}/data"], file[f"{part}/target"] = IMAGES, LABELS
    found = h5.read(tmp_path / "usps.h5")
    assert set(found.parts) == {"train", "test"}
    np.testing.assert_array_equal(found.parts["test"][0], IMAGES)
    np.testing.assert_array_equal(found.parts["test"][1], LABELS)


def test_names_may_be_labels(tmp_path: Path) -> None:
    """Texts of any length are labels too."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"], file["y"] = IMAGES, ["cat", "dog", "é"] * 2
    assert list(h5.read(tmp_path / "a.h5").parts["whole"][1]) == ["cat", "dog", "é"] * 2


def test_a_file_that_unpacks_to_far_more_is_refused(tmp_path: Path) -> None:
    """Arrays that only announce their size take no memory."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", (2**20, 28, 28), "u1", chunks=True)
        file["y"] = LABELS
    with pytest.raises(UserError, match="decompression bomb"):
        h5.read(tmp_path / "a.h5")


def test_another_file_is_not_read(tmp_path: Path) -> None:
    """Links, virtual arrays and external storage lead to other files: none is followed."""
    (tmp_path / "secret").write_bytes(bytes(6 * 256))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = IMAGES
    with h5py.File(tmp_path / "linked.h5", "w") as file:
        file["x"] = h5py.ExternalLink("other.h5", "x")
        file["y"] = LABELS
    with pytest.raises(UserError, match=rf"^{tmp_path}/linked\.h5 has y but not its images"):
        h5.read(tmp_path / "linked.h5")
    with h5py.File(tmp_path / "external.h5", "w") as file:
        external = [(str(tmp_path / "secret"), 0, 6 * 256)]
        file.create_dataset("x", (6, 256), "u1", external=external)
        file["y"] = LABELS
    with pytest.raises(UserError, match="in another file; save it in one file"):
        h5.read(tmp_path / "external.h5")
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        layout = h5py.VirtualLayout((6, 256), "f4")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", (6, 256))
        file.create_virtual_dataset("x", layout)
        file["y"] = LABELS
    with pytest.raises(UserError, match="in another file; save it in one file"):
        h5.read(tmp_path / "virtual.h5")


@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n" + bytes(99), b"x" * 999])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """Bytes that are no HDF5 give one line that names the file."""
    (tmp_path / "bad.h5").write_bytes(content)
    with pytest.raises(UserError, match=r"bad\.h5 is no readable HDF5 file"):
        h5.read(tmp_path / "bad.h5")
    with pytest.raises(UserError, match=r"missing\.h5"):
        h5.read(tmp_path / "missing.h5")


def test_a_refusal_is_one_whole_line(tmp_path: Path) -> None:
    """The path comes first, then the fault, and what to do."""
    path = tmp_path / "a.h5"

    def refused() -> str:
        with pytest.raises(UserError) as error:
            h5.read(path)
        return str(error.value)

    assert refused().startswith(f"cannot read {path}: ")
    assert refused().endswith("; give a readable file")
    path.write_bytes(b"x" * 999)
    assert refused() == (
        f"{path} is no readable HDF5 file: Unable to synchronously open file (file signature not "
        "found); save it again"
    )
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (6, 4), "u1", external=[(str(tmp_path / "other"), 0, 24)])
        file["y"] = LABELS
    assert refused() == f"{path} keeps /x in another file; save it in one file"
    with h5py.File(path, "w") as file:
        file["x"] = IMAGES
        file.create_dataset("y", (6,), h5py.special_dtype(ref=h5py.Reference))
    assert refused() == (
        f"{path} is no readable HDF5 file: dset.asstr() can only be used on datasets with an HDF5 "
        "string datatype; save it again"
    )
    for texts in "xy":
        with h5py.File(path, "w") as file:
            file["x"], file["y"] = IMAGES, LABELS
            del file[texts]
            file[texts] = ["cat", ""] * 3
        assert refused().startswith(f"{path} has an example without a label; ")


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package itself installs it."""
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UserError, match=r"h5py .* install it with: pip install lenet-multi$"):
        h5.read(tmp_path / "a.h5")


def test_a_group_is_no_array(tmp_path: Path) -> None:
    """Whatever its name is."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"], file["labels"] = IMAGES, LABELS
        file.create_group("y")
    np.testing.assert_array_equal(h5.read(tmp_path / "a.h5").parts["whole"][1], LABELS)


def test_the_axes_may_be_in_the_other_order(tmp_path: Path) -> None:
    """MATLAB's are, of images, of labels and of texts."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"], file["y"] = np.arange(6).reshape(2, 3), [["a", "b"]]
    images, labels = h5.read(tmp_path / "a.h5", reverse=True).parts["whole"]
    assert images.tolist() == [[0, 3], [1, 4], [2, 5]]
    assert labels.tolist() == [["a"], ["b"]]


def test_all_arrays_count_together(tmp_path: Path) -> None:
    """Two arrays that are each within bounds are a bomb together; others are not looked at."""
    for sizes, is_bomb in (((2**25, 2**25), False), ((2**25, 2**25 + 1), True)):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            for name, size in zip("xy", sizes, strict=True):
                file.create_dataset(name, (size,), "u1", chunks=True)
            file.create_dataset("other", (2**40,), "u1", chunks=True)
        if is_bomb:
            with pytest.raises(UserError, match="announces 67,108,865 bytes"):
                h5.read(tmp_path / "a.h5")
        else:
            assert "whole" in h5.read(tmp_path / "a.h5").parts
