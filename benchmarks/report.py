"""Turn saved comparisons (JSON) into the tables of the README."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from lenet_multi.config import OPTIONS, PRECISIONS
from lenet_multi.machine.frameworks import BACKENDS
from lenet_multi.parity.ladder import RUNGS, Finding
from lenet_multi.parity.report import worst

RESULTS = Path(__file__).parent / "results"

COMPARED = {
    "L0": "names, shapes, types, initial weights, the batch",
    "L1": "outputs and loss before training",
    "L2": "every gradient",
    "L3": "weights after 1 to 10 steps of three optimizers",
    "L4": "loss at every step, weights on the way",
    "L6": "save on one backend, continue on another",
}


def accuracy_table(comparisons: Sequence[dict[str, Any]]) -> str:
    """Return the test accuracy and loss of each recipe on each backend."""
    rows = [
        [
            comparison["runs"][0]["config"]["recipe"],
            f"{comparison['runs'][0]['parameters']:,}",
            f"{comparison['runs'][0]['train_images']:,}",
            f"{comparison['runs'][0]['config']['epochs']}",
            *(f"{run['test_accuracy']:.2%}, {run['test_loss']:.4f}" for run in comparison["runs"]),
        ]
        for comparison in comparisons
    ]
    backends = [run["backend"] for run in comparisons[0]["runs"]]
    return markdown(["recipe", "parameters", "training images", "epochs", *backends], rows)


def parity_table(comparison: dict[str, Any]) -> str:
    """Return, for each rung, the gap nearest to its limit, with the limit."""
    findings = map(Finding.of, comparison["findings"])
    cells = {
        (finding.rung, finding.precision): f"{finding.gap:.2g} of {finding.allowed:.2g}"
        if finding.allowed
        else "equal to the bit"
        for finding in worst(findings)
        if finding.passed
    }
    rows = [
        [rung, COMPARED[rung[:2]], *(cells[rung, precision] for precision in PRECISIONS)]
        for rung in RUNGS
    ]
    gaps = (f"{precision}: gap, of limit" for precision in PRECISIONS)
    return markdown(["rung", "what is compared", *gaps], rows)


def processors_table(content: dict[str, Any]) -> str:
    """Return, for each rung, the largest share of a float32 limit on each instruction set."""
    shares: dict[tuple[str, str], float] = {}
    for row in content["climbs"]["shares"]:
        if row["precision"] == "float32":
            key = row["rung"], row["instruction_sets"]
            shares[key] = max(row["share"], shares.get(key, 0.0))
    columns = [*content["climbs"]["instruction_sets"], "mixed"]
    rows = [
        [rung, *(f"{shares[rung, column]:.0%}" for column in columns)]
        for rung in RUNGS
        if (rung, columns[0]) in shares
    ]
    return markdown(["rung, float32", *columns], rows)


def margins_table(content: dict[str, Any]) -> str:
    """Return, for each of the weakest sabotages, the smallest size still caught, by precision."""
    cells: dict[tuple[str, str], list[float | None]] = {}
    for row in content["margins"]:
        cells.setdefault((row["sabotage"], row["precision"]), []).append(row["smallest_caught"])
    sizes = {row["sabotage"]: row["size"] for row in content["margins"]}
    rows = [
        [f"{name} by a share of {size:g}", *(_least(cells[name, p]) for p in PRECISIONS)]
        for name, size in sizes.items()
    ]
    return markdown(["what is spoilt", *(f"still caught, {p}" for p in PRECISIONS)], rows)


def _least(sizes: Sequence[float | None]) -> str:
    """Return the smallest size that is caught on every instruction set."""
    known = [size for size in sizes if size is not None]
    return f"{max(known):.1e}" if len(known) == len(sizes) else "not caught"


def outcome_table(study: dict[str, Any]) -> str:
    """Return how much each pair of backends differs over the same seeds, in percentage points."""
    rows = [
        [
            " and ".join(outcome["pair"]),
            f"{found['pairs']}",
            f"{found['mean']:+.3f}",
            f"{found['low']:+.3f} to {found['high']:+.3f}",
            f"{outcome['agreement']:.2%}",
        ]
        for outcome in study["outcomes"]
        for found in [outcome["accuracy"]]
    ]
    return markdown(
        ["between", "seeds", "mean gap", "90 % interval", "images answered alike"], rows
    )


def seeds_table(studies: Mapping[str, dict[str, Any]], seeds: int) -> str:
    """Return the mean test accuracy of each study over seeds 0 to `seeds` - 1, by backend."""
    rows = []
    for name, study in studies.items():
        right: dict[str, list[int]] = {}
        for run in study["runs"]:
            if run["seed"] < seeds:
                right.setdefault(run["backend"], []).append(run["test_correct"])
        assert all(len(counts) == seeds for counts in right.values())
        rows.append([name, *(f"{sum(counts) / seeds / 100:.2f}%" for counts in right.values())])
    backends = list(dict.fromkeys(run["backend"] for run in study["runs"]))
    return markdown([f"mean of {seeds} seeds", *backends], rows)


def recipes_table(studies: Mapping[str, dict[str, Any]]) -> str:
    """Return seeds, mean test accuracy and its standard deviation, by recipe and backend."""
    rows, backends = [], []
    for name, study in studies.items():
        right: dict[str, list[float]] = {}
        for run in study["runs"]:
            right.setdefault(run["backend"], []).append(run["test_correct"] / 100)
        (seeds,) = {len(shares) for shares in right.values()}
        cells = (f"{mean(shares):.2f} ± {stdev(shares):.2f}%" for shares in right.values())
        largest = max(abs(outcome["gap"]["mean"]) for outcome in study["outcomes"])
        rows.append([name, str(seeds), *cells, f"{largest:.3f}"])
        backends = list(right)
    return markdown(["recipe", "seeds", *backends, "largest mean gap, points"], rows)


def options_table(trials: Sequence[Mapping[str, Any]]) -> str:
    """Return the effect of each option of the network on the validation images, over seeds."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for trial in trials:
        settings = {n: v for n, v in trial["settings"].items() if n in OPTIONS}
        name = ", ".join(n if v is True else f"{n} {v}" for n, v in settings.items())
        found.setdefault(name.replace("_", " ") or "none", []).append(trial)
    rows = []
    for name, alike in found.items():
        accuracies = [100 * trial["val_accuracy"] for trial in alike]
        row = [f"{mean(accuracies):.2f} ± {stdev(accuracies):.2f}%"]
        row += [f"{mean(trial[what] for trial in alike):.4f}" for what in ("val_loss", "loss")]
        rows.append([name, str(len(alike)), *row])
    return markdown(["option", "seeds", "accuracy", "loss", "training loss"], rows)


