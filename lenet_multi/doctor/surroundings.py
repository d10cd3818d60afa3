"""What around this package changes how backends compute: variables and Keras's own settings."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lenet_multi import backends, session
from lenet_multi.errors import UserError
from lenet_multi.sources.keras import keras_home


@dataclass(frozen=True)
class Problem:
    """What is wrong and how to mend it; a `grave` one changes results, or prevents them."""

    text: str
    remedy: str
    grave: bool = True


@dataclass(frozen=True)
class Variable:
    """An environment variable, what it does, and whether it changes results."""

    name: str
    effect: str
    grave: bool = False


VARIABLES = (
    *(Variable(name, "Keras cuts every training short", True) for name in session.CUTTING_VARIABLES),
    Variable("KERAS_NNX_ENABLED", "Keras holds a model's state in Flax on JAX", True),
    Variable("JAX_DEFAULT_MATMUL_PRECISION", "JAX multiplies in another precision", True),
    Variable("JAX_DISABLE_JIT", "JAX compiles nothing: other rounding, and slow", True),
    Variable("NVIDIA_TF32_OVERRIDE", "NVIDIA's libraries choose TF32 or not, for all backends", True),
    Variable("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "torch multiplies in TF32 on a GPU", True),
    Variable("TF_ENABLE_ONEDNN_OPTS", "TensorFlow takes other kernels, which round otherwise", True),
    Variable("TF_XLA_FLAGS", "TensorFlow may compile with XLA, which rounds otherwise", True),
    Variable("XLA_FLAGS", "XLA may compile otherwise, for JAX and TensorFlow", True),
    Variable("KERAS_BACKEND", "chooses the backend, as --backend does"),
    Variable("KERAS_HOME", "where Keras's settings and downloads lie"),
    Variable("KERAS_TORCH_DEVICE", "torch computes on this device"),
    Variable("JAX_PLATFORMS", "JAX computes on these devices alone"),
    Variable("CUDA_VISIBLE_DEVICES", "backends see these GPUs alone"),
    Variable("OMP_NUM_THREADS", "torch and NumPy take this many threads"),
    Variable("TF_NUM_INTRAOP_THREADS", "TensorFlow takes this many threads for an operation"),
    Variable("TF_NUM_INTEROP_THREADS", "TensorFlow runs this many operations at once"),
)


def variables_set(environ: Mapping[str, str] = os.environ) -> list[Variable]:
    """Return those of `VARIABLES` that are set."""
    return [variable for variable in VARIABLES if environ.get(variable.name)]


def keras_settings(environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return what keras.json says; nothing where there is none, or none that Keras can read."""
    try:
        content = json.loads((keras_home(environ) / "keras.json").read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def problems(environ: Mapping[str, str] = os.environ) -> Iterator[Problem]:
    """Give what variables and Keras's settings would change."""
    for variable in variables_set(environ):
        if variable.grave:
            text = f"{variable.name}={environ[variable.name]}: {variable.effect.lower()}"
            yield Problem(text, f"unset {variable.name}")
    if environ.get("KERAS_BACKEND"):
        try:
            backends.choose(None, environ)
        except UserError as error:
            yield Problem(f"KERAS_BACKEND: {error}", "unset KERAS_BACKEND")
    path = keras_home(environ) / "keras.json"
    found = keras_settings(environ)
    for name, own in {**session.KERAS_SETTINGS, "nnx_enabled": False}.items():
        if (value := found.get(name, own)) != own:
            whom = (
                "which changes how plain Keras computes; lenet-multi starts it with its own"
                if name in session.KERAS_SETTINGS
                else "which changes how JAX trains"
            )
            yield Problem(
                f"{path} sets {name} to {value}, {whom}", f"set {name} to {json.dumps(own)} there"
            )
