"""Climb rungs L1 to L4 with the task's reference in float64, where no backend has a say."""

from collections.abc import Sequence

import numpy as np

from lenet_multi.data.examples import Arrays, Dataset, Examples, changed, epoch_order
from lenet_multi.parity import optimizers
from lenet_multi.parity.evidence import Evidence
from lenet_multi.parity.optimizers import Array
from lenet_multi.parity.plan import CONFIDENCE, OPTIMIZERS, Plan, Tell, confident, is_kept
from lenet_multi.task import Task


def climb(evidence: Evidence, plan: Plan, task: Task, dataset: Dataset, tell: Tell) -> None:
    """File what a float64 climber of rungs L1 to L4 has to see."""
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

    for name, factor in CONFIDENCE.items():
        weights = confident(names, initial, factor)
        evidence.arrays[f"L1/{name}/logits"] = reference.forward(weights, batch(first, 0)[0])
        loss, gradients = reference.gradients(weights, *batch(first, 0))
        evidence.arrays[f"L1/{name}/loss"] = np.array(loss)
        file(f"L2/{name}", gradients)

    for name, (class_name, arguments) in OPTIMIZERS.items():
        optimizer = getattr(optimizers, class_name)(**arguments)
        weights = initial
        for step in range(1, plan.optimizer_steps + 1):
            _, gradients = reference.gradients(weights, *batch(first, step - 1))
            weights = optimizer.step(weights, gradients)
            if is_kept(step, last=plan.optimizer_steps):
                file(f"L3/{name}/{step}", weights)
            tell(f"L3 {name}", step, plan.optimizer_steps)

    order = epoch_order(len(training), seed=config.seed, epoch=0)
    shuffled = Examples(
        *(changed(lambda array: array[order], side) for side in (training.x, training.y))
    )
    steps = config.steps_per_epoch(len(training))
    optimizer, weights, losses = optimizers.Adam(config.learning_rate), initial, []
    for step in range(1, steps + 1):
        loss, gradients = reference.gradients(weights, *batch(shuffled, step - 1))
        losses.append(loss)
        weights = optimizer.step(weights, gradients)
        if is_kept(step, last=steps):
            file(f"L4/weights/{step}", weights)
        tell("L4 trajectory", step, steps)
    evidence.arrays["L4/losses"] = np.array(losses)
