"""A training step on PyTorch with less Python between its kernels."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from lenet_multi.recording import Computation, recorded

Tensor = Any  # the backend's own

Step = Callable[[tuple[Tensor, Tensor]], dict[str, Tensor]]


def torch_step(model: keras.Model) -> Step:
    """Return a `train_step` for `model`, which is to be compiled with one loss and its mean.

    PyTorch computes on a CPU while it is called, so that both cores wait while Keras looks after
    layers, losses, gradients and metrics by name: a seventh of its step. This does what Keras's own
    does (`keras/src/backend/torch/trainer.py`), for images (N, ...) and labels (N, ...) alone, and
    records what Keras has PyTorch compute, so that it is asked once for each shape of batch. No
    layer of `model` may keep a state of its own, as dropout and batch normalisation do.
    """
    import torch

    weights = model.trainable_weights
    find = recorded(_gradients(model))

    def train_step(batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        images, labels = (ops.convert_to_tensor(part) for part in batch[:2])
        loss, outputs, *gradients = find(images, labels, *(weight.value for weight in weights))
        with torch.no_grad():
            model.optimizer.apply(gradients, weights)
            return _count(model, labels, outputs, loss)

    return train_step


def _gradients(model: keras.Model) -> Computation:
    """Return (images, labels, *weights) to (mean loss, outputs, *gradients of the weights).

    The backward pass is within, so that a recording holds it too.
    """
    import torch

    def find(images: Tensor, labels: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        in_place = list(zip(model.trainable_weights, values, strict=True))
        with keras.StatelessScope(state_mapping=in_place):
            outputs = model(images, training=True)
            loss = model.loss.call(labels, outputs).mean()
        gradients = torch.autograd.grad(loss, values)
        return loss.detach(), outputs.detach(), *gradients

    return find


def _count(model: keras.Model, labels: Tensor, outputs: Tensor, loss: Tensor) -> dict[str, Tensor]:
    """Add a batch to the model's metrics and return their present values."""
    loss_mean, *others = model.metrics
    means = [mean for metric in others for mean in metric.metrics]
    if [mean.__class__ for mean in means] != [keras.metrics.SparseCategoricalAccuracy]:
        loss_mean.update_state(loss, sample_weight=len(labels))
        metrics: dict[str, Tensor] = model.compute_metrics(None, labels, outputs)
        return metrics
    (accuracy,) = means
    _add(loss_mean, loss * len(labels), len(labels))
    _add(accuracy, (outputs.argmax(-1) == labels).sum(), len(labels))
    return {mean.name: mean.total.value / mean.count.value for mean in (loss_mean, accuracy)}


def _add(mean: keras.metrics.Mean, total: Tensor, count: int) -> None:
    mean.total.value.add_(total)
    mean.count.value.add_(count)
