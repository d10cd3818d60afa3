"""Write files completely or not at all, so that they survive a power cut."""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import IO, Any

from lenet_multi.errors import UserError, reason

SHA256 = "sha256"


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Yield a file to write; then replace `path` by it in one step, and flush it to the disk.

    A link stays, and its target is replaced. Anything but a regular file, such as /dev/null, is
    written directly. The older file stays when the block fails, or the disk refuses (`OSError`).
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    path = path.resolve()
    draft = path.with_name(f".{path.name}-{token_hex(4)}")
    try:
        with draft.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    sync(path.parent)


def write_bytes(path: Path, content: bytes) -> None:
    """Replace the file at `path` by `content` (see `replacing`)."""
    with replacing(path) as file:
        file.write(content)


def write_json(path: Path, content: Any, *, indent: int | None = 2) -> None:
    """Replace the file at `path` by `content` as JSON (see `replacing`)."""
    write_bytes(path, (json.dumps(content, indent=indent) + "\n").encode())


def put_in_place(draft: Path, target: Path) -> None:
    """Replace `target` by the file or folder at `draft`, and flush it to the disk.

    Both are on the same file system. Raises `OSError` when the disk refuses; `target` then stays.
    """
    for path in [*draft.rglob("*"), draft]:
        sync(path)
    if target.is_dir():
        # One step cannot replace a folder, so rename twice. A kill between the renames leaves the
        # older folder under this name.
        replaced = draft.with_name(f"{draft.name}.replaced")
        shutil.rmtree(replaced, ignore_errors=True)
        target.rename(replaced)
        try:
            draft.rename(target)
        except BaseException:
            replaced.rename(target)
            raise
        shutil.rmtree(replaced)
    else:
        draft.replace(target)
    sync(target.parent)


def sync(path: Path) -> None:
    """Flush the file or folder at `path` to the disk.

    Windows flushes no folder, and no file that is open for reading, so this does nothing there.
    """
    if sys.platform == "win32":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_record(path: Path, content: dict[str, Any]) -> None:
    """Write `content` as JSON, followed by its SHA-256 as the last field."""
    write_json(path, {**content, SHA256: _digest(content)})


def check_record(
    path: Path, content: dict[str, Any], *, remedy: str = "train again"
) -> dict[str, Any]:
    """Return the `content` of `path` without its SHA-256; raise `UserError` if that is wrong."""
    rest = {name: value for name, value in content.items() if name != SHA256}
    if content.get(SHA256) != _digest(rest):
        raise UserError(f"{path} is damaged: its SHA-256 is not that of its content; {remedy}")
    return rest


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@contextmanager
def writing(
    target: Path,
    *,
    flag: str = "--out",
    refusals: tuple[type[Exception], ...] = (OSError, RuntimeError),  # by h5py, a loop of links
) -> Iterator[None]:
    """Turn one of `refusals` into a `UserError`: `target`, chosen by `flag`, cannot be written."""
    try:
        yield
    except refusals as error:
        why = getattr(error, "strerror", None) or reason(error)
        raise UserError(f"cannot write {target}: {why}; choose another {flag}") from error


@contextmanager
def drafted(target: Path, refuse_occupied: Callable[[Path], None]) -> Iterator[Path]:
    """Yield a path beside `target` to write, and move it to `target` when the block succeeds.

    In any case nothing half-written is left, and the older `target` stays until the new one is
    complete. `refuse_occupied` raises when the older `target` must stay; it is called before the
    block and, as that may take long, after it. Raises `UserError` when `target` cannot be written.
    """
    with writing(target):
        target = target.resolve()
        refuse_occupied(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        place = TemporaryDirectory(
            prefix=f".{target.name}-", dir=target.parent, ignore_cleanup_errors=True
        )
    with place as folder:
        draft = Path(folder, target.name)
        yield draft
        with writing(target):
            refuse_occupied(target)
            put_in_place(draft, target)
