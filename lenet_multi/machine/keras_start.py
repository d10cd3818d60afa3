"""Start Keras on the chosen backend, quietly and with the same numerics everywhere."""

import gc
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from typing import TypeVar

from lenet_multi.errors import UserError
from lenet_multi.machine import cache, frameworks, ranks, start_error
from lenet_multi.machine import devices as machine_devices
from lenet_multi.machine.keras_home import settings_left_out

# Keras reads these at import, and then ends every `fit` early without a message.
CUTTING_VARIABLES = ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH")

FOR_A_GPU = {
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # other processes may use the GPU
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "NVIDIA_TF32_OVERRIDE": "0",  # for NVIDIA's own libraries; see `start`
}

CPU, GPU = "cpu", "gpu"

Loaded = TypeVar("Loaded")

_HEAD_START = 0.03  # seconds; bad data found by then is reported without starting a backend

# Keras's defaults.
KERAS_SETTINGS = {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last"}


def start(
    backend: str,
    *,
    floatx: str = "float32",
    dtype_policy: str | None = None,
    stock: bool = False,
    devices: int = 1,
) -> None:
    """Import Keras on `backend`, with Keras's defaults; it never reads ~/.keras/keras.json.

    `floatx`: precision of weights and sums, "float32" or "float64". `dtype_policy`: that of layers
    (default: `floatx`). On a GPU, float32 products are computed in full, not from numbers of ten
    bits (TF32). On PyTorch, subnormal numbers become zero in all that this thread computes on a CPU
    from now on; with `stock` they stay, as in plain Keras. With more `devices` than one, the
    backend gets ready to train on so many (see `backends.devices`). Raises `UserError` when the
    environment would make Keras end training early, and `StartError` when Keras or the backend do
    not start.
    """
    for variable in CUTTING_VARIABLES:
        if variable in os.environ:
            raise UserError(f"{variable} would cut training short; unset it and use --epochs")
    frameworks.refuse_hidden("numpy", "keras", frameworks.framework(backend))
    frameworks.leave_out_false_tensorflow()
    start_error.refuse_deadly_flags(backend)
    os.environ["KERAS_BACKEND"] = backend
    os.environ["JAX_ENABLE_X64"] = str(int(floatx == "float64"))  # else JAX computes in float32
    if devices > 1:
        machine_devices.announce(backend, devices)
    cache.keep_compiled(os.environ)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # no warnings about the build
    for variable, value in FOR_A_GPU.items():
        os.environ.setdefault(variable, value)
    with (
        ranks.awaited(backend) if devices > 1 else nullcontext(),
        stderr_held_back(),
        start_error.explained(backend),
        _garbage_left_alone(),
        frameworks.OthersLeftOut(backend),
    ):
        with settings_left_out():
            import keras

        start_error.refuse_strict_jax(backend)
        if devices > 1:
            machine_devices.get_ready(backend, devices)
        # The first tensor prints the other messages of the start. A device may not give its value.
        keras.ops.convert_to_numpy(keras.ops.zeros(()))
        if device() == GPU:
            _multiply_in_full(backend)

    if keras.backend.backend() != backend:
        raise RuntimeError(f"Keras was imported before, on {keras.backend.backend()}")
    if backend == "torch" and not stock:
        import torch

        # Flush subnormal numbers to zero, as TensorFlow and JAX do on a CPU. If a weight's gradient
        # stays zero, Adam's momentum shrinks by a tenth per step and is subnormal after 800 steps,
        # as for a quarter of the LeNet's weights. Such numbers slow an epoch by 10 %.
        # Threads inherit this setting from their parent, so set it before PyTorch starts any.
        torch.set_flush_denormal(True)
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(dtype_policy or floatx)
    keras.config.set_epsilon(KERAS_SETTINGS["epsilon"])
    keras.config.set_image_data_format(KERAS_SETTINGS["image_data_format"])


def device() -> str:
    """Return what the started Keras computes on: `CPU` or `GPU`, which is any accelerator."""
    return CPU if "cpu" in _device_name() else GPU  # such as cuda:0, mps:0 (Apple), xpu:0 (Intel)


def untried_device() -> str | None:
    """Return the device of the started Keras if this package was never tried on its kind."""
    name = _device_name()
    return None if any(kind in name for kind in ("cpu", "cuda", "gpu", "rocm")) else name


def _device_name() -> str:
    import keras

    return str(getattr(keras.ops.zeros(()), "device", CPU)).lower()  # OpenVINO has none


def start_and_load(
    backend: str,
    load: Callable[[], Loaded],
    *,
    dtype_policy: str | None = None,
    devices: int = 1,
) -> Loaded:
    """Start Keras on `backend` while a thread calls `load`, and return what `load` returns."""
    pool = ThreadPoolExecutor(1)
    try:
        loading = pool.submit(load)
        with suppress(TimeoutError):  # unreadable data usually fails at once
            loading.result(timeout=_HEAD_START)
        start(backend, dtype_policy=dtype_policy, devices=devices)
        return loading.result()
    finally:
        pool.shutdown(wait=False)  # so that a signal does not wait for a download


def _multiply_in_full(backend: str) -> None:
    """Make products and convolutions on a GPU use full float32, as on a CPU."""
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
    # An import makes millions of objects that stay; searching them takes a fifth of its time.
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # no later collection searches these objects
        gc.enable()


@contextmanager
def stderr_held_back() -> Iterator[None]:
    """Hold back what the block writes on stderr; show it only if the block fails."""
    # TensorFlow announces oneDNN there before it reads its log level.
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException as error:
            if not isinstance(error, UserError):  # which needs no more explanation
                held.seek(0)
                os.write(terminal, held.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
