"""One-ulp twins: how far rounding alone moves a float32 training away from itself.

A twin trains like its backend, but each of its initial weights is the next float above or below.
The sums of another backend, processor or number of threads round values by about as much. Rounding
decides whether a gradient passes ReLU when a value is near zero, and which entry of a pooling
window gets the gradient when two are nearly equal. There some twins decide one way, some the other.

Both backends of a pair make twins from their own random numbers. So a difference that rounding can
explain has most likely also appeared between a twin and its original.
"""

import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product
from typing import Any

import numpy as np

from lenet_multi.parity.evidence import Array, Evidence
from lenet_multi.runs import tolerances

Weights = Sequence[Array]

# Prefixes of filed gaps: of each twin to the original, and between the two nearest of all five.
TWINS, NEAREST = "twins", "nearest"

# A tensor whose float64 gradient is below this share of the model's largest has no gradient but
# rounding: a null tensor, as the bias before a batch normalisation and the key bias of attention.
# The moving mean of a second normalisation, whose inputs have the mean 0, is one too.
NULL = 1e-7
NULL_IN_FLOAT32 = 1e-5  # the same, where only float32 was climbed

# The most that rounding a number to a dtype changes it, as a share of the number.
UNIT_ROUNDOFF = {name: float(np.finfo(name).eps) / 2 for name in ("float32", "float64")}


def rounding_limit(precision: str, terms: int) -> float:
    """Return the largest gap that rounding explains in a sum of `terms`, as a share of the sum."""
    return tolerances.ROUNDING.value * UNIT_ROUNDOFF[precision] * math.sqrt(terms)


@dataclass
class Course:
    """A training: its initial weights, the loss before each step, the weights after some steps."""

    start: Weights
    losses: list[float] = field(default_factory=list)
    weights: dict[int, list[Array]] = field(default_factory=dict)


def one_ulp_off(weights: Weights, *, seed: int, climber: str = "") -> list[Array]:
    """Return `weights` with each entry replaced by the next float above or below, at random.

    From the same `seed`, each `climber` draws different numbers.
    """
    generator = np.random.default_rng([seed, zlib.crc32(climber.encode())])
    return [
        np.nextafter(w, w.dtype.type(np.inf) * generator.choice([-1, 1], w.shape), dtype=w.dtype)
        if w.dtype.kind == "f"
        else w
        for w in weights
    ]


def file_outputs(
    evidence: Evidence, place: str, own: Mapping[str, Array], *twins: Mapping[str, Array]
) -> None:
    """File the original's outputs by name, and each twin's gap to them (see `of_entries`)."""
    for name, output in own.items():
        evidence.arrays[f"{place}/{name}"] = output
        gaps = [of_entries(twin[name], output) for twin in twins]
        evidence.arrays[f"{TWINS}/{place}/{name}"] = np.array(gaps)


def file_gradients(
    evidence: Evidence, place: str, names: Sequence[str], own: Weights, *twins: Weights
) -> None:
    """File the original's gradient, each twin's gap to it, and the gap of the two nearest of all.

    Gaps are those of `of_entries`. Rounding may change a decision in some of them, but the two
    nearest are far apart only on a backend whose gradients are noisy.
    """
    for name, *tensors in zip(names, own, *twins, strict=True):
        evidence.arrays[f"{place}/{name}"] = tensors[0]
        gaps = [of_entries(twin, tensors[0]) for twin in tensors[1:]]
        evidence.arrays[f"{TWINS}/{place}/{name}"] = np.array(gaps)
        if twins:
            nearest = min(of_entries(*two) for two in combinations(tensors, 2))
            evidence.arrays[f"{NEAREST}/{place}/{name}"] = np.array(nearest)


def file_weights(
    evidence: Evidence, place: str, names: Sequence[str], own: Course, *twins: Course
) -> None:
    """File, by step, the original's weights and how differently each twin's weights moved."""
    for step, index in product(own.weights, range(len(names))):
        filed = f"{place}/{step}/{names[index]}"
        evidence.arrays[filed] = own.weights[step][index]
        way, *ways = (
            np.subtract(course.weights[step][index], course.start[index], dtype=np.float64)
            for course in (own, *twins)
            if step in course.weights
        )
        gaps = [over(np.linalg.norm(twins_way - way), np.linalg.norm(way)) for twins_way in ways]
        evidence.arrays[f"{TWINS}/{filed}"] = np.array(gaps)


