"""Compare the evidence of all climbers, rung by rung, without Keras."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations, product
from typing import Any

import numpy as np

from lenet_multi.config import PRECISIONS
from lenet_multi.parity import slopes
from lenet_multi.parity.evidence import Array, Evidence
from lenet_multi.parity.plan import OPTIMIZERS, ORACLE, Plan
from lenet_multi.parity.twins import (
    NEAREST,
    UNIT_ROUNDOFF,
    Band,
    null_tensors,
    of_entries,
    over,
    relative,
    rounding_limit,
)
from lenet_multi.parity.wording import differences, in_words
from lenet_multi.runs import tolerances

RUNGS = STRUCTURE, FORWARD, GRADIENT, OPTIMIZER, TRAJECTORY, PORTABILITY = (
    *("L0 structure", "L1 forward", "L2 gradient"),
    *("L3 optimizer", "L4 trajectory", "L6 portability"),
)
DEVICES = "L7 devices"  # climbed where asked for (see `devices`)

LAYERS, DIFFERENCES, LOADED = "layers", "differences", "loaded"  # in names of filed arrays

_NOTHING = np.array(np.nan)  # stands for an array that a climber lacks

Pair = tuple[str, str]


@dataclass(frozen=True)
class Finding:
    """The gap between two climbers in one respect, its limit (`allowed`), and the place."""

    rung: str
    what: str
    precision: str
    pair: Pair
    gap: float
    allowed: float
    where: str  # the first place over its limit, by step and layer, or else the nearest to it
    entries: str = ""  # of a tensor over its limit: how many entries differ, and where

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "Finding":
        """Return the finding that a comparison's JSON records."""
        words = ((name, str(content[name])) for name in ("rung", "what", "precision", "where"))
        numbers = ((name, float(content[name])) for name in ("gap", "allowed"))
        first, second = map(str, content["pair"])
        entries = str(content.get("entries", ""))
        return cls(pair=(first, second), entries=entries, **dict[str, Any]([*words, *numbers]))

    @property
    def passed(self) -> bool:
        """Whether the gap is allowed; an infinite gap or a NaN is not."""
        return math.isfinite(self.gap) and self.gap <= self.allowed

    @property
    def share(self) -> float:
        """The gap as a share of its limit."""
        return over(self.gap, self.allowed)

    def __str__(self) -> str:
        return (
            f"{self.rung}, {self.what}, {self.precision}, {' and '.join(self.pair)}: "
            f"{self.where}: {self.gap:.2g}, allowed {self.allowed:.2g}"
            + (f" ({self.entries})" if self.entries else "")
        )


@dataclass(frozen=True)
class Ladder:
    """All evidence: of each backend in each precision, and of the oracle in float64."""

    backends: tuple[str, ...]
    climbed: Mapping[tuple[str, str], Evidence]  # by (backend, precision), without failures
    gone_on: Mapping[tuple[str, str], Evidence]  # the same for L6
    plan: Plan
    # By (backend, precision, number of devices), for L7.
    shared: Mapping[tuple[str, str, int], Evidence] = field(default_factory=dict)

    def climbers(self, precision: str) -> list[str]:
        """Return the backends that finished in a precision."""
        return [backend for backend in self.backends if (backend, precision) in self.climbed]

    def pairs(self, precision: str) -> list[Pair]:
        """Return each pair of those backends once."""
        return list(combinations(self.climbers(precision), 2))

    def band(self, *climbers: str, precision: str = "float32") -> Band:
        """Return the band of the twins of some climbers, by default of all."""
        chosen = climbers or self.climbers(precision)
        unit = float(np.finfo(precision).eps)
        return Band(tuple(self.climbed[who, precision] for who in chosen if who != ORACLE), unit)

    @property
    def has_twins_in_float64(self) -> bool:
        """Whether twins limit float64 too: where no reference gives the right values."""
        return (ORACLE, "float64") not in self.climbed and self.plan.config.is_own

    def limited_by_twins(self, precision: str) -> bool:
        """Return whether twins set limits in a precision."""
        return precision == "float32" or self.has_twins_in_float64

    def is_null(self, place: str) -> bool:
        """Return whether `place`, "STEP/TENSOR" or "POINT/TENSOR", is a null tensor's."""
        return place.partition("/")[2] in self.null_tensors

    @cached_property
    def null_tensors(self) -> frozenset[str]:
        """The weights of a user's model whose gradient is rounding alone (see `twins.NULL`)."""
        if not self.plan.config.is_own:
            return frozenset()
        precision = "float64" if self.climbers("float64") else "float32"
        climbed = [self.seen(who, precision) for who in self.climbers(precision)]
        return frozenset.intersection(*map(null_tensors, climbed)) if climbed else frozenset()

    def seen(self, climber: str, precision: str) -> Evidence:
        """Return the evidence of a backend in a precision, or the oracle's."""
        return self.climbed[climber, "float64" if climber == ORACLE else precision]


