"""Make the page from run folders, and write it whole or not at all."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from lenet_multi import __version__
from lenet_multi.commands.report import charts, pictures
from lenet_multi.commands.report.answers import often_confused, worst_mistakes
from lenet_multi.commands.report.climb import Climb
from lenet_multi.commands.report.groups import Group, Shown, group
from lenet_multi.config import PRECISIONS
from lenet_multi.data.metrics import confusion_matrix
from lenet_multi.errors import UserError
from lenet_multi.parity.figure import Line
from lenet_multi.parity.ladder import RUNGS
from lenet_multi.runs.comparison import put_to_the_checks, seconds_per_epoch, shown_headline
from lenet_multi.runs.durable import write_bytes, writing
from lenet_multi.runs.palette import style
from lenet_multi.runs.record import Result, Run, read_run
from lenet_multi.runs.schema import escaped

MOST_BYTES = 2_000_000  # a phone loads it, an e-mail carries it
_MOST_CLASSES = 20  # in a readable confusion matrix
_MISTAKES = 12  # shown for a group


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Return the runs in `folders`; raise `UserError` for a repeated folder or a missing run."""
    seen: set[Path] = set()
    for folder in folders:
        if (place := folder.resolve()) in seen:
            raise UserError(f"{folder} is given twice; give each run once")
        seen.add(place)
    return [read_run(folder) for folder in folders]


def render(runs: Sequence[Run], climb: Climb | None = None) -> str:
    """Return the page about runs and a climb; raise `UserError` if it exceeds `MOST_BYTES`."""
    groups = group([_printable(run) for run in runs])
    shown = [one for found in groups for one in found.runs]
    parts = [_part(found, number) for number, found in enumerate(groups, 1)]
    headlines = dict.fromkeys(one.result.headline[0] for one in shown)
    classifies = any(one.result.classifies for one in shown)
    page = _template().render(
        version=__version__,
        style=style(),
        shown=shown,
        parts=parts,
        metric=" or ".join(headlines).replace("_", " "),
        classifies=classifies,
        trained_on=f"training {'images' if classifies else 'examples'}",
        shown_headline=shown_headline,
        seconds_per_epoch=seconds_per_epoch,
        time_parts=charts.parts_of(shown),
        time_chart=charts.time_bars(shown, "time"),
        climb=climb,
        rungs=RUNGS,
        precisions=PRECISIONS,
        gap_chart=charts.gap_chart(climb.lines, "gaps") if climb and climb.lines else "",
        gap_rows=_gap_rows(climb.lines) if climb else [],
        environment=_facts([_environment(one.result) for one in shown]),
        settings=_facts([_settings(one.result) for one in shown]),
    )
    if (size := len(page.encode())) > MOST_BYTES:
        raise UserError(
            f"the page would take {size / 1e6:.1f} MB, more than {MOST_BYTES / 1e6:g}; "
            f"give fewer runs than {len(runs)}"
        )
    return page


def write(page: str, out: Path, *, overwrite: bool) -> None:
    """Write the page whole or not at all; raise `UserError` if `out` is occupied or unwritable."""
    refuse_occupied(out, overwrite=overwrite)
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(out, page.encode())


def refuse_occupied(out: Path, *, overwrite: bool) -> None:
    """Raise `UserError` when `out` is a folder, or a file and `overwrite` is false."""
    if out.is_dir():
        raise UserError(f"{out} is a folder; choose another --out")
    if out.exists() and not overwrite:
        raise UserError(f"{out} exists and is kept; pass --overwrite or choose another --out")


def _printable(run: Run) -> Run:
    """Return `run` with invalid text escaped, which neither page nor chart can hold."""
    result = Result(**escaped(dataclasses.asdict(run.result)))
    return dataclasses.replace(run, folder=Path(escaped(str(run.folder))), result=result)


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lenet_multi", "commands/report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html")


def _part(found: Group, number: int) -> dict[str, Any]:
    """Return a group's contents: verdict, curves, confusions, mistakes, pictures."""
    mistakes = worst_mistakes(found.runs, _MISTAKES) if found.classifies else []
    no_pictures, shown = "", {}
    if mistakes:
        try:
            images = pictures.test_images(found.runs[0].result)
            shown = {one.image: pictures.data_uri(images[one.image]) for one in mistakes}
        except UserError as error:
            no_pictures = str(error)
    runs = [one.run for one in found.runs]
    confusions = [_confusion(one) for one in found.runs if found.classifies]
    return {
        "group": found,
        "comparison": put_to_the_checks(runs) if len(runs) > 1 else None,
        "curves": [
            charts.curves(found, metric, name=f"curve-{number}-{place}")
            for place, metric in enumerate(found.metrics)
        ],
        "confusions": confusions,
        "mistakes": mistakes,
        "names": confusions[0]["names"] if confusions else [],
        "pictures": shown,
        "no_pictures": no_pictures,
    }


def _gap_rows(lines: Sequence[Line]) -> list[tuple[int, list[float | None]]]:
    """Return each step with every line's gap there, or None."""
    points = [dict(zip(line.steps, line.gaps, strict=True)) for line in lines]
    steps = sorted(set().union(*points))
    return [(step, [gaps.get(step) for gaps in points]) for step in steps]


def _confusion(shown: Shown) -> dict[str, Any]:
    """Return a run's counts (labels, answers) and its most frequent mistakes."""
    counts = confusion_matrix(shown.run.outputs, shown.run.targets)
    often = often_confused(counts, at_most=3)
    return {
        "shown": shown,
        "counts": counts,
        "names": shown.result.class_names or [*map(str, range(len(counts)))],
        "is_named": bool(shown.result.class_names),
        "fits": len(counts) <= _MOST_CLASSES,
        "often": often,
        "most": often[0][2] if often else 0,
    }


def _facts(
    columns: Sequence[dict[str, Any]],
) -> tuple[list[tuple[str, str]], list[tuple[str, list[str]]]]:
    """Return the (name, value) pairs equal in all columns, and (name, values) that differ."""
    same, different = [], []
    for name in dict.fromkeys(name for column in columns for name in column):
        values = [str(column.get(name, "\u2013")) for column in columns]
        words = name.replace("_", " ")
        if len(set(values)) == 1:
            same.append((words, values[0]))
        else:
            different.append((words, values))
    return same, different


def _environment(result: Result) -> dict[str, Any]:
    versions = dict(result.versions)
    backend = versions.pop(result.backend, "")
    return {
        **versions,
        "backend and its version": f"{result.backend} {backend}".strip(),
        **result.machine,
        "device": result.device,
        "threads": result.threads,
        **{f"Keras {name}": value for name, value in result.keras_config.items()},
        **result.execution,
    }


def _settings(result: Result) -> dict[str, Any]:
    return {
        **result.config,
        "class_names": ", ".join(result.class_names) or "numbers",
        "data, SHA-256": result.data_sha256,
        "initial weights, SHA-256": result.initial_weights_sha256,
        "first epoch's order, SHA-256": result.first_epoch_order_sha256,
        "final weights, SHA-256": result.final_weights_sha256,
    }
