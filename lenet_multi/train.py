"""Train and evaluate one model on one backend; `python -m lenet_multi.train` runs it."""

import dataclasses
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lenet_multi.backends import choice
from lenet_multi.config import NOTHING, TrainConfig
from lenet_multi.data import class_names
from lenet_multi.data.class_weights import balanced, labels_of
from lenet_multi.data.examples import (
    Dataset,
    Examples,
    are_pictures,
    class_counts,
    left_out,
    split,
)
from lenet_multi.errors import UserError, printable, reason
from lenet_multi.inference import saved
from lenet_multi.inference.saved import SavedModel
from lenet_multi.machine import environment, keras_start, ranks, threads
from lenet_multi.machine.stopwatch import Stopwatch
from lenet_multi.own import keras_file
from lenet_multi.own.find import KERAS_FILE, find_task
from lenet_multi.runs.checkpoint import State
from lenet_multi.runs.earlier import Earlier, epochs_of, read_last
from lenet_multi.runs.record import SCHEMA_VERSION, TENSORBOARD, Result
from lenet_multi.task import Task

if TYPE_CHECKING:
    import keras

    from lenet_multi.inference.evaluate import Evaluation


@dataclass(frozen=True)
class TrainedRun:
    """A trained model, its evaluation on the test examples, and the run's record."""

    model: "keras.Model"
    evaluation: "Evaluation"
    result: Result


@dataclass(frozen=True)
class _Data:
    """The examples of a training, and what the record says of them."""

    training: Examples  # with weights, if classes weigh
    validation: Examples
    test: Examples
    kind: str  # what people call an example
    inputs: dict[str, str]
    class_names: class_names.Names | None
    class_counts: dict[str, dict[str, int]]  # of training and validation
    class_weights: dict[str, float]

    @classmethod
    def of(
        cls, dataset: Dataset, task: Task, config: TrainConfig, warn: Callable[[str], None]
    ) -> "_Data":
        """Split the examples; `warn` gets what was converted, and which classes are left out."""
        training, validation = split(dataset, config)
        counts = _class_counts(
            task, config, training=training, validation=validation, test=dataset.test
        )
        tested = counts.pop("test", {})
        names = dataset.class_names if task.classifies else None
        kind = "image" if are_pictures(dataset.train.x) else "example"
        lacking = left_out(counts, names, remedy=_remedy(dataset, config), tested=tested, kind=kind)
        for line in (*dataset.notes, *lacking):
            warn(f"Data: {line}")
        class_weights: dict[str, float] = {}
        if config.class_weights == "balanced":
            training, class_weights = balanced(training)
        return cls(
            training,
            validation,
            dataset.test,
            kind,
            task.inputs(config, dataset),
            names,
            counts,
            class_weights,
        )


def _warn(line: str) -> None:
    print(line, file=sys.stderr)


def _class_counts(task: Task, config: TrainConfig, **parts: Examples) -> dict[str, dict[str, int]]:
    """Return the examples of each part by class; none where targets are no labels of classes."""
    if task.classifies:
        return {part: class_counts(examples.y) for part, examples in parts.items()}
    loss = task.loss(config)
    if "crossentropy" not in str(getattr(loss, "name", getattr(loss, "__name__", loss))).lower():
        return {}
    try:
        return {part: class_counts(labels_of(examples.y)) for part, examples in parts.items()}
    except UserError:  # of several outputs, or a label for each pixel
        return {}


def _remedy(dataset: Dataset, config: TrainConfig) -> str:
    if dataset.validation:
        return f"add some to {config.data}"
    shuffled = dataset.is_sorted or config.shuffle_split
    return (
        "give more of them, or another --validation-split" if shuffled else "give --shuffle-split"
    )


