"""Keep Keras in float64: where Keras silently rounds to float32, and public ways around it.

With `floatx` float64 every variable says float64, but Keras 3.15.1 rounds to float32 here:

1. `keras.backend.result_type("float64", "float64")` is "float32" on JAX and PyTorch
   (`keras/src/backend/common/dtypes.py`, `BIT64_TO_BIT32_DTYPE`). On PyTorch `keras.ops.matmul`,
   and so every Dense layer, casts its arguments to it. `keras.ops.einsum` does not: `EinsumDense`
   is the same layer with the same weights.
2. For the same reason `keras.ops.divide_no_nan` is float32 on PyTorch. It computes the mean over
   the batch in every loss, and the result of every metric. Sum and divide instead.
3. On TensorFlow `keras.ops.cast(0.999, "float64")` is 0.9990000129: `tf.cast` first turns a Python
   float into a float32 tensor (`keras/src/backend/tensorflow/core.py`, `cast`). This rounds Adam's
   betas and SGD's momentum. It does not round a NumPy float64.

Nothing here mends two others. A learning rate schedule: its cosine is float32 on JAX (cause 1),
the rate itself on TensorFlow (cause 3). `keras.ops.mean`, and so mean squared error: float32 on
JAX and PyTorch (cause 1). `tests/parity/test_float64.py` shows each.
"""

from typing import Any

import keras
import numpy as np

# What the built-in networks showed to be exact in float64 on every backend; all else is unproven.
_PROVEN_LAYERS = {"InputLayer", "EinsumDense", "Conv2D", "MaxPooling2D", "Flatten"}
_PROVEN_ACTIVATIONS = {"linear", "relu", "softmax"}


def unproven(model: keras.Model) -> list[str]:
    """Return the layers and activations of `model` that Keras may compute in float32."""
    layers = {type(layer).__name__ for layer in model.layers}
    activations = [getattr(layer, "activation", None) for layer in model.layers]
    functions = {getattr(found, "__name__", "linear") for found in activations}
    return sorted((layers - _PROVEN_LAYERS) | (functions - _PROVEN_ACTIVATIONS))


def exact_model(model: keras.Model) -> keras.Model:
    """Return a copy of `model` with EinsumDense for Dense: the same function, the same weights."""
    twin = keras.models.clone_model(model, clone_function=_exact_layer)
    twin.set_weights(model.get_weights())
    return twin


def _exact_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    if not isinstance(layer, keras.layers.Dense):
        return layer.__class__.from_config(layer.get_config())
    return keras.layers.EinsumDense(
        "...i,ij->...j",
        output_shape=(layer.units,),
        activation=layer.activation,
        bias_axes="j" if layer.use_bias else None,
        name=layer.name,
    )


def make_exact(optimizer: keras.optimizers.Optimizer) -> None:
    """Replace the Python floats in the settings of `optimizer` by NumPy's, in place."""
    for name in optimizer.get_config():
        if type(value := getattr(optimizer, name, None)) is float:
            setattr(optimizer, name, np.float64(value))


@keras.saving.register_keras_serializable("lenet_multi")
class ExactMean(keras.losses.Loss):  # type: ignore[misc]  # Keras carries no types
    """The mean of another loss over the batch, divided in full precision."""

    def __init__(self, loss: Any) -> None:
        """Take a loss, its name or its configuration."""
        super().__init__()
        self.loss = keras.losses.get(loss)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Return the mean over the batch, a scalar."""
        losses = getattr(self.loss, "call", self.loss)(y_true, y_pred)  # a name gives a function
        return keras.ops.sum(losses) / keras.ops.cast(keras.ops.shape(losses)[0], losses.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs."""
        return {"loss": keras.saving.serialize_keras_object(self.loss)}
