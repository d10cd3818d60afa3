"""Write a file or a folder whole, or not at all."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lenet_multi.runs.durable import put_in_place, sync_all
from lenet_multi.runs.folder import writing


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
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        draft = folder / target.name
        yield draft
        with writing(target):
            refuse_occupied(target)
            sync_all(draft)
            put_in_place(draft, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
