"""Files of Keras models: all are opened without Keras, some with it."""

import io
import json
import zipfile
from collections.abc import Callable, Sequence
from functools import cache
from random import Random
from typing import Any

import numpy as np

from lenet_multi.machine import frameworks, keras_start
from tests.fuzz import stand_ins
from tests.fuzz.canary import CALL, CANARY
from tests.fuzz.inputs import Input, Kind
from tests.fuzz.mutations import LENGTHS, archive, changed_json, damaged, json_bytes

FILE = "fuzzed.keras"
_BOMB = 300  # MiB
_CLASSES = 10


def _layer(kind: str, **config: Any) -> dict[str, Any]:
    return {"module": "keras.layers", "class_name": kind, "config": config, "registered_name": None}


_LAYERS = [
    _layer("InputLayer", batch_shape=[None, 28, 28, 1], dtype="float32", name="input_layer"),
    _layer("Conv2D", name="conv", filters=2, kernel_size=[3, 3], activation="relu"),
    _layer("MaxPooling2D", name="pool", pool_size=[4, 4]),
    _layer("Flatten", name="flatten"),
    _layer("Dropout", name="dropout", rate=0.5),
    _layer(
        "Dense",
        name="dense",
        units=_CLASSES,
        activation="softmax",
        kernel_initializer={
            "module": "keras.initializers",
            "class_name": "GlorotUniform",
            "config": {"seed": None},
            "registered_name": None,
        },
    ),
]
_CONFIG = {
    "module": "keras",
    "class_name": "Sequential",
    "config": {"name": "small", "trainable": True, "layers": _LAYERS},
    "registered_name": None,
    "build_config": {"input_shape": [None, 28, 28, 1]},
    "compile_config": {},
}
_METADATA = {"keras_version": "3.15.1", "date_saved": "2026-11-24@16:25:29"}
# A layer's place in the file, its name and its tensors' shapes.
_WEIGHTS: Sequence[tuple[str, str, Sequence[tuple[int, ...]]]] = (
    ("conv2d", "conv", [(3, 3, 1, 2), (2,)]),
    ("dense", "dense", [(72, _CLASSES), (_CLASSES,)]),
    ("dropout", "dropout", []),
    ("flatten", "flatten", []),
    ("max_pooling2d", "pool", []),
)


@cache
def _weights() -> bytes:
    """Return the weights in Keras's HDF5 format."""
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_group("vars").attrs["name"] = "small"
        for layer, name, shapes in _WEIGHTS:
            group = file.create_group(f"layers/{layer}/vars")
            group.attrs["name"] = name
            for number, shape in enumerate(shapes):
                group[str(number)] = np.full(shape, 0.1, np.float32)
    return buffer.getvalue()


def _lying_weights(chance: Random) -> bytes:
    """Return weights with a wrong tensor, among them some too large for any memory."""
    import h5py

    buffer = io.BytesIO(_weights())
    with h5py.File(buffer, "a") as file:
        place = f"layers/{chance.choice(('conv2d', 'dense'))}/vars"
        name = f"{place}/{chance.choice('01')}"
        del file[name]
        chance.choice(_DATASETS)(file, name, place, chance)
    return buffer.getvalue()


_DATASETS: Sequence[Callable[[Any, str, str, Random], object]] = (
    lambda file, name, place, chance: None,
    lambda file, name, place, chance: file.create_dataset(
        name, (2**20, 2**20), "f4", chunks=(1024, 1024)
    ),
    lambda file, name, place, chance: file.create_dataset(name, data=np.full((72, 10), np.nan)),
    lambda file, name, place, chance: file.create_dataset(name, data=b"text"),
    lambda file, name, place, chance: file.create_dataset(
        name, data=np.zeros(chance.choice(((1,), (10, 72), (0,), (72, 10, 1))), "f4")
    ),
    lambda file, name, place, chance: file.__setitem__(name, _link(file, "/etc/hostname", "x")),
    lambda file, name, place, chance: file.__setitem__(name, _link(file, str(CANARY), "x")),
    lambda file, name, place, chance: file.create_group(name),
    lambda file, name, place, chance: file.create_dataset(
        name, (2**31,), "f4", external=[("/dev/zero", 0, 2**33)]
    ),
)


def _link(file: Any, target: str, place: str) -> Any:
    import h5py

    return h5py.ExternalLink(target, place)


def _parts() -> dict[str, bytes]:
    return {
        "metadata.json": json.dumps(_METADATA).encode(),
        "config.json": json.dumps(_CONFIG).encode(),
        "model.weights.h5": _weights(),
    }


@cache
def valid() -> bytes:
    """Return a complete model file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for name, content in _parts().items():
            packed.writestr(name, content)
    return buffer.getvalue()


@cache
def _bomb(name: str) -> bytes:
    """Return a model with one part a thousand times as large as its file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for other, content in _parts().items():
            if other != name:
                packed.writestr(other, content)
        with packed.open(name, "w", force_zip64=True) as member:
            for _ in range(_BOMB):
                member.write(bytes(2**20))
    return buffer.getvalue()


