"""Climb again with one backend in this process, sabotaged or not."""

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lenet_multi.config import PRECISIONS
from lenet_multi.data.examples import Dataset
from lenet_multi.own.find import find_task
from lenet_multi.parity import ladder
from lenet_multi.parity.ascent import Ascent
from lenet_multi.parity.climber import Climber
from lenet_multi.parity.evidence import Evidence
from lenet_multi.parity.ladder import Finding
from lenet_multi.parity.plan import Plan
from tests.conftest import start_once
from tests.parity.sabotage import Modules

SABOTAGED = "torch"  # climbs fastest: it compiles nothing

# 21 steps in each precision; the last batch is smaller
PLAN = Plan(float32_images=20 * 128 + 12, float64_images=20 * 32 + 25, one_ulp_steps=21)

# The slow methods of `Climb`, by rung; they trace PyTorch's steps.
CLIMBS = {ladder.OPTIMIZER: "_optimizer", ladder.TRAJECTORY: "_trajectory"}


def modules() -> Modules:
    """Return Keras on the sabotaged backend, started in this process, and our modules."""
    keras = start_once(SABOTAGED)
    from lenet_multi.backends import torch
    from lenet_multi.data import batches
    from lenet_multi.lenet import networks, pixels
    from lenet_multi.parity import climb

    return Modules(keras, climb, networks, batches, pixels, torch)


@contextmanager
def in_this_process() -> Iterator[Modules]:
    """Start Keras on the sabotaged backend in this process; put float32 back afterwards.

    It uses one processor, because torch's threads wait for each other if others work too.
    """
    processors = os.sched_getaffinity(0)
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    os.sched_setaffinity(0, {sorted(processors)[worker % len(processors)]})
    of = modules()
    try:
        yield of
    finally:
        of.keras.config.set_floatx("float32")
        of.keras.config.set_dtype_policy("float32")
        os.sched_setaffinity(0, processors)


def climb_again(
    of: Modules,
    ascent: Ascent,
    mnist: Dataset,
    folder: Path,
    *,
    precisions: tuple[str, ...] = PRECISIONS,
    rung: str = ladder.PORTABILITY,
) -> list[Finding]:
    """Return the findings after torch climbs again in this process, up to `rung`.

    The evidence of higher rungs, whose names sort later, comes from the unharmed climb.
    """
    plan = ascent.ladder.plan
    task = find_task(plan.config)
    how = Climber.of(SABOTAGED).here()
    climbed, gone_on = dict(ascent.ladder.climbed), dict(ascent.ladder.gone_on)
    for precision in precisions:
        of.keras.config.set_floatx(precision)
        of.keras.config.set_dtype_policy(precision)
        unharmed = ascent.ladder.climbed[SABOTAGED, precision]
        higher = {name: array for name, array in unharmed.arrays.items() if name[:2] > rung[:2]}
        evidence = Evidence(SABOTAGED, "", dict(unharmed.facts), higher)
        continued = Evidence(SABOTAGED, "")
        saved = folder / f"{precision}.keras"
        with pytest.MonkeyPatch.context() as patch:
            for its_rung, climbs in CLIMBS.items():
                if its_rung > rung:
                    patch.setattr(of.climb.Climb, climbs, nothing)
            of.climb.Climb(evidence, plan, task, mnist, how, nothing).climb(save_to=saved)
        climbed[SABOTAGED, precision] = evidence
        if rung == ladder.PORTABILITY:
            of.climb.Climb(continued, plan, task, mnist, how, nothing).go_on({}, {SABOTAGED: saved})
            continued.arrays = gone_on[SABOTAGED, precision].arrays | continued.arrays
            gone_on[SABOTAGED, precision] = continued
    return ladder.compare(dataclasses.replace(ascent.ladder, climbed=climbed, gone_on=gone_on))


def nothing(*_: object, **__: object) -> None:
    """Report no progress, and climb nothing."""
