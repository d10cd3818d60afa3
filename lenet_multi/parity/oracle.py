"""Climb rungs L1 to L4 with the task's float64 reference, which uses no backend."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from lenet_multi.data.examples import Arrays, Dataset, Examples, epoch_order
from lenet_multi.parity.evidence import Evidence
from lenet_multi.parity.plan import CONFIDENCE, OPTIMIZERS, Plan, Tell, confident, is_kept
from lenet_multi.task import Array, Task


@dataclass
class SGD:
    """Keras's SGD for one tensor (keras/src/optimizers/sgd.py): v = momentum v - rate g, w += v."""

    learning_rate: float
    momentum: float = 0.0
    velocity: Array | float = 0.0

    def step(self, weight: Array, gradient: Array) -> Array:
        """Return the weight after one step."""
        self.velocity = self.momentum * self.velocity - self.learning_rate * gradient
        return weight + self.velocity


@dataclass
class Adam:
    """Keras's Adam for one tensor (keras/src/optimizers/adam.py), epsilon outside the correction.

    Kingma and Ba (2015), section 2, last paragraph ("epsilon hat").
    """

    learning_rate: float = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    steps: int = 0
    mean: Array | float = 0.0
    square: Array | float = 0.0

    def step(self, weight: Array, gradient: Array) -> Array:
        """Return the weight after one step."""
        self.steps += 1
        self.mean = self.mean + (gradient - self.mean) * (1 - self.beta_1)
        self.square = self.square + (gradient * gradient - self.square) * (1 - self.beta_2)
        correction = np.sqrt(1 - self.beta_2**self.steps) / (1 - self.beta_1**self.steps)
        rate = self.learning_rate * correction
        moved: Array = rate * self.mean / (np.sqrt(self.square) + self.epsilon)
        return weight - moved


def climb(evidence: Evidence, plan: Plan, task: Task, dataset: Dataset, tell: Tell) -> None:
    """File the values that a float64 climber of rungs L1 to L4 should see."""
    assert task.reference
    config = plan.training_config("float64")
    reference = task.reference(config, dataset)
    first = plan.first_examples(dataset)
    training = plan.training_examples(dataset, "float64")
    names, initial = reference.names, reference.initial_weights(config.seed)

    def batch(examples: Examples, index: int) -> tuple[Array, Arrays]:
        part = examples[index * config.batch_size : (index + 1) * config.batch_size]
        return task.prepare(part.x, "float64"), part.y

    def file(place: str, arrays: Sequence[Array]) -> None:
        evidence.arrays |= {f"{place}/{n}": a for n, a in zip(names, arrays, strict=True)}

    def train(place: str, make: Callable[[], SGD | Adam], examples: Examples) -> list[float]:
        """File the weights under `place` and return the loss before each step."""
        weights, losses, optimizers = initial, [], [make() for _ in names]
        steps = config.steps_per_epoch(len(examples))
        for step in range(1, steps + 1):
            loss, gradients = reference.gradients(weights, *batch(examples, step - 1))
            losses.append(loss)
            each = zip(optimizers, weights, gradients, strict=True)
            weights = [optimizer.step(weight, gradient) for optimizer, weight, gradient in each]
            if is_kept(step, last=steps):
                file(f"{place}/{step}", weights)
            tell(place.replace("/", " "), step, steps)
        return losses

    for name, factor in CONFIDENCE.items():
        weights = confident(names, initial, factor)
        evidence.arrays[f"L1/{name}/logits"] = reference.forward(weights, batch(first, 0)[0])
        loss, gradients = reference.gradients(weights, *batch(first, 0))
        evidence.arrays[f"L1/{name}/loss"] = np.array(loss)
        file(f"L2/{name}", gradients)

    for name, (class_name, arguments) in OPTIMIZERS.items():
        train(f"L3/{name}", partial({"SGD": SGD, "Adam": Adam}[class_name], **arguments), first)

    shuffled = training[epoch_order(len(training), seed=config.seed, epoch=0)]
    losses = train("L4/weights", partial(Adam, config.learning_rate), shuffled)
    evidence.arrays["L4/losses"] = np.array(losses)
