"""Climb the ladder for the record: `nox -s study -- climbs devices`, or `climbs options`.

devices: the LeNet and three models train on two and on four devices what they train on one.
options: the LeNet climbs with each of its options. What is on file is not climbed again.
"""

import argparse
import sys
from collections.abc import Mapping
from typing import Any

import lenet_multi
from benchmarks.report import RESULTS, read
from lenet_multi.config import OPTIONS
from lenet_multi.machine import children
from lenet_multi.parity.ascent import COMPARISON
from lenet_multi.parity.ladder import DEVICES
from lenet_multi.runs.durable import write_json

COUNTS = (2, 4)  # of devices
LENET = "lenet"
MODELS = ("convnet", "transformer", "regression")  # dropout; attention; a regulariser

Arguments = Mapping[str, Any]  # of `lenet_multi.parity`


def _model(name: str) -> Arguments:
    place = f"tests/models/{name}.py"
    return {"model": f"{place}:build", "data": f"{place}:data", "quick": True, "steps": 100}


def _option(name: str) -> Arguments:
    place = "lenet_multi.lenet.options"
    return {"model": f"{place}:{name}", "data": f"{place}:digits", "quick": True}


STUDIES: Mapping[str, Mapping[str, Arguments]] = {
    "devices": {
        LENET: {"devices": COUNTS},
        **{name: {**_model(name), "devices": COUNTS} for name in MODELS},
    },
    "options": {name: _option(name) for name in OPTIONS},
}


def climbed(study: str, name: str) -> dict[str, Any]:
    """Return what a climb's JSON says; for several devices, of L7 alone."""
    found = lenet_multi.parity(**STUDIES[study][name])
    comparison = read(found.folder / COMPARISON)
    kept = {key: comparison[key] for key in ("machine", "versions", "failures")}
    findings = [
        one for one in comparison["findings"] if study != "devices" or one["rung"] == DEVICES
    ]
    return {"model": name, **kept, "findings": findings}


def main() -> int:
    """Climb with the models of a study that are not on file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.climbs", description=__doc__)
    parser.add_argument("study", choices=STUDIES)
    study = parser.parse_args().study
    path = RESULTS / f"{study}.json"
    record = read(path) if path.exists() else {"models": []}
    on_file = {one["model"] for one in record["models"]}
    with children.bars() as progress:
        left = [name for name in STUDIES[study] if name not in on_file]
        for name in progress.track(left, description="models"):
            record["models"].append(climbed(study, name))
            write_json(path, record)
    return 0


if __name__ == "__main__":
    sys.exit(main())
