"""Every private name of Keras and the frameworks that the fast ways use, and its check.

No other file uses a private name of theirs. Each name is tried before training. Where one is
missing, as in another version, the model trains through stock Keras, and the run says which.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pkgutil import resolve_name
from typing import Any

Tensor = Any  # the backend's own


def find(name: str) -> Any:
    """Return what is called `name`, a module and what it holds, such as "torch:_fused_adam_".

    Raises `ImportError` or `AttributeError` when this version has no such name.
    """
    return resolve_name(name)


DATA_ADAPTER = "keras.src.trainers.data_adapters.data_adapter:DataAdapter"  # `fit` takes one
VARIABLE_INDEX = "keras.optimizers:Optimizer._get_variable_index"
SCHEDULE = "keras.optimizers:Optimizer._learning_rate"  # of an instance
MAKE_FX = "torch.fx.experimental.proxy_tensor:make_fx"
SPLIT_CONSTANTS = "torch.fx.experimental.const_fold:split_const_subgraphs"
FUSED_ADAM = "torch:_fused_adam_"
ONEDNN_PRODUCT = "torch:ops.mkldnn._linear_pointwise"
CHANGES = "torch:Tensor._version"
SCHEMA = "torch:ops.aten.add.Tensor._schema"

NAMES = {
    "tensorflow": (DATA_ADAPTER, VARIABLE_INDEX),
    "jax": (DATA_ADAPTER, VARIABLE_INDEX),
    "torch": (VARIABLE_INDEX, SCHEDULE, MAKE_FX, SPLIT_CONSTANTS, FUSED_ADAM, CHANGES, SCHEMA),
}


def why_not(backend: str) -> str | None:
    """Return why `backend` cannot train in a fast way: the first name that is missing, if any."""
    for name in NAMES[backend]:
        try:
            if name == SCHEDULE:
                schedule(find("keras.optimizers:SGD")())
            else:
                find(name)
        except (ImportError, AttributeError):
            return f"this version has no {name.replace(':', '.')}"
    return None


def schedule(optimizer: Any) -> Any:
    """Return the learning rate of a Keras optimizer as it was given: a schedule, or a variable."""
    return optimizer._learning_rate


def variable_index(optimizer: Any, variable: Any) -> int:
    """Return the place of `variable` among those that a Keras optimizer was built with."""
    index: int = optimizer._get_variable_index(variable)
    return index


def changes(tensor: Tensor) -> int:
    """Return PyTorch's count of a tensor's changes in place."""
    count: int = tensor._version
    return count


def schema_of(operation: Any) -> Any:
    """Return what an operation of PyTorch takes and changes; None for a function of Python's."""
    return getattr(operation, "_schema", None)


def onednn_product() -> Callable[..., Tensor] | None:
    """Return PyTorch's own operation for linear layers by oneDNN, None where it lacks oneDNN."""
    import torch

    if not torch.backends.mkldnn.is_available():
        return None
    try:
        return find(ONEDNN_PRODUCT).default  # type: ignore[no-any-return]
    except AttributeError:
        return None


@contextmanager
def tensorflow_left_out() -> Iterator[None]:
    """Let Keras take TensorFlow for not installed in the block, unless it is imported already.

    Keras asks of each object whether it is TensorFlow's before it writes a configuration. The
    import takes 2 s. Where Keras asks in another way, it imports TensorFlow.
    """
    try:
        tensorflow = find("keras.src.utils.module_utils:tensorflow")
    except (ImportError, AttributeError):
        yield
        return
    known = vars(tensorflow).get("_available")  # of itself, not of TensorFlow
    if "tensorflow" not in sys.modules:
        tensorflow._available = False
    try:
        yield
    finally:
        tensorflow._available = known
