"""Time an epoch of our training loop against stock `fit`, interleaved in one process.

Three ways are timed in turn, after one untimed epoch each, on the same images:

- `ours`: the `standard` recipe through `lenet_multi.fit`, as the training command runs it;
- `same model, stock fit`: the same Keras model given NumPy arrays;
- `notebook, stock fit`: the notebook's softmax model given its one-hot arrays.

Seconds are those of the training part of the epoch, taken when the last step's result is
there, by the same callback for all three. Validation is on one batch and not counted.
"""

import argparse
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lenet_multi import environment, session
from lenet_multi.backends import BACKENDS
from lenet_multi.config import RECIPES
from lenet_multi.data import ImageSet, load
from lenet_multi.speed import execution

MNIST_TRAINING_IMAGES = 60_000
OURS, SAME, NOTEBOOK = "ours", "same model, stock fit", "notebook, stock fit"


def measure(backend: str, *, images: int, repeats: int) -> dict[str, Any]:
    """Return seconds per epoch of `images` images, `repeats` samples for each way."""
    session.start(backend)
    dataset = load()
    ways = _ways(dataset.train[:images], dataset.test[:500])
    for way in ways.values():
        way()  # compiles, untimed
    samples: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            samples[name].append(way())
    return {
        "backend": backend,
        "versions": environment.versions(backend),
        "machine": environment.machine(),
        "threads": environment.threads(),
        "images": images,
        "batch_size": RECIPES["standard"].batch_size,
        "seconds_per_epoch": samples,
    }


def _ways(training: ImageSet, validation: ImageSet) -> dict[str, Callable[[], float]]:
    import keras

    from benchmarks.stock import compile_logits, notebook_arrays, notebook_model
    from lenet_multi.fit import fit
    from lenet_multi.history import EpochHistory
    from lenet_multi.model import build, compile_model

    config = RECIPES["standard"]
    one_epoch = dataclasses.replace(config, epochs=1)
    our_model, same_model = (build(config, (28, 28, 1)) for _ in range(2))
    compile_model(
        our_model, config, execution(keras.backend.backend()), training_images=MNIST_TRAINING_IMAGES
    )
    compile_logits(same_model)
    notebook = notebook_model()
    x_train, one_hot = notebook_arrays(training.images, training.labels)
    x_validation, validation_one_hot = notebook_arrays(validation.images, validation.labels)

    def ours() -> float:
        return fit(our_model, training, validation, one_epoch).epochs[0]["train_seconds"]

    def stock(model: Any, labels: Any, validation_labels: Any) -> float:
        history = EpochHistory()
        model.fit(
            x_train,
            labels,
            batch_size=config.batch_size,
            validation_data=(x_validation, validation_labels),
            callbacks=[history],
            verbose=0,
        )
        return history.epochs[0]["train_seconds"]

    return {
        OURS: ours,
        SAME: lambda: stock(same_model, training.labels, validation.labels),
        NOTEBOOK: lambda: stock(notebook, one_hot, validation_one_hot),
    }


def main() -> None:
    """Measure as the command line says and write the samples as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--backend", choices=BACKENDS, required=True)
    parser.add_argument("--images", type=int, default=30_000, help="images in an epoch")
    parser.add_argument("--repeats", type=int, default=5, help="timed epochs of each way")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    arguments = parser.parse_args()
    if not 0 < arguments.images <= MNIST_TRAINING_IMAGES:
        parser.error(f"--images must lie between 1 and {MNIST_TRAINING_IMAGES:,}")
    result = measure(arguments.backend, images=arguments.images, repeats=arguments.repeats)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
