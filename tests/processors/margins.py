"""Measure how much smaller the weakest sabotages could be and still be caught on their rung.

`python -m tests.processors.margins` prints a JSON list, for the instruction set of its environment.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lenet_multi.config import PRECISIONS
from lenet_multi.lenet import image_sets
from lenet_multi.machine.frameworks import BACKENDS
from lenet_multi.parity import ladder
from lenet_multi.parity.ascent import Ascent, ascend
from tests.parity.again import climb_again, modules
from tests.parity.sabotage import Modules, Patch, scale_a_weight, scale_the_rate, with_adams
from tests.processors.climbs import SHORT, TIMEOUT

FINER = 10.0  # each trial is this many times smaller than the last caught one
SMALLEST = 1e-16  # float64 shows nothing smaller

Sized = Callable[[Patch, Modules, float], None]


def _other_epsilon(patch: Patch, of: Modules, size: float) -> None:
    with_adams(patch, of, epsilon=1e-7 * (1 - size))


# name: (how to do it in a given size, its size in `sabotage.py`, the rung where it belongs)
WEAKEST: dict[str, tuple[Sized, float, str]] = {
    "one weight is off": (
        lambda patch, of, size: scale_a_weight(patch, of, 1 + size),
        1e-3,
        ladder.STRUCTURE,
    ),
    "the learning rate is off": (
        lambda patch, of, size: scale_the_rate(patch, of, 1 + size),
        1e-3,
        ladder.OPTIMIZER,
    ),
    "Adam's epsilon is off": (_other_epsilon, 0.9, ladder.OPTIMIZER),
}


def smallest(caught: Callable[[float], bool], size: float) -> float | None:
    """Return the last of `size`, `size` / 10, ... before the first uncaught one, or None."""
    least = None
    while size > SMALLEST and caught(size):
        least, size = size, size / FINER
    return least


def measure(ascent: Ascent, folder: Path) -> list[dict[str, Any]]:
    """Return the smallest size of each sabotage that is caught, in each precision."""
    of, mnist = modules(), image_sets.load()

    def caught(do: Sized, rung: str, precision: str, size: float) -> bool:
        with pytest.MonkeyPatch.context() as patch:
            do(patch, of, size)
            findings = climb_again(of, ascent, mnist, folder, precisions=(precision,), rung=rung)
        first = ladder.first_failure(findings)
        return first is not None and (first.rung, first.precision) == (rung, precision)

    found = []
    for name, (do, size, rung) in WEAKEST.items():
        for precision in PRECISIONS:
            print(f"{name}, {precision}", file=sys.stderr)
            least = smallest(
                lambda tried, do=do, rung=rung, precision=precision: caught(  # type: ignore[misc]
                    do, rung, precision, tried
                ),
                size,
            )
            found.append(
                {"sabotage": name, "precision": precision, "size": size, "smallest_caught": least}
            )
    return found


def main() -> None:
    """Climb unharmed, then measure."""
    with tempfile.TemporaryDirectory() as name:
        unharmed = ascend(BACKENDS, SHORT, Path(name, "unharmed"), timeout=TIMEOUT)
        assert unharmed.passed, ladder.first_failure(unharmed.findings)
        print(json.dumps(measure(unharmed, Path(name))))


if __name__ == "__main__":
    main()
