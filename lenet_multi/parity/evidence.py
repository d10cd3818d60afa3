"""The evidence that a climber writes: facts as JSON, arrays as .npz; damaged files are refused."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from lenet_multi.errors import UserError
from lenet_multi.runs.durable import write_json
from lenet_multi.runs.record import file_sha256

Array = NDArray[Any]

FACTS, ARRAYS = "evidence.json", "evidence.npz"


@dataclass
class Evidence:
    """What `climber` saw: a backend in one precision, or the oracle."""

    climber: str
    climb: str  # the climb it belongs to; evidence of another one is refused
    facts: dict[str, Any] = field(default_factory=dict)  # compared exactly
    arrays: dict[str, Array] = field(default_factory=dict)  # named "rung/.../tensor"
    record: dict[str, Any] = field(default_factory=dict)  # not compared: versions, terms, seconds

    def under(self, place: str) -> dict[str, Array]:
        """Return the arrays whose names begin with `place`, by the rest of their names."""
        prefix = f"{place}/"
        names = (name for name in self.arrays if name.startswith(prefix))
        return {name.removeprefix(prefix): self.arrays[name] for name in names}

    def write(self, folder: Path) -> None:
        """Write the evidence into `folder`; the facts come last and hold the arrays' SHA-256."""
        np.savez(folder / ARRAYS, allow_pickle=False, **self.arrays)
        content = dataclasses.asdict(dataclasses.replace(self, arrays={}))
        content["arrays"] = file_sha256(folder / ARRAYS)
        write_json(folder / FACTS, content)


def read(folder: Path, *, climb: str) -> Evidence:
    """Return the evidence of `climb` in `folder`; raise `UserError` if damaged or another's."""
    try:
        content = json.loads((folder / FACTS).read_text())
        if content["climb"] != climb:
            raise UserError(f"{folder} is stale: it holds evidence of another climb; delete it")
        if content["arrays"] != file_sha256(folder / ARRAYS):
            raise UserError(f"{folder / ARRAYS} is damaged: its hash is wrong; climb again")
        with np.load(folder / ARRAYS, allow_pickle=False) as file:
            content["arrays"] = {name: file[name] for name in file.files}
        return Evidence(**content)
    except (OSError, ValueError, KeyError, TypeError, BadZipFile) as error:
        raise UserError(f"the evidence in {folder} cannot be read: {error}; climb again") from error
