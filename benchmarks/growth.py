"""Measure how time and memory grow with the training set: `python -m benchmarks.growth`.

Runs in a fresh process. Prints a JSON object: the number of images, the seconds of each epoch in
steady state, and the process's peak memory beyond the data in bytes.
"""

import argparse
import dataclasses
import json
from typing import TYPE_CHECKING, Any

from lenet_multi.backends import choice
from lenet_multi.machine.frameworks import BACKENDS

if TYPE_CHECKING:
    from lenet_multi.data.examples import Dataset, Examples


def repeated(images: "Examples", count: int) -> "Examples":
    """Return `count` images: the first ones, or all of them repeated."""
    import numpy as np

    from lenet_multi.data.examples import Examples

    if count <= len(images):
        return images[:count]
    return Examples(
        np.resize(images.x, (count, *images.x.shape[1:])),
        np.resize(images.y, count),
    )


def held(dataset: "Dataset", training: "Examples") -> int:
    """Return the bytes of all images in memory: the loaded ones, and `training` if it is a copy."""
    import numpy as np

    parts = [dataset.train.x, dataset.test.x]
    if not np.may_share_memory(training.x, dataset.train.x):
        parts.append(training.x)
    return sum(part.nbytes for part in parts)


def grow(backend: str, size: int, *, times: int) -> dict[str, Any]:
    """Train as our command does for `times` epochs on `size` images; return time and memory."""
    from lenet_multi.lenet.image_sets import load
    from lenet_multi.machine.keras_start import start_and_load

    dataset = start_and_load(backend, load)  # before anything else imports Keras
    from lenet_multi.lenet.recipes import RECIPES
    from lenet_multi.lenet.tasks import LENET
    from lenet_multi.machine import environment
    from lenet_multi.training.fit import fit
    from lenet_multi.training.setup import build, compile_model

    config = dataclasses.replace(RECIPES["standard"], epochs=1)
    model = build(LENET, config, dataset)
    # Compile for one set size, so that JAX's cached program serves all sizes.
    compile_model(model, LENET, config, choice.here(), examples=len(dataset.train))
    training, few = repeated(dataset.train, size), dataset.test[: config.batch_size]
    # This compiles both batch sizes.
    some = training[: config.batch_size + size % config.batch_size]
    fit(model, LENET, some, few, config, quiet=True)
    epochs = [fit(model, LENET, training, few, config, quiet=True).epochs[0] for _ in range(times)]
    return {
        "images": size,
        "epoch of a set": [epoch["train_seconds"] for epoch in epochs],
        "memory beyond the data": (environment.peak_memory_bytes() or 0) - held(dataset, training),
    }


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--backend", choices=BACKENDS, required=True)
    parser.add_argument("size", type=int, help="images")
    parser.add_argument("--times", type=int, default=1, help="epochs to time")
    asked = parser.parse_args()
    print(json.dumps(grow(asked.backend, asked.size, times=asked.times)))


if __name__ == "__main__":
    main()