def train(
    config: TrainConfig,
    load: Callable[[], Dataset] | None = None,
    *,
    backend: str,
    task: Task | None = None,
    form: str | None = None,
    answer_form: str | None = None,
    devices: int = 1,
    computed_in: Callable[[str, str], None] = lambda form, answer_form: None,
    folder: Path | None = None,
    state: State | None = None,
    earlier: Sequence[Earlier] = (),
    start: SavedModel | None = None,
    announce: Callable[[str], None] = print,
    warn: Callable[[str], None] = _warn,
    quiet: bool = False,
) -> TrainedRun:
    """Train the model of `task` (default: the one that `config` names) and evaluate it.

    This imports Keras on `backend`, so a process can use one backend only. Meanwhile a thread calls
    `load` (default: the task's) for the examples. `form` is how training computes blocks, and
    `answer_form` how validation and evaluation do (default: the fastest; see `backends.choice`).
    `computed_in(form, answer_form)` is called once they are chosen. `folder` gets checkpoints and
    logs; without it nothing is written. Training continues from `state`; without one, beyond the
    end of the last of the finished runs `earlier`. A new run begins with the weights of `start`
    (default: the model that `config` names, if any). `announce` gets the lines on what trains
    where, and why stock Keras must train it; `warn` those on what was converted, assumed or is
    missing in the data. `quiet` shows no progress.

    Raises `UserError` when no data is left to train or validate on, the data does not fit the model
    or is not that of `state`, or the backend cannot compute `form`, or the model in float16;
    `StoppedError` when a signal ended training, which can be resumed; `DivergedError` when the loss
    is not finite.
    """
    assert folder or devices > 1 or not (state or earlier), "checkpoints have no place to go"
    if earlier and config.batch_norm:
        raise UserError(
            "--epochs: a finished run keeps its network without batch normalisation, so its "
            "training cannot go on; give --start-from with the run instead"
        )
    stopwatch = Stopwatch()
    start = start or (None if earlier else starting_model(config))
    leads = ranks.rank() == 0
    run, finished = read_last(earlier) if earlier and leads and not state else (None, None)
    with stopwatch("import"):
        if config.is_own:  # a user's file imports Keras
            keras_start.start(backend, dtype_policy=config.dtype_policy, devices=devices)
        task = task or find_task(config)
        load = load or partial(task.load, config)
        dataset = keras_start.start_and_load(
            backend, load, dtype_policy=config.dtype_policy, devices=devices
        )
        dataset = class_names.named(dataset, config.class_names, config.data)
        how = choice.here(
            form, answer_form, batch_size=config.batch_size, dtype_policy=config.dtype_policy
        )
        how = dataclasses.replace(how, devices=devices)
        versions = environment.versions(backend)
        import keras

        from lenet_multi.backends.devices import refuse_unfit, set_batch_statistics, shared
        from lenet_multi.backends.variables import path_of
        from lenet_multi.inference.evaluate import evaluate
        from lenet_multi.training.beyond import state_after
        from lenet_multi.training.fit import fit
        from lenet_multi.training.resume import Keeping
        from lenet_multi.training.setup import (
            build,
            checked,
            compile_model,
            first_batch,
            make_all_variables,
            weights_sha256,
        )

    with shared(backend, devices):
        data_sha256 = dataset.sha256()
        if (begun := state or finished) and begun.data_sha256 != data_sha256:
            raise UserError(
                f"{config.data} is not the data that the run was trained on; put that data back"
            )
        ranks.refuse_others({"data_sha256": data_sha256, **versions})
        data = _Data.of(dataset, task, config, warn)
        training, names = data.training, data.class_names
        before = epochs_of(earlier)
        with stopwatch("build_and_compile"):
            model = build(task, config, dataset)
            if names:
                _refuse_misfit(names, model.output_shape[-1], config)
            set_batch_statistics(model, config.batch_statistics, backend, devices)
            if start:
                keras_file.fill(model, start.path, task.name)
                for line in _other_classes(start, names, config):
                    warn(line)
            how = compile_model(model, task, config, how, examples=len(training), begun=before)
            if ranks.count() > 1:
                model.set_weights(ranks.led(model.get_weights()))
            computed_in(how.form, how.answer_form)
            initial_weights_sha256 = weights_sha256(model)
        start_from = {"path": str(start.path), "sha256": start.sha256} if start else {}
        if earlier:  # what the first of the finished runs began with
            initial_weights_sha256 = earlier[0]["initial_weights_sha256"]
            start_from = earlier[0]["start_from"]
        announce(
            f"{task.name} ({model.count_params():,} parameters) on {backend} (form {how.form}): "
            f"{len(training):,} training, {len(data.validation):,} validation, "
            f"{len(data.test):,} test {data.kind}s"
        )
        if names:
            announce(f"Classes: {class_names.few(names)}")
        with stopwatch("build_and_compile"), _in_its_precision(config, backend, task):
            form_is_asked = bool(form and not answer_form)
            how = checked(
                model, task, config, how, training, form_is_asked=form_is_asked, begun=before
            )
        if devices > 1:  # variables made later would be on one device
            make_all_variables(model, task, config, training)
            refuse_unfit(model, first_batch(task, config, training), backend, devices)
        if how.why_stock:
            announce(f"{backend} trains through stock Keras: {how.why_stock}")
        if folder and run and finished:
            state = state_after(run, finished, model, task, config, training, folder)
        state = ranks.led(state)
        with stopwatch("train"), _in_its_precision(config, backend, task):
            keeping = Keeping(folder, data_sha256, state) if folder or devices > 1 else None
            fitted = fit(
                model, task, training, data.validation, config, keeping=keeping, quiet=quiet
            )
        stopwatch.seconds["train"] += state.train_seconds if state else 0.0
        with stopwatch("evaluate"):
            if (kept := task.trained(config, model)) is not model:
                model = kept
                compile_model(model, task, config, how, examples=len(training), begun=before)
            evaluation = evaluate(model, task, data.test)
        if folder and config.tensorboard and task.classifies and are_pictures(data.test.x):
            from lenet_multi.training.tensorboard import log_wrong_answers

            log_wrong_answers(folder / TENSORBOARD, data.test, evaluation.outputs, names)

        execution = dataclasses.asdict(how)
        result = Result(
            schema_version=SCHEMA_VERSION,
            backend=backend,
            versions=versions,
            machine=environment.machine(backend),
            device=str(keras.ops.zeros(()).device),
            threads=threads.used(backend),
            keras_config={
                "floatx": keras.config.floatx(),
                "epsilon": keras.config.epsilon(),
                "image_data_format": keras.config.image_data_format(),
            },
            execution={name: value for name, value in execution.items() if value is not None},
            config=dataclasses.asdict(config),
            data_sha256=data_sha256,
            train_images=len(training),
            validation_images=len(data.validation),
            test_images=len(data.test),
            class_counts=data.class_counts,
            parameters=model.count_params(),
            weights=[
                {"path": path_of(weight), "shape": list(weight.shape), "dtype": weight.dtype}
                for weight in model.weights
            ],
            initial_weights_sha256=initial_weights_sha256,
            first_epoch_order_sha256=fitted.first_epoch_order_sha256,
            final_weights_sha256=weights_sha256(model),
            epochs=fitted.epochs,
            test_correct=evaluation.correct if task.classifies else None,
            test_accuracy=evaluation.metrics["accuracy"] if task.classifies else None,
            test_loss=evaluation.loss,
            test_metrics={} if task.classifies else evaluation.metrics,
            inputs=data.inputs,
            class_names=list(names or ()),
            seconds=stopwatch.seconds,
            peak_memory_bytes=environment.peak_memory_bytes(),
            earlier=list(earlier),
            start_from=start_from,
            class_weights=data.class_weights,
        )
        return TrainedRun(model, evaluation, result)


