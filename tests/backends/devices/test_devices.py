"""Several devices train what one device trains, by the command, on each backend's own engine."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lenet_multi.backends.choice import STOCK
from lenet_multi.backends.devices import (
    refuse_more,
    refuse_small_batch,
    refuse_unfit,
    set_batch_statistics,
)
from lenet_multi.config import PER_DEVICE, SYNCHRONISED, WHOLE
from lenet_multi.errors import UserError
from lenet_multi.runs.folder import unfinished
from lenet_multi.runs.journal import Journal
from lenet_multi.runs.record import Run, read_run
from tests.backends.devices.machines import children_of, newest, two_machines
from tests.conftest import child_environment

# Relative, for the losses of two epochs. Measured: 2e-6; with another seed's masks 2e-2.
ROUNDED = 1e-4

# Two epochs. A batch of 60 has equal parts, as JAX needs to cut it; the last batch is one image.
SETTINGS = ("--epochs", "2", "--batch-size", "60", "--dropout", "0.4", "--validation-split", "0.1")


def train_on(devices: int, backend: str, data: Path, out: Path, *more: str) -> Run:
    """Return the run of the command on so many devices."""
    words = ["--backend", backend, "--devices", str(devices), "--data", str(data)]
    done = subprocess.run(
        [sys.executable, "-m", "lenet_multi", "train", *words, *SETTINGS, "--out", out, *more],
        env=child_environment(OMP_NUM_THREADS="1"),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return read_run(out)


@pytest.fixture(scope="module")
def of_one(backend: str, odd_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run on one device."""
    form = () if backend != "tensorflow" else ("--form", "stock")  # as several devices compute
    return train_on(1, backend, odd_npz, tmp_path_factory.mktemp("one") / "run", *form)


