"""Look at a user's model before the climb: `python -m lenet_multi.parity.prepare JOB FOLDER`.

The process starts Keras on one backend, builds the model, draws its weights, reads its data, and
writes a `Start`. On stdout it prints only the message of a `UserError`; then its exit status is 2.
"""

import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from lenet_multi.config import TrainConfig
from lenet_multi.errors import UserError
from lenet_multi.machine import children, keras_start
from lenet_multi.parity.plan import Plan
from lenet_multi.parity.start import Start

_REFUSED = 2


def prepare(plan: Plan, backend: str, folder: Path) -> Start:
    """Return what all climbers start from; a child process on `backend` makes it.

    Raises `UserError` when the model or its data cannot be used; the user's own traceback is then
    on stderr.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", __name__, backend, json.dumps(dataclasses.asdict(plan))]
    with children.bars() as progress:
        progress.add_task(f"{backend} builds the model", total=None)
        done = subprocess.run(
            [*command, str(folder)],
            env=children.environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
    if done.returncode:
        said = done.stdout.strip().splitlines()
        if done.returncode == _REFUSED and said:
            raise UserError(said[-1])
        raise UserError(
            f"{plan.config.architecture}: building it on {backend} ended with status "
            f"{done.returncode}; see above"
        )
    return Start.read(folder)


def make(plan: Plan) -> Start:
    """Build the model of `plan` in this process, and return what the climb starts from."""
    from lenet_multi.own.find import find_task
    from lenet_multi.training.initial_weights import drawn
    from lenet_multi.training.setup import compile_arguments

    config = plan.config
    task = find_task(config)
    dataset = task.load(config)
    examples = dataset.train
    for precision in plan.precisions:
        examples = plan.training_examples(dataset, precision)
    model, weights = drawn(task, config, dataset)
    compile_arguments(task, config, steps=1)  # raises here, once, if there is no loss
    facts = {
        "parameters": model.count_params(),
        **_estimates(model, plan, examples[: config.batch_size]),
    }
    facts["reference"] = task.reference is not None
    return Start(examples, weights, facts)


def _estimates(model: Any, plan: Plan, batch: Any) -> dict[str, float]:
    """Return what the climb of one backend will about take: seconds, and bytes of memory."""
    from keras import tree

    model(tree.map_structure(lambda array: array, batch.x), training=False)
    began = time.perf_counter()
    model(tree.map_structure(lambda array: array, batch.x), training=False)
    seconds = time.perf_counter() - began
    return {"forward_seconds": seconds}


def main(backend: str, plan: str, folder: str) -> None:
    """Write the start of a climb into `folder`; the child process runs this."""
    content = json.loads(plan)
    try:
        keras_start.start(backend)
        start = make(Plan(**{**content, "config": TrainConfig(**content["config"])}))
        start.facts["backend"] = backend
        start.write(Path(folder))
    except UserError as error:
        print(error)
        sys.exit(_REFUSED)


if __name__ == "__main__":
    main(*sys.argv[1:])
