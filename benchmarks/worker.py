"""Measure on one backend: read one request per line on stdin, answer in one line on stdout.

Start it as `python -m benchmarks.worker BACKEND [stock]`; "stock" prepares the process for stock
Keras. A request is a JSON object {"measure": NAME, ARGUMENT: VALUE, ...}. The answer is the record,
or {"error": WORDS}. Compiled programs stay in the process, so backends can be measured in turn
without compiling again.
"""

import contextlib
import dataclasses
import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

from lenet_multi.machine import environment, keras_start


def start(backend: str, *, stock: bool) -> None:
    """Start Keras on `backend` as ours does; for `stock`, keep PyTorch's default settings."""
    keras_start.start(backend)
    if stock and backend == "torch":
        import torch

        torch.set_flush_denormal(False)


def serve(backend: str, *, stock: bool) -> None:
    """Answer requests until stdin ends; the first line says what was started."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes to stderr
    start(backend, stock=stock)
    from benchmarks import distorted, epoch, inference, matmul, stages
    from benchmarks.record import Record

    measures: dict[str, Callable[..., Record]] = {
        "epoch": epoch.measure,
        "matrix product": matmul.measure,
        "inference": inference.measure,
        "stage": stages.measure,
        "distorted epoch": distorted.measure,
    }

    def answer(content: dict[str, Any]) -> None:
        print(json.dumps(content), file=answers, flush=True)

    answer({"versions": environment.versions(backend), "device": keras_start.device()})
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer(dataclasses.asdict(measures[asked.pop("measure")](backend, **asked)))
        except Exception as error:  # the answer names the error; other measures continue
            traceback.print_exc()
            answer({"error": f"{type(error).__name__}: {error}".splitlines()[0]})


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):  # the caller reports it
        serve(sys.argv[1], stock="stock" in sys.argv[2:])
