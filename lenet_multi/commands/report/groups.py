"""The runs of a page: what each is called and looks like, and which were trained alike."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lenet_multi.commands.report.palette import MARKS, OTHER, Mark
from lenet_multi.config import TEACHING
from lenet_multi.lenet.recipes import RECIPES
from lenet_multi.machine.frameworks import BACKENDS
from lenet_multi.runs.comparison import premises
from lenet_multi.runs.record import Result, Run


@dataclass(frozen=True)
class Shown:
    """A run with its own label, its backend's colour (a name of the palette) and its mark."""

    run: Run
    label: str
    accent: str
    mark: Mark

    @property
    def result(self) -> Result:
        """What the run recorded."""
        return self.run.result


@dataclass(frozen=True)
class Group:
    """Runs of the same settings and data, which can be compared, and what they were trained on."""

    title: str
    runs: list[Shown]

    @property
    def metric(self) -> str:
        """What the headline of these runs is called."""
        return self.runs[0].result.headline[0]

    @property
    def epochs_tell_metric(self) -> bool:
        """Whether each epoch has it, in training and in validation, beside the loss."""
        names = {self.metric, f"val_{self.metric}"} - {"loss"}
        epochs = (epoch for shown in self.runs for epoch in shown.result.epochs)
        return len(names) == 2 and all(names <= epoch.keys() for epoch in epochs)


def group(runs: Sequence[Run]) -> list[Group]:
    """Return the runs in groups, both in the order given."""
    labels = _labels(runs)
    groups: dict[str, Group] = {}
    for run, label in zip(runs, labels, strict=True):
        key = json.dumps(premises(run.result), sort_keys=True)
        found = groups.setdefault(key, Group(_title(run.result), []))
        backend = run.result.backend
        accent = backend if backend in BACKENDS else OTHER
        mark = MARKS[len(found.runs) % len(MARKS)]
        found.runs.append(Shown(run, label, accent, mark))
    return list(groups.values())


def _labels(runs: Sequence[Run]) -> list[str]:
    """Return the backends' names, with as much of the folder as tells the runs apart."""
    ways: tuple[Callable[[Run], str], ...] = (
        lambda run: run.result.backend,
        lambda run: _named(run, run.folder.name),
    )
    for way in ways:
        if len(set(labels := [way(run) for run in runs])) == len(runs):
            return labels
    return [_named(run, str(run.folder)) for run in runs]


def _named(run: Run, place: str) -> str:
    backend = run.result.backend
    return place if backend in place else f"{backend}, {place}"


def _title(result: Result) -> str:
    """Return the recipe's name and the settings that teach otherwise than the recipe's."""
    name = str(result.config.get("recipe"))
    recipe = dataclasses.asdict(RECIPES[name]) if name in RECIPES else {}
    changed = [
        f"{setting.replace('_', ' ')} {Path(str(value)).name if setting == 'data' else value}"
        for setting, value in result.config.items()
        if setting in TEACHING & recipe.keys() and value != recipe[setting]
    ]
    return ", ".join([name, *changed])
