"""The threads that compute an operation: how many there are, and whether they must wait."""

import os
import time
import timeit
from contextlib import suppress
from pathlib import Path
from statistics import median

from lenet_multi.machine import environment

_TASKS = Path("/proc/self/task")  # Linux only
_ROUNDS = 7


def used(backend: str) -> int:
    """Return the number of threads that the started `backend` computes an operation with on a CPU.

    TensorFlow and JAX take one for each processor that the process may use, unless a variable asks
    for another number. They do not read OMP_NUM_THREADS, which PyTorch does.
    """
    match backend:
        case "torch":
            import torch

            return int(torch.get_num_threads())
        case "tensorflow":
            import tensorflow as tf

            asked = tf.config.threading.get_intra_op_parallelism_threads()
            return int(asked) or _asked("TF_NUM_INTRAOP_THREADS") or environment.threads()
        case _:
            return _asked("NPROC") or environment.threads()


def _asked(variable: str) -> int:
    """Return the number in an environment variable; 0 if it holds none."""
    with suppress(KeyError, ValueError):
        return max(0, int(os.environ[variable]))
    return 0


def cost(backend: str) -> float:
    """Return the time of a small step on all of `backend`'s threads relative to one thread.

    PyTorch's threads wait for each other at the end of each operation, so one without a processor
    stops all. This returns 0 for other backends, whose threads take work from each other, and for
    one thread.
    """
    if backend != "torch" or used(backend) == 1:
        return 0.0
    import torch

    images = torch.ones(128, 1, 28, 28)
    layer = torch.nn.Conv2d(1, 32, 5)

    def step() -> None:
        for _ in range(3):
            torch.relu(layer(images)).sum().backward()

    many = used(backend)
    seconds: dict[int, list[float]] = {1: [], many: []}
    try:
        for _ in range(_ROUNDS + 1):
            for count, found in seconds.items():
                torch.set_num_threads(count)
                found.append(timeit.timeit(step, number=1))
    finally:
        torch.set_num_threads(many)
    one, all_of_them = (median(found[1:]) for found in seconds.values())  # the first starts them
    return all_of_them / one


class Waiting:
    """Measures how much of the time a thread of this process was ready but had no processor."""

    def __init__(self) -> None:
        self._began, self._waited = time.perf_counter(), _waited()

    def share(self) -> float:
        """Return the share of the time since the start, of the thread that waited most.

        Linux counts it; on other systems this returns 0.
        """
        waited = _waited()
        most = max((waited[task] - self._waited.get(task, 0) for task in waited), default=0)
        return most / 1e9 / self.seconds

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._began


def _waited() -> dict[str, int]:
    """Return the nanoseconds that each thread has waited for a processor."""
    waited = {}
    for task in _TASKS.glob("*"):
        with suppress(OSError, ValueError, IndexError):  # a thread that ends, or another system
            waited[task.name] = int((task / "schedstat").read_text().split()[1])
    return waited