@pytest.fixture(scope="module")
def odd_npz(small_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of which 421 train: seven batches of 60, and one image."""
    held = dict(np.load(small_npz))
    path = tmp_path_factory.mktemp("odd") / "odd.npz"
    np.savez(path, **{**held, "x_train": held["x_train"][:468], "y_train": held["y_train"][:468]})
    return path


@pytest.mark.backend
def test_three_devices_train_what_one_trains(
    backend: str, of_one: Run, odd_npz: Path, tmp_path: Path
) -> None:
    """Losses, metrics and answers are those of one device, with the same masks of dropout."""
    of_three = train_on(3, backend, odd_npz, tmp_path / "run")
    assert of_three.result.train_images % 60 == 1
    assert of_three.result.execution["devices"] == 3
    for one, three in zip(of_one.result.epochs, of_three.result.epochs, strict=True):
        for name in ("loss", "val_loss"):
            assert three[name] == pytest.approx(one[name], rel=ROUNDED)
        for name in ("accuracy", "val_accuracy"):
            assert three[name] == pytest.approx(one[name], abs=1.5 / 421)  # one image
    assert of_three.result.test_loss == pytest.approx(of_one.result.test_loss, rel=ROUNDED)
    assert of_three.result.test_images == 500  # no image is lost where parts are uneven


@pytest.mark.backend
def test_two_processes_train_what_one_trains(
    backend: str, of_one: Run, odd_npz: Path, tmp_path: Path
) -> None:
    """Two processes over loopback, as on two machines, train the same; rank 0 keeps the run."""
    words = ["--backend", backend, "--data", str(odd_npz), *SETTINGS, "--out", "run"]
    processes = [
        subprocess.Popen(
            [*machine.python, "-m", "lenet_multi", "train", *words],
            cwd=machine.folder,
            env=child_environment(OMP_NUM_THREADS="1", **machine.variables),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for machine in two_machines(backend, tmp_path)
    ]
    said = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert not (tmp_path / "1" / "run").exists()
    of_two = read_run(tmp_path / "0" / "run")
    for one, two in zip(of_one.result.epochs, of_two.result.epochs, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=ROUNDED)
        assert two["val_loss"] == pytest.approx(one["val_loss"], rel=ROUNDED)
    assert of_two.result.test_loss == pytest.approx(of_one.result.test_loss, rel=ROUNDED)


@pytest.mark.backend
def test_a_run_on_two_devices_goes_on_with_one(backend: str, odd_npz: Path, tmp_path: Path) -> None:
    """A run whose process was killed on two devices goes on with one, and its record says so.

    On PyTorch the second rank is killed: the first ends within seconds, and one line names it.
    """
    out = tmp_path / "run"
    words = ["--backend", backend, "--data", str(odd_npz), "--save-every", "2", "--quiet"]
    begun = [*words, *SETTINGS, "--epochs", "400", "--devices", "2", "--out", str(out)]
    with started(begun) as process:
        beyond(process, out, (0, 0))
        killed = process.pid if backend != "torch" else children_of(process.pid)[1]
        os.kill(killed, signal.SIGKILL)
        began = time.monotonic()
        said = process.communicate(timeout=60)[1]
    assert time.monotonic() - began < 10
    killed_at = newest(out)  # it trained on until the signal came
    if backend == "torch":
        assert process.returncode == 1
        assert "lenet-multi: rank 1 was ended by SIGKILL" in said
        assert f"Continue with: lenet-multi train --resume {out}" in said
        assert "Traceback" not in said
    with started([*("--resume", str(out)), *("--backend", backend), "--quiet"]) as process:
        beyond(process, out, killed_at)
        process.terminate()
        assert "stopped by SIGTERM" in process.communicate(timeout=60)[1]
    first, second = Journal.read(unfinished(out)).starts
    assert (first["devices"], second["devices"]) == (2, 1)
    assert (second["epoch"], second["step"]) >= killed_at


@contextmanager
def started(words: list[str]) -> Iterator["subprocess.Popen[str]"]:
    """Yield the process of `lenet-multi train`; it ends with the block."""
    with subprocess.Popen(
        [sys.executable, "-m", "lenet_multi", "train", *words],
        env=child_environment(OMP_NUM_THREADS="1"),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def beyond(process: "subprocess.Popen[str]", out: Path, place: tuple[int, int]) -> None:
    """Wait for a checkpoint beyond `place`, epoch and steps."""
    until = time.monotonic() + 120
    while newest(out) <= place:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("devices", "batch_size"), [(2, 1), (129, 128)], ids=["one image", "one more"]
)
def test_a_batch_has_an_example_for_each_device(devices: int, batch_size: int) -> None:
    """A batch smaller than the devices is refused before anything is loaded."""
    with pytest.raises(UserError, match=f"--devices {devices}: .* give a --batch-size"):
        refuse_small_batch(devices, batch_size)
    refuse_small_batch(batch_size, batch_size)


def test_more_devices_than_there_are_are_refused() -> None:
    """The line names the devices that there are, and how to get logical ones."""
    with pytest.raises(UserError, match=r"has 1 .gpu:0.; give fewer, .*CUDA_VISIBLE_DEVICES"):
        refuse_more(2, ["gpu:0"])
    refuse_more(1, ["gpu:0"])


def own(kind: str) -> Any:
    """Return a compiled model whose step is not that of the parts of its batch, but for "plain"."""
    import keras
    from keras import layers, ops

    class Own(keras.Sequential):  # type: ignore[misc]  # Keras carries no types
        def train_step(self, *given: Any) -> Any:
            return super().train_step(*given)

    def root(y: Any, outputs: Any) -> Any:
        return ops.sqrt(ops.mean(ops.square(y - outputs)))

    def mean(y: Any, outputs: Any) -> Any:
        return ops.mean(ops.square(y - outputs))

    class Adding(layers.Layer):  # type: ignore[misc]  # likewise
        def call(self, x: Any) -> Any:
            self.add_loss(ops.sum(x))
            return x

    first = {"mask": layers.Embedding(5, 3, mask_zero=True), "added": Adding()}
    made = (Own if kind == "step" else keras.Sequential)(
        [keras.Input((4,)), first.get(kind, layers.Dense(3))]
    )
    reduction = "sum" if kind == "sum" else "sum_over_batch_size"
    loss = {"root": root, "mean": mean}.get(kind) or keras.losses.MeanSquaredError(reduction)
    optimizer = keras.optimizers.Adam(clipnorm=1.0 if kind == "clipped" else None)
    made.compile(optimizer, loss)
    return made


BOTH, ONE = ("tensorflow", "torch"), ("tensorflow",)


@pytest.mark.backend
@pytest.mark.parametrize(
    ("kind", "refusing", "words"),
    [
        ("plain", (), ""),
        ("mask", BOTH, "by the mask of embedding"),
        ("step", BOTH, "its class has a train_step of its own"),
        ("sum", BOTH, "is not the mean of those of the batch's parts"),
        ("root", BOTH, "is not the mean of those of the batch's parts"),
        ("added", BOTH, "is not the mean of those of the batch's parts"),
        ("mean", ONE, "returns one number for all examples"),
        ("clipped", ONE, "its optimizer has clipnorm"),
    ],
)
def test_a_step_that_parts_do_not_make_is_refused(
    backend: str,
    kind: str,
    refusing: tuple[str, ...],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TensorFlow and PyTorch refuse what the parts of a batch do not add up to; JAX computes it."""
    from lenet_multi.backends.choice import execution
    from lenet_multi.backends.fast import make_fast

    draw = np.random.default_rng(0)
    x = draw.integers(1, 5, (6, 4)).astype("float32")
    y = draw.normal(size=(6, 4, 3) if kind == "mask" else (6, 4 if kind == "added" else 3))
    batch = (x, y.astype("float32"))
    model = own(kind)
    make_fast(model, replace(execution(backend, STOCK), xla_loops=False))
    refuse_unfit(model, batch, backend, 1)
    believe_in_two_devices(backend, monkeypatch)
    if backend in refusing:
        with pytest.raises(UserError, match=words):
            refuse_unfit(model, batch, backend, 2)
    else:
        refuse_unfit(model, batch, backend, 2)


def believe_in_two_devices(backend: str, patch: pytest.MonkeyPatch) -> None:
    """Let Keras on TensorFlow see a strategy of two devices, in the main thread as in its scope."""
    if backend != "tensorflow":
        return
    import tensorflow as tf

    true, two = tf.distribute.get_strategy, SimpleNamespace(num_replicas_in_sync=2)

    def seen() -> Any:
        return two if threading.current_thread() is threading.main_thread() else true()

    patch.setattr(tf.distribute, "get_strategy", seen)


@pytest.mark.backend
def test_batch_statistics_are_asked_for(backend: str) -> None:
    """Where a device sees its part alone, batch normalisation is refused unless asked for."""
    import keras

    norm = keras.layers.BatchNormalization()
    model = keras.Sequential([keras.Input((4,)), norm])
    set_batch_statistics(model, WHOLE, backend, 1)
    able = {"jax": {WHOLE, SYNCHRONISED}, "tensorflow": {SYNCHRONISED, PER_DEVICE}}
    for over in (WHOLE, SYNCHRONISED, PER_DEVICE):
        if over in able.get(backend, {PER_DEVICE}):
            set_batch_statistics(model, over, backend, 2)
            assert norm.synchronized == (over == SYNCHRONISED and backend == "tensorflow")
        else:
            with pytest.raises(UserError, match=r"--devices 2: .*; give --batch-statistics"):
                set_batch_statistics(model, over, backend, 2)
