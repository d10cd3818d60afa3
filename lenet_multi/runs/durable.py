"""Write files whole or not at all, and so that a power cut cannot take them back."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import IO, Any

from lenet_multi.errors import UserError

SHA256 = "sha256"


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Give a file to write, and put it in the place of `path` at once, and on the disk.

    A link stays and leads to the new file; what is no file, as /dev/null, is written as it is.

    Raises `OSError` when the disk refuses. Then, or when the block fails, an older file stays.
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
    """Put `content` in the place of the file at `path` (see `replacing`)."""
    with replacing(path) as file:
        file.write(content)


def write_json(path: Path, content: Any, *, indent: int | None = 2) -> None:
    """Put `content`, as JSON, in the place of the file at `path` (see `replacing`)."""
    write_bytes(path, (json.dumps(content, indent=indent) + "\n").encode())


def put_in_place(draft: Path, target: Path) -> None:
    """Put the file or folder at `draft` in the place of `target`, and on the disk.

    Both are of the same file system. Raises `OSError` when the disk refuses; what was at `target`
    is there until the draft is.
    """
    for path in [*draft.rglob("*"), draft]:
        sync(path)
    if target.is_dir():
        # None takes another's place in one step; what a kill between the two leaves goes here.
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
    """Have the disk hold the file or folder at `path` as it is now."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_record(path: Path, content: dict[str, Any]) -> None:
    """Write `content` as JSON that ends with the SHA-256 of what stands before."""
    write_json(path, {**content, SHA256: _digest(content)})


def check_record(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """Return `content` of `path` without its SHA-256, or raise `UserError` where it is wrong."""
    rest = {name: value for name, value in content.items() if name != SHA256}
    if content.get(SHA256) != _digest(rest):
        raise UserError(f"{path} is damaged: its SHA-256 is not that of its content; train again")
    return rest


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@contextmanager
def writing(
    target: Path,
    *,
    flag: str = "--out",
    refusals: tuple[type[Exception], ...] = (OSError, RuntimeError),  # h5py, a loop of links
) -> Iterator[None]:
    """Raise `UserError` where one of `refusals` says that `target`, chosen by `flag`, fails."""
    try:
        yield
    except refusals as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise UserError(f"cannot write {target}: {reason}; choose another {flag}") from error


@contextmanager
def drafted(target: Path, refuse_occupied: Callable[[Path], None]) -> Iterator[Path]:
    """Give a path beside `target` to write, and move it to `target` when the block succeeds.

    Whatever happens, nothing half-written is left, and what was at `target` is kept until the
    new one is whole. `refuse_occupied` is asked before the block and after it, for that may take
    its time, and raises where what is at `target` is not to be replaced.

    Raises `UserError` when `target` cannot be written.
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
