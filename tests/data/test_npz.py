import contextlib
import io
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lenet_multi.data import npz
from lenet_multi.data.npz import read_npz, read_side
from lenet_multi.errors import UserError
from tests.fuzz.kinds.npz import ARRAYS, headed


def test_arrays_come_back_in_the_order_asked(tmp_path: Path) -> None:
    """Arrays come in the requested order, each under its own name."""
    np.savez(tmp_path / "a.npz", x=np.arange(3), y=np.ones(2, np.float32))
    y, x = read_npz(tmp_path / "a.npz", ("y", "x"))
    np.testing.assert_array_equal(x, np.arange(3))
    assert y.dtype == np.float32


def test_a_single_array_is_no_archive(tmp_path: Path) -> None:
    """A renamed .npy is refused with one line."""
    np.save(tmp_path / "a.npy", np.arange(3))
    (tmp_path / "a.npy").rename(tmp_path / "a.npz")
    with pytest.raises(UserError, match=r"a\.npz is no \.npz"):
        read_npz(tmp_path / "a.npz", ("x",))


def test_a_member_that_is_no_array_is_refused(tmp_path: Path) -> None:
    """A member that is not an array is refused, even under a wanted name."""
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", "not an array")
    with pytest.raises(UserError, match=r"a\.npz"):
        read_npz(tmp_path / "a.npz", ("x",))


@settings(max_examples=300)
@given(position=st.integers(0, 10_000), byte=st.integers(1, 255))
def test_a_damaged_byte_is_no_traceback(
    position: int, byte: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """If any byte of a compressed archive changes, reading succeeds or raises `UserError`."""
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    np.savez_compressed(path, x=np.arange(64), y=np.zeros(8, np.uint8))
    content = bytearray(path.read_bytes())
    content[position % len(content)] ^= byte
    path.write_bytes(content)
    with contextlib.suppress(UserError):
        read_npz(path, ("x", "y"))


HUGE = "{'descr': '|u1', 'fortran_order': False, 'shape': (2147483648, 28, 28)}\n"


def zipped(member: bytes, way: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return an archive with this member as x."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", way) as archive:
        archive.writestr("x.npy", member)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zipped(headed(HUGE, b"x" * 900)), "another size than its header announces"),
        (zipped(headed(HUGE.replace("2147483648", "-1"), b"x" * 900)), "another size"),
        (zipped(headed(HUGE, b""), zipfile.ZIP_STORED), "another size"),
        (zipped(headed(HUGE.replace("2147483648, 28", f"0, {2**70}"), b"")), "too large"),
        (zipped(bytes(70 * 2**20)), "decompression bomb"),
        (zipped(headed("{" * 50, b"")), "no .npz of plain arrays: .+"),
        (zipped(headed("[" * 1000, b"")), "no .npz of plain arrays: .+"),
        (zipped(headed(HUGE, b"", version=3)), r"format \(3, 0\)"),
        (zipped(headed(HUGE.replace("|u1", "|O"), b"")), "Object arrays cannot be loaded"),
        (
            zipped(b"x" * 99, zipfile.ZIP_LZMA).replace(b"\x5d", b"\xff"),
            "in an unusual way; pack it with deflate",
        ),
    ],
    ids=[
        "2^31 images in 1 KB",
        "fewer than none",
        "2^31 images and nothing",
        "no images of 2^70 rows",
        "bomb",
        "unfinished header",
        "deep header",
        "of a later format",
        "objects",
        "LZMA, whose dictionary may take 4 GiB",
    ],
)
def test_what_fuzzing_found_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """Each hostile archive that fuzzing found is refused with one line, before memory is taken."""
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=message) as found:
            read_npz(path, ("x",))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert str(path) in str(found.value)
    assert peak < 4 * 2**20  # bytes


def test_another_member_does_not_stand_in(tmp_path: Path) -> None:
    """The array x is read from x.npy, though NumPy would prefer an unchecked file named x."""
    buffer = io.BytesIO()
    np.save(buffer, np.arange(3))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", buffer.getvalue())
        archive.writestr("x", headed(HUGE, b""))
    (x,) = read_npz(tmp_path / "a.npz", ("x",))
    np.testing.assert_array_equal(x, np.arange(3))