def file_losses(evidence: Evidence, place: str, own: Array, *twins: Array) -> None:
    """File the original's losses and the twins' gaps (twins, steps), NaN after a twin's end."""
    evidence.arrays[place] = own
    gaps = np.full((len(twins), len(own)), np.nan)
    for row, losses in zip(gaps, twins, strict=True):
        row[: len(losses)] = relative(losses, own[: len(losses)])
    evidence.arrays[f"{TWINS}/{place}"] = gaps


def of_entries(first: Array, second: Array) -> float:
    """Return the largest difference of two tensors' entries over the second's largest entry."""
    return over(np.abs(first - second).max(), np.abs(second).max())


def over(gap: Any, size: Any) -> float:
    """Return gap / size: 0 for a gap of 0, even over a size of 0."""
    return 0.0 if gap == 0 else float(gap) / float(size) if size else np.inf


def relative(first: Array, second: Array) -> Array:
    """Return the relative difference to `second`, entry by entry; 0 for a difference of 0."""
    difference = np.abs(first - second)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Array = np.where(difference == 0, 0.0, difference / np.abs(second))
    return found


def null_tensors(evidence: Evidence) -> frozenset[str]:
    """Return the weights that only rounding moves in the first step: no gradient, no new mean.

    Trained weights are judged among each other by their gradients, the others by how far they move.
    """
    found = evidence.under("L2/initial")
    state = set(evidence.record.get("state", []))
    gradients = {name: size(one) for name, one in found.items() if name not in state}
    moves = {
        name: size(found[name] - evidence.arrays.get(f"L0/{name}", found[name]))
        for name in state & found.keys()
    }
    is_double = any(one.dtype == np.float64 for one in found.values())
    least = NULL if is_double else NULL_IN_FLOAT32
    return frozenset(
        name
        for sizes in (gradients, moves)
        for name, own in sizes.items()
        if own < least * max(sizes.values())
    )


def size(tensor: Array) -> float:
    """Return the largest absolute entry."""
    return float(np.abs(tensor).max(initial=0))


@dataclass(frozen=True)
class Band:
    """The largest gap between any twin of some backends and its original.

    Chance decides when two trainings drift apart. So a pair's limit at step n is the band at step
    `tolerances.TRAJECTORY_AHEAD` x n, times `tolerances.TWINS`.
    """

    evidence: tuple[Evidence, ...]
    unit: float = float(np.finfo(np.float32).eps)  # the dtype's epsilon

    def covers(self, place: str) -> bool:
        """Return whether any twin's losses are filed under `place`."""
        return any(True for _ in self._filed(place))

    def of_losses(self, place: str, steps: int) -> Array:
        """Return the largest gap of the losses so far: (steps,), at least the dtype's epsilon."""
        largest = np.full(steps, self.unit)
        for twins in self._filed(place):
            reached = _largest(twins[:, :steps], axis=0)
            largest[: len(reached)] = np.maximum(largest[: len(reached)], reached)
        return np.maximum.accumulate(largest)

    def limits_of_losses(self, place: str, steps: int) -> Array:
        """Return the limit of a pair's losses at each step: (steps,)."""
        band = self.of_losses(place, steps)
        ahead = np.minimum(tolerances.TRAJECTORY_AHEAD * np.arange(1, steps + 1), steps) - 1
        limits: Array = tolerances.TWINS.value * band[ahead]
        return limits

    def limit_of_gap(self, place: str) -> float:
        """Return the limit of a pair's tensors at `place` when rounding changes a decision."""
        return tolerances.TWINS.value * float(max(map(_largest, self._filed(place)), default=0.0))

    def limits_of_weights(self, place: str, rounding: Mapping[str, float]) -> dict[str, float]:
        """Return limits of weights by "STEP/TENSOR"; `rounding`: error of rounding them once."""
        limits = {}
        for name, least in rounding.items():
            step, _, tensor = name.partition("/")
            steps = range(1, 1 + tolerances.TRAJECTORY_AHEAD * int(step))
            filed = (gaps for at in steps for gaps in self._filed(f"{place}/{at}/{tensor}"))
            limits[name] = tolerances.TWINS.value * float(max([least, *map(_largest, filed)]))
        return limits

    def _filed(self, place: str) -> Iterator[Array]:
        for evidence in self.evidence:
            if (twins := evidence.arrays.get(f"{TWINS}/{place}")) is not None:
                yield twins


def _largest(gaps: Array, axis: int | None = None) -> Any:
    """Return the largest finite gap, or 0; a twin that ended or diverged does not count."""
    return np.max(gaps, axis, initial=0.0, where=np.isfinite(gaps))
