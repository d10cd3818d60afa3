"""Run the demo with stand-ins for backends: `...stand_in HOST CLASS_NAMES BACKEND=MANNER ...`.

CLASS_NAMES have commas between them; "" is for a model that does not name its classes.

A stand-in that answers always says 7. Its version is its process id.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lenet_multi.commands.demo.app import serve
from lenet_multi.commands.demo.process import BackendProcess
from tests.conftest import PROJECT

SEVEN = {"answer": 7, "probabilities": [0.01] * 7 + [0.91, 0.01, 0.01], "milliseconds": 1.5}

_READY = "import json, os, sys, time; print(json.dumps({'version': str(os.getpid())}), flush=True)"
MANNERS = {
    "answers": f"""
{_READY}
while len(sys.stdin.buffer.read(784)) == 784:
    print({json.dumps(SEVEN)!r}, flush=True)
""",
    "says 1": f"""
{_READY}
while len(sys.stdin.buffer.read(784)) == 784:
    print(json.dumps({{**{SEVEN!r}, "answer": 1, "probabilities": [0, 1] + [0] * 8}}), flush=True)
""",
    "is unsure": f"""
{_READY}
while len(sys.stdin.buffer.read(784)) == 784:
    print(json.dumps({{**{SEVEN!r}, "probabilities": [0.06] * 7 + [0.46, 0.06, 0.06]}}), flush=True)
""",
    "never starts": "raise RuntimeError('out of luck')",
    "starts for ever": "import time; time.sleep(60)",
    "dies when asked": f"{_READY}; sys.stdin.buffer.read(784); os.kill(os.getpid(), 9)",
    "is silent when asked": f"{_READY}; time.sleep(60)",
}


def stand_in(manner: str) -> tuple[str, ...]:
    """Return the command of a process that behaves in this manner."""
    return (sys.executable, "-c", MANNERS[manner])


@dataclass(frozen=True)
class Demo:
    """The running demo: its process, its address, and the warnings before the address."""

    process: "subprocess.Popen[str]"
    address: str
    warnings: list[str]


@contextmanager
def served(*, host: str = "127.0.0.1", names: str = "", **manners: str) -> Iterator[Demo]:
    """Run the demo with one stand-in for each backend, which behaves in its manner.

    `names` are those of the classes, with commas between them.
    """
    named = [f"{backend}={manner}" for backend, manner in manners.items()]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.commands.demo.stand_in", host, names, *named],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout
        warnings = []
        try:
            while not (line := process.stdout.readline()).startswith("Demo:"):
                warnings.append(line)
                assert line, f"the demo has ended: {''.join(warnings)}"
            yield Demo(process, line.split()[1], warnings)
        finally:
            process.terminate()  # its backends end with it


def main(host: str, names: str, *named: str) -> None:
    """Serve until the process ends."""
    class_names = names.split(",") if names else None
    backends = [
        BackendProcess(backend, "runs/a", stand_in(manner), class_names=class_names)
        for backend, _, manner in (each.partition("=") for each in named)
    ]
    serve(backends, host=host, port=0)


if __name__ == "__main__":
    main(*sys.argv[1:])
