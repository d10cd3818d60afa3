"""Check whether a backend works, in a child process: `python -m ...doctor.probe NAME`."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from lenet_multi.machine import environment, frameworks, keras_start, measured

MODULE = "lenet_multi.commands.doctor.probe"


@dataclass(frozen=True, kw_only=True)
class Probe:
    """The state of a backend; `trouble` says why it does not work, empty if it works.

    `threads`: processors it may use. `bfloat16`: the speed of its bfloat16 products relative to
    float32 (see `measured`). `seconds`: from the start of the process to a result.
    """

    backend: str
    installed: bool
    version: str = ""
    device: str = ""
    threads: int = 0
    bfloat16: float = 0.0
    seconds: float = 0.0
    trouble: str = ""

    @property
    def works(self) -> bool:
        """Whether it can train."""
        return self.installed and not self.trouble


def probe_all(names: Sequence[str], *, timeout: float) -> list[Probe]:
    """Check backends at the same time; one that takes over `timeout` seconds does not work."""
    console = Console(stderr=True)
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with (
        Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar,
        ThreadPoolExecutor(len(names)) as pool,
    ):
        bar.add_task(f"starting {', '.join(names)}", total=None)
        return list(pool.map(partial(probe, timeout=timeout), names))


def probe(name: str, *, timeout: float) -> Probe:
    """Return the state of the backend `name`."""
    if name not in frameworks.installed():
        return Probe(backend=name, installed=False)
    try:
        version = frameworks.installed_version(name)
    except PackageNotFoundError:  # importable, but from no distribution
        version = "unknown"
    began = time.perf_counter()
    found = _ask(name, timeout)
    seconds = time.perf_counter() - began
    return Probe(backend=name, installed=True, version=version, seconds=seconds, **found)


def _ask(name: str, timeout: float) -> dict[str, Any]:
    """Return what the child process reports, or its trouble."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", MODULE, name],
            env={k: v for k, v in os.environ.items() if k not in keras_start.CUTTING_VARIABLES},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        return {"trouble": f"did not start within {timeout:g} s"}
    if done.returncode < 0:
        return {"trouble": f"ended by signal {-done.returncode}"}
    if done.returncode:
        last_line = done.stderr.strip().rpartition("\n")[2]
        return {"trouble": last_line or f"ended with status {done.returncode}"}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(name: str) -> None:
    """Start Keras on the backend, compute a convolution, and print the findings as JSON."""
    keras_start.start(name)
    import keras

    sums = keras.ops.conv(keras.ops.ones((1, 5, 5, 1)), keras.ops.ones((3, 3, 1, 1)))
    if float(keras.ops.sum(sums)) != 81:  # nine windows of nine ones
        raise ArithmeticError(f"{name} computes a convolution wrongly")
    found = {
        "device": str(sums.device),
        "threads": environment.threads(),
        "bfloat16": measured.measure_bfloat16(name),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
