"""Two machines of one training, as processes over loopback; and what a run has kept so far."""

import json
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lenet_multi.runs.folder import unfinished


@dataclass(frozen=True)
class Machine:
    """Its folder, how it starts Python, its variables, and the ports that all machines use."""

    folder: Path
    python: list[str]
    variables: dict[str, str] = field(default_factory=dict)
    ports: tuple[int, ...] = ()


def two_machines(backend: str, folder: Path) -> Iterator[Machine]:
    """Yield two machines with a process each, which train together on `backend`."""
    first, second = ports = free_port(), free_port()
    for number in range(2):
        own = folder / str(number)
        own.mkdir()
        python, rank = [sys.executable], str(number)
        variables: dict[str, str] = {}
        if backend == "torch":
            of_two = ("--nnodes=2", "--nproc-per-node=1", f"--node-rank={rank}")
            place = ("--master-addr=127.0.0.1", f"--master-port={first}")
            python += ["-m", "torch.distributed.run", *of_two, *place]
        elif backend == "jax":
            names = ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID")
            values = (f"127.0.0.1:{first}", "2", rank)
            named = zip(names, values, strict=True)
            variables = {f"KERAS_DISTRIBUTION_{name}": value for name, value in named}
        else:
            workers = [f"127.0.0.1:{port}" for port in (first, second)]
            task = {"type": "worker", "index": number}
            variables["TF_CONFIG"] = json.dumps({"cluster": {"worker": workers}, "task": task})
        yield Machine(own, python, variables, ports)


def free_port() -> int:
    """Return a port of this machine that nothing uses."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def newest(out: Path) -> tuple[int, int]:
    """Return the epoch and the steps of a run's newest checkpoint; zeros without any."""
    names = [path.stem.split("-") for path in (unfinished(out) / "resume").glob("[0-9]*.npz")]
    return max(((int(epoch), int(steps)) for epoch, steps, _ in names), default=(0, 0))


def children_of(parent: int) -> list[int]:
    """Return the processes that `parent` started, the oldest first (Linux)."""
    tasks = Path(f"/proc/{parent}/task").glob("*/children")
    return sorted(int(word) for task in tasks for word in task.read_text().split())
