import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from lenet_multi.data.examples import Dataset, Examples
from lenet_multi.errors import UserError
from lenet_multi.inference.formats import FORMATS, Format, choose_backend
from lenet_multi.inference.runtimes import ExportError
from lenet_multi.inference.saved import SavedModel, find
from lenet_multi.runs.record import file_sha256
from lenet_multi.runs.tolerances import EXPORTED
from tests.conftest import Lenet
from tests.examples import example_run, keep
from tests.inference.test_saved import keras_file

ROOM = "lenet_multi.inference"


@pytest.mark.backend
@pytest.mark.parametrize("form", FORMATS.values(), ids=lambda form: form.name)
def test_each_format_answers_as_keras_does(
    backend: str, small_run: Path, small: Dataset, tmp_path: Path, form: Format
) -> None:
    """In its own runtime, each format answers as Keras does, for one image and for several.

    If the backend cannot write the format, it is refused.
    """
    from lenet_multi.inference.export import export

    if backend not in form.routes:
        with pytest.raises(UserError, match=f"--backend {backend} cannot write {form.name}"):
            choose_backend(form, asked=backend, trained_on=backend)
        return
    path = tmp_path / f"model{form.suffix}"
    deviation, told = export(find(small_run), form, path, images=small.test)
    assert deviation <= EXPORTED.value
    # What its runtime read is what was written, or the export had failed.
    assert json.loads(told["classes"]) == [str(number) for number in range(10)]
    assert told["input"] == "28x28x1 float32, pixel/255, light ink on black"
    assert told["source_sha256"] == file_sha256(small_run / "model.keras")
    assert told["trained_on"] == backend
    assert {"keras", backend} <= json.loads(told["written_with"]).keys()


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda answers, told: (answers + 2e-4, told), "deviates by 2.0e-04"),
        (lambda answers, told: (answers * np.nan, told), "deviates by nan"),
        (lambda answers, told: (answers[:, :5], told), r"it answers \(2, 5\), but Keras"),
        (lambda answers, told: (answers, {**told, "classes": "[]"}), "other metadata"),
    ],
    ids=["another answer", "no number", "fewer classes", "other metadata"],
)
def test_an_unfaithful_file_is_no_export(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, change: Callable[..., Any], message: str
) -> None:
    """An export fails if its runtime's answers differ from Keras's, or its metadata from ours."""
    from lenet_multi.inference.export import deviate

    expected, metadata = np.full((2, 10), 0.1, np.float32), {"classes": "[0]"}
    form = FORMATS["onnx"]
    pixels = np.zeros((2, 28, 28, 1), np.float32)
    monkeypatch.setattr(f"{ROOM}.export.run", lambda *given: (expected, metadata))
    assert deviate(form, tmp_path, pixels, expected, metadata) == 0
    monkeypatch.setattr(f"{ROOM}.export.run", lambda *given: change(expected, metadata))
    with pytest.raises(ExportError, match=message):
        deviate(form, tmp_path, pixels, expected, metadata)


@pytest.mark.backend
def test_what_is_faithful_is_kept(
    monkeypatch: pytest.MonkeyPatch, backend: str, small_run: Path, tmp_path: Path
) -> None:
    """The command prints the file and its deviation; a second export needs --overwrite."""
    from lenet_multi.commands.export import command

    def succeed(saved: SavedModel, form: Format, path: Path, **given: Any) -> tuple[float, Any]:
        path.write_text("faithful")
        return 2e-7, {}

    monkeypatch.setattr(f"{ROOM}.export.export", succeed)
    monkeypatch.setattr(f"{ROOM}.formats.choose_backend", lambda form, **given: backend)
    out = tmp_path / "model.onnx"
    arguments = [str(small_run), "--format", "onnx", "--out", str(out)]
    done = CliRunner().invoke(command, arguments)
    assert (done.exit_code, out.read_text()) == (0, "faithful")
    assert done.stdout.splitlines() == [
        f"Exported: {out}",
        "Largest deviation of a probability: 2.0e-07 of 0.0001 allowed, over 1,000 test images "
        "in onnxruntime",
    ]
    assert f"exporting through {backend}" in done.stderr
    again = CliRunner().invoke(command, arguments)
    assert isinstance(again.exception, UserError)
    assert "exists and is kept; pass --overwrite" in str(again.exception)