def test_a_header_of_python_2_is_no_warning(tmp_path: Path) -> None:
    """A header written by Python 2 gives one error line and no warning from NumPy.

    The test runs a separate process, because pytest has its own warning filters.
    """
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for name in ARRAYS:
            archive.writestr(f"{name}.npy", headed(HUGE.replace("28)", "28L)"), b""))
    done = subprocess.run(
        [sys.executable, "-m", "lenet_multi", "train", "--data", "a.npz"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.stderr.startswith("lenet-multi: a.npz is no .npz of plain arrays: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_bug_of_ours_is_not_called_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what NumPy and zipfile raise is refused; the fuzzing session must see our own errors."""
    np.savez(tmp_path / "a.npz", x=np.arange(3))
    for name in ("refuse_bombs_in", "_member"):
        with monkeypatch.context() as change:
            change.setattr(npz, name, lambda: None)  # called with arguments: TypeError
            with pytest.raises(TypeError):
                read_npz(tmp_path / "a.npz", ("x",))


def test_a_side_is_one_array_or_several(tmp_path: Path) -> None:
    """A name is that of an array, or comes in front of the names of several."""
    path = tmp_path / "sides.npz"
    parts = {"y.rate": np.arange(3), "y.click.0": np.arange(2)}
    np.savez(path, x=np.arange(4), **parts)  # type: ignore[arg-type]
    np.testing.assert_array_equal(read_side(path, "x"), np.arange(4))
    assert list(read_side(path, "y")) == ["rate", "click.0"]
    np.testing.assert_array_equal(read_side(path, "y")["rate"], np.arange(3))
    with pytest.raises(UserError, match="lacks z"):
        read_side(path, "z")


def test_a_refusal_is_one_whole_line(tmp_path: Path) -> None:
    """It says what is missing or wrong, and what to do."""
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(3))

    def refused(*names: str) -> str:
        with pytest.raises(UserError) as error:
            read_npz(path, names)
        return str(error.value)

    assert refused("x", "y", "z") == f"{path} lacks y, z; give x, y, z"
    path.write_bytes(b"no archive")
    copy_it = "copy it again, or use numpy.savez"
    assert refused("x") == f"{path} is no .npz of plain arrays: File is not a zip file; {copy_it}"
    path.unlink()
    missing = f"cannot read {path}: No such file or directory; give a readable file"
    assert refused("x") == missing
    with pytest.raises(UserError) as error:
        npz.names_in(path)
    assert str(error.value) == missing
    with pytest.raises(UserError) as error:
        npz._of_npy(path)
    assert str(error.value) == missing


def test_a_damaged_member_is_named(tmp_path: Path) -> None:
    """The reason has the name of the member."""
    path = tmp_path / "a.npz"
    path.write_bytes(zipped(headed(HUGE, b"", version=3)))
    with pytest.raises(UserError, match=r"arrays: x\.npy is of NumPy's format \(3, 0\); copy it"):
        read_npz(path, ["x"])
    path.write_bytes(zipped(headed(HUGE, b"x")))
    with pytest.raises(UserError, match=r": x\.npy has another size than its header announces; "):
        read_npz(path, ["x"])


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_both_formats_of_numpy_are_read(tmp_path: Path, version: tuple[int, int]) -> None:
    """A long header needs the second one; shape and order of axes are kept."""
    array = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive, archive.open("x.npy", "w") as file:
        np.lib.format.write_array(file, array, version)
    (found,) = read_npz(tmp_path / "a.npz", ["x"])
    np.testing.assert_array_equal(found, array)


def test_names_are_those_of_the_arrays(tmp_path: Path) -> None:
    """In the order of the file, without their ending."""
    np.savez(tmp_path / "a.npz", b=np.arange(3), a=np.arange(2))
    assert npz.names_in(tmp_path / "a.npz") == ["b", "a"]


def test_images_and_labels_are_told_by_their_names(tmp_path: Path) -> None:
    """Of an archive and of a folder of arrays, each part has its images before its labels."""
    arrays = {f"{side}_{part}": np.arange(4) for side in "yx" for part in ("train", "test")}
    arrays |= {"x_test": np.arange(5), "y_train": np.arange(6), "y_test": np.arange(7)}
    np.savez(tmp_path / "a.npz", **arrays)  # type: ignore[arg-type]
    for name, array in arrays.items():
        np.save(tmp_path / name, array)
    for found in (npz.read(tmp_path / "a.npz"), npz.read_npy(tmp_path)):
        sizes = {part: [len(array) for array in pair] for part, pair in found.parts.items()}
        assert sizes == {"train": [4, 6], "test": [5, 7]}


def test_a_damaged_array_of_a_folder_is_named(tmp_path: Path) -> None:
    """The remedy is the function that writes such a file."""
    for name in ("x", "y"):
        np.save(tmp_path / name, np.arange(4))
    (tmp_path / "y.npy").write_bytes(b"half")
    with pytest.raises(UserError) as refused:
        npz.read_npy(tmp_path)
    assert str(refused.value).startswith(f"{tmp_path / 'y.npy'} is no .npy of a plain array: ")
    assert str(refused.value).endswith("; copy it again, or use numpy.save")
    (tmp_path / "y.npy").unlink()
    (tmp_path / "y.npy").mkdir()
    with pytest.raises(UserError) as refused:
        npz.read_npy(tmp_path)
    assert str(refused.value).startswith(f"{tmp_path} has x but not its labels; ")


def test_arrays_that_are_not_told_apart_are_refused_by_path(tmp_path: Path) -> None:
    """The archive or the folder is named, and one that is none of arrays."""
    np.savez(tmp_path / "a.npz", a=np.arange(3))
    with pytest.raises(UserError, match=rf"^{tmp_path / 'a.npz'} has a; name its arrays"):
        npz.read(tmp_path / "a.npz")
    np.save(tmp_path / "b.npy", np.arange(3))
    with pytest.raises(UserError, match=rf"^{tmp_path} has b; name its arrays"):
        npz.read_npy(tmp_path)
    (tmp_path / "a.npz").write_bytes(b"x")
    with pytest.raises(UserError, match=rf"^{tmp_path / 'a.npz'} is no \.npz of plain arrays: "):
        npz.names_in(tmp_path / "a.npz")


def test_a_cut_array_of_a_folder_is_named(tmp_path: Path) -> None:
    """Its header announces more than there is."""
    for name in ("x", "y"):
        np.save(tmp_path / name, np.arange(4))
    content = (tmp_path / "y.npy").read_bytes()
    (tmp_path / "y.npy").write_bytes(content[:-1])
    with pytest.raises(UserError, match=r": y\.npy has another size than its header announces; "):
        npz.read_npy(tmp_path)
