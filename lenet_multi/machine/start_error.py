"""Say in one line why a backend did not start, and which variable to change."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from textwrap import shorten

from lenet_multi.errors import StartError, UserError, reason, reason_in
from lenet_multi.machine import instruction_sets
from lenet_multi.machine.frameworks import RENAME_IT, framework, hider

_LONGEST = 250  # letters of another library's reason

# How the names of the variables begin that Keras and a backend read at their start.
_OF_KERAS = ("KERAS_NNX_", "CUDA_")
_OF_BACKEND = {
    "tensorflow": ("TF_", "XLA_", "PROTOCOL_BUFFERS_"),
    "jax": ("JAX_", "XLA_"),
    "torch": ("KERAS_TORCH_", "TORCH_", "PYTORCH_"),
}

# Terraform's, which begin as TensorFlow's do.
_OF_OTHERS = (
    *("TF_CLI_", "TF_VAR_", "TF_TOKEN_", "TF_LOG", "TF_DATA_DIR", "TF_WORKSPACE", "TF_INPUT"),
    *("TF_IN_AUTOMATION", "TF_PLUGIN_CACHE_", "TF_REGISTRY_", "TF_CLOUD_", "TF_STATE_"),
)

# `keras_start.start` sets these itself, or leaves them out.
_OURS = {
    *("KERAS_BACKEND", "KERAS_HOME", "JAX_ENABLE_X64", "JAX_COMPILATION_CACHE_DIR"),
    *("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "TF_CPP_MIN_LOG_LEVEL"),
    *("XLA_PYTHON_CLIENT_PREALLOCATE", "TF_FORCE_GPU_ALLOW_GROWTH", "NVIDIA_TF32_OVERRIDE"),
}

# A wrong flag in these ends the process where XLA first compiles: no exception, no Python.
_DEADLY = {"jax": ("XLA_FLAGS",), "tensorflow": ("XLA_FLAGS", "TF_XLA_FLAGS")}
_COMPILES = {
    "jax": "import jax; jax.numpy.zeros(()).block_until_ready()",
    "tensorflow": (
        "import tensorflow as tf; tf.function(lambda: tf.random.uniform(()), jit_compile=True)()"
    ),
}
_COUNT = "TF_NUM_INTRAOP_THREADS"  # a number below 0 ends TensorFlow's process without a word
_TRIED = "LENET_MULTI_FLAGS_TRIED"  # tells children which flags need no other trial


# Settings of JAX, each named as its variable, and the value with which Keras's steps end in errors.
_STRICT = {
    "jax_disable_jit": True,
    "jax_numpy_dtype_promotion": "strict",
    "jax_numpy_rank_promotion": "raise",
}


@contextmanager
def explained(backend: str) -> Iterator[None]:
    """Turn an error in the block, the start of `backend`, into a `StartError`."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # Keras and each backend raise their own classes
        why = reason(error) if str(error) else f"{type(error).__name__} without a word"
        why = shorten(why.rstrip("."), _LONGEST, placeholder=" ...")
        if path := hider(error):
            raise StartError(backend, f"{path} hides a module ({why})", RENAME_IT) from error
        raise StartError(backend, why, _remedy(backend, str(error))) from error


def _remedy(backend: str, text: str, environ: Mapping[str, str] = os.environ) -> str:
    if found := suspects(backend, text, environ):
        return f"unset {' or '.join(f'{name} (now {environ[name]!r})' for name in found)}"
    return f"install it again with: pip install --force-reinstall {framework(backend)}"


def suspects(backend: str, text: str, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the variables that may have caused the error with this `text`.

    Those whose name is in it; else, of those that the backend reads, those whose value is in it;
    else all that it reads.
    """
    names = [name for name in environ if "_" in name and name not in _OURS]
    if named := [name for name in names if re.search(rf"\b{re.escape(name)}\b", text)]:
        return named
    begins = (*_OF_KERAS, *_OF_BACKEND.get(backend, ()))
    read = [name for name in names if name.startswith(begins) and not name.startswith(_OF_OTHERS)]
    shown = [name for name in read if environ[name] and environ[name].lower() in text.lower()]
    return shown or read


def refuse_strict_jax(backend: str) -> None:
    """Raise `StartError` where a variable makes JAX refuse what Keras computes in training."""
    given = {setting: setting.upper() for setting in _STRICT if setting.upper() in os.environ}
    if not given or framework(backend) != "jax":
        return
    import jax

    for setting, variable in given.items():
        if getattr(jax.config, setting) == _STRICT[setting]:
            why = "Keras cannot train with this setting of JAX"
            raise StartError(backend, why, f"unset {variable} (now {os.environ[variable]!r})")


def refuse_deadly_flags(backend: str) -> None:
    """Raise `StartError` if a variable would end this process; a child tries XLA's flags."""
    computing = framework(backend)
    count = os.environ.get(_COUNT, "")
    if computing == "tensorflow" and count.strip().startswith("-"):
        raise StartError(backend, "it takes no number below 0", f"unset {_COUNT} (now {count!r})")
    names = _DEADLY.get(computing, ())
    flags = {name: os.environ[name] for name in names if os.environ.get(name)}
    trial = f"{computing} {flags}"
    if os.environ.get(_TRIED) == trial or set(flags.values()) <= instruction_sets.OF_XLA:
        return
    done = subprocess.run(
        [sys.executable, "-c", _COMPILES[computing]],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode and "Traceback" not in done.stderr:  # else the start raises the same
        now = " or ".join(f"{name} (now {value!r})" for name, value in flags.items())
        raise StartError(backend, reason_in(done.stderr), f"unset {now}")
    os.environ[_TRIED] = trial
