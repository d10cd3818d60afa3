import contextlib
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lenet_multi.errors import UserError
from lenet_multi.npz import read_npz


def test_arrays_come_back_in_the_order_asked(tmp_path: Path) -> None:
    """Each name gets its own array."""
    np.savez(tmp_path / "a.npz", x=np.arange(3), y=np.ones(2, np.float32))
    y, x = read_npz(tmp_path / "a.npz", ("y", "x"))
    np.testing.assert_array_equal(x, np.arange(3))
    assert y.dtype == np.float32


def test_a_single_array_is_no_archive(tmp_path: Path) -> None:
    """A renamed .npy is refused in one line."""
    np.save(tmp_path / "a.npy", np.arange(3))
    (tmp_path / "a.npy").rename(tmp_path / "a.npz")
    with pytest.raises(UserError, match=r"a\.npz is no \.npz"):
        read_npz(tmp_path / "a.npz", ("x",))


def test_a_member_that_is_no_array_is_refused(tmp_path: Path) -> None:
    """A foreign file in the archive under a wanted name is not taken for an array."""
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", "not an array")
    with pytest.raises(UserError, match=r"a\.npz"):
        read_npz(tmp_path / "a.npz", ("x",))


@settings(max_examples=300)
@given(position=st.integers(0, 10_000), byte=st.integers(1, 255))
def test_a_damaged_byte_is_no_traceback(
    position: int, byte: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whichever byte of a compressed archive changes, reading succeeds or raises `UserError`."""
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    np.savez_compressed(path, x=np.arange(64), y=np.zeros(8, np.uint8))
    content = bytearray(path.read_bytes())
    content[position % len(content)] ^= byte
    path.write_bytes(content)
    with contextlib.suppress(UserError):
        read_npz(path, ("x", "y"))
