"""Choose the fastest way to train on each backend; results differ only by rounding.

The measurements are in `benchmarks/README.md`; `lenet_multi.backends.forms` explains the forms.
"""

import dataclasses
from dataclasses import dataclass

from lenet_multi.backends import private
from lenet_multi.config import TrainConfig
from lenet_multi.errors import UserError, unknown
from lenet_multi.machine import measured
from lenet_multi.machine.keras_start import CPU, GPU, device, untried_device

STOCK = "stock"  # as Keras's layers compute
POOL_FIRST, CHANNELS_FIRST = "pool-first", "channels-first"
TILES = "tiles"
WINOGRAD, WINOGRAD_CHANNELS_FIRST = "winograd", "winograd-channels-first"
FORMS = (STOCK, POOL_FIRST, CHANNELS_FIRST, TILES, WINOGRAD, WINOGRAD_CHANNELS_FIRST)

# Winograd halves the multiplications of a convolution. XLA computes the first layer as a product
# too, because its convolutions are slow. PyTorch has kernels for that layer and for pooling.
FASTEST_FORM = {
    CPU: {"tensorflow": WINOGRAD, "jax": WINOGRAD, "torch": WINOGRAD_CHANNELS_FIRST},
    # A GPU takes longer to start an operation than to multiply: the fewest operations win.
    GPU: {"tensorflow": POOL_FIRST, "jax": POOL_FIRST, "torch": CHANNELS_FIRST},
}

# For processors that multiply faster in bfloat16 than in float32 (see `machine.measured`). Not
# every one with bfloat16 instructions does. On the others float32's forms, in float32, are faster.
FASTEST_FORM_IN_BFLOAT16 = {
    CPU: {
        "tensorflow": POOL_FIRST,  # its convolutions are fast already
        "jax": WINOGRAD,  # in float32: XLA's bfloat16 convolutions and products are slow
        "torch": CHANNELS_FIRST,  # saves Keras's copies of channels-last images
    },
    GPU: FASTEST_FORM[GPU],
}

FASTEST_FORM_TO_ANSWER = {
    # Without a gradient even XLA's convolutions are fast.
    CPU: {"tensorflow": POOL_FIRST, "jax": STOCK, "torch": CHANNELS_FIRST},
    GPU: FASTEST_FORM[GPU],
}

# Returning to Python for Keras and the next batches costs 1 ms; this many steps hide it. More
# images would delay Ctrl-C: on a CPU these take a quarter of a second.
STEPS_PER_EXECUTION = {CPU: 25, GPU: 10}
IMAGES_PER_EXECUTION = 3_200


@dataclass(frozen=True)
class Execution:
    """How a model is computed: its forms, whether XLA compiles it, when Python gets control."""

    form: str  # in training
    answer_form: str  # in validation, evaluation and prediction
    jit_compile: bool  # Keras's argument: XLA compiles everything
    steps_per_execution: int  # between two returns to Python
    xla_loops: bool  # XLA compiles these steps as one loop (see `backends.jax`)
    keep_freed_memory: bool  # malloc keeps what a step frees (see `machine.allocator`)
    why_stock: str | None = None  # the reason, where stock Keras has to train
    devices: int = 1  # that share each batch (see `backends.devices`)


def forms_of(backend: str) -> tuple[str, ...]:
    """Return the forms that `backend` can compute."""
    # On a CPU TensorFlow has no channels-first convolution.
    lacking = {CHANNELS_FIRST, WINOGRAD_CHANNELS_FIRST} if backend == "tensorflow" else set()
    return tuple(form for form in FORMS if form not in lacking)


def execution(
    backend: str,
    form: str | None = None,
    answer_form: str | None = None,
    *,
    batch_size: int = TrainConfig.batch_size,
    dtype_policy: str = "float32",
    device: str = CPU,
) -> Execution:
    """Return the fastest execution on `backend` and `device`; `fast.fitting` adapts it to a model.

    A given `form` also predicts, unless `answer_form` is given. `batch_size` is training's. For
    mixed_bfloat16 it uses what was measured on this machine (see `machine.measured`).
    Raises `UserError` when the backend cannot compute a given form.
    """
    able = forms_of(backend)
    for wanted in (form, answer_form):
        if wanted is not None and wanted not in FORMS:
            raise UserError(unknown("--form", wanted, FORMS))
        if wanted is not None and wanted not in able:
            raise UserError(f"--form {wanted}: {backend} cannot compute it; use {', '.join(able)}")
    if form is not None:
        answer_form = answer_form or form
    elif dtype_policy != "float32":
        # float16's products are slow on a CPU: float32's forms compute in float32 (see `forms`).
        pays = dtype_policy == "mixed_bfloat16" and measured.bfloat16_pays(backend)
        fastest = FASTEST_FORM_IN_BFLOAT16 if pays else FASTEST_FORM
        form = answer_form = fastest[device][backend]
    else:
        form, answer_form = FASTEST_FORM[device][backend], FASTEST_FORM_TO_ANSWER[device][backend]
    return Execution(
        form,
        answer_form,
        # On TensorFlow XLA pays in training only; torch.compile gains nothing.
        jit_compile=backend == "jax",
        steps_per_execution=_steps_per_execution(backend, batch_size, device),
        xla_loops=backend != "torch",
        # XLA gains a tenth, in larger batches a third; PyTorch gains nothing to a third, by luck.
        keep_freed_memory=device == CPU,
    )


def here(
    form: str | None = None,
    answer_form: str | None = None,
    *,
    batch_size: int = TrainConfig.batch_size,
    dtype_policy: str = "float32",
) -> Execution:
    """Return the fastest execution on the backend and device of the started Keras."""
    import keras

    backend = keras.backend.backend()
    why_stock = private.why_not(backend)
    if untried := untried_device():
        why_stock = why_stock or f"nothing faster was tried on {untried}"
    forms = (STOCK, STOCK) if why_stock else (form, answer_form)
    how = execution(
        backend, *forms, batch_size=batch_size, dtype_policy=dtype_policy, device=device()
    )
    return dataclasses.replace(how, xla_loops=False, why_stock=why_stock) if why_stock else how


def _steps_per_execution(backend: str, batch_size: int, device: str) -> int:
    if backend == "torch":  # Keras refuses more
        return 1
    most = STEPS_PER_EXECUTION[device]
    return most if device == GPU else min(most, max(1, IMAGES_PER_EXECUTION // batch_size))