def robustness_table(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return each recipe's accuracy under each condition and its calibration error, of all runs."""
    recipes = {
        run["recipe"]: [one for one in runs if one["recipe"] == run["recipe"]] for run in runs
    }
    rows = [
        [name, *(f"{mean(run['accuracy'][name] for run in of):.2%}" for of in recipes.values())]
        for name in runs[0]["accuracy"]
    ]
    errors = (f"{mean(run['calibration_error'] for run in of):.2%}" for of in recipes.values())
    rows.append(["expected calibration error", *errors])
    return markdown(["test images", *recipes], rows)


def devices_table(models: Sequence[Mapping[str, Any]]) -> str:
    """Return for each model L7's largest gap in float64 by backend, and float32's of its limit."""

    def largest(model: Mapping[str, Any], backend: str, precision: str) -> float:
        """Return the largest gap, in float32 as a share of its limit."""
        found = [
            one["gap"] / (one["allowed"] if precision == "float32" else 1)
            for one in model["findings"]
            if (one["pair"][1], one["precision"]) == (f"{backend} on 1", precision)
        ]
        return max(map(float, found))

    rows = [
        [
            model["model"],
            *(f"{largest(model, backend, 'float64'):.0e}" for backend in BACKENDS),
            f"{max(largest(model, backend, 'float32') for backend in BACKENDS):.0%}",
        ]
        for model in models
    ]
    return markdown(["model", *BACKENDS, "float32, of its limit"], rows)


def exports_table(content: dict[str, Any]) -> str:
    """Return, by format and training backend, which backend wrote the file and the deviation."""
    cells = {
        (found["format"], found["trained_on"]): f"{found['backend']}, {found['deviation']:.1e}"
        for found in content["exports"]
    }
    names, backends = (list(dict.fromkeys(column)) for column in zip(*cells, strict=True))
    rows = [[name, *(cells[name, backend] for backend in backends)] for name in names]
    return markdown(["format", *(f"trained on {backend}" for backend in backends)], rows)


def faults_table(content: dict[str, Any]) -> str:
    """Return how often each kind of harm was done, and how often something was lost."""
    rows = [
        [fault["name"], str(fault["injected"]), str(len(fault["lost"]))]
        for fault in content["faults"]
    ]
    return markdown(["harm", "times", "lost"], rows)


def fuzz_table(content: dict[str, Any]) -> str:
    """Return, for each kind of input, how many were read, how many refused, and how many failed."""
    names = ("inputs", "read", "refused", "distinct_refusals", "failed")
    rows = [[kind["kind"], *(f"{kind[name]:,}" for name in names)] for kind in content["kinds"]]
    return markdown(["input", *names[:3], "for reasons", "failed"], rows)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table with aligned columns, or "" without `rows`."""
    if not rows:
        return ""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in [header, rule, *rows]
    )


def read(path: Path) -> dict[str, Any]:
    """Return the JSON object in `path`."""
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def models_table(study: dict[str, Any]) -> str:
    """Return, for each model of the tests, which backends differ on each rung in a full climb."""
    rows = []
    for climb in study["climbs"]:
        if climb["seed"] == 0:
            cells = (_differing(climb, rung) for rung in RUNGS)
            rows.append([climb["model"].replace("_", " "), *cells, f"{climb['seconds']:.0f}"])
    return markdown(["model", *(rung[:2] for rung in RUNGS), "seconds"], rows)


def _differing(climb: dict[str, Any], rung: str) -> str:
    """Return "same", or the backend that is in every failed pair, and in which precision."""
    failed = [
        found
        for found in map(Finding.of, climb["findings"])
        if found.rung == rung and not found.passed
    ]
    if not failed:
        return "same"
    pairs = [set(found.pair) for found in failed]
    odd = sorted(set.intersection(*pairs)) or ["all three"]
    precisions = {found.precision for found in failed}
    both = len(precisions) == len(PRECISIONS)
    return " and ".join(odd) + ("" if both else f", {precisions.pop()}")


def keras_tests_table(record: dict[str, Any]) -> str:
    """Return how many of Keras's own tests each way trained, by backend, most first."""
    found = record["backends"]
    names = {way for of in found.values() for way in of["ways"]}

    def counts(way: str) -> list[int]:
        return [len(of["ways"].get(way, [])) for of in found.values()]

    rows = [[way, *map(str, counts(way))] for way in sorted(names, key=counts, reverse=True)]
    passed = [str(of["passed_by_stock_keras"]) for of in found.values()]
    failed = [str(len(of["failed"])) for of in found.values()]
    rows += [["passed with stock Keras", *passed], ["of these, failed with ours", *failed]]
    return markdown(["what trained in a test", *found], rows)


def clean_pairs(
    study: dict[str, Any], explained: Callable[[str, Finding], bool]
) -> tuple[int, int]:
    """Return how many pairs were climbed, and how many of them failed without being `explained`.

    A pair is two backends, with one model and seed, in one precision.
    """
    pairs, alarms = set(), set()
    for climb in study["climbs"]:
        for found in map(Finding.of, climb["findings"]):
            if len(set(found.pair)) == 2:
                pair = (climb["model"], climb["seed"], found.precision, frozenset(found.pair))
                pairs.add(pair)
                if not found.passed and not explained(climb["model"], found):
                    alarms.add(pair)
    return len(pairs), len(alarms)
