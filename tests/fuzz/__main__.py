"""Feed thousands of inputs to the command, and record the results: `nox -s fuzz`.

Every input must end in success, or in one line that names the fault with exit status 2. There must
be no traceback, no hang and no growth of memory, and nothing that a file carries may run.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from lenet_multi.commands._options import console
from lenet_multi.machine import environment, frameworks
from lenet_multi.runs.durable import write_json
from tests.fuzz.inputs import Input, Kind
from tests.fuzz.kinds import KINDS
from tests.fuzz.session import PATIENCE, Outcome, Worker

KEPT = Path("fuzzed")  # failing inputs are kept here for a replay
_SHOWN = 12  # failures at most


@dataclass
class Tally:
    """The results of the inputs of one kind.

    `messages` counts refusals by their text, without names and numbers. `failures` holds the first
    of each sort, with the file that keeps the input.
    """

    kind: str
    inputs: int = 0
    read: int = 0
    refused: int = 0
    failed: int = 0
    slowest_seconds: float = 0.0
    most_mebibytes: float = 0.0
    messages: Counter[str] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        """Count an outcome."""
        self.inputs += 1
        setattr(self, outcome.word, getattr(self, outcome.word) + 1)
        self.slowest_seconds = max(self.slowest_seconds, outcome.seconds)
        self.most_mebibytes = max(self.most_mebibytes, outcome.mebibytes)
        if outcome.word == "refused":
            self.messages[general(outcome.message)] += 1

    def as_json(self) -> dict[str, Any]:
        """Return the record of this kind."""
        return {
            "kind": self.kind,
            "inputs": self.inputs,
            "read": self.read,
            "refused": self.refused,
            "failed": self.failed,
            "distinct_refusals": len(self.messages),
            "slowest_seconds": round(self.slowest_seconds, 2),
            "most_mebibytes": round(self.most_mebibytes),
            "failures": self.failures,
        }


def general(message: str) -> str:
    """Return a message without names, values and numbers, which differ between inputs."""
    message = re.sub(r"'[^']*'|\"[^\"]*\"", "'...'", message)
    message = re.sub(r"\S*[/\\]\S*|\S*fuzzed\S*", "PATH", message)
    return re.sub(r"-?[\d.,]*\d(e[+-]?\d+)?", "0", message)[:100]


def counts(inputs: int, kinds: Sequence[Kind]) -> list[int]:
    """Return how many of `inputs` each of `kinds` gets: its share, but at least one."""
    whole = sum(kind.share for kind in kinds)
    found = [max(1, inputs * kind.share // whole) for kind in kinds]
    found[0] += max(0, inputs - sum(found))
    return found


def made(kind: Kind, seed: int, index: int) -> Input:
    """Return input number `index` of a kind; it is the same in every session with this seed.

    Only the times that libraries write into packed files may differ.
    """
    return kind.make(Random(f"{seed} {kind.name} {index}"))


def feed(kind: Kind, count: int, *, seed: int, keep: Path, patience: float = PATIENCE) -> Tally:
    """Feed `count` inputs of a kind to a worker, keep the failing ones, and return the tally."""
    tally = Tally(kind.name)
    stderr = Console(stderr=True)
    with Worker(kind, patience=patience) as worker:
        for index in track(range(count), kind.name, console=stderr):
            given = made(kind, seed, index)
            outcome = worker.judge(given)
            tally.add(outcome)
            if outcome.word == "failed":
                sort = general(outcome.message.strip().rpartition("\n")[2])
                if sort not in tally.failures:
                    path = keep / f"{kind.name.replace(' ', '-')}-{seed}-{index}.json"
                    given.write(path, kind.name)
                    tally.failures[sort] = str(path)
    return tally


def show(done: list[Tally], out: Console) -> None:
    """Print the results, and how to replay the failures."""
    table = Table(title="Fuzzed inputs", title_justify="left")
    table.add_column("kind")
    for column in ("inputs", "read", "refused", "messages", "failed", "slowest, s", "most, MiB"):
        table.add_column(column, justify="right")
    for tally in done:
        table.add_row(
            tally.kind,
            f"{tally.inputs:,}",
            f"{tally.read:,}",
            f"{tally.refused:,}",
            f"{len(tally.messages)}",
            f"{tally.failed}",
            f"{tally.slowest_seconds:.1f}",
            f"{tally.most_mebibytes:.0f}",
        )
    out.print(table)
    for tally in done:
        for sort, path in [*tally.failures.items()][:_SHOWN]:
            out.print(
                f"{tally.kind}: {sort}\n    python -m tests.fuzz --replay {path}",
                style="red",
                soft_wrap=True,
                markup=False,
            )


def replay(path: Path) -> int:
    """Feed a kept input again, and print the result; return 1 if it fails."""
    kind, given = Input.read(path)
    print("lenet-multi", *(ascii(argument) for argument in given.arguments))
    with Worker(KINDS[kind]) as worker:
        outcome = worker.judge(given)
    print(outcome.word, outcome.message, f"({outcome.seconds:.2f} s, {outcome.mebibytes:.0f} MiB)")
    return int(outcome.word == "failed")


def main() -> int:
    """Do what the command line says; return 1 if an input failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--kind", choices=[*KINDS], action="append", help="only these kinds")
    parser.add_argument("--seed", type=int, default=0, help="seed of the inputs")
    parser.add_argument("--out", type=Path, help="JSON to write")
    parser.add_argument("--keep", type=Path, default=KEPT, help="folder for inputs that fail")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="feed a kept input again")
    wanted = parser.parse_args()
    if wanted.replay and not wanted.replay.is_file():
        parser.error(f"argument --replay: there is no file {wanted.replay}")
    if wanted.replay:
        return replay(wanted.replay)
    kinds = [KINDS[name] for name in wanted.kind or KINDS]
    done: list[Tally] = []
    try:
        for kind, count in zip(kinds, counts(wanted.inputs, kinds), strict=True):
            done.append(feed(kind, count, seed=wanted.seed, keep=wanted.keep))
    finally:
        show(done, console())
    if wanted.out:
        record = {
            "machine": environment.machine(),
            "versions": {
                **environment.versions(frameworks.choose(None)),
                **{name: version(name) for name in ("click", "h5py", "pillow", "scipy")},
            },
            "seed": wanted.seed,
            "inputs": sum(tally.inputs for tally in done),
            "failed": sum(tally.failed for tally in done),
            "kinds": [tally.as_json() for tally in done],
        }
        write_json(wanted.out, record, indent=1)
    return int(any(tally.failed for tally in done))


if __name__ == "__main__":
    sys.exit(main())
