"""How time and memory grow with the training set: `python -m benchmarks.growth`, a fresh process.

It trains on ever larger sets, and then on the smaller ones again, each of them some times, so that
what the largest is compared with was measured before and after it. Prints a JSON list: of each
training the images, the seconds of its epoch in steady state, and the bytes of memory beyond the
data at the process's peak so far, to which on the way up no larger set has added.
"""

import argparse
import dataclasses
import json
from typing import TYPE_CHECKING

from lenet_multi.backends import BACKENDS

if TYPE_CHECKING:
    from lenet_multi.data import Dataset, ImageSet

TIMES = 2  # on the way up and down


def repeated(images: "ImageSet", count: int) -> "ImageSet":
    """Return `count` images: the first ones, or all again and again."""
    import numpy as np

    from lenet_multi.data import ImageSet

    if count <= len(images):
        return images[:count]
    return ImageSet(
        np.resize(images.images, (count, *images.images.shape[1:])),
        np.resize(images.labels, count),
    )


def held(dataset: "Dataset", training: "ImageSet") -> int:
    """Return the bytes of all images in memory: those loaded, and `training` where a copy."""
    import numpy as np

    parts = [dataset.train.images, dataset.test.images]
    if not np.may_share_memory(training.images, dataset.train.images):
        parts.append(training.images)
    return sum(part.nbytes for part in parts)


def grow(backend: str, sizes: list[int]) -> list[dict[str, float]]:
    """Return what each training of our command took, on sets of `sizes` and back."""
    from lenet_multi.data import load
    from lenet_multi.train import start_and_load

    dataset = start_and_load(backend, load)  # before anything imports Keras
    from lenet_multi import environment, session
    from lenet_multi.config import RECIPES
    from lenet_multi.fit import fit
    from lenet_multi.model import build, compile_model

    config = dataclasses.replace(RECIPES["standard"], epochs=1)
    model = build(config, dataset.image_shape)
    compile_model(model, config, session.execution(), training_images=max(sizes))
    few = dataset.test[: config.batch_size]

    def train(size: int) -> dict[str, float]:
        training = repeated(dataset.train, size)
        # Of both sizes of batches, which are compiled.
        first = training[: config.batch_size + size % config.batch_size]
        fit(model, first, few, config, quiet=True)
        seconds = fit(model, training, few, config, quiet=True).epochs[0]["train_seconds"]
        beyond = environment.peak_memory_bytes() - held(dataset, training)
        return {"images": size, "epoch of a set": seconds, "memory beyond the data": beyond}

    *up, largest = sorted(sizes)
    way_up = [size for size in up for _ in range(TIMES)]
    return [train(size) for size in (*way_up, largest, *reversed(way_up))]


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--backend", choices=BACKENDS, required=True)
    parser.add_argument("sizes", type=int, nargs="+")
    asked = parser.parse_args()
    print(json.dumps(grow(asked.backend, asked.sizes)))


if __name__ == "__main__":
    main()
