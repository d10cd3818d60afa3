"""Compare the evidence of all climbers, rung by rung, without Keras."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import numpy as np

from lenet_multi.parity.evidence import Array, Evidence
from lenet_multi.parity.plan import OPTIMIZERS, ORACLE, PRECISIONS, Plan
from lenet_multi.parity.twins import NEAREST, UNIT_ROUNDOFF, Band, of_entries, over, relative
from lenet_multi.runs import tolerances

RUNGS = (
    "L0 structure",
    "L1 forward",
    "L2 gradient",
    "L3 optimizer",
    "L4 trajectory",
    "L6 portability",
)
STRUCTURE, FORWARD, GRADIENT, OPTIMIZER, TRAJECTORY, PORTABILITY = RUNGS

_NOTHING = np.array(np.nan)  # what a climber saw where it saw nothing

Pair = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """How near two climbers are in one respect: the gap, what is allowed, and where.

    `where` is the first place over the tolerance, in the order of steps and layers; if there
    is none, the place of the largest gap.
    """

    rung: str
    what: str
    precision: str
    pair: Pair
    gap: float
    allowed: float
    where: str

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "Finding":
        """Return the finding that a comparison's JSON records."""
        first, second = content["pair"]
        return cls(
            rung=str(content["rung"]),
            what=str(content["what"]),
            precision=str(content["precision"]),
            pair=(str(first), str(second)),
            gap=float(content["gap"]),
            allowed=float(content["allowed"]),
            where=str(content["where"]),
        )

    @property
    def passed(self) -> bool:
        """Whether the gap is allowed; a gap that is infinite or no number is not."""
        return math.isfinite(self.gap) and self.gap <= self.allowed

    @property
    def share(self) -> float:
        """The gap as a share of what is allowed."""
        if self.allowed == 0:
            return 0.0 if self.gap == 0 else math.inf
        return self.gap / self.allowed

    def __str__(self) -> str:
        return (
            f"{self.rung}, {self.what}, {self.precision}, {' and '.join(self.pair)}: "
            f"{self.where}: {self.gap:.2g}, allowed {self.allowed:.2g}"
        )


@dataclass(frozen=True)
class Ladder:
    """All evidence: of each backend in each precision, and of the oracle.

    `climbed` and `gone_on` are by (backend, precision). What failed is missing, and left out.
    """

    backends: tuple[str, ...]
    climbed: Mapping[tuple[str, str], Evidence]
    gone_on: Mapping[tuple[str, str], Evidence]
    oracle: Evidence | None
    plan: Plan

    def climbers(self, precision: str) -> list[str]:
        """Return the backends that came through in a precision."""
        return [backend for backend in self.backends if (backend, precision) in self.climbed]

    def pairs(self, precision: str) -> list[Pair]:
        """Return each pair of those backends once."""
        return list(combinations(self.climbers(precision), 2))

    def band(self, *climbers: str) -> Band:
        """Return how far the float32 twins of some climbers, or of all, went from them."""
        chosen = climbers or self.climbers("float32")
        return Band(tuple(self.climbed[who, "float32"] for who in chosen if who != ORACLE))

    def arrays(self, climber: str, precision: str) -> Mapping[str, Array]:
        """Return what a backend, or the oracle, saw in a precision."""
        if climber == ORACLE and self.oracle:
            return self.oracle.arrays
        return self.climbed[climber, precision].arrays


def compare(ladder: Ladder) -> list[Finding]:
    """Return the findings, from the lowest rung to the highest."""
    rungs: tuple[Callable[[Ladder, str], Iterator[Finding]], ...] = (
        _structure,
        _forward,
        _noise,
        _gradient,
        _optimizer,
        _trajectory,
        _portability,
    )
    return [
        finding for rung in rungs for precision in PRECISIONS for finding in rung(ladder, precision)
    ]


def first_failure(findings: Iterable[Finding]) -> Finding | None:
    """Return the failed finding on the lowest rung."""
    return next((finding for finding in findings if not finding.passed), None)


def _structure(ladder: Ladder, precision: str) -> Iterator[Finding]:
    for what in ("settings", "tensors", "parameters", "initial weights", "batch"):
        for pair in ladder.pairs(precision):
            yield _exact(ladder, STRUCTURE, what, precision, pair)


def _exact(ladder: Ladder, rung: str, what: str, precision: str, pair: Pair) -> Finding:
    first, second = (ladder.climbed[climber, precision].facts[what] for climber in pair)
    differing = list(_differences(first, second))
    return Finding(
        rung=rung,
        what=what,
        precision=precision,
        pair=pair,
        gap=len(differing),
        allowed=0,
        where=differing[0] if differing else "all equal",
    )


