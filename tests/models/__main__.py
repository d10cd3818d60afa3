"""Climb the ladder with each model from several seeds: `nox -s models`, two hours.

The first seed climbs in full, the others quickly. A study that was stopped goes on: climbs that the
file of results has, of the same versions, are not repeated.
"""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import click

from lenet_multi.config import CLIMB_BATCH_SIZE, TrainConfig, with_settings
from lenet_multi.machine import environment
from lenet_multi.machine.frameworks import BACKENDS
from lenet_multi.parity.ascent import Ascent, ascend
from lenet_multi.parity.plan import Plan
from lenet_multi.runs.durable import write_json
from tests.models import NAMES
from tests.models.differences import unexplained

RESULTS = Path("benchmarks", "results", "models.json")
SCHEMA_VERSION = 1


@click.command()
@click.option("--seeds", default=3, show_default=True, help="seeds of each model")
@click.option("--model", "models", multiple=True, type=click.Choice([*NAMES, "two_inputs"]))
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs", "models"))
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
def main(seeds: int, models: tuple[str, ...], out: Path, results: Path) -> None:
    """Climb with each model, and file what was found."""
    content = _begun(results)
    done = {(climb["model"], climb["seed"]) for climb in content["climbs"]}
    wanted = [(name, seed) for seed in range(seeds) for name in models or (*NAMES, "two_inputs")]
    for index, (name, seed) in enumerate(wanted, 1):
        if (name, seed) in done:
            continue
        click.echo(f"{index} of {len(wanted)}: {name}, seed {seed}", err=True)
        folder = out / f"{name}-{seed}"
        shutil.rmtree(folder, ignore_errors=True)
        found = ascend(BACKENDS, plan(name, seed), folder, timeout=1800)
        if found.stopped:  # a part of a climb is no result
            raise found.stopped
        content["climbs"].append(_record(name, seed, found))
        content["versions"] = _versions(found)
        write_json(results, content)
        shutil.rmtree(folder)
        for finding in unexplained(name, found.findings):
            click.echo(f"NOT KNOWN: {finding}")
        for failure in found.failures:
            click.echo(f"FAILED: {failure.child} {failure.reason} {failure.last_lines}")


def plan(name: str, seed: int) -> Plan:
    """Return the plan of a climb: in full from seed 0, quick from the others."""
    place = f"tests/models/{name}.py"
    settings = {"architecture": f"{place}:build", "data": f"{place}:data", "seed": seed}
    config = with_settings(TrainConfig(epochs=1), settings)
    config = dataclasses.replace(config, batch_size=CLIMB_BATCH_SIZE)
    return Plan.for_own(config, quick=seed > 0)


def _begun(results: Path) -> dict[str, Any]:
    machine = environment.machine()
    begun = json.loads(results.read_text()) if results.exists() else {}
    if begun.get("machine") == machine:
        return dict(begun)
    return {"schema_version": SCHEMA_VERSION, "machine": machine, "versions": {}, "climbs": []}


def _versions(found: Ascent) -> dict[str, str]:
    records = (seen.record.get("versions", {}) for seen in found.ladder.climbed.values())
    return {name: version for record in records for name, version in record.items()}


def _record(name: str, seed: int, found: Ascent) -> dict[str, Any]:
    return {
        "model": name,
        "seed": seed,
        "steps": found.ladder.plan.one_ulp_steps,
        "seconds": found.seconds,
        "failures": [dataclasses.asdict(failure) for failure in found.failures],
        "null_tensors": sorted(found.ladder.null_tensors),
        "findings": [
            {**dataclasses.asdict(finding), "passed": finding.passed} for finding in found.findings
        ],
    }


if __name__ == "__main__":
    main()
