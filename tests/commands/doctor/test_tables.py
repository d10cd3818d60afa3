import dataclasses
import io
import re
from typing import Any

from rich.console import Console

from lenet_multi.commands.doctor.checkup import Checkup, Machine, Problem
from lenet_multi.commands.doctor.probe import Probe
from lenet_multi.commands.doctor.settings import Setting
from lenet_multi.commands.doctor.tables import print_checkup
from lenet_multi.machine.extras import Extra

PROBES = [
    Probe(
        backend="jax",
        installed=True,
        version="0.10",
        device="cpu:0",
        threads=2,
        bfloat16=1.94,
        seconds=3.21,
    ),
    Probe(backend="torch", installed=True, version="2.13", trouble="no libcuda"),
    Probe(backend="tensorflow", installed=False),
]
MACHINE = Machine(
    python="3.11.9",
    lenet_multi="0.1.0",
    system="Linux x86_64",
    processor="AMD",
    cores=2,
    memory=3 * 2**30,
    runs="/home/runs",
    disk_free=5 * 2**30,
)
SETTINGS = [Setting("XLA_FLAGS", "--x", "XLA may compile differently", True, "unset XLA_FLAGS")]
EXTRAS = [Extra("demo", ["uvicorn>=1", "starlette"], "pip install it"), Extra("csv", [], "pip no")]
PROBLEMS = [Problem("it is [full] " * 9 + ".", "free 9 MiB"), Problem("slow", "wait", grave=False)]


def printed(*, width: int = 140, is_terminal: bool = False, **change: Any) -> list[str]:
    """Return the lines of what was found, without the ends' spaces."""
    given = {"backends": PROBES, "machine": MACHINE, "settings": SETTINGS, "extras": EXTRAS}
    console = Console(
        width=width,
        file=(text := io.StringIO()),
        markup=False,
        force_terminal=is_terminal,
        color_system="standard" if is_terminal else None,
        _environ={},
    )
    print_checkup(Checkup(**{**given, "problems": PROBLEMS, **change}), console)
    return [line.rstrip() for line in text.getvalue().splitlines()]


def test_all_that_was_found_is_in_tables() -> None:
    """Backends, machine, settings and extras come first, then the problems and the verdict."""
    lines = [re.sub(r"(?<=[^ ]) {2,}", " | ", line) for line in printed()]
    assert [line.strip() for line in lines if line.strip(" ─")] == [
        "Backends",
        "backend | version | state | device | threads | bfloat16 | starts in, s",
        "jax | 0.10 | works | cpu:0 | 2 | 1.9x | 3.2",
        "torch | 2.13 | no libcuda",
        "tensorflow | not installed: pip install 'lenet-multi[tensorflow]'",
        "Machine",
        "part | found",
        "Python | 3.11.9",
        "lenet-multi | 0.1.0",
        "system | Linux x86_64",
        "processor | AMD, 2 cores available",
        "memory | 3.0 GiB",
        "runs go to | /home/runs, 5.0 GiB free",
        "Settings from outside",
        "setting | value | effect",
        "XLA_FLAGS | --x | XLA may compile differently",
        "Extras",
        "extra | missing | install with",
        "demo | uvicorn>=1, starlette | pip install it",
        "csv | nothing",
        f"Problem: {PROBLEMS[0].text}",
        "Remedy: free 9 MiB",
        "Note: slow",
        "Remedy: wait",
        "Not healthy: solve the problems above.",
    ]
    assert printed()[0] == "Backends"
    assert printed()[10:12] == ["  part          found", f" {'─' * 40}"]


def test_what_is_not_known_is_left_out() -> None:
    """A machine that does not report its memory, and nothing set from outside."""
    lines = printed(
        machine=dataclasses.replace(MACHINE, memory=None), settings=[], problems=PROBLEMS[1:]
    )
    assert "  memory        unknown" in lines
    assert "Settings from outside" not in lines
    assert lines[-1] == "Healthy: jax can train, and nothing changes the results."
    two = [PROBES[0], dataclasses.replace(PROBES[1], trouble="")]
    assert printed(backends=two, problems=[])[-1].startswith("Healthy: jax, torch can train, ")


def test_a_narrow_terminal_cuts_nothing() -> None:
    """Cells go on in the next line; a problem stays in one line, to be copied."""
    narrow = printed(width=50, machine=dataclasses.replace(MACHINE, runs="@" * 80))
    assert "".join(narrow).count("@") == 80
    assert narrow[-5:] == printed()[-5:]


def test_problems_have_no_colours() -> None:
    """A number or a path in them is as it is."""
    assert printed(is_terminal=True)[-5:-1] == printed()[-5:-1]
