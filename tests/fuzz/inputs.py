"""A fuzzed input: the files that are laid out, and the command line that reads them."""

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

    `files` has the content of each file by its path, None for an empty folder. A refusal must
    hold the word `culprit`.
    """

    arguments: tuple[str, ...]
    files: dict[str, bytes | None] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    stdin: bytes = b""
    culprit: str = ""

    def lay_out(self) -> None:
        """Write the files into the current folder."""
        for name, content in self.files.items():
            path = Path(name)
            if content is None:
                path.mkdir(parents=True, exist_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)

    def write(self, path: Path, kind: str) -> None:
        """Keep the input of that kind for a replay."""
        files = {
            name: None if content is None else base64.b64encode(content).decode()
            for name, content in self.files.items()
        }
        content = {
            "kind": kind,
            "arguments": self.arguments,
            "files": files,
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
            environ=content["environ"],
            stdin=base64.b64decode(content["stdin"]),
            culprit=content["culprit"],
        )


def _nothing() -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of input: how one is made, and what its worker may take.

    `share` is its part of a session, relative to the others'. `mebibytes` is how much address space
    a worker may take over what it has when idle: more than the resident memory that a session
    records, for each thread reserves 70 MiB that it does not use. `told` matches lines on stderr
    that are no refusal. `prepare` is called once in the worker and puts stand-ins in the place of
    what trains, starts a backend, or serves.
    """

    name: str
    make: Callable[[Random], Input]
    share: int
    mebibytes: int
    told: str = ""
    prepare: Callable[[], Any] = _nothing
