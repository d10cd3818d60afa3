"""Compare the evidence of all climbers, rung by rung, without Keras."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import numpy as np

from lenet_multi import tolerances
from lenet_multi.parity.evidence import Array, Evidence
from lenet_multi.parity.plan import OPTIMIZERS, ORACLE, PRECISIONS, Plan

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
        """Whether the gap is allowed; a gap that is no number is not."""
        return self.gap <= self.allowed

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
    """All evidence: of each backend in each precision, of the oracle, and one ulp off.

    `climbed` and `gone_on` are by (backend, precision). What failed is missing, and left out.
    """

    backends: tuple[str, ...]
    climbed: Mapping[tuple[str, str], Evidence]
    gone_on: Mapping[tuple[str, str], Evidence]
    oracle: Evidence | None
    one_ulp_off: Evidence | None
    plan: Plan

    def climbers(self, precision: str) -> list[str]:
        """Return the backends that came through in a precision."""
        return [backend for backend in self.backends if (backend, precision) in self.climbed]

    def pairs(self, precision: str) -> list[Pair]:
        """Return each pair of those backends once."""
        return list(combinations(self.climbers(precision), 2))

    def band(self) -> "Band | None":
        """Return the one-ulp band, unless its runs or the run beside them are missing."""
        if self.one_ulp_off and (self.one_ulp_off.climber, "float32") in self.climbed:
            return Band.of(self, self.one_ulp_off)
        return None

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
    allowed = tolerances.FORWARD[precision].value
    for pair in [*_with_oracle(ladder, precision), *ladder.pairs(precision)]:
        gaps = _entrywise(ladder, precision, pair, "L1/")
        yield _judge(FORWARD, "logits and loss", precision, pair, gaps, allowed)


def _gradient(ladder: Ladder, precision: str) -> Iterator[Finding]:
    allowed = tolerances.GRADIENT[precision].value
    for pair in [*_with_oracle(ladder, precision), *ladder.pairs(precision)]:
        gaps = _entrywise(ladder, precision, pair, "L2/")
        yield _judge(GRADIENT, "gradients", precision, pair, gaps, allowed)


def _optimizer(ladder: Ladder, precision: str) -> Iterator[Finding]:
    for steps, tolerance in (
        (1, tolerances.ONE_STEP[precision]),
        (ladder.plan.optimizer_steps, tolerances.MORE_STEPS[precision]),
    ):
        # In float32 a tie in max pooling may fall another way than in float64 (`MORE_STEPS`).
        oracle = _with_oracle(ladder, precision) if steps == 1 or precision == "float64" else []
        for name, pair in product(OPTIMIZERS, [*oracle, *ladder.pairs(precision)]):
            all_gaps = _movements(ladder, precision, pair, f"L3/{name}/")
            gaps = {p: gap for p, gap in all_gaps.items() if p.startswith(f"{steps}/")}
            yield _judge(OPTIMIZER, name, precision, pair, gaps, tolerance.value)


def _trajectory(ladder: Ladder, precision: str) -> Iterator[Finding]:
    for what, pair in product(("order", "steps"), ladder.pairs(precision)):
        yield _exact(ladder, TRAJECTORY, what, precision, pair)
    if precision == "float64":
        allowed = tolerances.TRAJECTORY_FLOAT64.value
        for pair in [*_with_oracle(ladder, precision), *ladder.pairs(precision)]:
            losses = _by_step(loss_gaps(ladder, precision, pair))
            yield _judge(TRAJECTORY, "losses", precision, pair, losses, allowed)
            weights = _movements(ladder, precision, pair, "L4/weights/")
            yield _judge(TRAJECTORY, "weights", precision, pair, weights, allowed)
    elif band := ladder.band():
        allowed = tolerances.TRAJECTORY_FLOAT32.value
        for pair in ladder.pairs(precision):
            gaps = np.maximum.accumulate(loss_gaps(ladder, precision, pair))
            losses = _by_step(gaps / band.ahead_of_losses()[: len(gaps)])
            yield _judge(TRAJECTORY, "losses", precision, pair, losses, allowed)
            weights = {
                place: gap / band.ahead_of_weights(int(place.partition("/")[0]))
                for place, gap in _movements(ladder, precision, pair, "L4/weights/").items()
            }
            yield _judge(TRAJECTORY, "weights", precision, pair, weights, allowed)


def _portability(ladder: Ladder, precision: str) -> Iterator[Finding]:
    tolerance = tolerances.PORTABILITY[precision]
    begin = ladder.plan.saved_after
    # In float32 only the first steps: later ones part as those of L4 do.
    end = begin + (tolerances.PORTABILITY_STEPS_FLOAT32 if precision == "float32" else begin)
    for writer, reader in product(ladder.climbers(precision), repeat=2):
        if (reader, precision) not in ladder.gone_on:
            continue
        evidence = ladder.gone_on[reader, precision]
        stayed = ladder.arrays(writer, precision)["L4/losses"][begin:end]
        if error := evidence.facts.get("errors", {}).get(writer):
            gaps = {error: math.inf}
        else:
            moved = evidence.arrays[f"L6/{writer}/losses"][: end - begin]
            gaps = _by_step(_relative(moved, stayed), first=begin + 1)
        what = f"{writer} to {reader}"
        yield _judge(PORTABILITY, what, precision, (writer, reader), gaps, tolerance.value)


def _with_oracle(ladder: Ladder, precision: str) -> list[Pair]:
    return [(backend, ORACLE) for backend in ladder.climbers(precision) if ladder.oracle]


def _judge(
    rung: str,
    what: str,
    precision: str,
    pair: Pair,
    gaps: Mapping[str, float],
    allowed: float,
) -> Finding:
    over = [place for place, gap in gaps.items() if not gap <= allowed]  # NaN is over
    place = over[0] if over else max(gaps, key=lambda place: gaps[place])
    return Finding(
        rung=rung,
        what=what,
        precision=precision,
        pair=pair,
        gap=gaps[place],
        allowed=allowed,
        where=_in_words(place),
    )


def _in_words(place: str) -> str:
    """Return "step 10, conv1/kernel" for "10/conv1/kernel"."""
    first, _, rest = place.partition("/")
    first = f"step {first}" if first.isdigit() else first
    return f"{first}, {rest}" if rest else first


def _entrywise(ladder: Ladder, precision: str, pair: Pair, prefix: str) -> dict[str, float]:
    """Return, by place, the largest difference of entries over the largest entry."""
    return {
        place: _over(np.abs(first - second).max(), np.abs(second).max())
        if first.shape == second.shape
        else math.inf
        for place, first, second in _both(ladder, precision, pair, prefix)
    }


def _movements(ladder: Ladder, precision: str, pair: Pair, prefix: str) -> dict[str, float]:
    """Return, by place, the distance of two weight tensors over the way from the initial one."""
    gaps = {}
    initial = ladder.arrays(pair[0], precision)
    for place, first, second in _both(ladder, precision, pair, prefix):
        start = initial.get("L0/" + "/".join(place.split("/")[-2:]), _NOTHING)
        gaps[place] = (
            _over(np.linalg.norm(first - second), np.linalg.norm(second - start))
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


def _over(gap: Any, size: Any) -> float:
    """Return gap / size; 0 where there is no gap, not even over a size of 0."""
    return 0.0 if gap == 0 else float(gap) / float(size) if size else math.inf


def loss_gaps(ladder: Ladder, precision: str, pair: Pair) -> Array:
    """Return the relative difference of two climbers' losses at each step of L4: (steps,)."""
    first, second = (ladder.arrays(climber, precision)["L4/losses"] for climber in pair)
    steps = min(len(first), len(second))
    return _relative(first[:steps], second[:steps])


