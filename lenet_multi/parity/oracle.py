"""Climb rungs L1 to L4 in NumPy float64, where no backend has a say."""

from collections.abc import Sequence

import numpy as np

from lenet_multi.data.sets import Dataset, ImageSet, epoch_order
from lenet_multi.lenet import reference
from lenet_multi.lenet.reference import Array, Integers
from lenet_multi.parity.evidence import Evidence
from lenet_multi.parity.plan import CONFIDENCE, OPTIMIZERS, Plan, Tell, confident, is_kept
from lenet_multi.training.initial_weights import draw_initial_weights

Batch = tuple[Array, Integers]  # images, labels


def climb(evidence: Evidence, plan: Plan, dataset: Dataset, tell: Tell) -> None:
    """File what a float64 climber of rungs L1 to L4 has to see."""
    config = plan.training_config("float64")
    first = plan.first_images(dataset)
    images = plan.training_images(dataset, "float64")

    def batch(images: ImageSet, index: int) -> Batch:
        part = images[index * config.batch_size : (index + 1) * config.batch_size]
        return part.images / 255, part.labels

    tensors = reference.shapes(dataset.image_shape, config.classes)
    names = list(tensors)
    drawn = draw_initial_weights(list(tensors.values()), seed=config.seed)
    initial = [weight.astype(np.float64) for weight in drawn]

    def file(place: str, arrays: Sequence[Array]) -> None:
        evidence.arrays |= {f"{place}/{n}": a for n, a in zip(names, arrays, strict=True)}

    for name, factor in CONFIDENCE.items():
        weights = confident(initial, factor)
        evidence.arrays[f"L1/{name}/logits"] = reference.forward(weights, batch(first, 0)[0])
        loss, gradients = reference.gradients(weights, *batch(first, 0))
        evidence.arrays[f"L1/{name}/loss"] = np.array(loss)
        file(f"L2/{name}", gradients)

    for name, (class_name, arguments) in OPTIMIZERS.items():
        optimizer = getattr(reference, class_name)(**arguments)
        weights = initial
        for step in range(1, plan.optimizer_steps + 1):
            _, gradients = reference.gradients(weights, *batch(first, step - 1))
            weights = optimizer.step(weights, gradients)
            if is_kept(step, last=plan.optimizer_steps):
                file(f"L3/{name}/{step}", weights)
            tell(f"L3 {name}", step, plan.optimizer_steps)

    order = epoch_order(len(images), seed=config.seed, epoch=0)
    shuffled = ImageSet(images.images[order], images.labels[order])
    steps = config.steps_per_epoch(len(images))
    optimizer, weights, losses = reference.Adam(config.learning_rate), initial, []
    for step in range(1, steps + 1):
        loss, gradients = reference.gradients(weights, *batch(shuffled, step - 1))
        losses.append(loss)
        weights = optimizer.step(weights, gradients)
        if is_kept(step, last=steps):
            file(f"L4/weights/{step}", weights)
        tell("L4 trajectory", step, steps)
    evidence.arrays["L4/losses"] = np.array(losses)