def compare(ladder: Ladder) -> list[Finding]:
    """Return the findings, from the lowest rung to the highest."""
    return [
        finding
        for rung in _RUNGS
        for precision in PRECISIONS
        for finding in rung(ladder, precision)
    ]


def nearest(
    rung: str,
    what: str,
    precision: str,
    pair: Pair,
    gaps: Mapping[str, float],
    limits: Mapping[str, float],
) -> Finding:
    """Return the finding at the first place over its limit, or else nearest to it."""
    found = [
        Finding(rung, what, precision, pair, gap, limits[place], in_words(place))
        for place, gap in gaps.items()
    ]
    return first_failure(found) or max(found, key=lambda finding: finding.share)


def first_failure(findings: Iterable[Finding]) -> Finding | None:
    """Return the failed finding on the lowest rung."""
    return next((finding for finding in findings if not finding.passed), None)


def loss_gaps(ladder: Ladder, precision: str, pair: Pair) -> Array:
    """Return the relative difference of two climbers' losses at each step of L4: (steps,)."""
    first, second = (ladder.seen(who, precision).arrays["L4/losses"] for who in pair)
    steps = min(len(first), len(second))
    return relative(first[:steps], second[:steps])


def _structure(ladder: Ladder, precision: str) -> Iterator[Finding]:
    facts = ("settings", "tensors", "parameters", "initial weights", "batch")
    for what, two in product(facts, _twos(ladder, precision, STRUCTURE)):
        yield two.exact(STRUCTURE, what)


def _forward(ladder: Ladder, precision: str) -> Iterator[Finding]:
    what = "outputs and loss" if ladder.plan.config.is_own else "logits and loss"
    for two in _twos(ladder, precision, FORWARD, with_oracle=True):
        gaps, rounding = two.entrywise("L1"), two.rounding("L1")
        limits = dict.fromkeys(gaps, rounding)
        if ladder.plan.config.is_own:
            limits = two.widened("L1", gaps, rounding)
        yield two.judge(FORWARD, what, gaps, limits)


def _layers(ladder: Ladder, precision: str) -> Iterator[Finding]:
    """Compare each layer of a user's model, given the same inputs."""
    for first, second in ladder.pairs(precision):
        for writer, reader in ((first, second), (second, first)):
            seen = ladder.gone_on.get((reader, precision))
            gaps = seen.under(f"{LAYERS}/{writer}") if seen else {}
            if not seen or not gaps:
                continue
            two = _Two(ladder, precision, (writer, reader))
            terms = ladder.seen(writer, precision).record[LAYERS]
            limits = {name: rounding_limit(precision, terms[name]) for name in gaps}
            found = two.judge(FORWARD, LAYERS, {n: float(gap) for n, gap in gaps.items()}, limits)
            name = next(name for name in gaps if in_words(name) == found.where)
            entries = "" if found.passed else seen.facts["entries"][f"{writer}/{name}"]
            yield replace(found, where=name, entries=entries)
            break  # the other direction compares the same two


def _noise(ladder: Ladder, precision: str) -> Iterator[Finding]:
    """Compare each backend with itself: a noisy one would widen its own limits unseen."""
    if not ladder.limited_by_twins(precision):
        return
    nearest = {
        who: ladder.seen(who, precision).under(f"{NEAREST}/L2")
        for who in ladder.climbers(precision)
    }
    for who, own in nearest.items():
        itself = _Two(ladder, precision, (who, who))
        gaps = {p: float(gap) for p, gap in own.items() if not ladder.is_null(p)}
        limits = dict.fromkeys(gaps, itself.rounding("L2"))
        if ladder.plan.config.is_own:  # its rounding may be larger, but not one backend's alone
            # Of a tensor with few entries, the nearest two of another backend may be equal by
            # chance. So the limit is what all its twins show.
            others = [ladder.band(one, precision=precision) for one in nearest if one != who]
            for place in gaps:
                shown = min((band.limit_of_gap(f"L2/{place}") for band in others), default=0.0)
                limits[place] = max(limits[place], shown)
        yield itself.judge(GRADIENT, "twins", gaps, limits)


def _slopes(ladder: Ladder, precision: str) -> Iterator[Finding]:
    """Compare each backend's gradient with finite differences of its own loss."""
    for who in ladder.climbers(precision):
        found = ladder.seen(who, precision).under(DIFFERENCES)
        gaps = {name: slopes.gap(*map(float, filed)) for name, filed in found.items()}
        if gaps:
            itself = _Two(ladder, precision, (who, who))
            allowed = tolerances.FINITE_DIFFERENCES.value
            yield itself.judge(GRADIENT, "finite differences", gaps, allowed)


