"""Climb L7 with the LeNet and with models as users bring them: `nox -s study -- devices`.

Each backend trains on two and on four devices what it trains on one. Models on file are not climbed
again.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lenet_multi
from benchmarks.report import RESULTS, read
from lenet_multi.machine import children
from lenet_multi.parity.ascent import COMPARISON
from lenet_multi.parity.ladder import DEVICES
from lenet_multi.runs.durable import write_json

COUNTS = (2, 4)
STEPS = 100
# Dropout; attention and gelu; a regulariser and another loss.
MODELS = ("convnet", "transformer", "regression")
LENET = "lenet"


def climbed(name: str) -> dict[str, Any]:
    """Return the findings on several devices of the LeNet, or of a model in tests/models."""
    if name == LENET:
        found = lenet_multi.parity(devices=COUNTS)
    else:
        place = f"tests/models/{name}.py"
        model, data = f"{place}:build", f"{place}:data"
        found = lenet_multi.parity(model, data, quick=True, steps=STEPS, devices=COUNTS)
    return of_comparison(name, read(found.folder / COMPARISON))


def of_comparison(name: str, comparison: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a climb's JSON says of several devices."""
    findings = [one for one in comparison["findings"] if one["rung"] == DEVICES]
    kept = {key: comparison[key] for key in ("machine", "versions", "failures")}
    return {"model": name, **kept, "findings": findings}


def main() -> int:
    """Climb with the models that are not on file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.devices", description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / "devices.json", help="JSON to write")
    asked = parser.parse_args()
    record = read(asked.out) if asked.out.exists() else {"models": []}
    on_file = {one["model"] for one in record["models"]}
    with children.bars() as progress:
        left = [name for name in (LENET, *MODELS) if name not in on_file]
        for name in progress.track(left, description="models"):
            record["models"].append(climbed(name))
            write_json(asked.out, record)
    return 0


if __name__ == "__main__":
    sys.exit(main())
