"""Compare run folders without Keras: whether a model trained alike on each backend."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from lenet_multi.config import NOTHING, TEACHING, TrainConfig
from lenet_multi.data.metrics import count_correct, cross_entropy, errors
from lenet_multi.errors import UserError
from lenet_multi.runs import durable, tolerances
from lenet_multi.runs.record import Result, Run, read_run
from lenet_multi.runs.shown import Shown

SCHEMA_VERSION = 1

_SHORT = 12  # letters of a value in a message

RECOUNT = "right answers and loss, recounted"


@dataclass(frozen=True)
class Check:
    """One check of all runs: the value of each run, what is allowed, and the verdict."""

    name: str
    shown: list[str]
    allowed: str
    passed: bool


@dataclass(frozen=True, repr=False)
class Comparison(Shown):
    """Runs, their checks, and warnings on what may explain a difference."""

    runs: list[Run]
    checks: list[Check]
    warnings: list[str]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    def tables(self) -> list[Table]:
        """Return a table of the runs, and one of the checks with their verdicts."""
        table = _table(self.runs, "Do they agree?", "check", "allowed", "verdict")
        for check in self.checks:
            verdict = Text("pass", "green") if check.passed else Text("FAIL", "bold red")
            table.add_row(check.name, *check.shown, check.allowed, verdict)
        return [results_table(self.runs), table]

    @property
    def sentence(self) -> str:
        """Whether the runs agree, or the first check that failed."""
        failed = [check.name for check in self.checks if not check.passed]
        return f"The runs DIFFER, first in: {failed[0]}." if failed else "The runs agree."


def compare(folders: Sequence[Path]) -> Comparison:
    """Return the comparison of two or more run folders.

    Raises `UserError` without two different folders, for no run, and for other settings or data.
    """
    if len({folder.resolve() for folder in folders}) < len(folders) or len(folders) < 2:
        raise UserError("RUNS must be two or more different run folders; a run equals itself")
    runs = [read_run(folder) for folder in folders]
    for run in runs[1:]:
        _refuse_incomparable(runs[0], run)
    return put_to_the_checks(runs)


def put_to_the_checks(runs: list[Run]) -> Comparison:
    """Return the comparison of runs with the same `premises`."""
    return Comparison(runs, [*checks_of_start(runs), _headline(runs)], _warnings(runs))


def checks_of_start(runs: Sequence[Run]) -> list[Check]:
    """Return the checks that runs started alike, and that each run's figures are its own."""
    return [*(_equal(runs, *part) for part in _EQUAL), _recount(runs)]


def premises(result: Result) -> dict[str, Any]:
    """Return what comparable runs must share: settings, data and what is measured, by name."""
    return {  # without the data's place: the SHA-256 of its bytes is compared instead
        **{
            f"setting {name}": result.config.get(name, getattr(TrainConfig, name))
            for name in sorted(TEACHING - {"data", "start_from"})
        },
        # A finished run's end restarts the learning rate's schedule.
        "epochs before": [one["epochs"] for one in result.earlier],
        "start from": result.start_from.get("sha256", NOTHING),
        "data SHA-256": result.data_sha256,
        "data test_images": result.test_images,
        "data train_images": result.train_images,
        "data validation_images": result.validation_images,
        "model classifies": result.classifies,
        "model headline": result.headline[0],
        "model class names": ", ".join(result.class_names) or "numbers",
    }


def _refuse_incomparable(first: Run, second: Run) -> None:
    others = premises(second.result)
    for name, value in premises(first.result).items():
        if value != others[name]:
            one, other = str(value), str(others[name])
            most = _SHORT if one[:_SHORT] != other[:_SHORT] else None  # hashes need no more
            raise UserError(
                f"{first.folder} and {second.folder} cannot be compared: "
                f"{name} is {one[:most]} and {other[:most]}; train one again"
            )


def _warnings(runs: Sequence[Run]) -> list[str]:
    packages = sorted(set().union(*(run.result.versions for run in runs)))
    recorded: dict[str, list[Any]]
    recorded = {package: [run.result.versions.get(package) for run in runs] for package in packages}
    recorded["the instruction set"] = [run.result.machine.get("instruction_set") for run in runs]
    recorded["the number of threads"] = [run.result.threads for run in runs]
    return [
        f"{name} is {' and '.join(different)}: this may explain a difference"
        for name, values in recorded.items()
        if len(different := sorted({str(value) for value in values if value})) > 1
    ]


# What must be equal in all runs: the check's name, the field of a `Result`, how to show it.
# The first 12 digits of a hash identify it.
_EQUAL: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("weight tensors: names, shapes, types", "weights", lambda found: f"{len(found)} tensors"),
    ("parameters", "parameters", "{:,}".format),
    ("initial weights (SHA-256)", "initial_weights_sha256", "{:.12}".format),
    ("first epoch's order (SHA-256)", "first_epoch_order_sha256", "{:.12}".format),
)


