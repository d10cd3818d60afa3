"""`lenet-multi train`."""

import dataclasses
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lenet_multi.backends.choice import FORMS, execution
from lenet_multi.commands._options import (
    Name,
    as_json,
    backend_option,
    given_settings,
    model_argument,
    path_option,
    setting_options,
)
from lenet_multi.config import flag, with_settings
from lenet_multi.errors import UserError
from lenet_multi.lenet.recipes import DEFAULT_RECIPE, RECIPES
from lenet_multi.machine.frameworks import BACKENDS

if TYPE_CHECKING:
    from lenet_multi.inference.saved import SavedModel
    from lenet_multi.runs.journal import Journal
    from lenet_multi.train import TrainedRun


@click.command("train")
@model_argument
@click.option(
    "--recipe",
    type=Name(list(RECIPES)),
    help="named settings to start from; flags below change single ones, their defaults are "
    f"{DEFAULT_RECIPE}'s  (default: {DEFAULT_RECIPE})",
)
@backend_option(BACKENDS, "same as KERAS_BACKEND  (default: the first one installed)")
@path_option("--out", "run folder to write  (default: runs/RECIPE-BACKEND-TIME)")
@click.option("--overwrite", is_flag=True, help="replace the run in --out")
@path_option(
    "--resume",
    "continue an interrupted or killed run with its own settings, on any --backend; or with "
    "--epochs go on beyond the end of a finished one, see above",
    metavar="RUN",
)
@click.option(
    "--form",
    type=Name(FORMS),
    help="way to compute convolution and pooling: the same function in different time  "
    "(default: the backend's fastest)",
)
@click.option(
    "--devices",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="devices that share each batch: GPUs, or logical devices of the processor; PyTorch starts "
    "a process for each",
)
@click.option("--quiet", is_flag=True, help="show no progress on stderr")
@as_json
@setting_options
def command(
    model: str | None,
    recipe: str | None,
    backend: str | None,
    out: Path | None,
    overwrite: bool,
    resume: Path | None,
    form: str | None,
    devices: int,
    quiet: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Train and evaluate MODEL on one backend; keep it and its results in a run folder.

    MODEL is the LeNet by default. Your own is FILE.py:FUNCTION or package.module:FUNCTION, a
    function that returns a Keras model; or a .keras file.

    --resume RUN --epochs 9 on a finished run of six epochs trains three more, in a folder of their
    own (--out, or else RUN-9-epochs); RUN stays as it is. The learning rate's schedule begins again
    and spans the three epochs. The optimizer's state goes on, but Dropout draws from its seed
    again. Early stopping has a new patience; it and the best checkpoint compare with the best loss
    of all epochs. The history and the kept checkpoints hold all nine, and result.json says under
    "earlier" which run trained the first six, and how.

    \b
    Examples:
      lenet-multi train --backend jax
      lenet-multi train --recipe baseline --seed 1 --out runs/seed-1
      lenet-multi train --tensorboard --checkpoint best --early-stopping 3 --epochs 30
      lenet-multi train --resume runs/seed-1
      lenet-multi train --resume runs/seed-1 --epochs 9
      lenet-multi train --backend jax --devices 2
      lenet-multi train --start-from runs/seed-1 --learning-rate 0.0001
      lenet-multi train my_model.py:build --data my_model.py:data
    """
    from lenet_multi.backends.devices import refuse_small_batch
    from lenet_multi.commands._beyond import beyond
    from lenet_multi.commands._ranks import follow
    from lenet_multi.data import class_names
    from lenet_multi.machine import frameworks, keras_start, ranks, signals
    from lenet_multi.runs import folder
    from lenet_multi.runs.journal import Journal
    from lenet_multi.runs.record import RESULT, RESUME, Run, write_run
    from lenet_multi.train import starting_model

    if ranks.launched():
        backend = "torch"  # a resumed run's may be known to rank 0 alone
    if (processes := ranks.told(chosen := frameworks.choose(backend)).count) > 1:
        if chosen == "torch":
            ranks.refuse_devices(devices)
        elif resume and settings["epochs"] is not None:
            raise UserError(
                f"--resume with --epochs: several processes of {chosen} cannot go on beyond a "
                "run's end; give it to one process"
            )
        devices = processes * (1 if chosen == "torch" else devices)
        keras_start.start(chosen, devices=devices)
        if ranks.rank():
            follow(devices)
            return
    given = given_settings(model, settings)
    goes_on = bool(resume and "epochs" in given and folder.is_finished(resume))
    start = None
    if resume and goes_on:
        if recipe:
            raise UserError("--resume keeps the run's settings; drop --recipe")
        config, earlier = beyond(resume, given)
        if not backend and "KERAS_BACKEND" not in os.environ:
            backend = earlier[-1]["backend"]
        chosen = frameworks.choose(backend)
        out = out or folder.beyond(resume, config.epochs)
        journal = Journal(folder.unfinished(out), config, earlier=earlier)
    elif resume:
        for name, value in {"recipe": recipe, "out": out, **given}.items():
            if value is not None:
                raise UserError(f"--resume keeps the run's settings and folder; drop {flag(name)}")
        out = folder.finished(resume)
        if folder.is_finished(out) and not folder.unfinished(out).exists():
            raise UserError(f"{out} is finished; add --epochs, more than it has, to train on")
        journal = Journal.read(folder.unfinished(out))
        start = None if journal.earlier else starting_model(journal.config)
        if start and journal.start_from.get("sha256", start.sha256) != start.sha256:
            raise UserError(f"{start.path} is not what the run started from; put that model back")
        if not backend and "KERAS_BACKEND" not in os.environ:
            backend = journal.starts[-1]["backend"]
        chosen = frameworks.choose(backend)
    else:
        if "class_names" in given:  # the run keeps the names, not the place of a file
            given["class_names"] = class_names.as_setting(given["class_names"])
        config = with_settings(RECIPES[recipe or DEFAULT_RECIPE], given)
        chosen = frameworks.choose(backend)
        out = out or folder.default_folder(f"{config.recipe}-{chosen}")
        start = starting_model(config)
        of_start = {"path": str(start.path), "sha256": start.sha256} if start else {}
        journal = Journal(folder.unfinished(out), config, start_from=of_start)
    refuse_small_batch(devices, journal.config.batch_size)
    if chosen == "torch" and devices > 1 and ranks.count() == 1:
        assert not ranks.launched(), "a rank would start ranks"
        # `python -m lenet_multi.train` has no verb.
        ranks.launch(devices, ["train", *sys.argv[1 + (sys.argv[1:2] == ["train"]) :]])
    execution(chosen, form)  # fails early, before any folder exists, if the backend lacks the form
    say = (lambda line: None) if as_json else click.echo
    result = draft = None
    try:
        with (
            signals.obeying(signals.stop),
            folder.new_run_folder(
                out, overwrite=overwrite, resume=bool(resume) and not goes_on
            ) as draft,
        ):
            if not (result := folder.whole_result(draft)):
                trained = _train(
                    draft, journal, chosen, form, say, start, devices=devices, quiet=quiet
                )
                result = dataclasses.replace(trained.result, starts=journal.starts)
                seen = trained.evaluation
                run = Run(draft, result, seen.outputs, seen.test.y)
                result = write_run(run, trained.model.save)
        say(f"Run folder: {out}")
    finally:
        if draft and ((draft / RESUME).exists() or (draft / RESULT).exists()):
            again = f"--resume {out}" + (" --overwrite" if overwrite else "")
            click.echo(f"Continue with: lenet-multi train {again}", err=True)
        elif draft and draft.exists():
            click.echo(f"What was kept so far: {draft}", err=True)
        if result and as_json:  # print it even if saving failed
            click.echo(json.dumps(result.as_json(), indent=2))
        elif result:
            click.echo(f"Test loss: {result.test_loss}")
            name, value = result.headline
            if name != "loss":
                click.echo(f"Test {name}: {value}")


def _train(
    draft: Path,
    journal: "Journal",
    backend: str,
    form: str | None,
    say: Callable[[str], None],
    start: "SavedModel | None",
    *,
    devices: int,
    quiet: bool,
) -> "TrainedRun":
    """Train by `journal`'s settings, from the newest checkpoint in `draft` or from the start."""
    from lenet_multi.machine import ranks
    from lenet_multi.runs import checkpoint
    from lenet_multi.runs.durable import writing
    from lenet_multi.runs.earlier import epochs_of
    from lenet_multi.runs.record import RESUME
    from lenet_multi.train import train

    state = checkpoint.read(draft / RESUME, partial(click.echo, err=True))
    before = epochs_of(journal.earlier)
    at = (state.epoch, state.steps) if state else (before, 0)
    forms = (form, None) if form else journal.forms_on(backend)
    config = journal.config
    if journal.starts:
        trained = at[0] == config.epochs
        place = "after the last epoch" if trained else f"at step {at[1]} of epoch {at[0] + 1}"
        say(f"Continuing {place}")
    elif before:
        run = journal.earlier[-1]["run"]
        say(f"Going on from {run}: epochs {before + 1} to {config.epochs}")
    # A checkpoint may not fit on the disk: `OSError`. A `RuntimeError` comes from a backend.
    asked: dict[str, Any] = {
        "config": config,
        "backend": backend,
        "form": forms[0],
        "answer_form": forms[1],
        "earlier": journal.earlier,
    }
    with (
        ranks.ending_together(),
        writing(draft, refusals=(OSError,)),
        journal.started(backend=backend, at=at, devices=devices),
    ):
        ranks.led(asked)  # to those that follow
        return train(
            **asked,
            devices=devices,
            computed_in=journal.computed_in,
            folder=draft,
            state=state,
            start=start,
            announce=say,
            warn=partial(click.echo, err=True),
            quiet=quiet,
        )
