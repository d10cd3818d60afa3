"""Draw what the doctor found as tables."""

from rich import box
from rich.console import Console
from rich.table import Table

from lenet_multi.commands.doctor.checkup import Checkup
from lenet_multi.commands.doctor.probe import Probe
from lenet_multi.machine.extras import install_line


def print_checkup(found: Checkup, console: Console) -> None:
    """Print backends, machine, settings and extras, then each problem with its remedy."""
    console.print(_backends(found), _machine(found), sep="\n")
    if found.settings:
        console.print(_settings(found))
    console.print(_extras(found))
    for problem in found.problems:
        word = "Problem" if problem.grave else "Note"
        text = f"{word}: {problem.text}\n  Remedy: {problem.remedy}"
        console.print(text, highlight=False, soft_wrap=True)
    working = [probe.backend for probe in found.backends if probe.works]
    if found.healthy:
        console.print(f"Healthy: {', '.join(working)} can train, and nothing changes the results.")
    else:
        console.print("Not healthy: mend the problems above.")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _backends(found: Checkup) -> Table:
    table = _table(
        "Backends", "backend", "version", "state", "device", "threads", "bfloat16", "starts in, s"
    )
    for probe in found.backends:
        table.add_row(
            probe.backend,
            probe.version,
            _state(probe),
            probe.device,
            str(probe.threads or ""),
            f"{probe.bfloat16:.1f}x" if probe.bfloat16 else "",
            f"{probe.seconds:.1f}" if probe.installed else "",
        )
    return table


def _state(probe: Probe) -> str:
    if not probe.installed:
        return f"not installed: {install_line(probe.backend)}"
    return probe.trouble or "works"


def _machine(found: Checkup) -> Table:
    machine = found.machine
    table = _table("Here", "what", "found")
    table.add_row("Python", machine.python)
    table.add_row("lenet-multi", machine.lenet_multi)
    table.add_row("system", machine.system)
    table.add_row("processor", f"{machine.processor}, {machine.cores} of its cores to use")
    table.add_row("memory", f"{machine.memory / 2**30:.1f} GiB")
    table.add_row("runs go to", f"{machine.runs}, {machine.disk_free / 2**30:.1f} GiB free")
    return table


def _settings(found: Checkup) -> Table:
    table = _table("Settings from outside", "setting", "value", "effect")
    for setting in found.settings:
        table.add_row(setting.name, setting.value, setting.effect)
    return table


def _extras(found: Checkup) -> Table:
    table = _table("Extras", "extra", "lacks", "install it with")
    for extra in found.extras:
        table.add_row(
            extra.name, ", ".join(extra.lacks) or "nothing", extra.install if extra.lacks else ""
        )
    return table
