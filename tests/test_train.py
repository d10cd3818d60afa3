import dataclasses
import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from lenet_multi.backends.choice import STOCK, execution
from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Dataset
from lenet_multi.errors import StoppedError, UserError
from lenet_multi.lenet.recipes import DEFAULT_RECIPE, RECIPES
from lenet_multi.machine import keras_start
from lenet_multi.machine.keras_start import start_and_load
from lenet_multi.runs import checkpoint
from lenet_multi.runs.journal import Journal
from lenet_multi.runs.record import Result, read_run
from lenet_multi.runs.tolerances import LOGITS_ACROSS_BACKENDS
from lenet_multi.train import TrainedRun
from tests.conftest import Lenet, files_of_at_most, train_quietly
from tests.training.test_setup import INITIAL_SHA256, PARAMETERS

pytestmark = pytest.mark.backend

# The hash of the order of 950 images under seed 0 in epoch 0, on every backend.
ORDER_SHA256 = "551160ea25744b3b7c5153c5aa9bd2fd7bbf19d9659aa446de3b576a982da2bb"

FORMS_AFTER_8_STEPS = 1e-3  # relative, for the test loss; measured 3e-6


def tiny(**settings: object) -> TrainConfig:
    """Return the standard recipe for one epoch, with changes."""
    return dataclasses.replace(TrainConfig(), **{"epochs": 1, **settings})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param(name, marks=[] if name == DEFAULT_RECIPE else pytest.mark.any_backend)
        for name in RECIPES
    ],
)
def test_a_tiny_run_learns(backend: str, small: Dataset, recipe: str) -> None:
    """In each recipe, a thousand images are enough to beat guessing (10 %) by far.

    Small batches make enough steps for the statistics of batch normalisation.
    """
    from lenet_multi.train import train

    config = dataclasses.replace(RECIPES[recipe], epochs=4, validation_split=0.1, batch_size=16)
    result = train(config, lambda: small, backend=backend, announce=lambda line: None).result
    assert result.headline[0] == "accuracy"
    assert result.headline[1] > 0.4
    losses = [epoch["loss"] for epoch in result.epochs]
    assert losses == sorted(losses, reverse=True)


