"""Every private name of Keras and the frameworks that we use; no other file uses one.

Each name is looked up before training. If a version lacks one, stock Keras trains the model, and
the run reports the name.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pkgutil import resolve_name
from typing import Any

Tensor = Any  # the backend's own

# Takes "module:name"; raises `ImportError` or `AttributeError` where this version has no such name.
find = resolve_name

DATA_ADAPTER = "keras.src.trainers.data_adapters.data_adapter:DataAdapter"  # `fit` takes one
VARIABLE_INDEX = "keras.optimizers:Optimizer._get_variable_index"
SCHEDULE = "keras.optimizers:Optimizer._learning_rate"  # of an instance
MAKE_FX = "torch.fx.experimental.proxy_tensor:make_fx"
SPLIT_CONSTANTS = "torch.fx.experimental.const_fold:split_const_subgraphs"
FUSED_ADAM = "torch:_fused_adam_"
ONEDNN_PRODUCT = "torch:ops.mkldnn._linear_pointwise"
CHANGES = "torch:Tensor._version"
SCHEMA = "torch:ops.aten.add.Tensor._schema"

# For the ladder alone: where Keras leaves float64, draws random numbers, and passes masks.
PROMOTION = "keras.src.backend.common.dtypes:BIT64_TO_BIT32_DTYPE"
TENSORFLOW_CAST = "tensorflow.python.ops.math_ops:cast"
ATTENTION = "keras.src.backend:nn.dot_product_attention"
RANDOM = {name: f"keras.src.backend:random.{name}" for name in ("dropout", "uniform", "normal")}
DRAW_SEED = "keras.src.random.seed_generator:draw_seed"
MASK_OF = "keras.src.backend.common.masking:get_keras_mask"
SET_MASK = "keras.src.backend.common.masking:set_keras_mask"

# For several devices.
SYMBOLIC_BUILD = "keras:Model._maybe_symbolic_build"
REDUCE = "keras.src.backend.tensorflow.trainer:reduce_per_replica"
OF_DEVICES = {
    "tensorflow": (*RANDOM.values(), SYMBOLIC_BUILD, DATA_ADAPTER, REDUCE),
    "jax": (),
    "torch": tuple(RANDOM.values()),
}

NAMES = {
    "tensorflow": (DATA_ADAPTER, VARIABLE_INDEX, SCHEDULE),
    "jax": (DATA_ADAPTER, VARIABLE_INDEX, SCHEDULE),
    "torch": (VARIABLE_INDEX, SCHEDULE, MAKE_FX, SPLIT_CONSTANTS, FUSED_ADAM, CHANGES, SCHEMA),
}


def why_not(backend: str, *, devices: bool = False) -> str | None:
    """Return why `backend` cannot train in a fast way, the first missing name; else None.

    With `devices`, why it cannot train on several.
    """
    for name in (OF_DEVICES if devices else NAMES)[backend]:
        try:
            if name == SCHEDULE:
                schedule(find("keras.optimizers:SGD")())
            else:
                find(name)
        except (ImportError, AttributeError):
            return f"this version has no {name.replace(':', '.')}"
    return None


@contextmanager
def replaced(name: str, other: Any) -> Iterator[bool]:
    """Put `other` in the place of `name` in the block; yield False where there is no such name."""
    place, _, attribute = name.replace(":", ".").rpartition(".")
    try:
        owner, known = find(place), find(name)
    except (ImportError, AttributeError):
        yield False
        return
    setattr(owner, attribute, other)
    try:
        yield True
    finally:
        setattr(owner, attribute, known)


def schedule(optimizer: Any) -> Any:
    """Return the learning rate that a Keras optimizer was given: a schedule, or a variable."""
    return optimizer._learning_rate


def variable_index(optimizer: Any, variable: Any) -> int:
    """Return the index of `variable` among those that a Keras optimizer was built with."""
    return int(optimizer._get_variable_index(variable))


def changes(tensor: Tensor) -> int:
    """Return how often PyTorch changed a tensor in place."""
    return int(tensor._version)


def schema_of(operation: Any) -> Any:
    """Return the schema of a PyTorch operation (what it takes and changes), else None."""
    return getattr(operation, "_schema", None)


def onednn_product() -> Callable[..., Tensor] | None:
    """Return PyTorch's operation for linear layers by oneDNN; None where it cannot be relied on.

    It computes wrongly, up to infinity, where OpenMP gives it fewer threads than PyTorch has.
    """
    import torch

    if not torch.backends.mkldnn.is_available() or _may_lack_threads(torch.get_num_threads()):
        return None
    try:
        return find(ONEDNN_PRODUCT).default  # type: ignore[no-any-return]
    except AttributeError:
        return None


def _may_lack_threads(threads: int) -> bool:
    """Return whether variables let OpenMP give an operation fewer than so many threads."""
    dynamic, limit = (os.environ.get(name, "") for name in ("OMP_DYNAMIC", "OMP_THREAD_LIMIT"))
    is_dynamic = dynamic.strip().lower() not in ("", "false", "0")
    is_limited = limit.strip().isdecimal() and int(limit) < threads
    return threads > 1 and (is_dynamic or is_limited)


@contextmanager
def tensorflow_left_out() -> Iterator[None]:
    """Hide TensorFlow from Keras in the block, unless it is imported already.

    Before it writes a configuration, Keras asks of each object whether it is TensorFlow's. For
    this it imports TensorFlow, which takes 2 s. A Keras that asks in another way still does.
    """
    try:
        tensorflow = find("keras.src.utils.module_utils:tensorflow")
    except (ImportError, AttributeError):
        yield
        return
    known = vars(tensorflow).get("_available")  # an attribute of Keras's, not of TensorFlow's
    if "tensorflow" not in sys.modules:
        tensorflow._available = False
    try:
        yield
    finally:
        tensorflow._available = known
