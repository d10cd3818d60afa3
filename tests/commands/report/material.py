"""Example runs and an example climb of the ladder, to make pages from."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from lenet_multi.config import PRECISIONS
from lenet_multi.data.examples import Dataset
from lenet_multi.lenet.image_sets import load
from lenet_multi.parity.ascent import COMPARISON, SCHEMA_VERSION
from lenet_multi.parity.ladder import RUNGS, STRUCTURE
from lenet_multi.runs.record import Run
from tests.examples import IMAGES, example_epochs, example_run, keep

HOSTILE = "<img src=x onerror=alert(1)>\"'&{{ 7 * 7 }}$\\frac{"


def picture_data(folder: Path) -> Path:
    """Write 1,000 test images of 8 by 8 and return their path."""
    path = folder / "pictures.npz"
    images = np.arange(IMAGES * 64, dtype=np.uint32).astype(np.uint8).reshape(IMAGES, 8, 8)
    labels = (np.arange(IMAGES) % 10).astype(np.uint8)
    np.savez(path, x_train=images[:20], y_train=labels[:20], x_test=images, y_test=labels)
    return path


def of_data(path: Path, backend: str = "jax", **change: Any) -> Run:
    """Return a run of six epochs on the images at `path`."""
    dataset: Dataset = load(str(path))
    config = example_run().result.config | {"data": str(path)}
    return example_run(
        backend,
        **{"epochs": example_epochs(6), "config": config, "data_sha256": dataset.sha256()} | change,
    )


def three_folders(folder: Path) -> list[Path]:
    """Write a run of each backend, with a few mistakes, and return their folders."""
    data = picture_data(folder)
    runs = {
        "tensorflow": of_data(data, "tensorflow", right=990),
        "jax": of_data(data, "jax", right=988),
        "torch": of_data(data, "torch", right=991, seconds={"import": 3.0, "train": 9.0}),
    }
    return [keep(run, folder / name) for name, run in runs.items()]


def climb_folder(folder: Path, **change: Any) -> Path:
    """Write the files of a climb in which every rung passes at a tenth of its limit."""
    findings = [
        {
            "rung": rung,
            "what": "losses",
            "precision": precision,
            "pair": ["jax", "torch"],
            "gap": 0 if rung == STRUCTURE else 1e-7,
            "allowed": 0 if rung == STRUCTURE else 1e-6,
            "where": "step 3",
            "passed": True,
        }
        for rung in RUNGS
        for precision in PRECISIONS
    ]
    steps = [1, 10, 100]
    gaps = [
        {"name": name, "kind": kind, "steps": steps, "gaps": [size, 2 * size, 5 * size]}
        for name, kind, size in (
            ("one-ulp change of the start, jax alone", "one ulp", 1e-6),
            ("allowed in float32", "allowed", 1e-5),
            ("jax and torch", "float32", 1e-7),
            ("jax and torch", "float64", 1e-15),
        )
    ]
    content = {
        "schema_version": SCHEMA_VERSION,
        "findings": findings,
        "failures": [],
        "gaps": gaps,
        **change,
    }
    folder.mkdir()
    (folder / COMPARISON).write_text(json.dumps(content))
    return folder
