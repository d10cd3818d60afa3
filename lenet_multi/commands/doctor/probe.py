"""Check whether a backend works, in a child process: `python -m ...doctor.probe NAME`."""

import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from lenet_multi.errors import StartError, reason_in
from lenet_multi.machine import frameworks, keras_start, measured, threads

MODULE = "lenet_multi.commands.doctor.probe"


@dataclass(frozen=True, kw_only=True)
class Probe:
    """The state of a backend; `trouble` says why it does not work, empty if it works.

    `remedy`: for the trouble, if known. `threads`: how many compute an operation;
    `thread_cost`: the time of a small step on them relative to one thread (0 if not measured).
    `bfloat16`: the speed of its bfloat16 products relative to float32 (see `measured`). `seconds`:
    from the start of the process to a result.
    """

    backend: str
    installed: bool
    version: str = ""
    device: str = ""
    threads: int = 0
    thread_cost: float = 0.0
    bfloat16: float = 0.0
    seconds: float = 0.0
    trouble: str = ""
    remedy: str = ""

    @property
    def works(self) -> bool:
        """Whether it can train."""
        return self.installed and not self.trouble


def probe_all(names: Sequence[str], *, timeout: float) -> list[Probe]:
    """Check backends; one that takes over `timeout` seconds does not work.

    They run one after another, because each measures its speed.
    """
    console = Console(stderr=True)
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    found = []
    with Progress(
        *columns, console=console, disable=not console.is_terminal, transient=True
    ) as bar:
        starting = bar.add_task("", total=None)
        for name in names:
            bar.update(starting, description=f"starting {name}")
            found.append(probe(name, timeout=timeout))
    return found


def probe(name: str, *, timeout: float) -> Probe:
    """Return the state of the backend `name`."""
    for package in ("numpy", "keras", frameworks.framework(name)):
        if path := frameworks.hiding(package):
            trouble = f"{path} has the name of the package {package} and hides it"
            return Probe(backend=name, installed=True, trouble=trouble, remedy=frameworks.RENAME_IT)
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
        why = reason_in(done.stderr)
        return {"trouble": why or f"ended with status {done.returncode}"}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(name: str) -> None:
    """Start Keras on the backend, compute a convolution, and print the findings as JSON."""
    try:
        keras_start.start(name)
    except StartError as error:
        traceback.print_exc()
        print(json.dumps({"trouble": error.why, "remedy": error.remedy}))
        return
    import keras

    sums = keras.ops.conv(keras.ops.ones((1, 5, 5, 1)), keras.ops.ones((3, 3, 1, 1)))
    if float(keras.ops.sum(sums)) != 81:  # nine windows of nine ones
        raise ArithmeticError(f"{name} computes a convolution wrongly")
    found = {
        "device": str(sums.device),
        "threads": threads.used(name),
        "thread_cost": threads.cost(name),
        "bfloat16": measured.measure_bfloat16(name),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
