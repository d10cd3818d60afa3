"""Write a saved model in another runtime's format, and compare the file's answers with Keras's."""

import json
from pathlib import Path

import keras
import numpy as np

from lenet_multi.data.examples import Examples
from lenet_multi.errors import UserError, by, reason
from lenet_multi.inference.formats import OPENVINO_MODEL, Format
from lenet_multi.inference.heads import with_probabilities
from lenet_multi.inference.runtimes import RUNTIMES, ExportError, Floats, Metadata, run
from lenet_multi.inference.saved import SavedModel
from lenet_multi.machine import environment
from lenet_multi.machine.frameworks import installed_version
from lenet_multi.machine.keras_start import stderr_held_back
from lenet_multi.runs.record import file_sha256
from lenet_multi.runs.tolerances import EXPORTED


def export(
    saved: SavedModel, kind: Format, path: Path, *, images: Examples
) -> tuple[float, Metadata]:
    """Write the saved model to `path`, and run it on `images` in the format's own runtime.

    The backend that Keras was started on writes it. The file takes any number of float32 images in
    the model's own range and gives probabilities. Return their largest deviation from Keras's, and
    the metadata. Raises `UserError` when the model or the images do not fit, `ExportError` when the
    file does not run, lost its metadata, or deviates by more than `EXPORTED`.
    """
    model = with_probabilities(saved.load())
    taken, given = model.input_shape[1:], images.x.shape[1:]
    if taken != given:
        raise UserError(f"{saved.path} takes {by(taken)} images, not {by(given)}; see --data")
    pixels = saved.task.prepare(images.x, "float32")
    expected = keras.ops.convert_to_numpy(model(pixels, training=False))
    metadata = describe(saved, kind, model)
    convert(model, kind, path)
    attach, _ = RUNTIMES[kind.name]
    attach(path, metadata)
    return deviate(kind, path, pixels, expected, metadata), metadata


def describe(saved: SavedModel, kind: Format, model: keras.Model) -> Metadata:
    """Return the metadata of an exported file: its classes, input, output and origin."""
    backend, trained = keras.backend.backend(), saved.result
    written_with = {
        **environment.versions(backend),
        **{module: installed_version(module) for module in kind.routes[backend]},
    }
    return {
        "classes": json.dumps(saved.class_names or [*map(str, range(model.output_shape[-1]))]),
        "input": f"{by(model.input_shape[1:])} float32"
        + saved.task.input_words(saved.inputs.recorded, saved.inputs.range),
        "output": "probabilities of the classes",
        "source_sha256": file_sha256(saved.path),
        "trained_on": trained.backend if trained else "not recorded",
        "trained_with": json.dumps(trained.versions if trained else {}),
        "written_with": json.dumps(written_with),
    }


def convert(model: keras.Model, kind: Format, path: Path) -> None:
    """Write `model` to `path` for any number of images; raise `UserError` when Keras cannot."""
    backend = keras.backend.backend()
    target, options = path, {}
    if kind.name == "openvino":
        path.mkdir()
        target = path / OPENVINO_MODEL
    elif kind.name == "torch":
        import torch

        options = {"dynamic_shapes": {0: torch.export.Dim("images", min=1)}}
    with stderr_held_back():
        try:
            model.export(str(target), format=kind.keras_name or kind.name, verbose=False, **options)
        except Exception as error:  # converters raise errors of any class
            raise UserError(
                f"the model cannot be exported as {kind.name} through {backend}: {reason(error)}; "
                "choose another --format or --backend"
            ) from error


def deviate(
    kind: Format, path: Path, pixels: Floats, expected: Floats, metadata: Metadata
) -> float:
    """Return the largest deviation of the file's answers from `expected`; raise `ExportError`."""
    answers, found = run(kind.name, path, pixels)
    if found != metadata:
        raise ExportError(f"{kind.runtime} reads other metadata from it than were written")
    if answers.shape != expected.shape:
        raise ExportError(f"it answers {answers.shape}, but Keras answers {expected.shape}")
    deviation = float(np.abs(answers - expected).max())
    if not deviation <= EXPORTED.value:  # refuses NaN too
        raise ExportError(
            f"a probability deviates by {deviation:.1e} from the Keras model's, over "
            f"{len(pixels):,} test images; {EXPORTED.value:g} is allowed"
        )
    return deviation
