"""Look at a user's model before the climb: `python -m lenet_multi.parity.prepare JOB FOLDER`.

The process starts Keras on one backend, builds the model, draws its weights, reads its data, and
writes a `Start`. On stdout it prints only the message of a `UserError`; then its exit status is 2.
"""

import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Examples
from lenet_multi.errors import UserError
from lenet_multi.machine import children, keras_start
from lenet_multi.parity.known import SEEDS, Known, known_divergences
from lenet_multi.parity.plan import Plan
from lenet_multi.parity.start import Start

_REFUSED = 2


def prepare(plan: Plan, backends: Sequence[str], folder: Path) -> Start:
    """Return what climbers on `backends` start from; a child process on the first makes it.

    Raises `UserError` when the model or its data cannot be used; the user's own traceback is then
    on stderr.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", __name__, ",".join(backends)]
    with children.bars() as progress:
        progress.add_task(f"{backends[0]} builds the model", total=None)
        done = subprocess.run(
            [*command, json.dumps(dataclasses.asdict(plan)), str(folder)],
            env=children.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            errors="backslashreplace",  # the user's function may print any bytes
        )
    if done.returncode:
        said = done.stdout.strip().splitlines()
        if done.returncode == _REFUSED and said:
            raise UserError(said[-1])
        raise UserError(
            f"{plan.config.architecture}: building it on {backends[0]} ended with status "
            f"{done.returncode}; see above"
        )
    return Start.read(folder)


def make(plan: Plan, backends: Sequence[str]) -> Start:
    """Build the model of `plan` in this process, and return what the climb of `backends` needs."""
    from lenet_multi.own.builder import refuse_loss
    from lenet_multi.own.find import find_task
    from lenet_multi.training.initial_weights import drawn
    from lenet_multi.training.setup import compile_arguments

    config = plan.config
    task = find_task(config)
    dataset = task.load(config)
    examples = plan.training_examples(dataset, plan.precisions[0])  # a user's: the same in each
    model, weights = drawn(task, config, dataset)
    model.set_weights(weights)
    arguments = compile_arguments(task, config, steps=1)
    model.compile(**arguments)
    batch = examples[: config.batch_size]
    refuse_loss(config.architecture, model, batch)
    facts = {
        "parameters": model.count_params(),
        "forward_seconds": _forward_seconds(model, batch),
        "reference": task.reference is not None,
        "notes": list(dataset.notes),
        "known": [dataclasses.asdict(one) for one in _known(plan, model, arguments, backends)],
    }
    return Start(examples, weights, facts)


def _known(
    plan: Plan, model: Any, arguments: dict[str, Any], backends: Sequence[str]
) -> list[Known]:
    """Return the known divergences that a climb will meet, each once."""
    compiled = {name: arguments[name] for name in ("optimizer", "loss")}
    found = (
        one
        for precision in plan.precisions
        for one in known_divergences(model, precision=precision, backends=backends, **compiled)
    )
    # A climber draws the numbers itself.
    return list({one.anchor: one for one in found if one.anchor != SEEDS}.values())


def _forward_seconds(model: Any, batch: Examples) -> float:
    """Return the seconds of a forward pass that is not compiled."""
    for _ in range(2):  # the first one makes what the second one uses
        began = time.perf_counter()
        model(batch.x, training=False)
    return time.perf_counter() - began


def main(names: str, plan: str, folder: str) -> None:
    """Write the start of a climb into `folder`; the child process runs this."""
    content, backends = json.loads(plan), names.split(",")
    try:
        keras_start.start(backends[0])
        config = TrainConfig(**content["config"])
        start = make(Plan(**{**content, "config": config}), backends)
        start.facts["backend"] = backends[0]
        start.write(Path(folder))
    except UserError as error:
        print(error)
        sys.exit(_REFUSED)


if __name__ == "__main__":
    main(*sys.argv[1:])
