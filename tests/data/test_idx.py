import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lenet_multi.data.idx import read_idx
from lenet_multi.errors import UserError


def idx_bytes(array: np.ndarray) -> bytes:
    """Return `array` in IDX format."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@given(array=hnp.arrays(np.uint8, hnp.array_shapes(max_dims=4, min_side=1)), packed=st.booleans())
def test_reading_gives_back_what_was_written(
    array: np.ndarray, packed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Plain and gzipped files of any shape are read back byte for byte."""
    path = tmp_path_factory.mktemp("idx") / ("file.gz" if packed else "file")
    content = idx_bytes(array)
    path.write_bytes(gzip.compress(content, 1) if packed else content)
    np.testing.assert_array_equal(read_idx(path, dimensions=array.ndim), array)


BILLIONS = struct.pack(">HBB3I", 0, 8, 3, 2**31, 28, 28)  # a header that lies about its size

IMAGES = idx_bytes(np.zeros((2, 3, 3), np.uint8))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("plain", b"", "truncated"),
        ("plain", IMAGES[:10], "truncated"),
        ("plain", IMAGES[:-1], "damaged"),
        ("plain", struct.pack(">HBB3I", 0, 8, 3, 0, 2**32 - 1, 2**32 - 1), "is empty"),
        ("plain", IMAGES + b"x", "announces 18 bytes, more follow"),
        ("file.gz", gzip.compress(BILLIONS, mtime=0), "decompression bomb"),
        ("plain", b"\x89PNG" + IMAGES, "must be an IDX file"),
        ("plain", idx_bytes(np.zeros(40, np.uint8)), "must be an IDX file"),
        ("file.gz", gzip.compress(IMAGES, mtime=0)[:-9], "truncated"),
        ("file.gz", IMAGES, "damaged"),
    ],
    ids=[  # names, not bytes: two pytest processes must use the same ids
        "empty",
        "in the header",
        "a byte short",
        "nothing in it",
        "a byte long",
        "a lie, gzipped",
        "PNG",
        "of one axis",
        "gzip cut short",
        "no gzip",
    ],
)
def test_a_bad_file_is_refused_by_name(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    """The error names the file and its fault."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read_idx(path, dimensions=3)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    """The error names the missing file."""
    with pytest.raises(UserError, match="missing-file"):
        read_idx(tmp_path / "missing-file", dimensions=1)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plain", BILLIONS.ljust(1024, b"x")),
        ("file.gz", gzip.compress(BILLIONS.ljust(1024, b"x"), mtime=0)),
        ("file.gz", gzip.compress(IMAGES + bytes(50 * 2**20), mtime=0)),
    ],
    ids=["2^31 images in 1 KB", "2^31 images in 1 KB, gzipped", "50 MiB behind 18 bytes"],
)
def test_a_lie_takes_no_memory(tmp_path: Path, name: str, content: bytes) -> None:
    """A header that lies is refused before memory is allocated, and no more is unpacked."""
    path = tmp_path / name
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=name):
            read_idx(path, dimensions=3)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20  # bytes; measured 0.2 MiB


@pytest.mark.parametrize(
    ("kind", "dtype"), [(8, "u1"), (9, "i1"), (11, ">i2"), (12, ">i4"), (13, ">f4"), (14, ">f8")]
)
def test_numbers_of_every_kind_are_read(tmp_path: Path, kind: int, dtype: str) -> None:
    """They come in this machine's order of bytes."""
    array = np.array([[1, 2, 3], [4, 5, 100]], dtype)
    header = struct.pack(">HBB2I", 0, kind, 2, 2, 3)
    (tmp_path / "file").write_bytes(header + array.tobytes())
    read = read_idx(tmp_path / "file", dimensions=2)
    np.testing.assert_array_equal(read, array)
    assert read.dtype.isnative


def test_bytes_are_not_copied(tmp_path: Path) -> None:
    """An array of bytes is the memory that was read, so it cannot be written."""
    (tmp_path / "file").write_bytes(IMAGES)
    assert not read_idx(tmp_path / "file", dimensions=3).flags.writeable


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (IMAGES[:10], "is truncated: its 10 bytes are too few; copy it again"),
        (IMAGES[:-1], "is damaged: its header announces 18 bytes, 17 follow; copy it again"),
        (IMAGES + b"x", "is damaged: its header announces 18 bytes, more follow; copy it again"),
        (b"\0\1" + IMAGES[2:], "must be an IDX file with 3 axes, as in MNIST"),
        (b"\0\0\7" + IMAGES[3:], "must be an IDX file with 3 axes, as in MNIST"),
        (
            struct.pack(">HBB3I", 0, 8, 3, 2, 0, 28),
            "is empty: its header announces 2x0x28; give another file",
        ),
    ],
    ids=["header", "short", "long", "no zero", "no kind", "empty"],
)
def test_a_refusal_is_one_whole_line(tmp_path: Path, content: bytes, words: str) -> None:
    """The path comes first, then the fault with its numbers, and the remedy last."""
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(UserError) as refused:
        read_idx(tmp_path / "file", dimensions=3)
    assert str(refused.value) == f"{tmp_path / 'file'} {words}"


def test_a_refusal_of_the_system_or_of_gzip_is_one_whole_line(tmp_path: Path) -> None:
    """The reason is the system's or the library's."""
    path = tmp_path / "file.gz"
    with pytest.raises(UserError) as refused:
        read_idx(path, dimensions=3)
    assert str(refused.value) == (
        f"cannot read {path}: No such file or directory; give a readable file"
    )
    path.write_bytes(IMAGES)
    with pytest.raises(
        UserError, match=r" is truncated or damaged: Not a gzipped file .*; copy it again$"
    ):
        read_idx(path, dimensions=3)
