"""Climb L7 with one thing harmed: `python -m tests.parity.harmed_devices HARM JOB`."""

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from lenet_multi.machine import keras_start, ranks
from lenet_multi.parity import climber
from lenet_multi.parity.climber import Job

monkeypatch = pytest.MonkeyPatch()  # of a process that ends
HARMS: dict[str, Callable[[], None]] = {}


def harm(do: Callable[[], None]) -> Callable[[], None]:
    """Register the decorated function under its name in words."""
    HARMS[do.__name__.replace("_", " ")] = do
    return do


@harm
def nothing() -> None:
    """Harm nothing."""


@harm
def parts_count_alike() -> None:
    """Average the gradients of uneven parts as if all had as many rows."""

    def alike(optimizer: Any) -> None:
        if hasattr(optimizer, "apply") and ranks.count() > 1:
            from lenet_multi.backends.devices import torch

            apply = optimizer.apply

            def of_all(gradients: Any, weights: Any = None) -> None:
                apply([one / ranks.count() for one in torch._summed(gradients)], weights)

            optimizer.apply = of_all

    from lenet_multi.backends.devices import engine

    module = engine(JOB.climber)
    monkeypatch.setattr(module, "_add_up" if JOB.climber == "torch" else "_weigh", alike)


@harm
def a_rank_sees_anothers_images() -> None:
    """Give the last rank the part of the first one."""
    from lenet_multi.data.batches import Batches

    chosen = Batches.chosen

    def of_the_first(self: Batches, index: int) -> Any:
        rank, self.rank = self.rank, 0
        found = chosen(self, index)
        self.rank = rank
        return found

    if ranks.rank() == ranks.count() - 1:
        monkeypatch.setattr(Batches, "chosen", of_the_first)


@harm
def a_rank_draws_out_of_step() -> None:
    """Let each part draw masks of its own, as the backends do."""
    from lenet_multi.backends.devices import draws

    monkeypatch.setattr(draws, "_dropout", lambda stock, *given, **named: stock(*given, **named))


@harm
def metrics_of_rank_0_alone() -> None:
    """Leave the metrics of the other ranks out."""
    from contextlib import nullcontext

    from lenet_multi.backends.devices import torch

    monkeypatch.setattr(torch, "_counting_all", lambda model, share: nullcontext())


if __name__ == "__main__":
    name, content = sys.argv[1:]
    JOB = Job(**json.loads(content))
    keras_start.start(JOB.climber, floatx=JOB.precision, devices=JOB.devices)
    monkeypatch.setattr(keras_start, "start", lambda *given, **named: None)
    HARMS[name]()
    climber.run(JOB)
