"""How each backend is fed fast: measured facts that change no result."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Feeding:
    """How Keras's `fit` is given its batches.

    `workers` are threads that prepare them; one means the training thread itself.
    `steps_per_execution` is the number of steps between two returns to Python.
    """

    workers: int = 1
    steps_per_execution: int = 1


FEEDING = {
    # Keras wraps data in a tf.data pipeline. With one worker it autotunes that pipeline,
    # whose clean-up at an epoch's end can sleep as long again as the epoch took (TensorFlow
    # 2.21; stock `fit` sleeps too); with workers of its own Keras switches autotuning off.
    # Ten steps at once, a real loop here, win back the 5 % that the workers cost.
    "tensorflow": Feeding(workers=2, steps_per_execution=10),
    "jax": Feeding(),  # several steps are a Python loop: nothing gained
    "torch": Feeding(),  # several steps raise ValueError
}
