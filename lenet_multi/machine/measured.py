"""How fast bfloat16 is on this processor; the doctor measures it once and stores it."""

import timeit
from contextlib import suppress

from lenet_multi.machine.cache import place

SIDE, REPEATS = 512, 5  # matrix products of 512x512, 1 ms each


def bfloat16_pays(backend: str) -> bool:
    """Return whether the doctor found bfloat16 products faster than float32's; False if unmeasured.

    Processors differ: bfloat16 was 1.9 times as fast on one (AMD EPYC, family 25) and 0.5 times on
    another (Intel Xeon, model 207, without AMX).
    """
    try:
        return float(place(f"bfloat16-{backend}").read_text()) > 1
    except (OSError, ValueError):  # never measured, or damaged
        return False


def measure_bfloat16(backend: str) -> float:
    """Return and store how many times as fast as float32's they are; needs a started Keras."""
    import keras

    def seconds(dtype: str) -> float:
        matrix = keras.ops.ones((SIDE, SIDE), dtype)
        times = timeit.repeat(  # `float` waits for the result
            lambda: float(keras.ops.matmul(matrix, matrix)[0, 0]), number=1, repeat=REPEATS
        )
        return min(times)

    times = seconds("float32") / seconds("bfloat16")
    path = place(f"bfloat16-{backend}")
    with suppress(OSError):  # an unwritable cache folder stores nothing
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{times}\n")
    return times
