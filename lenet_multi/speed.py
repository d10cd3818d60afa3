"""How each backend computes the same training fast: measured facts that change no result.

The measurements are in `benchmarks/README.md`; `lenet_multi.forms` explains the forms.
"""

from dataclasses import dataclass

from lenet_multi.errors import UserError, unknown

STOCK = "stock"  # as Keras's layers compute by themselves
POOL_FIRST, CHANNELS_FIRST, TILES = "pool-first", "channels-first", "tiles"
FORMS = (STOCK, POOL_FIRST, CHANNELS_FIRST, TILES)

FASTEST_FORM = {
    "tensorflow": POOL_FIRST,  # its convolutions are fast as they are
    "jax": TILES,  # XLA's matrix product is four times as fast as its convolutions
    "torch": CHANNELS_FIRST,  # saves the copies that Keras makes of channels-last images
}


@dataclass(frozen=True)
class Execution:
    """How a model is computed: its form, by XLA or not, and how often it returns to Python.

    `steps_per_execution` is the number of steps between two returns; `keep_freed_memory` says
    whether malloc keeps what a step gives back (see `allocator`).
    """

    form: str
    jit_compile: bool
    steps_per_execution: int
    keep_freed_memory: bool


def forms_of(backend: str) -> tuple[str, ...]:
    """Return the forms that `backend` can compute."""
    # TensorFlow convolves channels-first images on no CPU.
    return tuple(form for form in FORMS if (backend, form) != ("tensorflow", CHANNELS_FIRST))


def execution(backend: str, form: str | None = None) -> Execution:
    """Return the fastest execution on `backend`, of `form` where given.

    Raises `UserError` when the backend cannot compute that form.
    """
    form = form or FASTEST_FORM[backend]
    if form not in FORMS:
        raise UserError(unknown("--form", form, FORMS))
    if form not in forms_of(backend):
        raise UserError(
            f"--form {form}: {backend} cannot compute it; use {', '.join(forms_of(backend))}"
        )
    return Execution(
        form,
        # XLA halves TensorFlow's speed in every form but one; torch.compile gains nothing.
        jit_compile=backend == "jax" or (backend, form) == ("tensorflow", TILES),
        # A real loop on TensorFlow, worth 15 %; on JAX a loop in Python; refused by PyTorch.
        steps_per_execution=10 if backend == "tensorflow" else 1,
        # Worth a tenth to JAX, a third in larger batches; to PyTorch nothing to a third, by luck.
        keep_freed_memory=backend != "tensorflow",
    )
