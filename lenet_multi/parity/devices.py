"""L7, the devices: compare each backend's training on several devices with its own on one."""

import math
from collections.abc import Iterator, Mapping
from itertools import product

import numpy as np

from lenet_multi.config import PRECISIONS
from lenet_multi.parity.evidence import Array, Evidence
from lenet_multi.parity.ladder import DEVICES, Finding, Ladder, by_step, nearest
from lenet_multi.parity.plan import DEVICES_STEPS
from lenet_multi.parity.twins import UNIT_ROUNDOFF, Band, over, relative
from lenet_multi.runs import tolerances

PLACE = "L7"  # of filed arrays


def images_of(images: int, batch_size: int) -> int:
    """Return how many of the images L7 trains on: its last batch has no equal parts."""
    steps = min(DEVICES_STEPS, -(-images // batch_size))
    return steps * batch_size - batch_size // 2 - 1


def compare(ladder: Ladder) -> list[Finding]:
    """Return the findings on each backend's losses, metrics and weights, in each precision."""
    return [
        finding
        for precision, backend, count in product(PRECISIONS, ladder.backends, ladder.plan.devices)
        if (one := ladder.shared.get((backend, precision, 1)))
        and (several := ladder.shared.get((backend, precision, count)))
        for finding in _findings(ladder, precision, (backend, count), one, several)
    ]


def _findings(
    ladder: Ladder, precision: str, who: tuple[str, int], one: Evidence, several: Evidence
) -> Iterator[Finding]:
    backend, count = who
    pair = (f"{backend} on {count} devices", f"{backend} on 1")
    exact, band = precision == "float64", Band((one,))

    def finding(what: str, gaps: Mapping[str, float], limits: Mapping[str, float]) -> Finding:
        return nearest(DEVICES, what, precision, pair, gaps, limits)

    for what in ("losses", *(f"metrics/{name}" for name in one.under(f"{PLACE}/metrics"))):
        if what != "losses" and not exact:
            continue  # one example may change sides by rounding
        place = f"{PLACE}/{what}"
        gaps = by_step(_gaps(one.arrays[place], several.arrays.get(place)))
        limits = dict.fromkeys(gaps, tolerances.DEVICES_FLOAT64.value)
        if not exact:
            limits = by_step(band.limits_of_losses(place, len(gaps)))
        yield finding(what.rpartition("/")[2], gaps, limits)
    moved, rounding = {}, {}
    for name, first in one.under(f"{PLACE}/weights").items():
        tensor = name.partition("/")[2]
        if ladder.is_null(name):
            continue
        start = one.arrays[f"{PLACE}/start/{tensor}"]
        way = float(np.linalg.norm(first - start))
        second = several.arrays.get(f"{PLACE}/weights/{name}", np.array(np.nan))
        fit = first.shape == second.shape
        moved[name] = over(np.linalg.norm(first - second), way) if fit else math.inf
        once = UNIT_ROUNDOFF[precision] * float(np.linalg.norm(first))
        rounding[name] = once / way if way else 0.0
    limits = dict.fromkeys(moved, tolerances.DEVICES_FLOAT64.value)
    if not exact:
        limits = band.limits_of_weights(f"{PLACE}/weights", rounding)
    yield finding("weights", moved, limits)


def _gaps(one: Array, several: Array | None) -> Array:
    """Return the relative gap of each step (steps,), infinite where one training lacks it."""
    gaps = np.full(len(one), math.inf)
    if several is not None:
        steps = min(len(one), len(several))
        gaps[:steps] = relative(several[:steps], one[:steps])
    return gaps
