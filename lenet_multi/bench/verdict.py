"""Say in words what a bench found: the way to take, why, and what went another way."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lenet_multi.bench.result import Bench, Row, Stages, fastest, is_clear, ratio
from lenet_multi.bench.ways import STOCK

# Ours may take a little longer than stock: two processes of the same program differ by so much
# (see `benchmarks/README.md`).
TOLERATED = 1.03

# Layers timed alone pay for a call each. If together they take so much longer than the whole
# forward pass, calls are what was timed.
_MOSTLY_CALLS = 1.5


def sentence(bench: Bench) -> str:
    """Return one sentence: which way to take, by what factor, and why."""
    best = bench.best
    if best is None:
        return "Nothing was timed."
    leaders = [row for name in bench.backends if (row := bench.best_on(name))]
    leaders.sort(key=lambda row: row.step)
    if len(leaders) == 1:
        others = [row for row in bench.rows if row.is_timed and row is not best]
        leaders = [best, *([second] if (second := fastest(others)) else [])]
    words, why = _order(leaders), _why(bench, leaders)
    return f"{words}; {why}." if why else f"{words}."


def _order(leaders: Sequence[Row]) -> str:
    """Return which row to take, and how far the others are behind; they come fastest first."""
    best, *others = leaders
    if not others:
        return f"Take {_named(best)}: a step takes {milliseconds(best.step)}"
    if is_clear(others[0], best):
        words = f"Take {_named(best)}: a step takes {milliseconds(best.step)}"
        behind = [f"{_named(others[0])}, the next, takes {_times(others[0], best)} as long"]
    else:
        words = (
            f"Take {_named(best)} or {_named(others[0])}: a step takes {milliseconds(best.step)} "
            f"and {milliseconds(others[0].step)}, and neither is faster in every round"
        )
        behind = []
    behind += [f"{_named(row)} takes {_times(row, best)} as long" for row in others[1:]]
    return "; ".join([words, " and ".join(behind)] if behind else [words])


def _named(row: Row) -> str:
    return f"{row.backend} ({row.way})"


def _times(row: Row, best: Row) -> str:
    return f"{factor(ratio(row, best))} times"


def _why(bench: Bench, leaders: Sequence[Row]) -> str:
    """Return where the slowest backend loses its time; empty if that was not measured."""
    slow, fast = leaders[-1].backend, leaders[0].backend
    stages, other = bench.stages.get(slow), bench.stages.get(fast) if fast != slow else None
    if stages is None:
        return ""
    part, of_what = costliest(stages, other)
    if part.share > 1:  # a busy moment: no reason is better than a wrong one
        return ""
    jit = "" if stages.way == STOCK else f", {stages.way}"
    words = f"on {slow} with stock Keras{jit}, {part.name} "
    words += f"{'take' if part.is_plural else 'takes'} {part.share:.0%} of {of_what}"
    if part.there:
        words += f", {milliseconds(part.here)}, and {milliseconds(part.there)} on {fast}"
    return words


@dataclass(frozen=True)
class Part:
    """A part of a step, or layers of one kind: its milliseconds here and on another backend."""

    name: str
    here: float
    whole: float
    there: float | None = None
    is_plural: bool = False

    @property
    def share(self) -> float:
        """The part's share of the whole."""
        return self.here / self.whole

    @property
    def excess(self) -> float:
        """How much longer it takes than on the other backend."""
        return self.here - (self.there or 0.0)


def costliest(stages: Stages, other: Stages | None) -> tuple[Part, str]:
    """Return what costs most, or most more than on the `other`, and what it is a part of.

    It is a stage of the step; or the layers of one kind, if that stage is the model's own and
    layers can be timed alone.
    """
    there = _parts(other) if other else {}
    parts = [Part(name, ms, stages.step, there.get(name)) for name, ms in _parts(stages).items()]
    part = max(parts, key=lambda part: part.excess)
    kinds, kinds_there = _kinds(stages), _kinds(other) if other else {}
    alone = sum(sum(of_kind.values()) for of_kind in kinds.values())
    if part.name == _REST or len(kinds) < 2 or alone > _MOSTLY_CALLS * stages.forward:
        return part, "its step"
    layers = [
        Part(
            _words(kind, list(of_kind)),
            sum(of_kind.values()),
            alone,
            sum(kinds_there[kind].values()) if kind in kinds_there else None,
            is_plural=len(of_kind) > 1,
        )
        for kind, of_kind in kinds.items()
    ]
    return max(layers, key=lambda part: part.excess), "the forward pass"


def _kinds(stages: Stages) -> dict[str, dict[str, float]]:
    """Return the milliseconds of each layer by its name, and the names by their kind."""
    kinds: dict[str, dict[str, float]] = {}
    for layer in stages.layers:
        kinds.setdefault(layer["kind"], {})[layer["name"]] = layer["ms"]
    return kinds


_FORWARD, _BACKWARD = "the forward pass", "the gradient"
_REST = "what is not the model (optimizer, metrics, batches, Keras's loop)"


def _words(kind: str, names: Sequence[str]) -> str:
    """Return what to call layers of one kind; a name that Keras made is its kind again."""
    if len(names) > 1:
        return f"the {len(names)} {kind} layers"
    is_kerass = re.sub(r"_\d+$", "", names[0]).replace("_", "") == kind.lower()
    return f"the {kind} layer" if is_kerass else f"the layer {names[0]} ({kind})"


def _parts(stages: Stages) -> dict[str, float]:
    """Return the milliseconds of the parts of a step."""
    both = stages.forward_and_backward
    return {
        _FORWARD: stages.forward,
        _BACKWARD: max(both - stages.forward, 0.0),
        _REST: max(stages.step - both, 0.0),
    }


def remarks(bench: Bench) -> list[str]:
    """Return a line for what a reader of the table must know.

    That is: ways that failed, ours on stock Keras, backends with another number of threads than
    the bench's, and ours where it is slower.
    """
    lines = [f"{row.name}: cannot: {row.failure}" for row in bench.rows if row.failure]
    lines += [
        f"{row.name}: trains through stock Keras: {row.why_stock}"
        for row in bench.rows
        if row.why_stock
    ]
    for backend in bench.backends:
        known = (row.threads for row in bench.rows if row.backend == backend)
        threads = next(filter(None, known), bench.threads)
        if threads != bench.threads:
            lines.append(
                f"{backend}: computes with {threads} thread{'s' * (threads > 1)}, not "
                f"{bench.threads}; variables such as OMP_NUM_THREADS change it"
            )
        times = bench.against_stock(backend)
        if times is not None and times > TOLERATED:
            lines.append(
                f"{backend}: ours is SLOWER than stock Keras here: it takes {factor(times)} times "
                "as long"
            )
    return lines


def failed(bench: Bench) -> list[str]:
    """Return the backends on which nothing was timed."""
    return [name for name in bench.backends if bench.best_on(name) is None]


def milliseconds(value: float) -> str:
    """Return milliseconds with two digits or more."""
    return f"{value:.2g} ms" if value < 1 else f"{value:.{1 if value < 100 else 0}f} ms"


def factor(value: float) -> str:
    """Return a factor with two digits after the point if it is near 1."""
    return f"{value:.{2 if value < 2 else 1 if value < 100 else 0}f}"