def _differences(first: Any, second: Any) -> Iterator[str]:
    if not isinstance(first, dict) or not isinstance(second, dict):
        if first != second:
            yield f"{_short(first)} and {_short(second)}"
        return
    for name in [*first, *(name for name in second if name not in first)]:
        if first.get(name) != second.get(name):
            yield f"{name} ({_short(first.get(name))} and {_short(second.get(name))})"


def _short(value: Any) -> str:
    return "none" if value is None else str(value)[:30]


def _forward(ladder: Ladder, precision: str) -> Iterator[Finding]:
    for pair in [*_with_oracle(ladder, precision), *ladder.pairs(precision)]:
        gaps = _entrywise(ladder, precision, pair, "L1/")
        rounding = _rounding(ladder, precision, pair, "L1")
        yield _judge(FORWARD, "logits and loss", precision, pair, gaps, rounding)


def _gradient(ladder: Ladder, precision: str) -> Iterator[Finding]:
    for pair in [*_with_oracle(ladder, precision), *ladder.pairs(precision)]:
        gaps = _entrywise(ladder, precision, pair, "L2/")
        rounding = _rounding(ladder, precision, pair, "L2")
        limits = dict.fromkeys(gaps, rounding)
        if precision == "float32":
            band = ladder.band(*pair)
            limits = {name: max(rounding, band.limit_of_gradient(f"L2/{name}")) for name in gaps}
        yield _judge(GRADIENT, "gradients", precision, pair, gaps, limits)


def _noise(ladder: Ladder, precision: str) -> Iterator[Finding]:
    """Hold each backend to itself, so that a noisy one does not widen its own limits unseen."""
    for who in ladder.climbers(precision) if precision == "float32" else ():
        arrays = ladder.arrays(who, precision)
        prefix = f"{NEAREST}/L2/"
        gaps = {
            name.removeprefix(prefix): float(gap)
            for name, gap in arrays.items()
            if name.startswith(prefix)
        }
        rounding = _rounding(ladder, precision, (who, who), "L2")
        yield _judge(GRADIENT, "twins", precision, (who, who), gaps, rounding)


def _rounding(ladder: Ladder, precision: str, pair: Pair, rung: str) -> float:
    """Return how far sums may part, by how many terms they have on that rung."""
    terms = ladder.climbed[pair[0], precision].record["terms"][rung]
    return tolerances.ROUNDING.value * UNIT_ROUNDOFF[precision] * math.sqrt(terms)


def _optimizer(ladder: Ladder, precision: str) -> Iterator[Finding]:
    for name, pair in product(
        OPTIMIZERS, [*_with_oracle(ladder, precision), *ladder.pairs(precision)]
    ):
        place = f"L3/{name}"
        gaps = _movements(ladder, precision, pair, f"{place}/")
        if precision == "float32" and ORACLE in pair:
            # A tie in max pooling may fall another way in float64 than in all of float32.
            gaps = {where: gap for where, gap in gaps.items() if where.startswith("1/")}
        limits = _limits_of_weights(ladder, precision, pair, place, gaps)
        yield _judge(OPTIMIZER, name, precision, pair, gaps, limits)


def _trajectory(ladder: Ladder, precision: str) -> Iterator[Finding]:
    for what, pair in product(("order", "steps"), ladder.pairs(precision)):
        yield _exact(ladder, TRAJECTORY, what, precision, pair)
    with_oracle = _with_oracle(ladder, precision) if precision == "float64" else []
    for pair in [*with_oracle, *ladder.pairs(precision)]:
        losses = loss_gaps(ladder, precision, pair)
        if precision == "float64":
            limits = np.full(len(losses), tolerances.TRAINED_FLOAT64.value)
        else:
            limits = ladder.band(*pair).limits_of_losses("L4/losses", len(losses))
        yield _judge(TRAJECTORY, "losses", precision, pair, _by_step(losses), _by_step(limits))
        place = "L4/weights"
        weights = _movements(ladder, precision, pair, f"{place}/")
        allowed = _limits_of_weights(ladder, precision, pair, place, weights)
        yield _judge(TRAJECTORY, "weights", precision, pair, weights, allowed)


def _portability(ladder: Ladder, precision: str) -> Iterator[Finding]:
    begin = ladder.plan.saved_after
    for writer, reader in product(ladder.climbers(precision), repeat=2):
        if (reader, precision) not in ladder.gone_on:
            continue
        evidence, place = ladder.gone_on[reader, precision], f"L6/{writer}/losses"
        limits: float | dict[str, float] = tolerances.PORTABILITY_FLOAT64.value
        if error := evidence.facts.get("errors", {}).get(writer):
            gaps, limits = {error: math.inf}, 0.0
        else:
            moved = evidence.arrays[place]
            stayed = ladder.arrays(writer, precision)["L4/losses"][begin : begin + len(moved)]
            gaps = _by_step(relative(moved, stayed), first=begin + 1)
            if precision == "float32":
                went_on = (ladder.gone_on.get((who, precision)) for who in {writer, reader})
                band = Band(tuple(evidence for evidence in went_on if evidence))
                limits = _by_step(band.limits_of_losses(place, len(moved)), first=begin + 1)
        what = f"{writer} to {reader}"
        yield _judge(PORTABILITY, what, precision, (writer, reader), gaps, limits)


