"""How much longer an epoch takes whose images are distorted, as a share of a plain one.

A thread makes the images of the next epoch while this one trains. The first epoch waits for its
own, so it is not timed.
"""

import dataclasses
from statistics import median

from benchmarks.epoch import FEW, OURS
from benchmarks.record import Record
from benchmarks.trials import MILD
from lenet_multi.backends import choice
from lenet_multi.config import TrainConfig
from lenet_multi.lenet.image_sets import load
from lenet_multi.lenet.recipes import RECIPES

EPOCHS = 3


def measure(backend: str, *, images: int) -> Record:
    """Return the ratio of a distorted epoch to a plain one on the first `images` of MNIST."""
    from lenet_multi.lenet.tasks import LENET
    from lenet_multi.training.fit import fit
    from lenet_multi.training.setup import build, compile_model

    dataset = load()
    training, validation = dataset.train[:images], dataset.test[:FEW]
    plain = dataclasses.replace(RECIPES["standard"], epochs=EPOCHS)
    model = build(LENET, plain, dataset)
    compile_model(model, LENET, plain, choice.here(), examples=images)

    def seconds(config: TrainConfig) -> float:
        epochs = fit(model, LENET, training, validation, config).epochs[1:]
        return median(epoch["train_seconds"] for epoch in epochs)

    distorted = dataclasses.replace(plain, **MILD)
    seconds(plain)  # compiles
    ratio = seconds(distorted) / seconds(plain)
    return Record("distorted epoch", backend, OURS, "of a plain one", [ratio], {"images": images})