def _relative(first: Array, second: Array) -> Array:
    relative: Array = np.abs(first - second) / np.abs(second)
    return relative


def _by_step(gaps: Array, *, first: int = 1) -> dict[str, float]:
    return {f"{step}": float(gap) for step, gap in enumerate(gaps, first)}


@dataclass(frozen=True)
class Band:
    """How far a one-ulp change of the initial weights takes a float32 run from itself.

    `losses` (steps,) are relative, the largest so far; `weights` are by step, the largest over
    tensors. Both are the largest over several such runs. A run parts from another when first a
    tie of max pooling or a ReLU falls the other way, which is a matter of chance: a pair of
    backends is held to what the band shows at `TRAJECTORY_AHEAD` times the step.
    """

    backend: str
    losses: Array
    weights: Mapping[int, float]

    @classmethod
    def of(cls, ladder: Ladder, one_ulp_off: Evidence) -> "Band":
        """Return the band that the runs in `one_ulp_off` span around the same backend's own."""
        own = ladder.arrays(one_ulp_off.climber, "float32")
        steps = len(own["L4/losses"])
        losses = np.full(steps, np.finfo(np.float32).eps)  # a loss is read no finer
        weights: dict[int, float] = {}
        for name, moved in one_ulp_off.arrays.items():
            _, _, what, *place = name.split("/")  # L4, run, losses | weights, step, tensor
            if what == "losses":
                gaps = _relative(moved, own["L4/losses"][: len(moved)])
                losses[: len(gaps)] = np.maximum(losses[: len(gaps)], gaps)
            else:
                step, tensor = int(place[0]), "/".join(place[1:])
                start, stayed = own[f"L0/{tensor}"], own[f"L4/weights/{step}/{tensor}"]
                gap = _over(np.linalg.norm(moved - stayed), np.linalg.norm(stayed - start))
                weights[step] = max(weights.get(step, 0.0), gap)
        return cls(one_ulp_off.climber, np.maximum.accumulate(losses), weights)

    def ahead_of_losses(self) -> Array:
        """Return what a pair's losses are held to, before the factor: (steps,)."""
        steps = len(self.losses)
        ahead: Array = self.losses[
            np.minimum(tolerances.TRAJECTORY_AHEAD * np.arange(1, steps + 1), steps) - 1
        ]
        return ahead

    def ahead_of_weights(self, step: int) -> float:
        """Return what a pair's weights at `step` are held to, before the factor."""
        return max(
            gap for at, gap in self.weights.items() if at <= tolerances.TRAJECTORY_AHEAD * step
        )
