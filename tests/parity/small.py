"""Climb twice with a small model in this process, on one backend: unharmed, and harmed."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lenet_multi.config import QUICK_STEPS, TrainConfig, with_settings
from lenet_multi.data.examples import Dataset, Examples
from lenet_multi.parity.climber import Climber
from lenet_multi.parity.evidence import Evidence
from lenet_multi.parity.ladder import RUNGS, TRAJECTORY, Finding, Ladder, compare
from lenet_multi.parity.plan import Plan
from tests.parity.again import CLIMBS, SABOTAGED, nothing
from tests.parity.sabotage import Modules, Patch

UNHARMED, HARMED = "unharmed", "harmed"

BATCH, STEPS, WORDS = 8, 4, 9

# The shape of an example. Tokens are integers below `WORDS`; 0 fills the end of a sentence.
VECTORS, SEQUENCES, IMAGES, TOKENS = (6,), (7, 4), (6, 6, 4), (5,)
Shape = tuple[int, ...]

Part = Callable[[Any], Any]
"""Takes a tensor and returns one, as a layer does."""

_CONFIG = with_settings(TrainConfig(), {"architecture": "small:model", "batch_size": BATCH})

# A sabotage shows within a few steps; the last batch is smaller.
PLAN = dataclasses.replace(
    Plan.for_own(_CONFIG, steps=QUICK_STEPS, quick=True),
    optimizer_steps=2,
    float32_images=STEPS * BATCH - BATCH // 2,
    float64_images=STEPS * BATCH - BATCH // 2,
    one_ulp_steps=STEPS,
)

# The same, and L6 goes on with a saved model.
WITH_FILE = dataclasses.replace(PLAN, saved_after=2)


@dataclass(frozen=True)
class Small:
    """A model to build, the shape of its inputs, and what harms the climb in other ways.

    `build` gets Keras and whether to harm the model; it returns the compiled model. `harm` patches
    what the harmed climb calls.
    """

    build: Callable[[Any, bool], Any]
    inputs: Shape
    harm: Callable[[Patch, Modules], None] = lambda patch, of: None
    plan: Plan = PLAN


def data(inputs: Shape) -> Dataset:
    """Return inputs (32, ...), float32 or int32, and targets (32, 1) float32."""
    generator = np.random.default_rng(5)
    count = BATCH * STEPS
    x = generator.normal(size=(count, *inputs)).astype(np.float32)
    if inputs == TOKENS:
        x = generator.integers(1, WORDS, (count, *inputs)).astype(np.int32)
        x[np.arange(inputs[0]) >= generator.integers(2, inputs[0] + 1, (count, 1))] = 0
    examples = Examples(x, generator.normal(size=(count, 1)).astype(np.float32))
    return Dataset(examples, examples[:0])


def model(keras: Any, inputs: Shape, part: Part, **compiled: Any) -> Any:
    """Return a compiled model with `part` between a first and a last layer."""
    start = keras.Input(inputs, dtype="int32" if inputs == TOKENS else None)
    x = start if inputs == TOKENS else keras.layers.Dense(4, "tanh", name="first")(start)
    x = keras.layers.Flatten(name="flatten")(part(x))
    built = keras.Model(start, keras.layers.Dense(1, name="last")(x), name="small")
    built.compile(**{"optimizer": "adam", "loss": "mse", **compiled})
    return built


class Trial:
    """The climbs of one small model in one precision; the unharmed one is climbed once."""

    def __init__(self, of: Modules, small: Small, precision: str, folder: Path) -> None:
        from lenet_multi.own.task import of_builder

        self._of_builder = of_builder
        self._of, self._small, self._precision, self._folder = of, small, precision, folder
        self._data = data(small.inputs)
        self._set_precision()
        of.keras.utils.set_random_seed(1)
        self._weights = small.build(of.keras, False).get_weights()
        self.unharmed = self._climbed(UNHARMED, harmed=False)
        self.unharmed.write(folder)

    def findings(self, name: str, *, harmed: bool, rung: str = TRAJECTORY) -> list[Finding]:
        """Return what the ladder finds between the unharmed climb and another one up to `rung`."""
        self._set_precision()
        plan = self._small.plan
        with pytest.MonkeyPatch.context() as patch:
            if harmed:
                self._small.harm(patch, self._of)
            for its_rung, climbs in CLIMBS.items():
                if its_rung > rung:
                    patch.setattr(self._of.climb.Climb, climbs, nothing)
            climbed = self._climbed(name, harmed=harmed)
            gone_on = Evidence(name, "")
            writers = (UNHARMED, name) if plan.saved_after else ()
            saved = {who: self._folder / f"{who}.keras" for who in writers}
            self._climb(gone_on, harmed=harmed).go_on({UNHARMED: self._folder}, saved)
        climbed.record["rungs"] = [reached for reached in RUNGS if reached <= rung]
        both = {UNHARMED: self.unharmed, name: climbed}
        found = {(who, self._precision): evidence for who, evidence in both.items()}
        return compare(Ladder((*both,), found, {(name, self._precision): gone_on}, plan))

    def _set_precision(self) -> None:
        self._of.keras.config.set_floatx(self._precision)
        self._of.keras.config.set_dtype_policy(self._precision)

    def _climbed(self, name: str, *, harmed: bool) -> Evidence:
        evidence = Evidence(name, "")
        self._climb(evidence, harmed=harmed).climb(save_to=self._folder / f"{name}.keras")
        return evidence

    def _climb(self, evidence: Evidence, *, harmed: bool) -> Any:
        how = Climber.of(SABOTAGED).here(own=True)
        task = self._of_builder("model", lambda: self._small.build(self._of.keras, harmed))
        return self._of.climb.Climb(
            evidence, self._small.plan, task, self._data, how, nothing, self._weights
        )
