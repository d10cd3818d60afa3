"""The ways to train that a bench times, and what a process needs to know to train in one."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lenet_multi.config import TrainConfig

STOCK = "stock"  # Keras's `fit` on arrays, compiled with Keras's own default
OTHER_JIT = "the other jit"  # stock too, until the process says what the default is
JIT_ON, JIT_OFF = "jit on", "jit off"
OURS = "ours"  # what `lenet-multi train` does


@dataclass(frozen=True)
class Job:
    """One way to train one model on one backend, and the processors to do it on."""

    backend: str
    way: str
    config: TrainConfig
    processors: Sequence[int] = ()  # all, if there are none

    @property
    def is_stock(self) -> bool:
        """Whether nothing of ours takes part."""
        return self.way != OURS

    def as_json(self) -> str:
        """Return the job as one argument of a command."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def of_json(cls, text: str) -> "Job":
        """Return the job that `as_json` wrote."""
        content: dict[str, Any] = json.loads(text)
        return cls(**{**content, "config": TrainConfig(**content["config"])})
