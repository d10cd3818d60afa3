"""Detect when reading a file runs its content, or writes where nobody asked."""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lenet_multi.data import apart

# Each session has its own canary, with a name of fixed length.
CANARY = Path(tempfile.gettempdir(), f"lenet-multi-fuzz-canary-{os.getpid():010d}")
CALL = f"__import__('pathlib').Path({str(CANARY)!r}).touch()"  # what a hostile file runs

# No file may cause these events. Stand-ins replace what the commands do on their own.
_NEVER = {
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.system",
    "pickle.find_class",
    "pty.spawn",
    "socket.bind",
    "socket.connect",
    "subprocess.Popen",
    "webbrowser.open",
}
_WRITING = {"os.link": 1, "os.mkdir": 0, "os.rename": 1, "os.symlink": 1}  # the written argument
_ELSEWHERE = ("/dev/", "/proc/")  # an input may name these, or "/", but cannot write there


class Watch:
    """Record in `seen` what happens in the block that only an executed file would do."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.seen = folder.resolve(), list[str]()
        self._watching = False
        sys.addaudithook(self._hear)  # a hook cannot be removed; a worker has one

    def __enter__(self) -> None:
        self.seen.clear()
        CANARY.unlink(missing_ok=True)
        self._watching = True

    def __exit__(self, *error: object) -> None:
        self._watching = False
        if CANARY.exists():
            self.seen.append("the canary was touched")
        self.seen.extend(self._strays())

    def _strays(self) -> Iterator[str]:
        """Yield files in the place to which an escaping path leads."""
        for path in (self.folder / "inside").iterdir():
            if path.name != "here":
                yield f"{path.name} was written outside"

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._watching:
            return
        is_apart = event == "subprocess.Popen" and apart.START in arguments[1]
        if event in _NEVER and not is_apart:
            self.seen.append(f"{event} {str(arguments)[:200]}")
        path = None
        if event == "open" and isinstance(arguments[2], int):
            writes = arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            path = arguments[0] if writes else None
        elif event in _WRITING:
            path = arguments[_WRITING[event]]
        if isinstance(path, str | bytes | os.PathLike) and not self._is_ours(path):
            self.seen.append(f"{event} {os.fsdecode(path)}")

    def _is_ours(self, path: "str | bytes | os.PathLike[str]") -> bool:
        whole = os.path.abspath(os.fsdecode(path))
        return whole == "/" or whole.startswith((f"{self.folder}/", *_ELSEWHERE))
