"""Export a run of each backend to each format, and keep how far each file deviates.

`python -m benchmarks.exports --run RUN --run RUN ... --out exports.json`; `nox -s exports` trains
the runs first.
"""

import dataclasses
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import packages_distributions, version
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from lenet_multi import environment, session
from lenet_multi.data import load
from lenet_multi.formats import EXTRAS, FORMATS, choose_backend
from lenet_multi.saved import find

IMAGES = 1000


def export_run(folder: Path, name: str) -> dict[str, Any]:
    """Return what exporting the run in `folder` gave; of a process of its own, for its backend."""
    form, saved = FORMATS[name], find(folder)
    assert saved.result
    trained_on = saved.result.backend
    session.start(choose_backend(form, asked=None, trained_on=trained_on))
    from lenet_multi.export import export

    with TemporaryDirectory() as place:
        done = export(saved, form, Path(place, f"model{form.suffix}"), images=load().test[:IMAGES])
    return {"trained_on": trained_on, **dataclasses.asdict(done)}


@click.command()
@click.option("--run", "runs", multiple=True, type=click.Path(path_type=Path), help="run folder")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="JSON to write")
def main(runs: tuple[Path, ...], out: Path) -> None:
    """Export each run to each format and record the largest deviations."""
    pairs = list(product(runs, FORMATS))
    spawn = multiprocessing.get_context("spawn")  # Keras fixes its backend for a process
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as pool:
        exports = list(pool.map(export_run, *zip(*pairs, strict=True)))
    installed = packages_distributions()
    content = {
        "machine": environment.machine(),
        "versions": {
            module: version(installed[module][0]) for module in ("keras", "numpy", *EXTRAS)
        },
        "exports": exports,
    }
    out.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
