"""Settings outside this package that change a backend: environment variables and keras.json."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lenet_multi.machine import keras_start


@dataclass(frozen=True)
class Setting:
    """A setting that was found: its effect, whether it changes results, and how to undo it."""

    name: str
    value: str
    effect: str
    changes_results: bool
    remedy: str


CHANGE_RESULTS = {
    **dict.fromkeys(keras_start.CUTTING_VARIABLES, "Keras cuts every training short"),
    "ATEN_CPU_CAPABILITY": "torch may use an older instruction set, which rounds differently",
    "JAX_DEFAULT_MATMUL_PRECISION": "JAX multiplies in another precision",
    "JAX_DISABLE_JIT": "JAX compiles nothing: it rounds differently and is slow",
    "KERAS_NNX_ENABLED": "Keras holds a model's state in Flax on JAX",
    "MKL_CBWR": "torch's MKL may use an older instruction set, which rounds differently",
    "MKL_ENABLE_INSTRUCTIONS": "torch's MKL may use an older instruction set",
    "NVIDIA_TF32_OVERRIDE": "forces every backend to multiply in TF32 on a GPU, or forbids it",
    "ONEDNN_MAX_CPU_ISA": "TensorFlow and torch may use an older instruction set",
    "TF_ENABLE_ONEDNN_OPTS": "TensorFlow uses other kernels, which round differently",
    "TF_XLA_FLAGS": "TensorFlow may compile with XLA, which rounds differently",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "torch multiplies in TF32 on a GPU",
    "XLA_FLAGS": "XLA may compile differently, for JAX and TensorFlow",
}
CHOOSE_MEANS = {
    "CUDA_VISIBLE_DEVICES": "backends see only these GPUs",
    "JAX_PLATFORMS": "JAX computes only on these devices",
    "KERAS_BACKEND": "chooses the backend, like --backend",
    "KERAS_HOME": "folder of Keras's settings and downloads",
    "KERAS_TORCH_DEVICE": "torch computes on this device",
    "OMP_NUM_THREADS": "torch uses this many threads",
    "TF_NUM_INTEROP_THREADS": "TensorFlow runs this many operations at once",
    "TF_NUM_INTRAOP_THREADS": "TensorFlow uses this many threads for an operation",
}


def found(environ: Mapping[str, str] = os.environ) -> list[Setting]:
    """Return the variables that are set, and the settings that keras.json changes.

    A variable with the value that `keras_start.start` gives it changes nothing, so it is left out.
    """
    variables = [
        Setting(name, environ[name], effect, effects is CHANGE_RESULTS, f"unset {name}")
        for effects in (CHANGE_RESULTS, CHOOSE_MEANS)
        for name, effect in effects.items()
        if environ.get(name, "") not in ("", keras_start.FOR_A_GPU.get(name))
    ]
    return [*variables, *_of_keras_json(environ)]


def _of_keras_json(environ: Mapping[str, str]) -> Iterator[Setting]:
    path = keras_start.keras_home(environ) / "keras.json"
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):  # Keras then uses its defaults, too
        return
    if not isinstance(content, dict):
        return
    overridden = "changes results of plain Keras; lenet-multi overrides it"
    effects = {"nnx_enabled": CHANGE_RESULTS["KERAS_NNX_ENABLED"]}
    for name, own in {**keras_start.KERAS_SETTINGS, "nnx_enabled": False}.items():
        if (value := content.get(name, own)) != own:
            effect = effects.get(name, overridden)
            remedy = f"set {name} to {json.dumps(own)} in {path}"
            yield Setting(f"{name} in keras.json", json.dumps(value), effect, True, remedy)
