"""Refuse files that unpack to far more than they are, before anything is unpacked."""

from pathlib import Path

from lenet_multi.errors import UserError

_MOST_TIMES = 100  # MNIST unpacks to five times its size, zeros to a thousand times theirs
_HARMLESS = 64 * 2**20  # bytes: all of MNIST, even if it were blank


def refuse_bomb(path: Path, unpacked: int) -> None:
    """Raise `UserError` when the file at `path` announces too many `unpacked` bytes for its size.

    Raises `OSError` when the file cannot be looked at.
    """
    size = path.stat().st_size
    if unpacked > max(_HARMLESS, _MOST_TIMES * size):
        raise UserError(
            f"{path} announces {unpacked:,} bytes, over {_MOST_TIMES} times its own {size:,}: it "
            "is damaged or a decompression bomb; give what it holds unpacked"
        )