@pytest.mark.backend
@pytest.mark.parametrize("earlier", [None, "earlier"], ids=["free place", "earlier export"])
def test_what_is_unfaithful_is_not_kept(
    monkeypatch: pytest.MonkeyPatch,
    backend: str,
    small_run: Path,
    tmp_path: Path,
    earlier: str | None,
) -> None:
    """An unfaithful export ends with status 1, and the target path is as before."""
    from lenet_multi.commands.export import command

    def fail(saved: SavedModel, form: Format, path: Path, *, images: Examples) -> None:
        path.write_text("unfaithful")
        raise ExportError("a probability deviates")

    monkeypatch.setattr(f"{ROOM}.export.export", fail)
    monkeypatch.setattr(f"{ROOM}.formats.choose_backend", lambda form, **given: backend)
    out = tmp_path / "model.onnx"
    if earlier:
        out.write_text(earlier)
    flags = ["--format", "onnx", "--out", str(out), "--overwrite"]
    done = CliRunner().invoke(command, [str(small_run), *flags])
    assert (done.exit_code, done.stdout) == (1, "Not exported: a probability deviates\n")
    left = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert left == ({"model.onnx": earlier} if earlier else {})


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(
    ("asked", "scale", "words"),
    [
        (None, 1 / 255, "28x28x1 float32, pixel from 0 to 255"),
        (None, 2.0, "28x28x1 float32, pixel/255"),
        ("-1,1", 1.0, "28x28x1 float32, pixel/127.5 - 1"),
    ],
    ids=["raw", "[0, 1]", "asked"],
)
def test_the_metadata_say_what_the_model_takes(
    tmp_path: Path, asked: str | None, scale: float, words: str
) -> None:
    """The metadata give the range that the first layers tell, or that the user asked for."""
    import keras

    from lenet_multi.inference.export import describe
    from lenet_multi.inference.heads import with_probabilities

    layers = [keras.layers.Rescaling(scale), keras.layers.Flatten(), keras.layers.Dense(3)]
    keras.Sequential([keras.Input((28, 28, 1)), *layers]).save(tmp_path / "model.keras")
    saved = find(tmp_path / "model.keras", asked_range=asked)
    model = with_probabilities(saved.load())
    form = dataclasses.replace(FORMATS["onnx"], routes={keras.backend.backend(): ()})
    assert describe(saved, form, model)["input"] == words


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
def test_images_that_do_not_fit_are_refused(small_run: Path, tmp_path: Path) -> None:
    """The error names both shapes and the flag for other images."""
    from lenet_multi.inference.export import export

    images = Examples(np.zeros((2, 32, 32, 3), np.uint8), np.zeros(2, np.uint8))
    with pytest.raises(UserError, match=r"takes 28x28x1 images, not 32x32x3; see --data"):
        export(find(small_run), FORMATS["torch"], tmp_path / "model.pt2", images=images)


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
def test_what_keras_cannot_write_is_refused(small_run: Path, tmp_path: Path) -> None:
    """The error is one line with format, backend and Keras's own reason."""
    from lenet_multi.inference.export import convert
    from lenet_multi.lenet.networks import lenet

    unknown = dataclasses.replace(FORMATS["onnx"], keras_name="papyrus")
    with pytest.raises(UserError, match=r"cannot be exported as onnx through .*papyrus") as raised:
        convert(lenet(), unknown, tmp_path / "model.onnx")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--format", "onnx"], "no model at nowhere: give a run folder or"),
        (["a-run", "--format", "onnx"], "is no .keras file"),
        (["model.keras", "--format", "onxx"], "did you mean 'onnx'?"),
        (["model.keras"], "Missing option '--format'"),
        (["model.keras", "--format", "torch", "--backend", "jax"], "; choose torch, or drop"),
        (["model.keras", "--format", "torch", "--out", "a.onnx"], "must end in .pt2"),
        (["model.keras", "--format", "torch", "--out", "/proc/a.pt2"], "cannot write /proc/a.pt2"),
        (["model.keras", "--format", "torch", "--data", "nowhere"], "no data at 'nowhere'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_gets_one_line_and_status_2(
    tmp_path: Path, lenet: Lenet, arguments: list[str], message: str
) -> None:
    """Bad input gets one line with its fault and the remedy, before a backend starts."""
    keep(example_run(), tmp_path / "a-run")
    keras_file(tmp_path / "model.keras")
    done = lenet("export", *arguments, KERAS_BACKEND="")
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
    assert {path.name for path in tmp_path.iterdir()} == {"a-run", "model.keras"}
