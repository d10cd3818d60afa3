"""Start Keras on the chosen backend: quietly, and with the same numerics everywhere."""

import gc
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from lenet_multi.errors import UserError
from lenet_multi.machine import cache
from lenet_multi.machine.frameworks import OthersLeftOut

# Keras reads these at import and then cuts every `fit` short without a word.
CUTTING_VARIABLES = ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH")

FOR_A_GPU = {
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # others may be at work on it
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "NVIDIA_TF32_OVERRIDE": "0",  # see `start`; of NVIDIA's own libraries
}

CPU, GPU = "cpu", "gpu"

# Keras's home for processes that have a private one for all else, as those of parity have.
HOME = "LENET_MULTI_KERAS_HOME"

Loaded = TypeVar("Loaded")

_HEAD_START = 0.03  # seconds in which bad data is told without a backend's start

# Keras's own defaults, which ~/.keras/keras.json may change.
KERAS_SETTINGS = {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last"}


def start(backend: str, *, floatx: str = "float32", dtype_policy: str | None = None) -> None:
    """Import Keras on `backend`, with Keras's own defaults whatever ~/.keras/keras.json says.

    `floatx` is the precision of weights and sums, "float32" or "float64"; `dtype_policy` is
    that of the layers, the same by default. On a GPU too float32 is float32, whose products
    backends would else take of numbers of ten bits (TF32). On PyTorch numbers too small to be
    normal are zero from here on, in all that this thread computes on a CPU.

    Raises `UserError` when the environment would make Keras cut training short.
    """
    for variable in CUTTING_VARIABLES:
        if variable in os.environ:
            raise UserError(f"{variable} would cut training short; unset it and use --epochs")
    os.environ["KERAS_BACKEND"] = backend
    os.environ["JAX_ENABLE_X64"] = str(int(floatx == "float64"))  # else JAX computes in float32
    cache.keep_compiled(os.environ)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # warnings about the build stay silent
    for variable, value in FOR_A_GPU.items():
        os.environ.setdefault(variable, value)
    with stderr_held_back(), _garbage_left_alone(), OthersLeftOut(backend):
        import keras

        keras.ops.zeros(())  # the first tensor makes the rest of the start-up noise
        if device() == GPU:
            _multiply_in_full(backend)
    if keras.backend.backend() != backend:
        raise RuntimeError(f"Keras was imported before, on {keras.backend.backend()}")
    if backend == "torch":
        import torch

        # Take numbers too small to be normal for zero, as TensorFlow and JAX do on a CPU. Adam's
        # momentum of a weight whose gradient stays zero shrinks by a tenth a step, and is such a
        # number after eight hundred: a quarter of all, in this network. A processor is slow with
        # them, and an epoch takes a tenth longer. A thread inherits this from the one that starts
        # it, so it comes before PyTorch shares out any work.
        torch.set_flush_denormal(True)
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(dtype_policy or floatx)
    keras.config.set_epsilon(KERAS_SETTINGS["epsilon"])
    keras.config.set_image_data_format(KERAS_SETTINGS["image_data_format"])


def keras_home(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of Keras's settings and downloads."""
    return Path(environ.get(HOME) or environ.get("KERAS_HOME") or "~/.keras").expanduser()


def device() -> str:
    """Return what Keras computes on, once it is started: `CPU` or `GPU`."""
    import keras

    name = str(getattr(keras.ops.zeros(()), "device", CPU)).lower()  # OpenVINO tells none
    return GPU if any(word in name for word in ("cuda", "gpu", "rocm")) else CPU


def start_and_load(
    backend: str, load: Callable[[], Loaded], *, dtype_policy: str | None = None
) -> Loaded:
    """Start Keras on `backend` and return what `load` gives, called in a thread meanwhile."""
    pool = ThreadPoolExecutor(1)
    try:
        loading = pool.submit(load)
        with suppress(TimeoutError):  # what cannot be read is mostly told at once
            loading.result(timeout=_HEAD_START)
        start(backend, dtype_policy=dtype_policy)
        return loading.result()
    finally:
        pool.shutdown(wait=False)  # a signal does not wait for a download


def _multiply_in_full(backend: str) -> None:
    """Have products and convolutions on a GPU taken in float32, as on a CPU."""
    match backend:
        case "tensorflow":
            import tensorflow as tf

            tf.config.experimental.enable_tensor_float_32_execution(False)
        case "jax":
            import jax

            jax.config.update("jax_default_matmul_precision", "highest")
        case "torch":
            import torch

            torch.backends.cudnn.allow_tf32 = False
            torch.backends.cuda.matmul.allow_tf32 = False


@contextmanager
def _garbage_left_alone() -> Iterator[None]:
    """Look for no garbage in the block, nor ever among what it leaves.

    An import makes millions of objects, which stay; to search them takes a fifth of its time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def stderr_held_back() -> Iterator[None]:
    """Keep what the block writes on stderr, and show it only when the block fails.

    A `UserError` says by itself what is wrong. TensorFlow announces oneDNN there before any
    setting of its log level is read.
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException as error:
            if not isinstance(error, UserError):
                held.seek(0)
                os.write(terminal, held.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
