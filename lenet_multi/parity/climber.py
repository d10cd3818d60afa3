"""A climber and its process: `python -m lenet_multi.parity.climber JOB`, JOB as JSON.

It prints its progress, one JSON list a line, and writes its evidence into the job's folder.
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

from lenet_multi.backends import choice
from lenet_multi.backends.choice import STOCK, Execution
from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Dataset
from lenet_multi.errors import UserError
from lenet_multi.machine import keras_start, ranks
from lenet_multi.machine.children import Child
from lenet_multi.machine.instruction_sets import held_to
from lenet_multi.own.find import find_task
from lenet_multi.parity import oracle
from lenet_multi.parity.evidence import FACTS, Array, Evidence
from lenet_multi.parity.plan import ORACLE, Plan
from lenet_multi.parity.start import FOLDER, Start
from lenet_multi.task import Task

CLIMB, GO_ON, SHARE = "climb", "go-on", "share"
SAVED_MODEL = "model.keras"

_TELL_EVERY = 0.2  # seconds


@dataclass(frozen=True)
class Climber:
    """A backend and how it computes, written "BACKEND[:FORM][@INSTRUCTION_SET]"."""

    backend: str
    form: str | None = None  # by default the fastest
    instruction_set: str | None = None  # by default all that the processor has

    @classmethod
    def of(cls, name: str) -> "Climber":
        """Return the climber called `name`; raise `UserError` when nothing follows ":" or "@"."""
        if name.endswith((":", "@")) or ":@" in name:
            raise UserError(
                f"--backend {name}: a name is missing; give BACKEND[:FORM][@INSTRUCTIONS]"
            )
        name, _, instruction_set = name.partition("@")
        backend, _, form = name.partition(":")
        return cls(backend, form or None, instruction_set or None)

    def execution(self) -> Execution:
        """Return how it computes on a CPU; raise `UserError` when the backend lacks its form."""
        return choice.execution(self.backend, self.form)

    def here(self, *, own: bool = False) -> Execution:
        """Return how it computes on the started Keras, a user's `own` model as Keras does.

        Raises `UserError` when only stock Keras computes there, and it names another form.
        """
        how = choice.here(self.form or (STOCK if own else None))
        if self.form not in (None, how.form):
            raise UserError(
                f"--backend {self.backend}:{self.form}: {how.why_stock}; give --backend "
                f"{self.backend}"
            )
        # It takes single steps, so XLA has nothing to loop over. A user asks about stock Keras.
        why_stock = "a climb with a user's model tests stock Keras" if own else how.why_stock
        return dataclasses.replace(how, answer_form=how.form, xla_loops=False, why_stock=why_stock)

    def environment(self) -> dict[str, str]:
        """Return variables for its process; raise `UserError` without the instruction set."""
        return held_to(self.instruction_set) if self.instruction_set else {}


@dataclass(frozen=True)
class Job:
    """What one climber does: the task, its name, and the folder for its evidence."""

    task: str
    precision: str
    climber: str
    out: str  # the folder of the whole climb
    climb: str  # the name of the climb that the evidence belongs to
    plan: dict[str, Any]
    saved_by: Sequence[str] = ()  # for "go-on": the climbers whose models it continues to train
    devices: int = 1  # for "share": that share each batch

    @property
    def name(self) -> str:
        """The name that people read."""
        doing = {GO_ON: " goes on", SHARE: f" on {in_devices(self.devices)}"}.get(self.task, "")
        return f"{self.climber} {self.precision}{doing}"

    @property
    def folder(self) -> Path:
        """The folder of its evidence."""
        task = f"{self.devices}-devices" if self.task == SHARE else self.task
        return Path(self.out, f"{re.sub('[:@]', '-', self.climber)}-{self.precision}-{task}")

    def writers(self) -> list["Job"]:
        """Return the jobs that save the models which this job loads."""
        climb = dataclasses.replace(self, task=CLIMB, saved_by=())
        return [dataclasses.replace(climb, climber=writer) for writer in self.saved_by]

    def child(self) -> Child:
        """Return its process, which starts after its writers have ended."""
        content = json.dumps(dataclasses.asdict(self))
        climber = Climber.of(self.climber)
        shares = climber.backend == "torch" and self.devices > 1
        start = ranks.torchrun(self.devices) if shares else (sys.executable,)
        return Child(
            name=self.name,
            command=(*start, "-m", "lenet_multi.parity.climber", content),
            log=self.folder / "log.txt",
            environ=climber.environment(),
            after=tuple(writer.name for writer in self.writers()),
        )


def run(job: Job) -> None:
    """Do `job` in this process."""
    began = time.perf_counter()
    plan = Plan(**{**job.plan, "config": TrainConfig(**job.plan["config"])})
    own = plan.config.is_own
    evidence = Evidence(job.climber, job.climb)
    job.folder.mkdir(parents=True, exist_ok=True)
    climber = Climber.of(job.climber)
    start = Start.read(Path(job.out, FOLDER)) if own else None
    if start:  # a user's file imports Keras
        backend = start.facts["backend"] if job.climber == ORACLE else climber.backend
        keras_start.start(backend, floatx=job.precision, devices=job.devices)
    task = find_task(plan.config)
    dataset = start.dataset if start else task.load(plan.config)
    if job.climber == ORACLE:
        oracle.climb(evidence, plan, task, dataset, _tell)
    else:
        if not own:
            keras_start.start(climber.backend, floatx=job.precision, devices=job.devices)
        weights = start.weights if start else None
        if job.task == SHARE:
            _share(job, evidence, plan, task, dataset, weights)
            return
        from lenet_multi.parity.climb import Climb

        how = climber.here(own=own)
        climb = Climb(evidence, plan, task, dataset, how, _tell, weights, keep=job.folder)
        if job.task == CLIMB:
            climb.climb(save_to=job.folder / SAVED_MODEL)
        else:
            climbed = {writer.climber: writer.folder for writer in job.writers()}
            models = {writer: folder / SAVED_MODEL for writer, folder in climbed.items()}
            climb.go_on(
                {writer: folder for writer, folder in climbed.items() if (folder / FACTS).exists()},
                {writer: path for writer, path in models.items() if path.exists()},
            )
    evidence.record["seconds"] = time.perf_counter() - began
    evidence.write(job.folder)


def _share(
    job: Job,
    evidence: Evidence,
    plan: Plan,
    task: Task,
    dataset: Dataset,
    weights: Sequence[Array] | None,
) -> None:
    """Train on the job's devices; of several processes, the first writes the evidence."""
    from lenet_multi.parity.sharing import Sharing

    leads = ranks.rank() == 0
    tell = _tell if leads else (lambda *told: None)
    Sharing(evidence, plan, task, dataset, job.devices, tell, weights).train()
    if leads:
        evidence.write(job.folder)


def in_devices(count: int) -> str:
    """Return "1 device" or "2 devices"."""
    return f"{count} device{'s' if count > 1 else ''}"


_told = 0.0


def _tell(what: str, done: int, steps: int) -> None:
    global _told
    if done in (0, steps) or time.monotonic() - _told > _TELL_EVERY:
        _told = time.monotonic()
        print(json.dumps([what, done, steps]), flush=True)


if __name__ == "__main__":
    try:
        run(Job(**json.loads(sys.argv[1])))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
