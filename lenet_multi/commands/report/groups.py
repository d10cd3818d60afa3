"""The page's runs: each run's label and look, and the groups trained alike."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lenet_multi.config import TEACHING
from lenet_multi.lenet.recipes import RECIPES
from lenet_multi.machine.frameworks import BACKENDS
from lenet_multi.runs.comparison import premises
from lenet_multi.runs.palette import MARKS, OTHER
from lenet_multi.runs.record import Result, Run


@dataclass(frozen=True)
class Shown:
    """A run with its unique label, its backend's colour (a name of the palette) and its mark."""

    run: Run
    label: str
    accent: str
    mark: str

    @property
    def result(self) -> Result:
        """The run's result."""
        return self.run.result


@dataclass(frozen=True)
class Group:
    """Comparable runs with the same settings and data; `title` names the settings."""

    title: str
    runs: list[Shown]

    @property
    def classifies(self) -> bool:
        """Whether the models are classifiers."""
        return self.runs[0].result.classifies

    @property
    def metrics(self) -> list[str]:
        """The loss, and the headline metric if each epoch has it in training and validation."""
        headline = self.runs[0].result.headline[0]
        names = {headline, f"val_{headline}"}
        epochs = (epoch for shown in self.runs for epoch in shown.result.epochs)
        recorded = headline != "loss" and all(names <= epoch.keys() for epoch in epochs)
        return ["loss", headline] if recorded else ["loss"]

    def written(self, metric: str, value: float) -> str:
        """Format a value of one of the `metrics`."""
        if metric == "loss":
            return f"{value:.4f}"
        return f"{value:.2%}" if self.classifies else f"{value:.4g}"


def group(runs: Sequence[Run]) -> list[Group]:
    """Group comparable runs; groups and runs keep the given order."""
    labels = _labels(runs)
    groups: dict[str, Group] = {}
    for run, label in zip(runs, labels, strict=True):
        key = json.dumps(premises(run.result))
        found = groups.setdefault(key, Group(_title(run.result), []))
        backend = run.result.backend
        accent = backend if backend in BACKENDS else OTHER
        mark = list(MARKS)[len(found.runs) % len(MARKS)]
        found.runs.append(Shown(run, label, accent, mark))
    return list(groups.values())


def _labels(runs: Sequence[Run]) -> list[str]:
    """Return the backends' names, with as much of the folder as makes them unique."""
    backends = [run.result.backend for run in runs]
    by_name = [_named(run, run.folder.name) for run in runs]
    by_path = [_named(run, str(run.folder)) for run in runs]
    ways = (backends, by_name, by_path)
    return next((labels for labels in ways if len(set(labels)) == len(runs)), by_path)


def _named(run: Run, place: str) -> str:
    backend = run.result.backend
    return place if backend in place else f"{backend}, {place}"


_PLACES = ("data", "start_from")  # settings that are paths


def _title(result: Result) -> str:
    """Return the recipe's name, and the settings that changed what the run learned."""
    name = str(result.config.get("recipe"))
    recipe = dataclasses.asdict(RECIPES[name]) if name in RECIPES else {}
    changed = [
        f"{setting.replace('_', ' ')} {Path(str(value)).name if setting in _PLACES else value}"
        for setting, value in result.config.items()
        if setting in TEACHING & recipe.keys() and value != recipe[setting]
    ]
    went_on = [f"went on after epoch {one['epochs']}" for one in result.earlier]
    return ", ".join([name, *changed, *went_on])
