"""Bench several models, each with a command of its own, one after another or on a cluster."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lenet_multi.machine import children, cluster, environment
from lenet_multi.machine.children import Child, Failure
from lenet_multi.runs.folder import named_after


@dataclass(frozen=True)
class Several:
    """Each model's folder, what its command printed unless it was refused, and the failures."""

    folders: list[Path]
    printed: list[str]
    failures: list[Failure]


def run(
    models: Sequence[str],
    flags: Sequence[str],
    folder: Path,
    *,
    scheduler: str | None = None,
    backends: Sequence[str] = (),
) -> Several:
    """Bench each of the `models` with the `flags` of the command into a folder in `folder`.

    Without the `scheduler` of a cluster, this machine measures one model after another. With one, a
    machine of the cluster measures each model alone; all need the versions for `backends` that this
    process has.
    """
    wanted = [_child(number, model, flags, folder) for number, model in enumerate(models, 1)]
    if scheduler is None:
        failures = children.run(wanted, timeout=math.inf, threads=environment.threads())
    else:
        failures = cluster.run(wanted, scheduler, backends, timeout=math.inf, threads=None)
    refused = {failure.child for failure in failures if failure.is_refusal}
    logs = [child.log for child in wanted if child.name not in refused]
    folders = [folder for child in wanted for folder in child.folders]
    return Several(folders, [_tables(log) for log in logs if log.exists()], failures)


def _tables(log: Path) -> str:
    """Return what a command printed, without the place of its figures, which was a worker's."""
    lines = log.read_text(errors="replace").splitlines()
    return "\n".join(line for line in lines if not line.startswith("Figures: "))


def _child(number: int, model: str, flags: Sequence[str], folder: Path) -> Child:
    place = folder / f"{number}-{named_after(model)}"  # two models may have one name
    asked = ("bench", model, *flags, "--out", str(place))
    return Child(
        name=model,
        command=(sys.executable, "-m", "lenet_multi", *asked),
        log=folder / "logs" / f"{place.name}.txt",
        folders=(place,),
    )
