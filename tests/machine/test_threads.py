import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lenet_multi.machine import environment, threads
from lenet_multi.machine.threads import Waiting

# The variable that sets the number of threads of each backend.
VARIABLE = {"tensorflow": "TF_NUM_INTRAOP_THREADS", "jax": "NPROC", "torch": "OMP_NUM_THREADS"}
# Prints it, and on Linux the size of the pool that XLA has for TensorFlow and JAX.
USED = """
import sys
from pathlib import Path
from lenet_multi.machine import keras_start, threads
keras_start.start(sys.argv[1])
if sys.argv[1] == "tensorflow":
    import tensorflow
    tensorflow.function(lambda: tensorflow.random.uniform(()), jit_compile=True)()
names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
print(threads.used(sys.argv[1]), sum(name.startswith("tf_XLAEigen") for name in names))
"""


@pytest.mark.backend
def test_the_number_is_the_one_in_use(backend: str) -> None:
    """Only a backend's own variable changes its number of threads."""
    free = {k: v for k, v in os.environ.items() if k not in {*VARIABLE.values(), "MKL_NUM_THREADS"}}

    def used(**environ: str) -> int:
        command = [sys.executable, "-c", USED, backend]
        output = subprocess.check_output(command, env={**free, **environ}, text=True)
        used, in_pool = map(int, output.split())
        has_pool = backend != "torch" and sys.platform == "linux"
        assert in_pool == (used if has_pool else 0)
        return used

    others = {name: "7" for name in VARIABLE.values() if name != VARIABLE[backend]}
    assert used(**others) == environment.threads()
    asked = 1 if backend == "torch" else 3  # PyTorch takes no more than there are processors
    assert used(**{VARIABLE[backend]: str(asked)}) == asked


def test_no_cost_is_measured_where_none_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cost is 0 for one thread, and for backends other than PyTorch."""
    monkeypatch.setattr(threads, "used", lambda backend: 1 if backend == "torch" else 2)
    assert threads.cost("torch") == threads.cost("jax") == 0


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="only Linux counts it")
def test_a_thread_without_a_processor_is_noticed() -> None:
    """A program that shares its processor with two others waits; one that sleeps does not."""
    waiting = Waiting()
    time.sleep(0.2)
    assert waiting.share() < 0.2
    code = (
        "import os, sys, time; os.sched_setaffinity(0, {int(sys.argv[1])})\n"
        "until = time.monotonic() + 3\n"
        "while time.monotonic() < until: pass"
    )
    processors = os.sched_getaffinity(0)
    one = min(processors)
    others = [subprocess.Popen([sys.executable, "-c", code, str(one)]) for _ in range(2)]
    try:
        time.sleep(0.5)
        os.sched_setaffinity(0, {one})
        waiting = Waiting()
        until = time.monotonic() + 1
        while time.monotonic() < until:
            pass
        assert waiting.share() > 0.3
    finally:
        os.sched_setaffinity(0, processors)
        for other in others:
            other.kill()
            other.wait()


def test_another_system_counts_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without Linux's files, no thread is said to wait."""
    monkeypatch.setattr(threads, "_TASKS", tmp_path)
    assert Waiting().share() == 0
