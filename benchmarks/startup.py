"""Measure time before the first epoch, and memory: `python -m benchmarks.startup`.

Runs in a fresh process. Prints a JSON object: the seconds of each part, and the peak memory after
some steps, with all images loaded. `began` is the time of the request, so the interpreter's own
start counts.
"""

import argparse
import json
import time

from lenet_multi.backends import choice
from lenet_multi.machine.frameworks import BACKENDS

SOME_STEPS = 50  # a whole epoch adds at most some tens of MiB to the peak (`growth`)


def ours(backend: str, images: int, began: float) -> dict[str, float]:
    """Return time and memory of each part of our training command."""
    import lenet_multi.__main__  # noqa: F401  # as the command line does
    from lenet_multi.lenet.image_sets import load
    from lenet_multi.lenet.recipes import RECIPES
    from lenet_multi.machine import environment
    from lenet_multi.machine.keras_start import start_and_load

    dataset = start_and_load(backend, load)
    ready = time.time()
    import dataclasses

    from lenet_multi.lenet.tasks import LENET
    from lenet_multi.training.fit import fit
    from lenet_multi.training.setup import build, compile_model

    config = dataclasses.replace(RECIPES["standard"], epochs=1)
    training = dataset.train[:images]
    model = build(LENET, config, dataset)
    compile_model(model, LENET, config, choice.here(), examples=images)
    built = time.time()
    few = dataset.test[: config.batch_size]
    fit(model, LENET, training[: config.batch_size], few, config)
    first_step = time.time()
    fit(model, LENET, training[: SOME_STEPS * config.batch_size], few, config)
    return {
        "import": ready - began,
        "build and compile": built - ready,
        "first step": first_step - built,
        "peak memory": environment.peak_memory_bytes() or 0,
    }


def stock(backend: str, images: int, began: float) -> dict[str, float]:
    """Return time and memory of the notebook's model through stock Keras."""
    import os

    os.environ["KERAS_BACKEND"] = backend
    import keras

    keras.ops.zeros(())
    ready = time.time()
    from benchmarks.peers.stock import notebook_arrays, notebook_model
    from lenet_multi.lenet.image_sets import load
    from lenet_multi.machine import environment

    model = notebook_model()
    built = time.time()
    training = load().train[:images]
    x, y = notebook_arrays(training.x, training.y)
    loaded = time.time()
    model.fit(x[:128], y[:128], batch_size=128, verbose=0)
    first_step = time.time()
    steps = min(SOME_STEPS, -(-images // 128))
    model.fit(x, y, batch_size=128, steps_per_epoch=steps, verbose=0)
    keras.ops.convert_to_numpy(model.optimizer.iterations)
    return {
        "import": ready - began,
        "build and compile": built - ready,
        "first step": first_step - loaded,
        "peak memory": environment.peak_memory_bytes() or 0,
    }


WAYS = {"ours": ours, "stock fit": stock}


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--backend", choices=BACKENDS, required=True)
    parser.add_argument("--way", choices=WAYS, required=True)
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--began", type=float, default=None, help="time.time() of the caller")
    asked = parser.parse_args()
    found = WAYS[asked.way](asked.backend, asked.images, asked.began or time.time())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
