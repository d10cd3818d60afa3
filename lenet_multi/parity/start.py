"""What all climbers of a user's model start from: one set of examples and of initial weights.

One process (`prepare`) makes it and writes it to disk; every climber reads it. So a function that
returns other data each time, or draws its weights itself, gives the same to all.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lenet_multi.data.examples import Arrays, Dataset, Examples
from lenet_multi.parity.evidence import Array
from lenet_multi.runs.durable import write_json

FOLDER = "start"
_ARRAYS, _FACTS = "start.npz", "start.json"


@dataclass(frozen=True)
class Start:
    """The training examples, the initial weights, and `facts` about the model for people."""

    examples: Examples
    weights: Sequence[Array]
    facts: dict[str, Any]

    @property
    def dataset(self) -> Dataset:
        """The examples as a data set; the ladder needs none for the test."""
        return Dataset(self.examples, self.examples[:0])

    def write(self, folder: Path) -> None:
        """Write everything into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        sides = {side: _flat(getattr(self.examples, side)) for side in ("x", "y")}
        arrays = {
            f"{side}/{name}": array
            for side, named in sides.items()
            for name, array in named.items()
        }
        arrays |= {f"weights/{index}": weight for index, weight in enumerate(self.weights)}
        np.savez(folder / _ARRAYS, allow_pickle=False, **arrays)
        kinds = {side: type(getattr(self.examples, side)).__name__ for side in ("x", "y")}
        write_json(folder / _FACTS, {"kinds": kinds, **self.facts})

    @classmethod
    def read(cls, folder: Path) -> "Start":
        """Return what `write` wrote."""
        facts = json.loads((folder / _FACTS).read_text())
        with np.load(folder / _ARRAYS, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}

        def under(place: str) -> dict[str, Array]:
            names = [name for name in arrays if name.startswith(f"{place}/")]
            return {name.removeprefix(f"{place}/"): arrays[name] for name in names}

        x, y = (_shaped(facts["kinds"][side], under(side)) for side in ("x", "y"))
        return cls(Examples(x, y), list(under("weights").values()), facts)


def _flat(arrays: Arrays) -> dict[str, Array]:
    if isinstance(arrays, dict):
        return dict(arrays)
    several = isinstance(arrays, tuple | list)
    return {str(index): one for index, one in enumerate(arrays if several else [arrays])}


def _shaped(kind: str, named: dict[str, Array]) -> Arrays:
    if kind == "dict":
        return named
    return tuple(named.values()) if kind in ("tuple", "list") else next(iter(named.values()))
