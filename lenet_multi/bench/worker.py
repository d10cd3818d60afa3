"""The process that times one way to train: `python -m lenet_multi.bench.worker JOB`, JOB as JSON.

It reads a request a line on stdin, the name of what to do, and answers in one line on stdout: a
JSON object, with an "error" when it failed. It ends with stdin. What libraries print goes to
stderr.
"""

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from lenet_multi.bench.ways import Job
from lenet_multi.errors import StartError, UserCodeError, UserError, reason
from lenet_multi.machine import environment, keras_start, threads

BUILD, FIRST, ROUND, STAGES = "build", "first", "round", "stages"

# Whose fault an error is: the user's input, the user's code on this backend, or anyone's.
INPUT, CODE, OTHER = "input", "code", "other"


def serve(job: Job) -> None:
    """Answer requests until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the bench ends its processes itself
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if job.processors and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job.processors)
    requests = _requests(job)
    for line in sys.stdin:
        print(json.dumps(_answer(requests[line.strip()])), file=answers, flush=True)


def _requests(job: Job) -> dict[str, Callable[[], dict[str, Any]]]:
    """Return a function for each request."""
    trial: Any = None

    def build() -> dict[str, Any]:
        nonlocal trial
        began = time.perf_counter()
        keras_start.start(job.backend, dtype_policy=job.config.dtype_policy, stock=job.is_stock)
        from lenet_multi.bench.measures import Trial

        seconds = {"import": time.perf_counter() - began}
        trial = Trial(job)
        return {
            "seconds": {**seconds, **trial.seconds},
            "way": trial.way,
            "why_stock": trial.why_stock,
            "notes": trial.notes,
            "parameters": trial.model.count_params(),
            "versions": environment.versions(job.backend),
            "device": keras_start.device(),
            "threads": threads.used(job.backend),
        }

    return {
        BUILD: build,
        FIRST: lambda: trial.first(),
        ROUND: lambda: trial.round(),
        STAGES: lambda: trial.stages(),
    }


def _answer(request: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return request()
    except UserCodeError as error:
        return {"error": str(error), "fault": CODE}
    except StartError as error:  # the backend's, and another may start
        return {"error": str(error), "fault": OTHER}
    except UserError as error:
        return {"error": str(error), "fault": INPUT}
    except Exception as error:  # the answer names it, and the other ways go on
        traceback.print_exc()
        return {"error": reason(error), "fault": OTHER}


if __name__ == "__main__":
    serve(Job.of_json(sys.argv[1]))
