"""The run folder, where backends meet: an empty one to fill, put in its place when it is whole.

Until then it is called NAME.unfinished, and has a `journal.json` (see `journal`) and in `resume/`
what it takes to go on (see `checkpoint`). `record` says what is in it.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lenet_multi.errors import UserError
from lenet_multi.machine.signals import put_off
from lenet_multi.runs.durable import put_in_place, writing
from lenet_multi.runs.record import FILES, JOURNAL, KEPT, RESULT, RESUME, Result, read_run

RUNS = Path("runs")  # where runs go that are given no folder

# Of a run that is not whole yet.
_UNFINISHED = ".unfinished"

# A LeNet's folder takes 6 MB, two thirds of it Adam's moments.
NEEDED_BYTES = 16 * 2**20


def default_folder(name: str) -> Path:
    """Return runs/`name`-TIME, for a run that was given no folder."""
    return RUNS / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"


def unfinished(folder: Path) -> Path:
    """Return where the run for `folder` is written until it is whole."""
    folder = folder.resolve()
    return folder.with_name(folder.name + _UNFINISHED)


def finished(folder: Path) -> Path:
    """Return where the run that is written in `folder`, or is to be there, comes to be."""
    return folder.with_name(folder.name.removesuffix(_UNFINISHED))


@contextmanager
def new_run_folder(
    folder: Path, *, overwrite: bool = False, resume: bool = False
) -> Iterator[Path]:
    """Give a draft folder to fill, and put it in the place of `folder` when the block succeeds.

    Whatever happens, no half-written `folder` is left, and an older run in its place is
    kept until the new one is whole. A draft that fails stays where it holds what was kept on
    the way, and goes where it does not; `resume` takes up such a draft.

    Raises `UserError` when `folder` holds a run and `overwrite` is false, holds anything
    else, cannot be written, or another process is writing it.
    """
    with writing(folder):
        folder = folder.resolve()
        _refuse_occupied(folder, overwrite=overwrite)
        draft = unfinished(folder)
        draft.mkdir(parents=True, exist_ok=True)
    with _locked(draft):
        if _is_worth_keeping(draft) and not (overwrite or resume):
            raise UserError(
                f"{draft} holds an unfinished run; go on with --resume {folder}, pass "
                "--overwrite, or choose another --out"
            )
        if not resume:
            with writing(draft):
                _empty(draft)
        try:
            if shutil.disk_usage(draft).free < NEEDED_BYTES:
                raise UserError(
                    f"the disk that holds {folder} is full: {NEEDED_BYTES // 2**20} MiB are "
                    "needed; free some, or choose another --out"
                )
            yield draft
            with put_off():
                with writing(folder):
                    _refuse_occupied(folder, overwrite=overwrite)  # again: training took its time
                    put_in_place(draft, folder)
                # What a whole run needs no more; not before it is in its place.
                shutil.rmtree(folder / RESUME, ignore_errors=True)
                with suppress(OSError):
                    (folder / JOURNAL).unlink()
        finally:
            if not _is_worth_keeping(draft):
                shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def _locked(draft: Path) -> Iterator[None]:
    """Keep other processes away from `draft`; the lock ends with the process, however it ends."""
    with writing(draft):
        handle = os.open(draft, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{draft} is being written by another process; choose another --out"
            ) from None
        yield
    finally:
        os.close(handle)


def whole_result(draft: Path) -> Result | None:
    """Return the record of the run in `draft` if it is whole, as a kill at its end leaves it."""
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
        raise UserError(
            f"{folder} holds a run, which is kept; pass --overwrite or choose another --out"
        )
