"""What the functions return: the JSON that a command printed, with names and tables."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.table import Table

from lenet_multi.parity.ascent import FIGURE
from lenet_multi.parity.ladder import Finding, first_failure
from lenet_multi.parity.plan import ORACLE
from lenet_multi.parity.report import rungs_table
from lenet_multi.runs.shown import Shown


@dataclass(frozen=True, repr=False)
class ParityResult(Shown):
    """Whether a model trains the same on backends, and what the climb found.

    `first_failure` is the first finding over its limit, None if there is none. `failures` says
    which backend's process failed, and how. `known` says which known divergences the model
    meets. `folder` has the evidence, `comparison.json` and the figure.
    """

    passed: bool
    first_failure: Finding | None
    findings: list[Finding]
    failures: list[str]
    known: list[str]
    folder: Path
    seconds: float

    @classmethod
    def of(cls, content: Mapping[str, Any], folder: Path) -> "ParityResult":
        """Return the result that the JSON of `parity` records; it may have more fields."""
        findings = [Finding.of(one) for one in content["findings"]]
        return cls(
            passed=bool(content["passed"]),
            first_failure=first_failure(findings),
            findings=findings,
            failures=[_failure(one) for one in content["failures"]],
            known=[_known(one) for one in content.get("known", [])],
            folder=folder,
            seconds=float(content["seconds"]),
        )

    def tables(self) -> list[Table]:
        """Return the table of rungs."""
        return [rungs_table(self.findings)]

    @property
    def sentence(self) -> str:
        """The verdict."""
        if self.first_failure:
            return f"They DIFFER, first at {self.first_failure}"
        if self.failures:
            return f"No verdict: {'; '.join(self.failures)}"
        names = dict.fromkeys(name for finding in self.findings for name in finding.pair)
        names.pop(ORACLE, None)
        return f"The same at every rung: {', '.join(names)}."

    @property
    def pictures(self) -> str:
        """The figure of gaps at each step as an inline PNG, if it was drawn."""
        path = self.folder / FIGURE
        if not path.exists():
            return ""
        picture = b64encode(path.read_bytes()).decode()
        words = "the gap between backends at each training step"
        return f'<img alt="{words}" width="720" src="data:image/png;base64,{picture}">'


def _known(content: Mapping[str, Any]) -> str:
    said = (content.get(name) for name in ("what", "size", "cause", "way_round"))
    return "; ".join(str(one) for one in said if one)


def _failure(content: Mapping[str, Any]) -> str:
    lines = content["last_lines"]
    return f"{content['child']} {content['reason']}" + (f": {lines[-1]}" if lines else "")


@dataclass(frozen=True, repr=False)
class BenchResult(Shown):
    """How fast each backend trains a model in each way: a row each, and which one to take."""

    content: dict[str, Any]  # the JSON of the command
    folder: Path

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The figures of each backend in each way."""
        return list(self.content["rows"])

    @property
    def sentence(self) -> str:
        """Which one to take, by what factor, and why."""
        return str(self.content["sentence"])

    def tables(self) -> list[Table]:
        """Return a table with a row for each way: medians over the rounds, or why it failed."""
        table = Table("backend", "way", title="Time and memory", title_justify="left")
        for name in ("first step s", "step ms", "predict ms", "peak MiB"):
            table.add_column(name, justify="right")
        table.add_column("remark")
        for row in self.rows:
            rounds = (row.get(name) for name in ("step_ms", "predict_ms"))
            figures = [
                row.get("seconds", {}).get("first step"),
                *(median(values) if values else None for values in rounds),
                row.get("peak_mib"),
            ]
            remark = row.get("failure") or row.get("why_stock")
            table.add_row(row["backend"], row["way"], *map(_shown, figures), _shown(remark))
        return [table]


def _shown(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, repr=False)
class EvaluationResult(Shown):
    """A classifier's answers on a test set, counted; `classes` has a row for each class."""

    backend: str
    test_images: int
    test_correct: int
    test_accuracy: float
    test_loss: float
    classes: list[dict[str, Any]]
    confusion: list[list[int]]  # a row for each label, a column for each answer

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "EvaluationResult":
        """Return the result that the JSON of `evaluate` records; it may have more fields."""
        return cls(**{name: content[name] for name in cls.__dataclass_fields__})

    def tables(self) -> list[Table]:
        """Return a table with a row for each class."""
        table = Table(title="Class by class", title_justify="left")
        for name in self.classes[0]:
            table.add_column(name, justify="right")
        for row in self.classes:
            table.add_row(*map(_shown, row.values()))
        return [table]

    @property
    def sentence(self) -> str:
        """The figures of the whole test set."""
        share = f"{self.test_correct:,} of {self.test_images:,} right ({self.test_accuracy:.2%})"
        return f"{share}, loss {self.test_loss:.4f}, on {self.backend}."