def _limits_of_weights(
    ladder: Ladder, precision: str, pair: Pair, place: str, where: Iterable[str]
) -> dict[str, float]:
    """Return what each place "STEP/TENSOR" is held to: a constant in float64, else by the twins."""
    if precision == "float64":
        return dict.fromkeys(where, tolerances.TRAINED_FLOAT64.value)
    arrays = ladder.arrays(pair[1], precision)
    initial = ladder.arrays(pair[0], precision)  # the oracle files none
    rounding = {}
    for name in where:
        _, _, tensor = name.partition("/")
        weights, start = (
            np.asarray(filed.get(at, _NOTHING), np.float64)
            for filed, at in ((arrays, f"{place}/{name}"), (initial, f"L0/{tensor}"))
        )
        moved = np.linalg.norm(weights - start) if weights.shape == start.shape else 0.0
        once = UNIT_ROUNDOFF[precision] * np.linalg.norm(weights)
        rounding[name] = float(once / moved) if moved > 0 else 0.0  # nor where one is missing
    return ladder.band(*pair).limits_of_weights(place, rounding)


def _with_oracle(ladder: Ladder, precision: str) -> list[Pair]:
    return [(backend, ORACLE) for backend in ladder.climbers(precision) if ladder.oracle]


def _judge(
    rung: str,
    what: str,
    precision: str,
    pair: Pair,
    gaps: Mapping[str, float],
    limits: float | Mapping[str, float],
) -> Finding:
    """Return the finding at the first place over its limit, or at the one nearest to it."""
    if not isinstance(limits, Mapping):
        limits = dict.fromkeys(gaps, limits)
    found = [
        Finding(
            rung=rung,
            what=what,
            precision=precision,
            pair=pair,
            gap=gap,
            allowed=limits[place],
            where=_in_words(place),
        )
        for place, gap in gaps.items()
    ]
    return first_failure(found) or max(found, key=lambda finding: finding.share)


def _in_words(place: str) -> str:
    """Return "step 10, conv1/kernel" for "10/conv1/kernel"."""
    first, _, rest = place.partition("/")
    first = f"step {first}" if first.isdigit() else first
    return f"{first}, {rest}" if rest else first


def _entrywise(ladder: Ladder, precision: str, pair: Pair, prefix: str) -> dict[str, float]:
    """Return, by place, the largest difference of entries over the largest entry."""
    return {
        place: of_entries(first, second) if first.shape == second.shape else math.inf
        for place, first, second in _both(ladder, precision, pair, prefix)
    }


def _movements(ladder: Ladder, precision: str, pair: Pair, prefix: str) -> dict[str, float]:
    """Return, by place, the distance of two weight tensors over the way from the initial one."""
    gaps = {}
    initial = ladder.arrays(pair[0], precision)
    for place, first, second in _both(ladder, precision, pair, prefix):
        start = initial.get("L0/" + "/".join(place.split("/")[-2:]), _NOTHING)
        gaps[place] = (
            over(np.linalg.norm(first - second), np.linalg.norm(second - start))
            if first.shape == second.shape == start.shape
            else math.inf
        )
    return gaps


def _both(
    ladder: Ladder, precision: str, pair: Pair, prefix: str
) -> Iterator[tuple[str, Array, Array]]:
    """Yield the places under `prefix` with what each of the pair saw there, as float64."""
    first, second = (ladder.arrays(climber, precision) for climber in pair)
    for name in [*first, *(name for name in second if name not in first)]:
        if name.startswith(prefix):
            yield (
                name.removeprefix(prefix),
                first.get(name, _NOTHING).astype(np.float64),
                second.get(name, _NOTHING).astype(np.float64),
            )


def loss_gaps(ladder: Ladder, precision: str, pair: Pair) -> Array:
    """Return the relative difference of two climbers' losses at each step of L4: (steps,)."""
    first, second = (ladder.arrays(climber, precision)["L4/losses"] for climber in pair)
    steps = min(len(first), len(second))
    return relative(first[:steps], second[:steps])


def _by_step(gaps: Array, *, first: int = 1) -> dict[str, float]:
    return {f"{step}": float(gap) for step, gap in enumerate(gaps, first)}
