"""Examine backends, machine, settings and extras, and list the problems."""

import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from lenet_multi import __version__
from lenet_multi.commands.doctor import settings
from lenet_multi.commands.doctor.probe import MODULE, Probe, probe_all
from lenet_multi.commands.doctor.settings import Setting
from lenet_multi.errors import UserError
from lenet_multi.machine import environment, extras, frameworks
from lenet_multi.machine.extras import Extra
from lenet_multi.runs.folder import NEEDED_BYTES, RUNS

NEEDED_MEMORY = 2**30  # bytes; a training run took 771 MiB at most
COSTLY = 1.5  # times as long as one thread; threads with a processor each take no longer


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The machine, by default this one; `memory` and `disk_free` in bytes, `runs`: runs' folder.

    `memory` is None if the system does not report it.
    """

    python: str = platform.python_version()
    lenet_multi: str = __version__
    system: str = f"{platform.system()} {platform.machine()}"
    processor: str = field(default_factory=environment.processor)
    cores: int = field(default_factory=environment.threads)
    memory: int | None = field(default_factory=environment.memory_bytes)
    runs: str = field(default_factory=lambda: str(Path.cwd() / RUNS))
    disk_free: int = field(default_factory=lambda: shutil.disk_usage(Path.cwd()).free)


@dataclass(frozen=True)
class Problem:
    """A problem and its remedy; a `grave` one changes or prevents results."""

    text: str
    remedy: str
    grave: bool = True


@dataclass(frozen=True)
class Checkup:
    """What the examination found, and its problems."""

    backends: list[Probe]
    machine: Machine
    settings: list[Setting]
    extras: list[Extra]
    problems: list[Problem]

    @property
    def healthy(self) -> bool:
        """Whether a backend works and nothing changes its results."""
        return not any(problem.grave for problem in self.problems)


def examine(*, timeout: float) -> Checkup:
    """Examine this machine; a backend may take `timeout` seconds to start."""
    probes = probe_all(frameworks.BACKENDS, timeout=timeout)
    machine, found = Machine(), settings.found()
    problems = _of_packages(), _of_settings(found), _of_machine(machine), _of_backends(probes)
    return Checkup(probes, machine, found, extras.every(), [*chain(*problems)])


def _of_backends(probes: Sequence[Probe]) -> Iterator[Problem]:
    working = [probe for probe in probes if probe.works]
    for probe in probes:
        if probe.trouble:
            named = " ".join(filter(None, (probe.backend, probe.version)))
            yield Problem(
                f"{named} does not work: {probe.trouble}",
                probe.remedy
                or f"read its whole output with: python -m {MODULE} {probe.backend}; if it is only "
                "slow, give a longer --timeout",
                grave=not working,
            )
        elif probe.thread_cost > COSTLY:
            yield Problem(
                f"{probe.backend}'s {probe.threads} threads take {probe.thread_cost:.1f} times as "
                "long as one for a small step: other programs use the processors, so the threads "
                "wait for each other",
                "set OMP_NUM_THREADS=1 while the machine is shared; sums are then rounded in "
                "another order",
                grave=False,
            )
    if not any(probe.installed for probe in probes):
        yield Problem("no backend is installed", f"install one, e.g. {extras.install_line('jax')}")


def _of_settings(found: Sequence[Setting]) -> Iterator[Problem]:
    for setting in found:
        if setting.changes_results:
            yield Problem(f"{setting.name} is {setting.value}: {setting.effect}", setting.remedy)
    try:
        frameworks.choose(None)
    except UserError as error:
        if os.environ.get("KERAS_BACKEND"):
            yield Problem(f"KERAS_BACKEND: {error}", "unset KERAS_BACKEND")


def _of_machine(machine: Machine) -> Iterator[Problem]:
    if machine.memory is not None and machine.memory < NEEDED_MEMORY:
        yield Problem(
            f"the machine has {machine.memory / 2**20:.0f} MiB of memory; training needs up to "
            f"{NEEDED_MEMORY / 2**20:.0f}",
            "give the machine or the container more memory",
        )
    if machine.disk_free < NEEDED_BYTES:
        yield Problem(
            f"{machine.runs} has {machine.disk_free / 2**20:.0f} MiB free; a run needs "
            f"{NEEDED_BYTES / 2**20:.0f}",
            "free some space, or choose another --out",
        )
    if not os.access(Path.cwd(), os.W_OK):
        yield Problem(f"{Path.cwd()}, for runs, is not writable", "choose another --out")


def _of_packages() -> Iterator[Problem]:
    if not extras.is_installed():
        folder = Path(__file__).parents[3]
        text = f"lenet-multi runs from {folder} and is not installed, so its needs are unknown"
        yield Problem(text, f"pip install {folder}", grave=False)
    for lack in extras.lacks():
        yield Problem(f"{lack} is needed", extras.install_line())