def _gradient(ladder: Ladder, precision: str) -> Iterator[Finding]:
    for two in _twos(ladder, precision, GRADIENT, with_oracle=True):
        gaps, rounding = two.entrywise("L2"), two.rounding("L2")
        limits = dict.fromkeys(gaps, rounding)
        if ladder.limited_by_twins(precision):
            limits = two.widened("L2", gaps, rounding)
        yield two.judge(GRADIENT, "gradients", gaps, limits)


def _optimizer(ladder: Ladder, precision: str) -> Iterator[Finding]:
    for name, two in product(OPTIMIZERS, _twos(ladder, precision, OPTIMIZER, with_oracle=True)):
        yield two.judge_weights(OPTIMIZER, name, f"L3/{name}")


def _trajectory(ladder: Ladder, precision: str) -> Iterator[Finding]:
    for what, two in product(("order", "steps"), _twos(ladder, precision, TRAJECTORY)):
        yield two.exact(TRAJECTORY, what)
    for two in _twos(ladder, precision, TRAJECTORY, with_oracle=precision == "float64"):
        losses = loss_gaps(ladder, precision, two.pair)
        limits: float | dict[str, float] = tolerances.TRAINED_FLOAT64.value
        if precision == "float32":
            limits = two.of_losses(ladder.band(*two.pair), "L4/losses", len(losses))
        yield two.judge(TRAJECTORY, "losses", by_step(losses), limits)
        yield two.judge_weights(TRAJECTORY, "weights", "L4/weights")


def _portability(ladder: Ladder, precision: str) -> Iterator[Finding]:
    begin = ladder.plan.saved_after
    for writer, reader in product(ladder.climbers(precision), repeat=2):
        if not begin or (reader, precision) not in ladder.gone_on:
            continue  # a climb without L6 goes on only to find the layer
        evidence, place = ladder.gone_on[reader, precision], f"L6/{writer}/losses"
        two = _Two(ladder, precision, (writer, reader))
        if error := evidence.facts.get("errors", {}).get(writer):
            gaps, limits = {error: math.inf}, {error: 0.0}
        else:
            gaps = _loaded(ladder.seen(writer, precision), evidence, begin)
            limits = dict.fromkeys(gaps, 0.0)
            moved = evidence.arrays[place]
            stayed = ladder.seen(writer, precision).arrays["L4/losses"]
            losses = by_step(relative(moved, stayed[begin : begin + len(moved)]), first=begin + 1)
            allowed = dict.fromkeys(losses, tolerances.PORTABILITY_FLOAT64.value)
            if precision == "float32":
                went_on = (ladder.gone_on.get((who, precision)) for who in {writer, reader})
                band = Band(tuple(filter(None, went_on)))
                allowed = two.of_losses(band, place, len(moved), first=begin + 1)
            gaps, limits = gaps | losses, limits | allowed
        yield two.judge(PORTABILITY, f"{writer} to {reader}", gaps, limits)


def _loaded(writer: Evidence, reader: Evidence, step: int) -> dict[str, float]:
    """Return by how much each weight that `reader` loaded differs from the saved one."""
    saved = writer.under(f"L4/weights/{step}")
    loaded = [*reader.under(f"L6/{writer.climber}/{LOADED}").values()]
    if [one.shape for one in loaded] != [one.shape for one in saved.values()]:
        return {"loaded weights": math.inf}
    both = zip(saved.items(), loaded, strict=True)
    return {f"loaded {name}": of_entries(one, first) for (name, first), one in both if one.size}


def by_step(gaps: Array, *, first: int = 1) -> dict[str, float]:
    """Return numbers (steps,) by their step, as places are named; `first` is the first step."""
    return {f"{step}": float(gap) for step, gap in enumerate(gaps, first)}


