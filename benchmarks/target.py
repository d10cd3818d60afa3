"""Time from the typed command to 99 % test accuracy: `python -m benchmarks.target BACKEND`.

This script measures the notebook's side: it trains the notebook's model with stock `fit` and
evaluates on the test set after each epoch, until it reaches the target. Our side is the command
`lenet-multi train --recipe one-epoch`, which evaluates once.
"""

import argparse
import json
import os

from lenet_multi.machine.frameworks import BACKENDS

TARGET = 0.99


def main() -> None:
    """Train until the target; print epochs and accuracy as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("backend", choices=BACKENDS)
    parser.add_argument("--target", type=float, default=TARGET)
    parser.add_argument("--epochs", type=int, default=20, help="give up after this many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", default="mnist", help="as for lenet-multi train")
    asked = parser.parse_args()
    os.environ["KERAS_BACKEND"] = asked.backend
    import keras

    from benchmarks.peers.stock import notebook_arrays, notebook_model
    from lenet_multi.data.examples import split
    from lenet_multi.lenet.image_sets import load
    from lenet_multi.lenet.recipes import RECIPES

    keras.utils.set_random_seed(asked.seed)
    config = RECIPES["one-epoch"]
    dataset = load(asked.data)
    training, _ = split(dataset, config)  # the images that ours trains on
    x_train, y_train = notebook_arrays(training.x, training.y)
    test = notebook_arrays(dataset.test.x, dataset.test.y)

    class StopAtTarget(keras.callbacks.Callback):  # type: ignore[misc]  # Keras carries no types
        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            self.model.stop_training = (logs or {})["val_accuracy"] >= asked.target

    history = notebook_model().fit(
        x_train,
        y_train,
        batch_size=config.batch_size,
        epochs=asked.epochs,
        validation_data=test,
        callbacks=[StopAtTarget()],
        verbose=0,
    )
    accuracies = [float(accuracy) for accuracy in history.history["val_accuracy"]]
    print(json.dumps({"epochs": len(accuracies), "accuracy": accuracies[-1]}))


if __name__ == "__main__":
    main()
