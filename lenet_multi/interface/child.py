"""Run one of the project's commands in a child process, and read what it answers.

A notebook may have imported Keras on one backend already; a child starts afresh.
"""

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from lenet_multi.errors import UserError
from lenet_multi.machine import signals

_PATIENCE = 30.0  # seconds for a stopped command to end its own processes and clean up
_NAME = "lenet-multi: "  # begins the line of an error
_WARNING = f"{_NAME}warning: "


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> tuple[int, str]:
    """Run `lenet-multi ARGUMENTS` with `environ` added; return its exit status and its stdout.

    What it writes to stderr appears on `sys.stderr`. Raises `UserError` with the command's line
    when it refuses the input. An exception here, such as Ctrl-C's, stops the command first.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "lenet_multi", *arguments],
        env={**_environment(arguments), **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,  # Ctrl-C reaches us alone, and the command once, from us
    ) as process:
        assert process.stdout
        assert process.stderr
        with ThreadPoolExecutor(1) as reader:
            answer = reader.submit(process.stdout.read)
            try:
                with io.TextIOWrapper(process.stderr, errors="replace", newline="") as lines:
                    line = _pass_on(lines)
                status = process.wait()
            except BaseException:
                _stop(process)
                raise
            output = answer.result().decode(errors="replace")
    if status == 2:
        raise UserError(line or f"{arguments[0]} failed; see what it printed")
    return status, output


def _environment(arguments: Sequence[str]) -> dict[str, str]:
    """Return this process's environment, for a child that finds the same modules.

    The backend of the arguments may be another one than KERAS_BACKEND, which a notebook sets.
    """
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
    }
    if sys.stderr.isatty():  # the child writes to a pipe, from which the terminal gets it
        environ |= {"TTY_COMPATIBLE": "1", "COLUMNS": str(shutil.get_terminal_size().columns)}
    if any(argument.startswith("--backend=") for argument in arguments):
        environ.pop("KERAS_BACKEND", None)
    return environ


def _pass_on(lines: io.TextIOWrapper) -> str:
    """Copy lines to stderr, but for the line of the command's error, which is returned."""
    error = ""
    for line in lines:
        if line.startswith(_NAME) and not line.startswith(_WARNING):
            error = line.removeprefix(_NAME).strip()
        else:
            sys.stderr.write(line)
            sys.stderr.flush()
    return error


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the command to stop, wait, and then end all processes of its group."""
    process.terminate()
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE)
    finally:
        with suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signals.KILL)
            else:  # Windows has no groups of processes
                process.kill()
