"""Refuse files that unpack to far more bytes than they have, before anything is unpacked."""

from collections.abc import Collection
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipInfo

from lenet_multi.errors import UserError

_MOST_TIMES = 100  # MNIST unpacks to 5 times its size, zeros to 1000 times
_HARMLESS = 64 * 2**20  # bytes: all of MNIST fits, even if it were blank


def refuse_bomb(path: Path | str, unpacked: int, size: int | None = None) -> None:
    """Raise `UserError` if `unpacked` bytes are too many for `size` (default: that of the file).

    Raises `OSError` when that cannot be read.
    """
    size = Path(path).stat().st_size if size is None else size
    if unpacked > _most(size):
        raise UserError(
            f"{path} announces {unpacked:,} bytes, over {_MOST_TIMES} times its own {size:,}: it "
            "is damaged or a decompression bomb; give its content unpacked"
        )


def most_unpacked(path: Path) -> int:
    """Return the most bytes to which an honest file unpacks; raise `OSError` without the file."""
    return _most(path.stat().st_size)


def _most(size: int) -> int:
    return max(_HARMLESS, _MOST_TIMES * size)


def refuse_bombs_in(path: Path, members: Collection[ZipInfo]) -> None:
    """Raise `UserError` when `members` announce more than the archive at `path` can hold.

    zipfile allocates the packed size that a member announces, even if the archive is smaller, and
    LZMA a dictionary of up to 4 GiB. NumPy and Keras only store or deflate. Raises `OSError` when
    the size of `path` cannot be read.
    """
    unusual = [m.filename for m in members if m.compress_type not in (ZIP_STORED, ZIP_DEFLATED)]
    if unusual:
        raise UserError(f"{path} packs {unusual[0]!r} in an unusual way; pack it with deflate")
    packed, size = sum(member.compress_size for member in members), path.stat().st_size
    if packed > size:
        raise UserError(
            f"{path} is damaged: {packed:,} bytes announced, not {size:,}; copy it again"
        )
    refuse_bomb(path, sum(member.file_size for member in members))
