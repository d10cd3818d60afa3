"""Export a run of each backend to each format, and record the deviation of each file.

A process can use only one Keras backend, so each training and each export has its own process.
"""

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import packages_distributions, version
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from benchmarks.report import RESULTS, exports_table
from lenet_multi.inference.formats import COMPARED, FORMATS, choose_backend
from lenet_multi.inference.saved import find
from lenet_multi.lenet.image_sets import load
from lenet_multi.lenet.recipes import RECIPES
from lenet_multi.machine import environment, keras_start
from lenet_multi.machine.frameworks import BACKENDS
from lenet_multi.runs.durable import write_json

# What writes and runs the formats, besides the backends.
MODULES = ("onnx", "onnxruntime", "tf2onnx", "openvino", "ai_edge_litert")


def train(recipe: str, backend: str, folder: Path) -> Path:
    """Return the folder of a new run of `recipe` on `backend`."""
    flags = ("--recipe", recipe, "--backend", backend, "--out", str(folder))
    subprocess.run([sys.executable, "-m", "lenet_multi", "train", *flags], check=True)
    return folder


def export_run(folder: Path, name: str) -> dict[str, Any]:
    """Return the result of exporting the run in `folder` to the format `name`."""
    form, saved = FORMATS[name], find(folder)
    assert saved.result
    trained_on = saved.result.backend
    os.environ.pop("KERAS_BACKEND", None)  # the run's own decides
    backend = choose_backend(form, asked=None, trained_on=trained_on)
    keras_start.start(backend)
    from lenet_multi.inference.export import export

    images = load().test[:COMPARED]
    with TemporaryDirectory() as place:
        path = Path(place, f"model{form.suffix}")
        deviation, metadata = export(saved, form, path, images=images)
    return {
        "trained_on": trained_on,
        "format": name,
        "backend": backend,
        "images": len(images),
        "deviation": deviation,
        "metadata": metadata,
    }


def measure(recipe: str, backends: tuple[str, ...], names: tuple[str, ...]) -> dict[str, Any]:
    """Return every export of a `recipe` run on each backend, and the package versions."""
    spawn = multiprocessing.get_context("spawn")
    with (
        TemporaryDirectory() as runs,
        ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as pool,
    ):
        folders = [train(recipe, backend, Path(runs, backend)) for backend in backends]
        exports = list(pool.map(export_run, *zip(*product(folders, names), strict=True)))
    installed = packages_distributions()
    return {
        "machine": environment.machine(),
        "recipe": recipe,
        "versions": {
            module: version(installed[module][0])
            for module in ("keras", *BACKENDS, *MODULES)
            if module in installed
        },
        "exports": exports,
    }


@click.command()
@click.option("--recipe", type=click.Choice(list(RECIPES)), default="one-epoch", show_default=True)
@click.option("--backend", "backends", multiple=True, default=BACKENDS, show_default=True)
@click.option("--format", "names", multiple=True, default=list(FORMATS), show_default=True)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=RESULTS / "exports.json",
    show_default=True,
    help="JSON to write",
)
def main(recipe: str, backends: tuple[str, ...], names: tuple[str, ...], out: Path) -> None:
    """Train on each backend, export each run to each format, and record the deviations."""
    content = measure(recipe, backends, names)
    write_json(out, content)
    click.echo(exports_table(content))


if __name__ == "__main__":
    main()
