"""How fast bfloat16 is on this processor: the doctor measures it once and keeps it."""

import timeit
from contextlib import suppress

from lenet_multi.machine.cache import place

SIDE, REPEATS = 512, 5  # of a product of matrices: a millisecond each


def bfloat16_pays(backend: str) -> bool:
    """Return whether the doctor found products of bfloat16 numbers faster than float32's.

    Return False where the doctor has not measured it. Processors differ: bfloat16 was 1.9 times as
    fast on one (AMD EPYC, family 25) and 0.5 on another (Intel Xeon, model 207, without AMX).
    """
    try:
        return float(place(f"bfloat16-{backend}").read_text()) > 1
    except (OSError, ValueError):  # never measured, or damaged
        return False


def measure_bfloat16(backend: str) -> float:
    """Return and keep how many times as fast as float32's its products are on a started backend."""
    import keras

    def seconds(dtype: str) -> float:
        matrix = keras.ops.ones((SIDE, SIDE), dtype)

        def product() -> float:
            return float(keras.ops.matmul(matrix, matrix)[0, 0])  # waits until it is there

        return min(timeit.repeat(product, number=1, repeat=REPEATS))

    times = seconds("float32") / seconds("bfloat16")
    path = place(f"bfloat16-{backend}")
    with suppress(OSError):  # a cache folder that cannot be written keeps nothing
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{times}\n")
    return times
