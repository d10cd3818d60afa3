"""The run folder NAME, in which a run stores its results for a comparison (see `record`).

A run fills NAME.unfinished and renames it when it is complete. Until then the folder also has
`journal.json` (see `journal`) and `resume/`, what the run needs to continue (see `checkpoint`).
"""

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from lenet_multi.errors import UserError
from lenet_multi.machine.signals import put_off
from lenet_multi.runs.durable import put_in_place, writing
from lenet_multi.runs.record import FILES, JOURNAL, KEPT, RESULT, RESUME, Result, read_run

RUNS = Path("runs")  # for runs without --out

_UNFINISHED = ".unfinished"

# A run starts only with this much free space, about three times the 6 MB of a LeNet's folder (two
# thirds of them are Adam's moments). A larger model may need more.
NEEDED_BYTES = 16 * 2**20


def default_folder(name: str) -> Path:
    """Return runs/`name`-TIME, the folder of a run without --out."""
    return RUNS / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"


def named_after(model: str) -> str:
    """Return the part of a MODEL's place that names it, as a folder may be called."""
    return re.sub(r"[^\w.-]", "-", model.rpartition("/")[2])


def refuse_used(folder: Path) -> None:
    """Raise `UserError` unless `folder` is an empty folder or does not exist."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is not an empty folder; choose another --out")


def unfinished(folder: Path) -> Path:
    """Return the draft folder in which the run for `folder` is written until it is complete."""
    folder = folder.resolve()
    return folder.with_name(folder.name + _UNFINISHED)


def finished(folder: Path) -> Path:
    """Return the final folder of a run, given that or its draft folder."""
    return folder.with_name(folder.name.removesuffix(_UNFINISHED))


def is_finished(folder: Path) -> bool:
    """Return whether `folder` holds a finished run; a draft is still in NAME.unfinished."""
    return finished(folder) == folder and (folder / RESULT).exists()


def beyond(folder: Path, epochs: int) -> Path:
    """Return the folder for a run that goes on from the one in `folder` to `epochs` epochs."""
    folder = folder if folder.name not in ("", "..") else folder.resolve()
    return folder.with_name(f"{folder.name}-{epochs}-epochs")


@contextmanager
def new_run_folder(
    folder: Path, *, overwrite: bool = False, resume: bool = False
) -> Iterator[Path]:
    """Yield a draft folder to fill, and put it in the place of `folder` when the block succeeds.

    In any case no half-written `folder` is left, and an older run there stays until the new one is
    complete. When the block fails, the draft stays if it holds something to continue from (with
    `resume`), and is deleted otherwise. Raises `UserError` when `folder` holds a run and not
    `overwrite`, holds anything else, cannot be written, or another process writes it.
    """
    with writing(folder):
        folder = folder.resolve()
        _refuse_occupied(folder, overwrite=overwrite)
        draft = unfinished(folder)
        draft.mkdir(parents=True, exist_ok=True)
    with _locked(draft):
        if _is_worth_keeping(draft) and not (overwrite or resume):
            raise UserError(
                f"{draft} holds an unfinished run; pass --resume {folder} to continue it, pass "
                "--overwrite, or choose another --out"
            )
        if not resume:
            with writing(draft):
                _empty(draft)
        try:
            if shutil.disk_usage(draft).free < NEEDED_BYTES:
                raise UserError(
                    f"the disk of {folder} has less than {NEEDED_BYTES // 2**20} MiB free; free "
                    "some, or choose another --out"
                )
            yield draft
            with put_off():
                with writing(folder):
                    _refuse_occupied(folder, overwrite=overwrite)  # again, after the training
                    put_in_place(draft, folder)
                # A complete run needs these no more. Delete them only after the rename.
                shutil.rmtree(folder / RESUME, ignore_errors=True)
                with suppress(OSError):
                    (folder / JOURNAL).unlink()
        finally:
            if not _is_worth_keeping(draft):
                shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def _locked(draft: Path) -> Iterator[None]:
    """Keep other processes away from `draft`; the lock ends with the process, even if killed.

    Windows locks no folder, so there nothing stops two processes that write the same one.
    """
    if fcntl is None:
        yield
        return
    with writing(draft):
        handle = os.open(draft, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another process writes {draft}; choose another --out") from None
        yield
    finally:
        os.close(handle)


def whole_result(draft: Path) -> Result | None:
    """Return the record of the run in `draft` if it is complete: a kill at the end leaves that."""
    try:
        return read_run(draft).result
    except UserError:
        return None


def _is_worth_keeping(draft: Path) -> bool:
    return any((draft / name).exists() for name in (*KEPT, RESUME, RESULT))


def _empty(draft: Path) -> None:
    for path in draft.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _refuse_occupied(folder: Path, *, overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; choose another --out")
    names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if names and (RESULT not in names or names - {*FILES, *KEPT, JOURNAL, RESUME}):
        raise UserError(f"{folder} holds files that are no run; choose another --out")
    if names and not overwrite:
        raise UserError(f"{folder} holds a run; pass --overwrite or choose another --out")
