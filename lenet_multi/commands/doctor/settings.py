"""Settings outside this package that change a backend: environment variables and keras.json."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lenet_multi.errors import reason
from lenet_multi.machine import keras_start
from lenet_multi.machine.keras_home import SETTINGS, keras_home


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
    "JAX_DISABLE_JIT": "JAX compiles nothing, and Keras cannot train so",
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
_OTHER_ORDER = "another number adds in another order and rounds differently"
CHOOSE_MEANS = {
    "CUDA_VISIBLE_DEVICES": "backends see only these GPUs",
    "JAX_PLATFORMS": "JAX computes only on these devices",
    "KERAS_BACKEND": "chooses the backend, like --backend",
    "KERAS_HOME": "folder of Keras's settings and downloads",
    "KERAS_TORCH_DEVICE": "torch computes on this device",
    "MKL_NUM_THREADS": f"torch's MKL uses this many threads; {_OTHER_ORDER}",
    "NPROC": f"JAX uses this many threads; {_OTHER_ORDER}",
    "OMP_NUM_THREADS": f"torch uses this many threads; {_OTHER_ORDER}",
    "TF_NUM_INTEROP_THREADS": "TensorFlow runs this many operations at once",
    "TF_NUM_INTRAOP_THREADS": f"TensorFlow uses this many threads for an operation; {_OTHER_ORDER}",
}

_OVERRIDDEN = "changes results of plain Keras; lenet-multi does not read it"

# What Keras accepts in keras.json; it raises an error for another value.
_VALID: dict[str, Callable[[object], bool]] = {
    "floatx": lambda value: value in ["float16", "float32", "float64"],
    "epsilon": lambda value: isinstance(value, float),
    "image_data_format": lambda value: value in ["channels_last", "channels_first"],
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
    path = keras_home(environ) / SETTINGS
    try:
        content = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):  # Keras then uses its defaults
        return
    except (OSError, RecursionError) as error:
        yield _stopping(path, reason(error))
        return
    if not isinstance(content, dict):
        yield _stopping(path, _short(content))
        return
    for name, own in {**keras_start.KERAS_SETTINGS, "nnx_enabled": False}.items():
        value = content.get(name, own)
        shown = f"{name} in {SETTINGS}"
        if name in _VALID and not _VALID[name](value):
            yield _stopping(path, _short(value), shown)
        elif value != own:
            remedy = f"set {name} to {json.dumps(own)} in {path}"
            yield Setting(shown, _short(value), _OVERRIDDEN, True, remedy)


def _stopping(path: Path, value: str, name: str = SETTINGS) -> Setting:
    effect = "plain Keras does not start with it; lenet-multi does not read it"
    return Setting(name, value, effect, False, f"correct or delete {path}")


def _short(value: object) -> str:
    return json.dumps(value)[:60]
