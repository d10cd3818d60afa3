"""A fuzzed input: the files to write, and the command line that reads them."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Input:
    """What one call of the command reads.

    `files` maps each path to its content, or to None for an empty folder; `links` maps those of
    symbolic links to where they lead. A refusal must contain the word `culprit`.
    """

    arguments: tuple[str, ...]
    files: dict[str, bytes | None] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    stdin: bytes = b""
    culprit: str = ""

    def lay_out(self) -> None:
        """Write the files into the current folder."""
        for name, content in self.files.items():
            path = Path(name)
            if content is None:
                _make_folder(path)
            else:
                _make_folder(path.parent)
                path.write_bytes(content)
        for name, target in self.links.items():
            _make_folder(Path(name).parent)
            Path(name).symlink_to(target)

    def write(self, path: Path, kind: str) -> None:
        """Keep this input, of the kind `kind`, for a replay."""
        files = {
            name: None if content is None else base64.b64encode(content).decode()
            for name, content in self.files.items()
        }
        content = {
            "kind": kind,
            "arguments": self.arguments,
            "files": files,
            "links": self.links,
            "environ": self.environ,
            "stdin": base64.b64encode(self.stdin).decode(),
            "culprit": self.culprit,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> tuple[str, "Input"]:
        """Return the kind and the input that `write` kept."""
        content = json.loads(path.read_text())
        files = {
            name: None if content is None else base64.b64decode(content)
            for name, content in content["files"].items()
        }
        return content["kind"], cls(
            arguments=tuple(content["arguments"]),
            files=files,
            links=content["links"],
            environ=content["environ"],
            stdin=base64.b64decode(content["stdin"]),
            culprit=content["culprit"],
        )


def _make_folder(path: Path) -> None:
    """Make a folder in as many others as wanted; `mkdir` alone needs a frame for each."""
    for folder in (*reversed(path.parents), path):
        folder.mkdir(exist_ok=True)


def _nothing() -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of input: how to make one, and how much its worker may use.

    `share`: its part of a session, relative to the other kinds. `mebibytes`: the address space that
    a worker may use beyond its idle size. It exceeds the resident memory that a session records,
    because each thread reserves 70 MiB that it does not use. `told`: matches lines on stderr that
    are not refusals. `prepare`: called once in the worker; it replaces what trains, starts a
    backend or serves by stand-ins.
    """

    name: str
    make: Callable[[Random], Input]
    share: int
    mebibytes: int
    told: str = ""
    prepare: Callable[[], Any] = _nothing
