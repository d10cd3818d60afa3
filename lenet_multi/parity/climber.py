"""The process of one climber: `python -m lenet_multi.parity.climber JOB`, JOB as JSON.

Tells its progress on stdout, a JSON list a line; leaves its evidence in the job's folder.
"""

import dataclasses
import json
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lenet_multi.config import TrainConfig
from lenet_multi.machine import keras_start
from lenet_multi.parity import oracle
from lenet_multi.parity.evidence import Evidence
from lenet_multi.parity.plan import ORACLE, Climber, Plan
from lenet_multi.task import find_task

CLIMB, GO_ON = "climb", "go-on"
SAVED_MODEL = "model.keras"

_TELL_EVERY = 0.2  # seconds


@dataclass(frozen=True)
class Job:
    """What one climber does: which task, who it is, where its evidence goes."""

    task: str
    precision: str
    climber: str
    out: str  # the folder of the whole climb
    climb: str  # the name of the climb that the evidence belongs to
    plan: dict[str, Any]
    saved_by: Sequence[str] = ()  # the climbers with whose models the task "go-on" goes on

    @property
    def name(self) -> str:
        """Return what people call the job."""
        task = {CLIMB: "", GO_ON: " goes on"}[self.task]
        return f"{self.climber} {self.precision}{task}"

    @property
    def folder(self) -> Path:
        """Return where its evidence goes."""
        return Path(self.out, f"{re.sub('[:@]', '-', self.climber)}-{self.precision}-{self.task}")

    def writers(self) -> list["Job"]:
        """Return the jobs that save the models with which it goes on."""
        climb = dataclasses.replace(self, task=CLIMB, saved_by=())
        return [dataclasses.replace(climb, climber=writer) for writer in self.saved_by]


def run(job: Job) -> None:
    """Do `job` in this process."""
    began = time.perf_counter()
    plan = Plan(**{**job.plan, "config": TrainConfig(**job.plan["config"])})
    task = find_task(plan.config.architecture)
    dataset = task.load(plan.config)
    evidence = Evidence(job.climber, job.climb)
    job.folder.mkdir(parents=True, exist_ok=True)
    if job.climber == ORACLE:
        oracle.climb(evidence, plan, task, dataset, _tell)
    else:
        keras_start.start(Climber.of(job.climber).backend, floatx=job.precision)
        from lenet_multi.parity.climb import Climb

        climb = Climb(evidence, plan, task, dataset, _tell)
        if job.task == CLIMB:
            climb.climb(save_to=job.folder / SAVED_MODEL)
        else:
            models = {writer.climber: writer.folder / SAVED_MODEL for writer in job.writers()}
            saved = {writer: path for writer, path in models.items() if path.exists()}
            climb.go_on(saved)
    evidence.record["seconds"] = time.perf_counter() - began
    evidence.write(job.folder)


_told = 0.0


def _tell(what: str, done: int, steps: int) -> None:
    global _told
    if done in (0, steps) or time.monotonic() - _told > _TELL_EVERY:
        _told = time.monotonic()
        print(json.dumps([what, done, steps]), flush=True)


def command(job: Job) -> tuple[str, ...]:
    """Return the command that does `job` in a process of its own."""
    return (sys.executable, "-m", "lenet_multi.parity.climber", json.dumps(dataclasses.asdict(job)))


if __name__ == "__main__":
    run(Job(**json.loads(sys.argv[1])))