@dataclass(frozen=True)
class _Two:
    """Two climbers in one precision, side by side."""

    ladder: Ladder
    precision: str
    pair: Pair

    def exact(self, rung: str, what: str) -> Finding:
        """Return the finding on facts that must be equal."""
        first, second = (self.ladder.seen(who, self.precision).facts[what] for who in self.pair)
        differing = differences(first, second)
        where = differing[0] if differing else "all equal"
        return Finding(rung, what, self.precision, self.pair, len(differing), 0, where)

    def judge(
        self, rung: str, what: str, gaps: Mapping[str, float], limits: float | Mapping[str, float]
    ) -> Finding:
        """Return the finding at the first place over its limit, or else nearest to it."""
        if not isinstance(limits, Mapping):
            limits = dict.fromkeys(gaps, limits)
        return nearest(rung, what, self.precision, self.pair, gaps, limits)

    def judge_weights(self, rung: str, what: str, place: str) -> Finding:
        """Return the finding on weights: their distance over how far they moved from the start."""
        in_float64 = self.precision == "float64"
        initial = self.ladder.seen(self.pair[0], self.precision)  # the oracle files none
        gaps, rounding = {}, {}
        for name, first, second in self._both(place):
            step, _, tensor = name.partition("/")
            if ORACLE in self.pair and not in_float64 and step != "1":
                continue  # A tie in max pooling can be decided differently in float64.
            start = initial.arrays.get(f"L0/{tensor}", _NOTHING)
            moved = np.linalg.norm(second - start) if second.shape == start.shape else 0.0
            once = UNIT_ROUNDOFF[self.precision] * np.linalg.norm(second)
            rounding[name] = float(once / moved) if moved > 0 else 0.0  # NaN: one is missing
            if self.ladder.plan.config.is_own:  # a step is a gradient, with a gradient's rounding
                rounding[name] = max(rounding[name], self.rounding("L2"))
            fit = first.shape == second.shape == start.shape
            gaps[name] = over(np.linalg.norm(first - second), moved) if fit else math.inf
        if in_float64 and not self.ladder.has_twins_in_float64:
            return self.judge(rung, what, gaps, tolerances.TRAINED_FLOAT64.value)
        band = self.ladder.band(*self.pair, precision=self.precision)
        limits = band.limits_of_weights(place, rounding)
        if in_float64:  # only a null tensor needs its twins' limit
            limits = {
                name: limit if self.ladder.is_null(name) else tolerances.TRAINED_FLOAT64.value
                for name, limit in limits.items()
            }
        return self.judge(rung, what, gaps, limits)

    def of_losses(self, band: Band, place: str, steps: int, *, first: int = 1) -> dict[str, float]:
        """Return the limit of the losses at each step: what twins show, or a user's loss rounds."""
        least = self.rounding("L1") if self.ladder.plan.config.is_own else 0.0
        return by_step(np.maximum(band.limits_of_losses(place, steps), least), first=first)

    def entrywise(self, place: str) -> dict[str, float]:
        """Return, for each tensor, the largest difference of entries over the largest entry."""
        found = {}
        for name, first, second in self._both(place):
            if first.shape != second.shape:
                found[name] = math.inf
            elif place == "L2" and self.ladder.is_null(name):
                found[name] = over(np.abs(first - second).max(), self._largest_gradient(name))
            else:
                found[name] = of_entries(first, second)
        return found

    def _largest_gradient(self, name: str) -> float:
        """Return the largest entry of the model's gradient, which a null tensor is judged by."""
        point = name.partition("/")[0]
        gradients = self.ladder.seen(self.pair[0], self.precision).under(f"L2/{point}")
        state = self.ladder.seen(self.pair[0], self.precision).record.get("state", [])
        return max(float(np.abs(g).max()) for name, g in gradients.items() if name not in state)

    def widened(self, rung: str, gaps: Mapping[str, float], rounding: float) -> dict[str, float]:
        """Return the limit of each gap: rounding, or what the twins of either backend show."""
        band = self.ladder.band(*self.pair, precision=self.precision)
        return {name: max(rounding, band.limit_of_gap(f"{rung}/{name}")) for name in gaps}

    def rounding(self, rung: str) -> float:
        """Return the limit for rounding in sums, which grows with their number of terms."""
        terms = self.ladder.seen(self.pair[0], self.precision).record["terms"][rung]
        return rounding_limit(self.precision, terms)

    def _both(self, place: str) -> Iterator[tuple[str, Array, Array]]:
        """Yield each name under `place` with the float64 arrays of both climbers."""
        first, second = (self.ladder.seen(who, self.precision).under(place) for who in self.pair)
        for name in first | second:
            one, two = (side.get(name, _NOTHING).astype(np.float64) for side in (first, second))
            yield name, one, two


_RUNGS = (
    *(_structure, _layers, _forward, _noise, _slopes, _gradient),
    *(_optimizer, _trajectory, _portability),
)


def _twos(
    ladder: Ladder, precision: str, rung: str, *, with_oracle: bool = False
) -> Iterator[_Two]:
    """Yield each backend with the oracle, if asked for and present, then each pair of backends.

    Those that a stopped climb did not bring to `rung` are left out.
    """
    pairs = ladder.pairs(precision)
    if with_oracle and (ORACLE, "float64") in ladder.climbed:
        pairs = [*product(ladder.climbers(precision), [ORACLE]), *pairs]
    for pair in pairs:
        if all(rung in ladder.seen(who, precision).record.get("rungs", RUNGS) for who in pair):
            yield _Two(ladder, precision, pair)
