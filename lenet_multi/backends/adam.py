"""Adam in one pass over the weights, where a backend has such a kernel."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

Tensor = Any  # the backend's own
Update = tuple[Tensor, Any, Any, Any]  # a gradient; Keras's variables: weight, mean, mean square


def _torch_has_kernel(weight: Any) -> bool:
    """Return whether PyTorch's kernel is exact; on a GPU it takes the rate in float32 alone."""
    return weight.dtype == "float32" or not weight.value.is_cuda


@keras.saving.register_keras_serializable("lenet_multi")
class Adam(keras.optimizers.Adam):  # type: ignore[misc]  # Keras carries no types
    """Keras's Adam, its formula, state and name in files; faster, and rounded alike everywhere.

    As TensorFlow and PyTorch run Keras's formula, operation by operation, a step reads and writes
    every weight some ten times. Both have a kernel that does it once, three times as fast. XLA
    makes such a kernel of the formula by itself.

    The bias corrections 1 - beta^t are taken as -expm1(t log(beta)): beta^t near 1 has in float32
    an error of 6e-8, which is 6e-5 of 1 - 0.999, and another one in each backend's kernel.
    """

    def _backend_update_step(
        self, grads: Sequence[Tensor], trainable_variables: Sequence[Any], learning_rate: Tensor
    ) -> None:
        """Update `trainable_variables` in place; Keras calls this, which backends override."""
        if self.amsgrad:  # no kernel here has it
            super()._backend_update_step(grads, trainable_variables, learning_rate)
            return
        slots = [self._get_variable_index(variable) for variable in trainable_variables]
        update = {"tensorflow": self._by_tensorflow}
        if keras.backend.backend() == "torch" and _torch_has_kernel(trainable_variables[0]):
            update["torch"] = self._by_torch
        updates = [
            (gradient, weight, self._momentums[slot], self._velocities[slot])
            for gradient, weight, slot in zip(grads, trainable_variables, slots, strict=True)
        ]
        update.get(keras.backend.backend(), self._by_formula)(updates, learning_rate)

    def update(
        self, gradients: Sequence[Tensor], weights: Sequence[Any], learning_rate: Tensor
    ) -> None:
        """Take a step of Adam alone, without what Keras's `apply` can do besides, as clipping."""
        self._backend_update_step(gradients, weights, learning_rate)
        self.iterations.assign_add(1)

    def _rate(self, learning_rate: Tensor, beta_1: float, beta_2: float, dtype: str) -> Tensor:
        """Return learning_rate sqrt(1 - beta_2^t) / (1 - beta_1^t) for the present step t."""
        step = ops.cast(self.iterations + 1, dtype)

        def correction(beta: float) -> Tensor:
            return -ops.expm1(step * (math.log(beta) if beta else -math.inf))

        rate = ops.cast(learning_rate, dtype)
        return rate * ops.sqrt(correction(beta_2)) / correction(beta_1)

    def _by_formula(self, updates: Sequence[Update], learning_rate: Tensor) -> None:
        rate = self._rate(learning_rate, self.beta_1, self.beta_2, updates[0][1].dtype)
        for gradient, weight, mean, square in updates:
            mean.assign_add((gradient - mean) * (1 - self.beta_1))
            square.assign_add((ops.square(gradient) - square) * (1 - self.beta_2))
            weight.assign_sub(rate * mean / (ops.sqrt(square) + self.epsilon))

    def _by_tensorflow(self, updates: Sequence[Update], learning_rate: Tensor) -> None:
        import tensorflow as tf

        dtype = updates[0][1].dtype
        # The kernel takes 1 - beta of a beta in the weights' precision; so does the correction.
        beta_1, beta_2 = (np.dtype(dtype).type(beta) for beta in (self.beta_1, self.beta_2))
        rate = self._rate(learning_rate, float(beta_1), float(beta_2), dtype)
        for gradient, weight, mean, square in updates:
            tf.raw_ops.ResourceApplyAdam(
                var=weight.value.handle,
                m=mean.value.handle,
                v=square.value.handle,
                beta1_power=tf.zeros((), dtype),  # no correction but ours
                beta2_power=tf.zeros((), dtype),
                lr=rate,
                beta1=tf.constant(beta_1),
                beta2=tf.constant(beta_2),
                epsilon=tf.constant(self.epsilon, dtype),
                grad=gradient,
            )

    def _by_torch(self, updates: Sequence[Update], learning_rate: Tensor) -> None:
        import torch

        gradients, weights, means, squares = zip(*updates, strict=True)
        rate = self._rate(learning_rate, self.beta_1, self.beta_2, updates[0][1].dtype)
        with torch.no_grad():
            torch._fused_adam_(
                [weight.value for weight in weights],
                # The kernel walks all tensors' memory in one order, whatever their strides; a
                # convolution's gradient comes in another than its weights.
                [gradient.contiguous() for gradient in gradients],
                [mean.value for mean in means],
                [square.value for square in squares],
                [],
                [torch.full_like(rate, torch.inf)] * len(weights),  # no correction but ours
                lr=rate,
                beta1=self.beta_1,
                beta2=self.beta_2,
                weight_decay=0.0,
                eps=self.epsilon,
                amsgrad=False,
                maximize=False,
            )