def _code(chance: Random) -> Any:
    """Return a layer or an activation that would run code."""
    import base64
    import marshal

    code = base64.b64encode(marshal.dumps(compile(CALL, "x", "eval"))).decode()
    function = {"class_name": "__lambda__", "config": {"value": code}}
    return chance.choice(
        (
            _layer("Lambda", function=function, name="lambda"),
            _layer("Dense", units=10, activation=function, name="dense"),
            {**_layer("system", command="touch ../canary"), "module": "os"},
            {**_layer("system"), "module": "os", "registered_name": "posix>system"},
            {**_layer("eval"), "module": "builtins"},
            {"module": "builtins", "class_name": "function", "config": "eval"},
            {**_layer("Dense", units=10), "registered_name": "Custom>Dense"},
            {**_layer("get_file", origin="http://127.0.0.1:9/x"), "module": "keras.utils"},
            {**_layer("load_model", filepath="../canary"), "module": "keras.models"},
            {**_layer("enable_unsafe_deserialization"), "module": "keras.config"},
            {**_layer("TorchModuleWrapper", module=code), "module": "keras.layers"},
            {**_layer("TFSMLayer", filepath="../canary"), "module": "keras.layers"},
            {**_layer("JaxLayer"), "module": "keras.layers"},
            {**_layer("os"), "module": "keras.src.utils.file_utils"},
            {"class_name": "function", "config": "os.system", "module": "keras"},
            {"class_name": "__typespec__", "config": ["x"], "module": "os", "spec_name": "system"},
            {"class_name": "__numpy__", "config": {"value": [1], "dtype": "O"}},
            {"class_name": "__tensor__", "config": {"value": [[1e30]], "dtype": "float64"}},
        )
    )


def _config(chance: Random) -> Any:
    """Return a configuration with odd values, or with code in it."""
    content: Any = json.loads(json.dumps(_CONFIG))
    layers = content["config"]["layers"]
    harm = chance.random()
    if harm < 0.25:
        layers[chance.randrange(len(layers))] = _code(chance)
    elif harm < 0.35:
        layers[-1]["config"][chance.choice(("activation", "dtype", "name"))] = _code(chance)
    elif harm < 0.5:
        sizes = (*LENGTHS, 10**9, -1, None, "28", 1.5, 10**30)
        shape: list[Any] = [None, *chance.choice(((28, 28, 1), (28, 28, 3), (9, 9, 1)))]
        shape[chance.randrange(4)] = chance.choice(sizes)
        if chance.random() < 0.5:
            shape[1] = shape[2]
        layers[0]["config"]["batch_shape"] = shape
        content["build_config"]["input_shape"] = shape
    elif harm < 0.65:
        layer = chance.choice(layers[1:])
        key = chance.choice([*layer["config"]])
        layer["config"][key] = chance.choice((*LENGTHS, [2**20, 2**20], "relu", None, -1, 10**12))
    elif harm < 0.7:
        layers *= chance.choice((2, 50))
    elif harm < 0.75:
        layers[chance.randrange(len(layers))] = {**_CONFIG, "config": {"layers": layers[:2]}}
    else:
        content = changed_json(content, chance)
    return content


def content(chance: Random) -> bytes:
    """Return a model file, or something like one."""
    parts, harm = _parts(), chance.random()
    if harm < 0.02:
        return _bomb(chance.choice([*parts]))
    if harm < 0.1:
        return damaged(valid(), chance)
    if harm < 0.75:
        parts["config.json"] = json_bytes(_config(chance), chance)
    if 0.7 < harm < 0.75:
        parts["metadata.json"] = json_bytes(changed_json(_METADATA, chance), chance)
    if harm > 0.85:
        parts["model.weights.h5"] = damaged(_weights(), chance)
    elif harm > 0.75:
        parts["model.weights.h5"] = _lying_weights(chance)
    if chance.random() < 0.03:
        del parts[chance.choice([*parts])]
    if chance.random() < 0.3:
        return archive(parts, chance)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for name, part in parts.items():
            packed.writestr(name, part)
    return buffer.getvalue()


@cache
def images() -> bytes:
    """Return a few test images as an .npz."""
    buffer = io.BytesIO()
    images, labels = np.zeros((2, 28, 28, 1), np.uint8), np.array([0, 9], np.uint8)
    np.savez(buffer, x_train=images, y_train=labels, x_test=images, y_test=labels)
    return buffer.getvalue()


def _opened(chance: Random) -> Input:
    backend = frameworks.installed()[0]
    arguments = chance.choice(
        (
            ("predict", "seven.png", "--model", FILE, "--json"),
            ("evaluate", FILE, "--data", "images.npz"),
            ("demo", FILE, "--backend", backend, "--port", "0"),
            ("export", FILE, "--format", "onnx", "--data", "images.npz", "--out", "a.onnx"),
        )
    )
    return Input(
        arguments=arguments,
        files={FILE: content(chance), "images.npz": images(), "seven.png": seven()},
        culprit=FILE,
    )


def _loaded(chance: Random) -> Input:
    return Input(
        arguments=("evaluate", FILE, "--data", "images.npz"),
        files={FILE: content(chance), "images.npz": images()},
    )


@cache
def seven() -> bytes:
    """Return a drawing of a seven."""
    from PIL import Image, ImageDraw

    image, buffer = Image.new("L", (60, 80), 230), io.BytesIO()
    ImageDraw.Draw(image).line([(18, 20), (42, 20), (27, 60)], 30, width=6)
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _start_keras() -> None:
    keras_start.start(frameworks.choose(None))
    from lenet_multi.inference import evaluate  # noqa: F401  # with everything it needs


KINDS = (
    Kind(
        name="models",
        make=_opened,
        share=15,
        mebibytes=640,  # a pool of threads, each with its own reserve
        prepare=stand_ins.install,
    ),
    Kind(
        name="models in Keras",
        make=_loaded,
        share=3,
        mebibytes=1000,  # a computing backend itself takes 181 of them
        prepare=_start_keras,
    ),
)
