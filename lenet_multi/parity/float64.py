"""Keep Keras in float64: mend the places where it silently rounds to float32.

With `floatx` float64 every variable says float64, but Keras 3.15.1 rounds to float32 here:

1. `keras.backend.result_type("float64", "float64")` is "float32" on JAX and PyTorch
   (`keras/src/backend/common/dtypes.py`, `BIT64_TO_BIT32_DTYPE`). So `keras.ops.matmul` and every
   Dense layer are float32 on PyTorch; means, losses, normalisations on both; tanh, LSTM on JAX.
2. On TensorFlow `tf.cast` first turns a Python float into a float32 tensor. This rounds Adam's
   betas, SGD's momentum, the scale of attention and the constants of gelu.
3. `jax.nn.dot_product_attention` takes its softmax in float32.

`exact` mends all three, only in the process of a climber. It does not mend others, which the
ladder finds and names: on TensorFlow resizing, LeakyReLU, LogCosh and learning rate schedules.
`FINDINGS.md` has a program for each.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import numpy as np

from lenet_multi.backends import private

Tensor = Any  # the backend's own


@contextmanager
def exact() -> Iterator[list[str]]:
    """Keep Keras in float64 in the block; yield the private names that this version lacks."""
    backend = keras.backend.backend()
    with ExitStack() as stack:
        lacking = [] if _promote(stack) else [private.PROMOTION]
        mended = {"tensorflow": _mend_cast, "jax": _mend_attention}.get(backend)
        yield lacking + (mended(stack) if mended else [])


def _promote(stack: ExitStack) -> bool:
    try:
        table = private.find(private.PROMOTION)
    except (ImportError, AttributeError):
        return False
    known = table["float64"]
    table["float64"] = "float64"
    stack.callback(table.__setitem__, "float64", known)
    return True


def _mend_cast(stack: ExitStack) -> list[str]:
    try:
        cast = private.find(private.TENSORFLOW_CAST)
    except (ImportError, AttributeError):
        return [private.TENSORFLOW_CAST]

    def exact_cast(x: Any, dtype: Any, name: str | None = None) -> Tensor:
        return cast(np.float64(x) if isinstance(x, float) else x, dtype, name=name)

    for name in (private.TENSORFLOW_CAST, "tensorflow:cast"):
        stack.enter_context(private.replaced(name, exact_cast))
    return []


def _mend_attention(stack: ExitStack) -> list[str]:
    known = stack.enter_context(private.replaced(private.ATTENTION, _attention))
    return [] if known else [private.ATTENTION]


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor = None,
    mask: Tensor = None,
    scale: float | None = None,
    is_causal: bool = False,
    flash_attention: bool | None = None,
    attn_logits_soft_cap: float | None = None,
) -> Tensor:
    """Return attention in the dtype of its inputs: (N, T, heads, dim) for queries (N, T, ...).

    Vaswani and others (2017), equation 1. The arguments are those of Keras's function.
    """
    import jax
    from jax import numpy as jnp

    groups = query.shape[2] // key.shape[2]
    key, value = (jnp.repeat(tensor, groups, axis=2) for tensor in (key, value))
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    logits = jnp.einsum("BTNH,BSNH->BNTS", query, key) * scale
    if attn_logits_soft_cap is not None:
        logits = attn_logits_soft_cap * jnp.tanh(logits / attn_logits_soft_cap)
    if bias is not None:
        logits = logits + bias
    if is_causal:
        causal = jnp.tril(jnp.ones(logits.shape[-2:], bool))
        mask = causal if mask is None else mask & causal
    if mask is not None:
        logits = jnp.where(mask, logits, -0.7 * jnp.finfo(logits.dtype).max)
    return jnp.einsum("BNTS,BSNH->BTNH", jax.nn.softmax(logits), value)
