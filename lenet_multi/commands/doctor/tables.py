"""Print the doctor's findings as tables."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Column, Table

from lenet_multi.commands.doctor.checkup import Checkup, Machine
from lenet_multi.commands.doctor.probe import Probe
from lenet_multi.machine.extras import install_line


def print_checkup(found: Checkup, console: Console) -> None:
    """Print backends, machine, settings and extras, then each problem with its remedy."""
    backends = "backend", "version", "state", "device", "threads", "bfloat16", "starts in, s"
    settings = [(setting.name, setting.value, setting.effect) for setting in found.settings]
    extras = [
        (extra.name, ", ".join(extra.lacks) or "nothing", extra.install if extra.lacks else "")
        for extra in found.extras
    ]
    console.print(_table("Backends", backends, map(_backend, found.backends)))
    console.print(_table("Machine", ("part", "found"), _machine(found.machine)))
    if settings:
        console.print(_table("Settings from outside", ("setting", "value", "effect"), settings))
    console.print(_table("Extras", ("extra", "missing", "install with"), extras))
    for problem in found.problems:
        word = "Problem" if problem.grave else "Note"
        text = f"{word}: {problem.text}\n  Remedy: {problem.remedy}"
        console.print(text, highlight=False, soft_wrap=True)
    working = [probe.backend for probe in found.backends if probe.works]
    if found.healthy:
        console.print(f"Healthy: {', '.join(working)} can train, and nothing changes the results.")
    else:
        console.print("Not healthy: solve the problems above.")


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    headers = [Column(column, overflow="fold") for column in columns]
    table = Table(*headers, title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*row)
    return table


def _backend(probe: Probe) -> Sequence[str]:
    missing = f"not installed: {install_line(probe.backend)}"
    return (
        probe.backend,
        probe.version,
        (probe.trouble or "works") if probe.installed else missing,
        probe.device,
        str(probe.threads or ""),
        f"{probe.bfloat16:.1f}x" if probe.bfloat16 else "",
        f"{probe.seconds:.1f}" if probe.seconds else "",
    )


def _machine(machine: Machine) -> Sequence[tuple[str, str]]:
    return (
        ("Python", machine.python),
        ("lenet-multi", machine.lenet_multi),
        ("system", machine.system),
        ("processor", f"{machine.processor}, {machine.cores} cores available"),
        ("memory", f"{machine.memory / 2**30:.1f} GiB" if machine.memory else "unknown"),
        ("runs go to", f"{machine.runs}, {machine.disk_free / 2**30:.1f} GiB free"),
    )
