"""The devices that a backend sees: processors become as many logical devices as asked for."""

import os

from lenet_multi.machine import ranks

_ready = False


def announce(backend: str, count: int) -> None:
    """Tell `backend`, before its import, how many devices of the processor to make."""
    if backend == "jax":
        os.environ["JAX_NUM_CPU_DEVICES"] = str(_here(backend, count))


def get_ready(backend: str, count: int) -> None:
    """Make devices of the imported `backend`, before its first tensor, and join other processes.

    `count` is the number of all devices.
    """
    global _ready
    if _ready:
        return
    _ready = True
    if backend == "tensorflow":
        import tensorflow as tf

        if not tf.config.list_physical_devices("GPU"):
            (processor,) = tf.config.list_physical_devices("CPU")
            logical = [tf.config.LogicalDeviceConfiguration()] * _here(backend, count)
            tf.config.set_logical_device_configuration(processor, logical)
    ranks.join(backend)


def _here(backend: str, count: int) -> int:
    return count // ranks.told(backend).count
