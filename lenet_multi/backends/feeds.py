"""Where each backend takes its batches from."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras.src.trainers.data_adapters.data_adapter import DataAdapter  # `fit` takes one
from numpy.typing import NDArray

from lenet_multi.data.batches import Batches
from lenet_multi.machine import keras_start
from lenet_multi.machine.keras_start import GPU

Feed = Any  # what Keras's `fit` takes
Tensor = Any


def feed(batches: Batches) -> Feed:
    """Return `batches` as Keras takes them fastest: the same bits in their order.

    JAX takes them from Python as they are. Keras hands TensorFlow each batch through a queue
    between threads, and an epoch takes a quarter longer; here TensorFlow makes them. PyTorch's
    loader keeps accounts of each batch, which costs it a twentieth; it gets a plain one. On a GPU
    JAX and PyTorch make them there, of all pixels, which are sent once and as bytes.
    """
    on_gpu = keras_start.device() == GPU
    match keras.backend.backend():
        case "tensorflow":
            return _by_tensorflow(batches)
        case "torch":
            return _by_torch(batches, _on_gpu_by_torch(batches) if on_gpu else _tensors(batches))
        case _:
            return _OnGpuByJax(batches) if on_gpu else batches


def feed_bytes(batches: Batches) -> Feed:
    """Return `batches` for steps that scale them (see `xla_steps`), on TensorFlow and JAX.

    They come from Python, without a queue between; on a GPU JAX makes and scales them there.
    """
    if keras.backend.backend() == "jax" and keras_start.device() == GPU:
        return _OnGpuByJax(batches)
    return _Bytes(batches)


class _Bytes(DataAdapter):  # type: ignore[misc]  # Keras carries no types
    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    @property
    def num_batches(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[NDArray[np.generic], ...]]:
        for pixels, labels in self.batches.stored():
            yield from zip(pixels, labels, strict=True)

    def get_tf_dataset(self) -> Feed:
        return self  # to be iterated over for each epoch

    def get_jax_iterator(self) -> Iterator[tuple[NDArray[np.generic], ...]]:
        return iter(self)


Get = Callable[[int], tuple[Tensor, ...]]
"""The batch of that index."""


def _by_torch(batches: Batches, get: Get) -> Feed:
    """Return a loader that does no more than to get each batch."""
    import torch

    class Loader(torch.utils.data.DataLoader):  # type: ignore[misc]  # torch is not read
        def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
            return map(get, range(len(batches)))

    return Loader(batches, batch_size=None)


def _tensors(batches: Batches) -> Get:
    """Return batches as PyTorch's tensors, which share their memory."""
    import torch

    return lambda index: tuple(map(torch.from_numpy, batches[index]))


def _on_gpu_by_torch(batches: Batches) -> Get:
    import torch

    device = keras.ops.zeros(()).device
    pixels, labels = (
        torch.tensor(part, device=device) for part in (batches.images.images, batches.labels)
    )

    def get(index: int) -> tuple[Tensor, ...]:
        chosen = torch.from_numpy(batches.chosen(index)).to(device, non_blocking=True)
        return batches.scaled(pixels[chosen]), labels[chosen]

    return get


class _OnGpuByJax(keras.utils.PyDataset):  # type: ignore[misc]  # Keras carries no types
    def __init__(self, batches: Batches) -> None:
        import jax

        super().__init__()
        self.batches = batches
        self.parts = jax.device_put((batches.images.images, batches.labels))

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return _taken_by_jax()(*self.parts, self.batches.chosen(index))


@functools.cache  # compiled once
def _taken_by_jax() -> Callable[..., tuple[Tensor, ...]]:
    import jax

    @jax.jit  # type: ignore[untyped-decorator]
    def taken(pixels: Tensor, labels: Tensor, chosen: Tensor) -> Feed:
        return Batches.scaled(pixels[chosen]), labels[chosen]

    return taken  # type: ignore[no-any-return]


def _by_tensorflow(batches: Batches) -> Feed:
    """Return a pipeline that takes pixels from Python, some batches at a time, and scales them.

    No image is held twice: only what is under way is copied.
    """
    import tensorflow as tf

    images, labels = batches.images.images, batches.labels

    def one_by_one(pixels: Tensor, wanted: Tensor) -> Feed:
        return tf.data.Dataset.from_tensor_slices((pixels, wanted))

    def scale(pixels: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        return batches.scaled(pixels), wanted

    signature = (
        tf.TensorSpec((None, None, *images.shape[1:]), images.dtype),
        tf.TensorSpec((None, None, *labels.shape[1:]), labels.dtype),
    )
    pipeline = tf.data.Dataset.from_generator(batches.stored, output_signature=signature)
    pipeline = pipeline.flat_map(one_by_one).map(scale).prefetch(2)
    pipeline = pipeline.apply(tf.data.experimental.assert_cardinality(len(batches)))
    options = tf.data.Options()
    # Left on, the tuner's clean-up at an epoch's end can sleep as long again as the epoch took
    # (TensorFlow 2.21; in stock `fit` too).
    options.autotune.enabled = False
    options.threading.private_threadpool_size = 1
    return pipeline.with_options(options)
