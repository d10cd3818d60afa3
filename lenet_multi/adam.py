"""Adam in one pass over the weights, where a backend has such a kernel."""

from collections.abc import Sequence
from typing import Any

import keras

Tensor = Any  # the backend's own


@keras.saving.register_keras_serializable("lenet_multi")
class Adam(keras.optimizers.Adam):  # type: ignore[misc]  # Keras carries no types
    """Keras's Adam: its formula, its state and its name in files, in fewer passes over memory.

    As TensorFlow and PyTorch run Keras's formula, operation by operation, a step reads and writes
    every weight some ten times. Both have a kernel that does it once, three times as fast. XLA
    makes such a kernel of the formula by itself, so that JAX keeps Keras's.
    """

    def _backend_update_step(
        self, grads: Sequence[Tensor], trainable_variables: Sequence[Any], learning_rate: Tensor
    ) -> None:
        """Update `trainable_variables` in place; Keras calls this, which backends override."""
        slots = [self._get_variable_index(variable) for variable in trainable_variables]
        arguments = (
            list(grads),
            [variable.value for variable in trainable_variables],
            [self._momentums[slot].value for slot in slots],
            [self._velocities[slot].value for slot in slots],
            learning_rate,
        )
        match keras.backend.backend():
            case "tensorflow":
                self._update_by_tensorflow(*arguments)
            case "torch":
                self._update_by_torch(*arguments)
            case _:
                super()._backend_update_step(grads, trainable_variables, learning_rate)

    def _update_by_tensorflow(
        self,
        gradients: list[Tensor],
        weights: list[Tensor],
        means: list[Tensor],
        squares: list[Tensor],
        learning_rate: Tensor,
    ) -> None:
        import tensorflow as tf

        dtype = weights[0].dtype
        # A Python float would be rounded to float32 on its way to float64 (see `parity.float64`).
        beta_1, beta_2, epsilon = (
            tf.constant(value, dtype) for value in (self.beta_1, self.beta_2, self.epsilon)
        )
        step = tf.cast(self.iterations.value + 1, dtype)
        for gradient, weight, mean, square in zip(gradients, weights, means, squares, strict=True):
            tf.raw_ops.ResourceApplyAdam(
                var=weight.handle,
                m=mean.handle,
                v=square.handle,
                beta1_power=beta_1**step,
                beta2_power=beta_2**step,
                lr=tf.cast(learning_rate, dtype),
                beta1=beta_1,
                beta2=beta_2,
                epsilon=epsilon,
                grad=gradient,
            )

    def _update_by_torch(
        self,
        gradients: list[Tensor],
        weights: list[Tensor],
        means: list[Tensor],
        squares: list[Tensor],
        learning_rate: Tensor,
    ) -> None:
        import torch

        step = int(self.iterations.value) + 1
        # PyTorch divides by sqrt(v / (1 - beta_2^t)) + epsilon, Keras corrects after adding it to
        # sqrt(v): the same with this epsilon.
        epsilon = self.epsilon / (1 - self.beta_2**step) ** 0.5
        with torch.no_grad():
            torch._fused_adam_(
                weights,
                # The kernel walks all tensors' memory in one order, whatever their strides; a
                # convolution's gradient comes in another than its weights.
                [gradient.contiguous() for gradient in gradients],
                means,
                squares,
                [],
                [torch.tensor(float(step))] * len(weights),
                lr=float(learning_rate),
                beta1=self.beta_1,
                beta2=self.beta_2,
                weight_decay=0.0,
                eps=epsilon,
                amsgrad=False,
                maximize=False,
            )