def _other_classes(
    start: SavedModel, names: class_names.Names | None, config: TrainConfig
) -> list[str]:
    """Return a warning where the classes of the model to start from are others than the data's.

    A run without names has its labels for names; of a `.keras` file, nobody knows them.
    """
    if not (start.result and start.result.classifies) or start.class_names == names:
        return []
    count = len(names or start.class_names or ())
    numbers = tuple(map(str, range(count)))
    of_start, of_data = start.class_names or numbers, names or numbers
    different = [place for place in range(count) if of_start[place] != of_data[place]]
    if not different:
        return []
    place = different[0]
    return [
        f"Start: {len(different)} of {count} classes are others in {start.path}: label {place} is "
        f"{printable(of_start[place])!r} there and {printable(of_data[place])!r} in {config.data}, "
        "so their outputs begin wrong; if the classes are the same, put them in that order"
    ]


def _refuse_misfit(names: class_names.Names, classes: int, config: TrainConfig) -> None:
    source = class_names.FLAG if config.class_names else config.data
    remedy = f"give --classes {len(names)}"
    if config.class_names:
        remedy += f", or {classes} names"
    if config.is_own:
        remedy = "make them as many"
    if len(names) == 1:
        remedy = "give a folder of pictures for each class, or labels.csv with the class of each"
    class_names.refuse_misfit(names, classes, source, remedy)


@contextmanager
def _in_its_precision(config: TrainConfig, backend: str, task: Task) -> Iterator[None]:
    """Raise `UserError` for what `backend` cannot compute in float16 in the block.

    No list says which operations these are: they differ between devices and versions.
    """
    try:
        yield
    except (UserError, OSError):
        raise
    except Exception as error:  # whatever a backend raises
        if config.dtype_policy != "mixed_float16":
            raise
        raise UserError(
            f"--dtype-policy mixed_float16: {backend} cannot train {task.name} in float16 here: "
            f"{reason(error)}; use mixed_bfloat16 or another --backend"
        ) from error


def starting_model(config: TrainConfig) -> SavedModel | None:
    """Return the model whose weights `config` starts from, if any; Keras is not needed.

    Only its weights are read. Raises `UserError` when there is none, when it is damaged, or when it
    carries code and the user names none.
    """
    if config.start_from == NOTHING:
        return None
    found = saved.find(Path(config.start_from), with_code=True)
    if not config.is_own or config.architecture.endswith(KERAS_FILE):
        keras_file.refuse_code(found.path, found.config)
    return found


if __name__ == "__main__":
    from lenet_multi.__main__ import main

    main("train")