def _equal(runs: Sequence[Run], name: str, field: str, show: Callable[[Any], str]) -> Check:
    values = [getattr(run.result, field) for run in runs]
    equal = all(value == values[0] for value in values)
    return Check(name, [show(value) for value in values], "equal", equal)


def _recount(runs: Sequence[Run]) -> Check:
    """Compute test figures again from the predictions, to find a stale or edited result."""
    found = [_recounted(run) for run in runs]
    return Check(
        RECOUNT if runs[0].result.classifies else "test errors, recounted",
        [text + ("" if as_recorded else ": NOT as recorded") for text, as_recorded in found],
        "as recorded",
        all(as_recorded for _, as_recorded in found),
    )


def _recounted(run: Run) -> tuple[str, bool]:
    """Return a run's recomputed test figures as text, and whether they are as recorded."""
    result = run.result
    if result.classifies:
        correct = count_correct(run.outputs, run.targets)
        loss = cross_entropy(run.outputs, run.targets)
        found = (correct, correct / len(run.targets), loss)
        recorded = (result.test_correct, result.test_accuracy, result.test_loss)
        return f"{correct:,}, loss {loss:.4f}", found == recorded
    values = errors(run.outputs, run.targets)
    shown = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
    return shown or "none", values.items() <= result.test_metrics.items()


def _headline(runs: Sequence[Run]) -> Check:
    values = [run.result.headline[1] for run in runs]
    low, high = min(values), max(values)
    if runs[0].result.classifies:
        few = min(run.result.train_images for run in runs) < tolerances.MANY_IMAGES
        tolerance = tolerances.TEST_ACCURACY_OF_FEW_IMAGES if few else tolerances.TEST_ACCURACY
        gap = round(100 * (high - low), 9)  # drops noise, keeps one image's share
        shown, most = f"{gap:.2f}", f"{tolerance.value}"
    else:
        tolerance = tolerances.TEST_METRIC
        gap = 0.0 if low == high else (high - low) / max(abs(low), abs(high))
        shown, most = f"{gap:.1%}", f"{tolerance.value:.0%}"
    return Check(
        f"test {runs[0].result.headline[0]}",
        [shown_headline(run.result) for run in runs],
        f"{shown} apart, {most} {tolerance.unit} allowed",
        gap <= tolerance.value,
    )


def write_json(comparison: Comparison, path: Path) -> None:
    """Write the comparison as JSON; raise `UserError` when `path` cannot be written."""
    content = {
        "schema_version": SCHEMA_VERSION,
        "passed": comparison.passed,
        "warnings": comparison.warnings,
        "runs": [{"folder": str(run.folder), **run.result.as_json()} for run in comparison.runs],
        "checks": [dataclasses.asdict(check) for check in comparison.checks],
    }
    with durable.writing(path):
        durable.write_json(path, content)


def print_tables(comparison: Comparison, console: Console) -> None:
    """Print a table of the runs, and below it a table of the checks with their verdicts."""
    for table in comparison.tables():
        console.print(table)
    for warning in comparison.warnings:
        console.print(f"Warning: {warning}.", style="yellow")
    style = "bold green" if comparison.passed else "bold red"
    console.print(comparison.sentence, style=style)


def results_table(runs: Sequence[Run]) -> Table:
    """Return a table of the figures of each run."""
    table = _table(runs, "Runs", "")
    rows: dict[str, Callable[[Result], str]] = {
        f"test {runs[0].result.headline[0]}": shown_headline,
        "test loss": lambda result: f"{result.test_loss:.4f}",
        "correct": lambda result: f"{result.test_correct:,} of {result.test_images:,}",
        "epochs": lambda result: str(len(result.epochs)),
        "seconds per epoch": lambda result: f"{seconds_per_epoch(result):.2f}",
        "seconds in total": lambda result: f"{sum(result.seconds.values()):.1f}",
        "peak memory": lambda result: _mebibytes(result.peak_memory_bytes),
    }
    if not runs[0].result.classifies:
        del rows["correct"]
    for name, cell in rows.items():
        table.add_row(name, *(cell(run.result) for run in runs))
    return table


def shown_headline(result: Result) -> str:
    """Return a run's headline as text: accuracy in percent, any other metric in four digits."""
    value = result.headline[1]
    return f"{value:.2%}" if result.classifies else f"{value:.4g}"


def _mebibytes(size: int | None) -> str:
    return "-" if size is None else f"{size / 2**20:,.0f} MiB"


def seconds_per_epoch(result: Result) -> float:
    """Return the median over epochs, which the compilation in the first one hardly changes."""
    seconds = sorted(epoch["train_seconds"] for epoch in result.epochs)
    return seconds[len(seconds) // 2]


def _table(runs: Sequence[Run], title: str, first: str, *last: str) -> Table:
    backends = [Column(run.result.backend, justify="right") for run in runs]
    return Table(first, *backends, *last, title=title, title_justify="left")
