"""Refuse files that unpack to far more than they are, before anything is unpacked."""

from collections.abc import Collection
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipInfo

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


def refuse_bombs_in(path: Path, members: Collection[ZipInfo]) -> None:
    """Raise `UserError` when `members` of the archive at `path` announce what cannot be in it.

    zipfile takes the memory that a member's packed size announces, however small the archive is,
    and LZMA that of a dictionary of up to 4 GiB; NumPy and Keras pack in the two usual ways alone.

    Raises `OSError` when the file cannot be looked at.
    """
    unusual = [m.filename for m in members if m.compress_type not in (ZIP_STORED, ZIP_DEFLATED)]
    if unusual:
        raise UserError(f"{path} packs {unusual[0]!r} in an unusual way; pack it with deflate")
    packed, size = sum(member.compress_size for member in members), path.stat().st_size
    if packed > size:
        raise UserError(
            f"{path} is damaged: it announces {packed:,} packed bytes, and has {size:,}"
        )
    refuse_bomb(path, sum(member.file_size for member in members))