@pytest.fixture
def stopped_backend(backend: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A backend on which each training ends before its first step with a `RuntimeError`."""
    from lenet_multi.training import fit

    def refuse(*arguments: object, **options: object) -> None:
        raise RuntimeError("training began")

    monkeypatch.setattr(fit, "fit", refuse)
    return backend


def test_the_counts_are_announced_before_training(stopped_backend: str, small: Dataset) -> None:
    """Training, validation and test counts are printed before the first step."""
    from lenet_multi.train import train

    told: list[str] = []
    with pytest.raises(RuntimeError, match="training began"):
        train(
            tiny(validation_split=0.95),
            lambda: small,
            backend=stopped_backend,
            announce=told.append,
        )
    assert "50 training, 950 validation, 500 test images" in told[0]
    assert f"{PARAMETERS:,} parameters" in told[0]


def in_order(dataset: Dataset) -> Dataset:
    """Return a data set with its training images sorted by class."""
    order = np.argsort(dataset.train.y, kind="stable")
    return Dataset(dataset.train[order], dataset.test, notes=("it was sorted",))


@pytest.mark.any_backend
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_class_that_validation_lacks_is_said_before_training(
    stopped_backend: str, small: Dataset, shuffle: bool
) -> None:
    """A line names the classes that sorted data lack in validation, and its remedy helps."""
    from lenet_multi.train import train

    told: list[str] = []
    with pytest.raises(RuntimeError, match="training began"):
        train(
            tiny(shuffle_split=shuffle),
            lambda: in_order(small),
            backend=stopped_backend,
            announce=lambda line: None,
            warn=told.append,
        )
    assert told[0] == "Data: it was sorted"
    assert len(told) == (1 if shuffle else 2)
    if not shuffle:
        assert told[1].startswith("Data: no validation image is of classes 0, 1, ")
        assert told[1].endswith("; give --shuffle-split")


OWN_MODEL = """
import keras

def build():
    layers = [keras.Input((2,)), keras.layers.Dense(3, activation="softmax")]
    model = keras.Sequential(layers)
    model.compile("adam", LOSS)
    return model
"""


@pytest.mark.any_backend
@pytest.mark.parametrize("kind", ["sparse_categorical_crossentropy", "categorical_crossentropy"])
def test_a_model_of_ones_own_is_told_of_missing_classes(
    lenet: Lenet, tmp_path: Path, kind: str
) -> None:
    """A user's classifier on sorted data is warned like ours, and the remedy helps it too."""
    labels = np.repeat(np.arange(3), 40)
    y = labels if kind.startswith("sparse") else np.eye(3, dtype=np.float32)[labels]
    np.savez(tmp_path / "sorted.npz", x=np.eye(3, 2, dtype=np.float32)[labels], y=y)
    (tmp_path / "mine.py").write_text(OWN_MODEL.replace("LOSS", repr(kind)))
    how = ["train", "mine.py:build", "--data", "sorted.npz", "--epochs", 1, "--quiet"]
    how += ["--validation-split", 0.2]
    done = lenet(*how, "--out", "run")
    assert done.returncode == 0, done.stderr
    assert "Data: no validation example is of classes 0, 1: early stopping" in done.stderr
    assert done.stderr.rstrip().endswith("; give --shuffle-split")
    counts = json.loads((tmp_path / "run" / "result.json").read_text())["class_counts"]
    assert counts == {"training": {"0": 40, "1": 40, "2": 6}, "validation": {"2": 22}}
    done = lenet(*how, "--shuffle-split")
    assert done.returncode == 0, done.stderr
    assert "is of class" not in done.stderr


@pytest.mark.any_backend
def test_whole_numbers_to_predict_are_no_classes(lenet: Lenet, tmp_path: Path) -> None:
    """The targets of a regression are not counted as classes."""
    np.savez(tmp_path / "sorted.npz", x=np.ones((90, 2), np.float32), y=np.arange(90) // 30)
    (tmp_path / "mine.py").write_text(OWN_MODEL.replace("LOSS", "'mse'").replace("(3", "(1"))
    done = lenet("train", "mine.py:build", "--data", "sorted.npz", "--epochs", 1, "--quiet")
    assert done.returncode == 0, done.stderr
    assert "Data:" not in done.stderr


@pytest.mark.any_backend
def test_the_record_counts_each_class(backend: str, small: Dataset) -> None:
    """The record has how many training and validation images each class has."""
    from lenet_multi.train import train

    run = train(tiny(), lambda: small, backend=backend, announce=lambda line: None, quiet=True)
    counts = run.result.class_counts
    assert {part: sum(each.values()) for part, each in counts.items()} == {
        "training": 950,
        "validation": 50,
    }
    assert counts["training"]["3"] == int((small.train.y[:950] == 3).sum())


def test_the_same_seed_gives_the_same_bits(backend: str, small: Dataset) -> None:
    """The same seed gives bit-identical weights twice, and another seed does not."""
    from lenet_multi.train import train

    def final(seed: int) -> str:
        config = tiny(seed=seed, epochs=2)
        run = train(config, lambda: small, backend=backend, announce=lambda line: None)
        return run.result.final_weights_sha256

    first, second, other = final(0), final(0), final(1)
    assert first == second != other


def test_a_run_records_how_it_was_computed(backend: str, small: Dataset) -> None:
    """A run records the requested form; another form gives the same loss up to rounding."""
    from lenet_multi.train import train

    def trained(form: str | None) -> Result:
        run = train(tiny(), lambda: small, backend=backend, form=form, announce=lambda line: None)
        return run.result

    fastest, stock = trained(None), trained(STOCK)
    how = dataclasses.asdict(execution(backend))
    assert fastest.execution == {name: value for name, value in how.items() if value is not None}
    assert stock.execution["form"] == STOCK
    assert stock.test_loss == pytest.approx(fastest.test_loss, rel=FORMS_AFTER_8_STEPS)


def test_bfloat16_learns_as_well(backend: str, small: Dataset) -> None:
    """In mixed precision the weights stay float32, and six epochs learn as much."""
    from lenet_multi.train import train

    def trained(policy: str) -> TrainedRun:
        config = tiny(epochs=6, dtype_policy=policy)
        return train(config, lambda: small, backend=backend, announce=lambda line: None)

    half, full = trained("mixed_bfloat16"), trained("float32")
    assert {weight["dtype"] for weight in half.result.weights} == {"float32"}
    assert half.evaluation.outputs.dtype == np.float32
    assert half.result.final_weights_sha256 != full.result.final_weights_sha256
    assert half.evaluation.metrics["accuracy"] > full.evaluation.metrics["accuracy"] - 0.03


def test_data_that_fits_no_model_is_refused(backend: str, small: Dataset) -> None:
    """Images too small for the LeNet give one clear error before training."""
    from lenet_multi.train import train

    cut = dataclasses.replace(
        small,
        train=dataclasses.replace(small.train, x=small.train.x[:, :12, :12]),
        test=dataclasses.replace(small.test, x=small.test.x[:, :12, :12]),
    )
    with pytest.raises(UserError, match="12x12 pixels are too small"):
        train(tiny(), lambda: cut, backend=backend)


@pytest.fixture(scope="module")
def trained(
    backend: str, small_npz: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple["subprocess.CompletedProcess[str]", Path]:
    """Run `python -m lenet_multi.train` for two epochs; return the process and the run folder."""
    folder = tmp_path_factory.mktemp("trained")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "lenet_multi.train", "--backend", backend),
            *("--epochs", "2", "--data", str(small_npz), "--out", "a-run"),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    return done, folder / "a-run"


def test_the_command_leaves_a_run_folder(
    trained: tuple["subprocess.CompletedProcess[str]", Path],
) -> None:
    """The results end with the notebook's two lines, and stderr has a line for each epoch."""
    done, folder = trained
    assert done.returncode == 0, done.stderr
    counts, *_, loss, accuracy = done.stdout.splitlines()
    assert "950 training, 50 validation, 500 test images" in counts
    result = read_run(folder).result
    assert loss == f"Test loss: {result.test_loss}"
    assert accuracy == f"Test accuracy: {result.test_accuracy}"
    assert [line.split()[1] for line in done.stderr.splitlines()] == ["1/2", "2/2"]
    assert result.parameters == PARAMETERS
    assert len(result.epochs) == result.config["epochs"] == 2
    assert result.first_epoch_order_sha256 == ORDER_SHA256
    assert result.initial_weights_sha256 == INITIAL_SHA256


@pytest.mark.any_backend
def test_json_is_the_record_alone(
    backend: str, lenet: Lenet, small_npz: Path, tmp_path: Path
) -> None:
    """With --json and --quiet stdout is only the result as JSON, and stderr is empty."""
    done = lenet(
        *("train", "--backend", backend, "--epochs", "1", "--data", small_npz),
        *("--out", "a-run", "--json", "--quiet"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    recorded = read_run(tmp_path / "a-run").result.as_json()
    assert json.loads(done.stdout) == recorded


def test_the_seconds_add_up(trained: tuple["subprocess.CompletedProcess[str]", Path]) -> None:
    """The parts are import, build, train and evaluate; the epochs take most of training."""
    result = read_run(trained[1]).result
    assert list(result.seconds) == ["import", "build_and_compile", "train", "evaluate"]
    spent = sum(e["train_seconds"] + e["validation_seconds"] for e in result.epochs)
    assert 0.5 * result.seconds["train"] < spent <= result.seconds["train"]


def test_the_saved_model_needs_plain_keras_only(
    trained: tuple["subprocess.CompletedProcess[str]", Path], small_npz: Path, tmp_path: Path
) -> None:
    """model.keras, loaded without this package, computes the logits of predictions.npz."""
    code = (
        "import keras, numpy as np, sys\n"
        "model = keras.saving.load_model(sys.argv[1])\n"
        "images = np.load(sys.argv[2])['x_test'].astype('float32') / 255\n"
        "np.save('logits.npy', model.predict(images, batch_size=500, verbose=0))\n"
        "assert 'lenet_multi' not in sys.modules\n"
    )
    model = trained[1] / "model.keras"
    subprocess.run([sys.executable, "-c", code, model, small_npz], cwd=tmp_path, check=True)
    logits = read_run(trained[1]).outputs
    np.testing.assert_allclose(
        np.load(tmp_path / "logits.npy"),
        logits,
        rtol=LOGITS_ACROSS_BACKENDS.value,
        atol=LOGITS_ACROSS_BACKENDS.value,
    )


def test_a_signal_does_not_wait_for_a_download(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal during a backend's start ends the command, even if data are still loading."""
    there = threading.Event()

    def stopped(*given: object, **named: object) -> None:
        raise StoppedError(signal.SIGTERM)

    monkeypatch.setattr(keras_start, "start", stopped)
    timer = threading.Timer(60, there.set)
    timer.start()
    with pytest.raises(StoppedError):
        start_and_load("jax", there.wait)
    timer.cancel()
    assert not there.is_set()
    there.set()


@pytest.mark.any_backend
def test_ctrl_c_leaves_what_it_takes_to_go_on(
    backend: str, tmp_path: Path, small_npz: Path
) -> None:
    """Interrupted during training, the command exits with 130 and says how to resume."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "lenet_multi", "train"),
            *("--epochs", "1000", "--data", str(small_npz), "--out", "a-run"),
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        text=True,
    )
    assert process.stderr is not None
    assert process.stdout is not None
    assert process.stderr.readline().startswith("epoch 1/1000")
    assert select.select([process.stdout], [], [], 0)[0], "the counts are told before training"
    process.send_signal(signal.SIGINT)
    stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert stderr.splitlines()[-2:] == [
        "Continue with: lenet-multi train --resume a-run",
        "lenet-multi: stopped by SIGINT",
    ]
    assert "Traceback" not in stderr
    draft = tmp_path / "a-run.unfinished"
    state = checkpoint.read(draft / "resume", pytest.fail)
    assert state
    assert state.epoch > 0
    (start,) = Journal.read(draft).starts
    assert (start["reason"], start["form"]) == ("stopped by SIGINT", execution(backend).form)
    assert (draft / "history.csv").read_text().splitlines()[1].startswith("1,")


@pytest.mark.usefixtures("backend")
@pytest.mark.any_backend
def test_a_disk_that_refuses_keeps_the_figures(
    tmp_path: Path, lenet: Lenet, small_npz: Path
) -> None:
    """If the run cannot be written, its figures are still printed; one line, exit status 2."""
    with files_of_at_most(100_000):
        done = lenet("train", "--epochs", 1, "--data", small_npz, "--out", "a-run")
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith("lenet-multi: cannot write")
    assert "Traceback" not in done.stderr
    assert done.stdout.splitlines()[-1].startswith("Test accuracy: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("of_file", [False, True], ids=["run", "file"])
def test_training_starts_from_a_models_weights(
    of_file: bool, backend: str, small: Dataset, small_run: Path
) -> None:
    """Training begins with the model's weights and a new Adam, and records the model's file."""
    start = small_run / "model.keras" if of_file else small_run
    config = tiny(start_from=str(start), lr_schedule="constant", learning_rate=1e-9, seed=5)
    run = train_quietly(config, small, backend)
    before = read_run(small_run).result
    assert run.result.initial_weights_sha256 == before.final_weights_sha256
    assert run.result.start_from == {
        "path": str(small_run / "model.keras"),
        "sha256": before.files_sha256["model.keras"],
    }
    assert run.result.schema_version == 6
    assert run.result.test_loss == pytest.approx(before.test_loss, rel=1e-3)
    import keras

    steps = keras.ops.convert_to_numpy(run.model.optimizer.iterations)
    assert steps == config.steps_per_epoch(950)


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"classes": 12}, r"it has layers/dense_1/vars/0 500x10, the model has .* 500x12"),
        ({"architecture": "softmax-regression"}, r"it has layers/conv2d/vars/0 5x5x1x20, the "),
    ],
    ids=["classes", "architecture"],
)
def test_a_start_of_another_architecture_is_refused(
    settings: dict[str, object], words: str, backend: str, small: Dataset, small_run: Path
) -> None:
    """The error names the file, the first array that differs, and what to give."""
    with pytest.raises(UserError, match=f"model.keras does not fit .*{words}.*; give a model of"):
        train_quietly(tiny(start_from=str(small_run), **settings), small, backend)


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("names", "place"),
    [("0123456789", None), ("0123546789", "2 of 10 .* label 4 is '4' there and '5' in mnist")],
    ids=["alike", "other order"],
)
def test_a_start_of_other_classes_is_said(
    names: str,
    place: str | None,
    backend: str,
    small: Dataset,
    small_run: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A run without names has its labels for names; the first that differs in the data is told."""
    named = dataclasses.replace(small, class_names=tuple(names))
    train_quietly(tiny(start_from=str(small_run)), named, backend)
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Start: ")]
    assert len(said) == bool(place)
    assert all(re.search(str(place), line) for line in said)


OWN = """
import keras

class Doubled(keras.layers.Dense):
    def call(self, inputs):
        return 2 * super().call(inputs)

def build():
    model = keras.Sequential([keras.Input((3,)), Doubled(4), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    return model
"""


@pytest.mark.any_backend
def test_a_start_with_code_needs_the_code_from_the_user(
    backend: str, lenet: Lenet, tmp_path: Path
) -> None:
    """A start with its own code is refused, unless the user names the code.

    A run that was killed starts from the same file again, and refuses a changed one.
    """
    (tmp_path / "my_model.py").write_text(OWN)
    train = ("train", "--epochs", 1, "--quiet")
    made = lenet(*train, "my_model.py:build", "--out", "a-run")
    assert made.returncode == 0, made.stderr
    again = lenet(*train, "my_model.py:build", "--start-from", "a-run", "--out", "b-run")
    assert again.returncode == 0, again.stderr
    first, second = (read_run(tmp_path / name).result for name in ("a-run", "b-run"))
    assert second.initial_weights_sha256 == first.final_weights_sha256
    refused = lenet(*train, "--start-from", "a-run", "--out", "c-run")
    assert refused.returncode == 2
    assert "carries code of its own" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1

    draft = tmp_path / "d-run.unfinished"
    draft.mkdir()
    config = TrainConfig(**second.config)
    journal = Journal(draft, config, start_from=second.start_from)
    with journal.started(backend=backend, at=(0, 0)):
        pass
    resumed = lenet("train", "--resume", "d-run")
    assert resumed.returncode == 0, resumed.stderr
    assert read_run(tmp_path / "d-run").result.final_weights_sha256 == second.final_weights_sha256
    draft.mkdir()
    journal = Journal(draft, config, start_from={**second.start_from, "sha256": "0" * 64})
    with journal.started(backend=backend, at=(0, 0)):
        pass
    refused = lenet("train", "--resume", "d-run", "--overwrite")
    assert refused.returncode == 2
    assert "is not what the run started from; put that model back" in refused.stderr


def test_float16_learns_as_well(backend: str, small: Dataset, tmp_path: Path) -> None:
    """In mixed_float16 the weights stay float32, the loss is scaled, and as much is learned.

    Plain Keras opens the file, and a run that is resumed within an epoch ends with the same bits.
    """
    import keras

    full = train_quietly(tiny(epochs=3, batch_size=20), small, backend)
    config = tiny(epochs=3, batch_size=20, dtype_policy="mixed_float16", save_every="30")
    with half_precision():
        half = train_quietly(config, small, backend, tmp_path)
        assert isinstance(half.model.optimizer, keras.optimizers.LossScaleOptimizer)
        assert {weight["dtype"] for weight in half.result.weights} == {"float32"}
        assert half.result.final_weights_sha256 != full.result.final_weights_sha256
        assert half.evaluation.metrics["accuracy"] > full.evaluation.metrics["accuracy"] - 0.03
        half.model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        assert type(loaded.optimizer.inner_optimizer).__module__.startswith("keras.")
        newest, _ = sorted((tmp_path / "resume").iterdir(), reverse=True)
        newest.unlink()
        state = checkpoint.read(newest.parent, pytest.fail)
        assert state
        again = train_quietly(config, small, backend, tmp_path, state)
    assert again.result.final_weights_sha256 == half.result.final_weights_sha256


ATTENTION = """
import keras

def build():
    inputs = keras.Input((6, 8))
    attended = keras.layers.MultiHeadAttention(2, 4)(inputs, inputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(attended[:, 0]))
    model.compile("adam", "mse")
    return model
"""


def test_what_cannot_be_computed_in_float16_is_refused(
    backend: str, lenet: Lenet, tmp_path: Path
) -> None:
    """JAX has no float16 attention on a CPU: one line names backend, model and reason.

    The other backends train it.
    """
    (tmp_path / "my_model.py").write_text(ATTENTION)
    done = lenet(
        *("train", "my_model.py:build", "--dtype-policy", "mixed_float16"),
        *("--epochs", 1, "--quiet", "--out", "a-run"),
    )
    if backend != "jax":
        assert done.returncode == 0, done.stderr
        return
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    words = r"mixed_float16: jax cannot train my_model.py:build in float16 here: .*F16.*on CPU; use"
    assert re.search(words, line)
    assert not list(tmp_path.glob("a-run*"))


@contextmanager
def half_precision() -> Iterator[None]:
    """Put Keras's policy back after the block: later tests train in float32."""
    import keras

    before = keras.config.dtype_policy()
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
