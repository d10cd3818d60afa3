"""How each backend computes the same training fast: measured facts that change no result.

The measurements are in `benchmarks/README.md`; `lenet_multi.backends.forms` explains the forms.
"""

import dataclasses
from dataclasses import dataclass

from lenet_multi.backends import private
from lenet_multi.config import TrainConfig
from lenet_multi.errors import UserError, unknown
from lenet_multi.machine import measured
from lenet_multi.machine.keras_start import CPU, GPU, device

STOCK = "stock"  # as Keras's layers compute by themselves
POOL_FIRST, CHANNELS_FIRST = "pool-first", "channels-first"
TILES = "tiles"
WINOGRAD, WINOGRAD_CHANNELS_FIRST = "winograd", "winograd-channels-first"
FORMS = (STOCK, POOL_FIRST, CHANNELS_FIRST, TILES, WINOGRAD, WINOGRAD_CHANNELS_FIRST)

# Winograd's way takes half the multiplications of a convolution. XLA computes the first layer as
# a product too, for its convolutions are slow; PyTorch has a kernel for that, and one for pooling.
FASTEST_FORM = {
    CPU: {"tensorflow": WINOGRAD, "jax": WINOGRAD, "torch": WINOGRAD_CHANNELS_FIRST},
    # Its multiplications cost nothing beside starting them: the fewest operations win.
    GPU: {"tensorflow": POOL_FIRST, "jax": POOL_FIRST, "torch": CHANNELS_FIRST},
}

# Where products of bfloat16 numbers are faster than float32's (see `machine.measured`): not on
# each processor that has instructions for them. Elsewhere float32's forms, in float32, are.
FASTEST_FORM_IN_BFLOAT16 = {
    CPU: {
        "tensorflow": POOL_FIRST,  # its convolutions are fast as they are
        "jax": WINOGRAD,  # in float32, for XLA's convolutions and products of bfloat16 are slow
        "torch": CHANNELS_FIRST,  # saves the copies that Keras makes of channels-last images
    },
    GPU: FASTEST_FORM[GPU],
}

FASTEST_FORM_TO_ANSWER = {
    # Without a gradient even XLA's convolutions are quick.
    CPU: {"tensorflow": POOL_FIRST, "jax": STOCK, "torch": CHANNELS_FIRST},
    GPU: FASTEST_FORM[GPU],
}

# Keras and the hand-over of batches take a millisecond between two executions, which so many steps
# hide. More images would keep Ctrl-C waiting: on a CPU these take a quarter of a second.
STEPS_PER_EXECUTION = {CPU: 25, GPU: 10}
IMAGES_PER_EXECUTION = 3_200


@dataclass(frozen=True)
class Execution:
    """How a model is computed: its form, by XLA or not, and how often it returns to Python.

    `answer_form` is that of validation, evaluation and prediction. `jit_compile` is Keras's: XLA
    compiles everything. `steps_per_execution` is the number of steps between two returns;
    `xla_loops` says whether XLA compiles them as one (see `backends.jax`), `keep_freed_memory`
    whether malloc keeps what a step gives back (see `machine.allocator`). `why_stock` is the reason
    why stock Keras trains, where it has to.
    """

    form: str
    answer_form: str
    jit_compile: bool
    steps_per_execution: int
    xla_loops: bool
    keep_freed_memory: bool
    why_stock: str | None = None


def forms_of(backend: str) -> tuple[str, ...]:
    """Return the forms that `backend` can compute."""
    # TensorFlow convolves channels-first images on no CPU.
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
    """Return the fastest execution on `backend`, of `form` where given, for a model that fits it.

    Without `answer_form` that is also the form in which the model predicts. `batch_size` is that of
    training, and `device` what the backend computes on. For mixed_bfloat16 it goes by what was
    measured on this machine (see `machine.measured`).

    Raises `UserError` when the backend cannot compute that form.
    """
    for wanted in (form, answer_form):
        if wanted is not None:
            _check(wanted, backend)
    if form is not None:
        answer_form = answer_form or form
    elif dtype_policy == "mixed_bfloat16":
        pays = measured.bfloat16_pays(backend)
        fastest = FASTEST_FORM_IN_BFLOAT16 if pays else FASTEST_FORM
        form = answer_form = fastest[device][backend]
    else:
        form, answer_form = FASTEST_FORM[device][backend], FASTEST_FORM_TO_ANSWER[device][backend]
    return Execution(
        form,
        answer_form,
        # On TensorFlow XLA pays in training alone; torch.compile gains nothing.
        jit_compile=backend == "jax",
        steps_per_execution=_steps_per_execution(backend, batch_size, device),
        xla_loops=backend != "torch",
        # Worth a tenth to XLA, a third in larger batches; to PyTorch nothing to a third, by luck.
        keep_freed_memory=device == CPU,
    )


def here(
    form: str | None = None,
    answer_form: str | None = None,
    *,
    batch_size: int = TrainConfig.batch_size,
    dtype_policy: str = "float32",
) -> Execution:
    """Return the fastest execution on what Keras, once started, computes on; see `execution`."""
    import keras

    backend = keras.backend.backend()
    why_stock = private.why_not(backend)
    how = execution(
        backend,
        STOCK if why_stock else form,
        STOCK if why_stock else answer_form,
        batch_size=batch_size,
        dtype_policy=dtype_policy,
        device=device(),
    )
    return dataclasses.replace(how, xla_loops=False, why_stock=why_stock) if why_stock else how


def _steps_per_execution(backend: str, batch_size: int, device: str) -> int:
    if backend == "torch":  # Keras refuses more
        return 1
    most = STEPS_PER_EXECUTION[device]
    return most if device == GPU else min(most, max(1, IMAGES_PER_EXECUTION // batch_size))


def _check(form: str, backend: str) -> None:
    if form not in FORMS:
        raise UserError(unknown("--form", form, FORMS))
    if form not in forms_of(backend):
        raise UserError(
            f"--form {form}: {backend} cannot compute it; use {', '.join(forms_of(backend))}"
        )
