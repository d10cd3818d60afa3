"""Say in one line why a backend did not start, and which variable to change."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from textwrap import shorten

from lenet_multi.errors import StartError, reason, reason_in
from lenet_multi.machine import instruction_sets
from lenet_multi.machine.frameworks import framework

_LONGEST = 250  # letters of another library's reason

# How the names of the variables begin that Keras and a backend read at their start.
_OF_KERAS = ("KERAS_NNX_", "CUDA_")
_OF_BACKEND = {
    "tensorflow": ("TF_", "XLA_"),
    "jax": ("JAX_", "XLA_"),
    "torch": ("KERAS_TORCH_", "TORCH_", "PYTORCH_"),
}

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
_TRIED = "LENET_MULTI_FLAGS_TRIED"  # tells children which flags need no other trial


@contextmanager
def explained(backend: str) -> Iterator[None]:
    """Turn an error in the block, the start of `backend`, into a `StartError`."""
    try:
        yield
    except Exception as error:  # Keras and each backend raise their own classes
        why = reason(error) if str(error) else f"{type(error).__name__} without a word"
        why = shorten(why.rstrip("."), _LONGEST, placeholder=" ...")
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
    read = [name for name in names if name.startswith((*_OF_KERAS, *_OF_BACKEND.get(backend, ())))]
    shown = [name for name in read if environ[name] and environ[name].lower() in text.lower()]
    return shown or read


def refuse_deadly_flags(backend: str) -> None:
    """Raise `StartError` if XLA's flags would end this process; a child process tries them."""
    computing = framework(backend)
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
