"""Attach metadata to an exported model, and run it, with its format's own libraries.

`python -m lenet_multi.inference.runtimes FORMAT PATH IMAGES.npy OUT.npz` runs it without Keras.
"""

import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenet_multi.inference.formats import OPENVINO_MODEL

Floats = NDArray[np.float32]
Metadata = dict[str, str]
Classifier = Callable[[Floats], Floats]  # from images to probabilities

_METADATA = "metadata.json"  # for formats that have room for a file
_EXTRA_ASSETS = "assets.extra"  # TensorFlow ignores this folder in a SavedModel


class ExportError(Exception):
    """An exported file does not run, or its answers differ from the model's."""


def run(format_name: str, path: Path, images: Floats) -> tuple[Floats, Metadata]:
    """Return the probabilities and the metadata of the exported model at `path`.

    `images` are (N, height, width, channels), probabilities (N, classes) float32. A file with a
    fixed batch size fails, because the first image is run alone and the rest together. Raises
    `ExportError` with the last line that the runtime wrote.
    """
    with tempfile.TemporaryDirectory() as folder:
        given, answered = Path(folder, "images.npy"), Path(folder, "answers.npz")
        np.save(given, images)
        command = [sys.executable, "-m", __name__, format_name, *map(str, (path, given, answered))]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise ExportError(f"its runtime fails on it: {lines[-1]}")
        with np.load(answered) as arrays:
            return arrays["probabilities"], json.loads(str(arrays["metadata"]))


def _attach_to_onnx(path: Path, metadata: Metadata) -> None:
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, path)


def _load_onnx(path: Path) -> tuple[Classifier, Metadata]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (images,) = session.get_inputs()
    metadata = session.get_modelmeta().custom_metadata_map
    return lambda batch: session.run(None, {images.name: batch})[0], metadata


def _attach_to_saved_model(path: Path, metadata: Metadata) -> None:
    (path / _EXTRA_ASSETS).mkdir()
    (path / _EXTRA_ASSETS / _METADATA).write_text(json.dumps(metadata, indent=2) + "\n")


def _load_saved_model(path: Path) -> tuple[Classifier, Metadata]:
    import tensorflow as tf

    model = tf.saved_model.load(str(path))
    metadata = json.loads((path / _EXTRA_ASSETS / _METADATA).read_text())
    return lambda batch: model.serve(batch).numpy(), metadata


def _attach_to_torch(path: Path, metadata: Metadata) -> None:
    import torch

    program = torch.export.load(path)
    torch.export.save(program, path, extra_files={_METADATA: json.dumps(metadata)})


def _load_torch(path: Path) -> tuple[Classifier, Metadata]:
    import torch

    extra_files = {_METADATA: ""}
    module = torch.export.load(path, extra_files=extra_files).module()

    def classify(batch: Floats) -> Floats:
        with torch.inference_mode():
            return np.asarray(module(torch.from_numpy(batch)))

    return classify, json.loads(extra_files[_METADATA])


def _attach_to_openvino(path: Path, metadata: Metadata) -> None:
    import openvino

    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})  # a mapped file cannot be overwritten
    model = core.read_model(path / OPENVINO_MODEL)
    for name, text in metadata.items():
        model.set_rt_info(text, ["lenet_multi", name])
    openvino.save_model(model, path / OPENVINO_MODEL, compress_to_fp16=False)


def _load_openvino(path: Path) -> tuple[Classifier, Metadata]:
    import openvino

    model = openvino.Core().read_model(path / OPENVINO_MODEL)
    # ACCURACY keeps float32; without it OpenVINO uses bfloat16 on some processors.
    compiled = openvino.compile_model(model, "CPU", {"EXECUTION_MODE_HINT": "ACCURACY"})
    metadata = {
        name: model.get_rt_info(["lenet_multi", name]).astype(str)
        for name in model.get_rt_info("lenet_multi").astype(dict)
    }
    return lambda batch: compiled(batch)[0], metadata


def _attach_to_litert(path: Path, metadata: Metadata) -> None:
    with zipfile.ZipFile(path, "a") as archive:  # as TensorFlow Lite's metadata tools do
        archive.writestr(_METADATA, json.dumps(metadata))


def _load_litert(path: Path) -> tuple[Classifier, Metadata]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    (images,), (probabilities,) = interpreter.get_input_details(), interpreter.get_output_details()

    def classify(batch: Floats) -> Floats:
        interpreter.resize_tensor_input(images["index"], batch.shape, strict=True)
        interpreter.allocate_tensors()
        interpreter.set_tensor(images["index"], batch)
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(probabilities["index"]))

    with zipfile.ZipFile(path) as archive:
        return classify, json.loads(archive.read(_METADATA))


RUNTIMES = {  # attach metadata; load a classifier with its metadata
    "onnx": (_attach_to_onnx, _load_onnx),
    "saved_model": (_attach_to_saved_model, _load_saved_model),
    "torch": (_attach_to_torch, _load_torch),
    "openvino": (_attach_to_openvino, _load_openvino),
    "litert": (_attach_to_litert, _load_litert),
}


def main(format_name: str, path: str, images: str, answers: str) -> None:
    """Run the model at `path` on the images in one file and write its answers to another."""
    _, load = RUNTIMES[format_name]
    classify, metadata = load(Path(path))
    given = np.load(images)
    answered = [classify(batch) for batch in (given[:1], given[1:]) if len(batch)]
    probabilities = np.concatenate(answered)
    np.savez(answers, probabilities=probabilities, metadata=json.dumps(metadata))


if __name__ == "__main__":
    main(*sys.argv[1:])
