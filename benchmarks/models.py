"""Time stock Keras and ours on the twelve models of `tests/models`: `nox -s study -- models`.

Each model is benched as `lenet-multi bench --quick` does it. What is on file is not benched again.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from math import exp, log
from pathlib import Path
from statistics import mean
from typing import Any

import lenet_multi
from benchmarks.report import RESULTS, markdown, read
from lenet_multi.bench.result import Row, ratio
from lenet_multi.bench.ways import OURS, STOCK
from lenet_multi.machine import children, environment
from lenet_multi.machine.frameworks import BACKENDS
from lenet_multi.runs.durable import write_json

RECORD = RESULTS / "models-speed.json"
MODELS = (
    *("convnet", "mlp_batchnorm", "resnet", "mobilenet", "transformer", "transformer_masked"),
    *("bilstm", "gru_masked", "unet", "autoencoder", "regression", "subclassed"),
)
KEPT = ("backend", "way", "step_ms", "why_stock", "failure", "versions")

Rows = Sequence[Mapping[str, Any]]


def benched(name: str) -> dict[str, Any]:
    """Return the rows of a bench of model `name`."""
    place = f"tests/models/{name}.py"
    found = lenet_multi.bench(f"{place}:build", data=f"{place}:data", quick=True)
    rows = [{key: row[key] for key in KEPT if key in row} for row in found.rows]
    return {"model": name, "machine": environment.machine(), "rows": rows}


def factor(rows: Rows, backend: str) -> float | None:
    """Return how many times as long stock Keras takes as ours: the median over rounds, in pairs.

    None if a way failed.
    """
    timed = {row["way"]: Row(**row) for row in rows if row["backend"] == backend and row["step_ms"]}
    return ratio(timed[STOCK], timed[OURS]) if timed.keys() >= {STOCK, OURS} else None


def is_stock(rows: Rows, backend: str) -> bool:
    """Return whether stock Keras's step trains the model, although ours was asked."""
    return any(
        row.get("why_stock") for row in rows if (row["backend"], row["way"]) == (backend, OURS)
    )


def geometric_mean(models: Sequence[Mapping[str, Any]], backend: str) -> float:
    """Return the geometric mean of the models' factors."""
    factors = [found for one in models if (found := factor(one["rows"], backend))]
    return exp(mean(map(log, factors)))


def models_table(models: Sequence[Mapping[str, Any]]) -> str:
    """Return the factor of each model on each backend, with the geometric mean below.

    `=` marks models that stock Keras trains, and the run says why.
    """
    rows = []
    for one in models:
        cells = []
        for backend in BACKENDS:
            found = factor(one["rows"], backend)
            mark = "=" if is_stock(one["rows"], backend) else ""
            cells.append("failed" if found is None else f"{found:.2f}{mark}")
        rows.append([one["model"], *cells])
    means = [f"**{geometric_mean(models, backend):.2f}**" for backend in BACKENDS]
    return markdown(["model", *BACKENDS], [*rows, ["geometric mean", *means]])


def main() -> int:
    """Bench the models that are not on file, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.models", description=__doc__)
    parser.add_argument("--model", action="append", choices=MODELS, help="model, once or more")
    parser.add_argument("--out", type=Path, default=RECORD, help="JSON to write")
    asked = parser.parse_args()
    record = read(asked.out) if asked.out.exists() else {"models": []}
    on_file = {one["model"] for one in record["models"]}
    with children.bars() as progress:
        left = [name for name in asked.model or MODELS if name not in on_file]
        for name in progress.track(left, description="models"):
            record["models"].append(benched(name))
            write_json(asked.out, record)
    print(models_table(record["models"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
