"""Which known divergences of Keras's backends a model will meet; FINDINGS.md explains each."""

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

PAGE = "lenet_multi/parity/FINDINGS.md"

SEEDS = "seeds"  # the anchor of random numbers, which the ladder draws itself

_ALL = ("tensorflow", "jax", "torch")

# These add the rows of a repeated token up, whatever they do with the sum.
_LINEAR_OPTIMIZERS = {"sgd", "lion"}
_CLIPPING = ("clipnorm", "global_clipnorm", "clipvalue")

_OF_CLASSES = {"categoricalcrossentropy", "sparsecategoricalcrossentropy"}
_OF_YES_OR_NO = {"binarycrossentropy"}

_KINKED = {"celu", "selu", "leaky_relu"}

_AVERAGES = ("AveragePooling1D", "AveragePooling2D", "AveragePooling3D")
_TRANSPOSED = ("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose")


@dataclass(frozen=True, kw_only=True)
class Known:
    """A known divergence, and the layers of a model that meet it.

    `backends` are those that compute something else than is right; where no value is the only
    right one, all that differ. `anchor` is the finding's in FINDINGS.md.
    """

    anchor: str
    what: str
    backends: tuple[str, ...]
    size: str
    cause: str
    way_round: str
    layers: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return one line: what diverges, where, by how much, and what to do."""
        return (
            f"{self.what} ({', '.join(self.layers)}; wrong on {', '.join(self.backends)}): "
            f"{self.size}; {self.way_round}; see {PAGE}#{self.anchor}"
        )


@dataclass(frozen=True)
class _Training:
    """What a rule may ask besides the layer."""

    heads: Collection[Any]  # the layers that make the outputs
    losses: Collection[str]  # names of those that take probabilities
    adds_rows_late: bool  # the optimizer computes with a token's rows before it adds them
    precision: str
    has_masks: bool


_Rule = Callable[[Any, _Training], bool]


def known_divergences(
    model: "keras.Model",
    *,
    optimizer: Any,
    loss: Any,
    precision: str,
    backends: Collection[str],
) -> list[Known]:
    """Return the known divergences that a built `model` will meet, each with its layers' names.

    `optimizer` and `loss` are what `compile` takes: Keras's objects, functions or names, for `loss`
    also a list or a dictionary of them. `precision`: "float32" or "float64". `backends`: those
    that are compared; a divergence among others is left out. What the ladder mends in float64 by
    itself is left out too.
    """
    from lenet_multi.backends.layers import layers as layers_of

    layers = list(layers_of(model))
    training = _Training(
        _heads(model),
        set(_losses_of_probabilities(loss)),
        _adds_rows_late(optimizer),
        precision,
        any(_is(layer, "Masking") or getattr(layer, "mask_zero", False) for layer in layers),
    )
    found = []
    for known, rule in _TABLE:
        names = tuple(dict.fromkeys(layer.name for layer in layers if rule(layer, training)))
        wrong = tuple(backend for backend in known.backends if backend in backends)
        # One backend alone shows no difference, but an exception it does show.
        if names and wrong and (len(backends) > 1 or known.size == _FAILS):
            found.append(dataclasses.replace(known, backends=wrong, layers=names))
    return found


def _heads(model: Any) -> list[Any]:
    """Return the layers that make the outputs; all layers of a model that does not tell."""
    from lenet_multi.backends.layers import layers as layers_of

    if _is(model, "Sequential"):
        heads = model.layers[-1:]
    elif names := getattr(model, "output_names", None):
        heads = [layer for layer in model.layers if layer.name in names]
    else:
        return list(layers_of(model))
    inside = (_heads(head) if hasattr(head, "layers") else [head] for head in heads)
    return [getattr(head, "layer", head) for part in inside for head in part]  # of a wrapper


def _losses_of_probabilities(loss: Any) -> Iterator[str]:
    """Yield the names, lower case, of losses that do not take logits."""
    if isinstance(loss, Mapping):
        loss = list(loss.values())
    if isinstance(loss, list | tuple):
        for one in loss:
            yield from _losses_of_probabilities(one)
    elif loss is not None and not getattr(loss, "from_logits", False):
        name = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
        yield name.replace("_", "").lower()


def _adds_rows_late(optimizer: Any) -> bool:
    if isinstance(optimizer, str):
        return optimizer.lower() not in _LINEAR_OPTIMIZERS
    if optimizer is None or any(getattr(optimizer, name, None) for name in _CLIPPING):
        return optimizer is not None
    ours = type(optimizer).__module__.startswith("lenet_multi.")
    return not ours and type(optimizer).__name__.lower() not in _LINEAR_OPTIMIZERS


def _is(layer: Any, *names: str) -> bool:
    """Return whether `layer` is one of Keras's classes `names`, or inherits from it."""
    classes = type(layer).__mro__
    return any(one.__name__ in names and one.__module__.startswith("keras.") for one in classes)


def _activation(layer: Any) -> str:
    if _is(layer, "Softmax", "LeakyReLU"):
        return {"Softmax": "softmax"}.get(type(layer).__name__, "leaky_relu")
    return str(getattr(getattr(layer, "activation", None), "__name__", ""))


def _has_head(layer: Any, training: _Training) -> bool:
    losses = {"softmax": _OF_CLASSES, "sigmoid": _OF_YES_OR_NO}.get(_activation(layer), set())
    return bool(losses & set(training.losses)) and any(layer is head for head in training.heads)


def _interpolates(layer: Any, *ways: str) -> bool:
    return str(getattr(layer, "interpolation", "")) in ways


def _pads_unevenly(layer: Any, training: _Training) -> bool:
    """Return whether an average pooling may need another padding on the left than on the right."""
    if not _is(layer, *_AVERAGES) or layer.padding != "same":
        return False
    pairs = set(zip(_sizes(layer.pool_size), _sizes(layer.strides), strict=False))
    # A window of two repeats its only value; a stride of one pads oddly sized windows evenly.
    return any(pair != (2, 2) and not (pair[1] == 1 and pair[0] % 2) for pair in pairs)


def _sizes(value: Any) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value)


def _draws(layer: Any, training: _Training) -> bool:
    """Return whether a layer draws random numbers: it has a generator and something to drop."""
    rates = ("rate", "dropout", "recurrent_dropout", "stddev")
    given = [getattr(layer, name) for name in rates if hasattr(layer, name)]
    has_generator = any(type(value).__name__ == "SeedGenerator" for value in vars(layer).values())
    return has_generator and (not given or any(given))


def _cannot_transpose(layer: Any, training: _Training) -> bool:
    if not _is(layer, *_TRANSPOSED) or layer.padding != "same":
        return False
    padding = layer.output_padding
    if padding is None:
        return False
    pairs = zip(_sizes(layer.kernel_size), _sizes(padding), strict=False)
    return any(size % 2 == 0 and extra == 0 for size, extra in pairs)


def _has_no_float64(layer: Any, training: _Training) -> bool:
    if training.precision != "float64":
        return False
    if _is(layer, *_TRANSPOSED):
        return max(_sizes(layer.dilation_rate)) > 1
    return _is(layer, "AveragePooling3D", "MaxPooling3D")


_FAILS = "an exception"

_TABLE: tuple[tuple[Known, _Rule], ...] = (
    (
        Known(
            anchor="probabilities",
            what="softmax or sigmoid head with cross-entropy",
            backends=("jax", "torch"),
            size="no gradient for a confident wrong answer (probability below 1e-7)",
            cause="TensorFlow takes the logits, the others clip the probability",
            way_round="leave the activation out and give the loss from_logits=True",
        ),
        _has_head,
    ),
    (
        Known(
            anchor="embedding",
            what="Embedding with an adaptive or clipping optimizer",
            backends=("tensorflow",),
            size="second moment a third of the right one where a batch has a token three times",
            cause="Keras squares the rows of a repeated token before it adds them",
            way_round="use SGD, this project's Adam, or another backend",
        ),
        lambda layer, training: training.adds_rows_late and _is(layer, "Embedding"),
    ),
    (
        Known(
            anchor="average-pooling",
            what='average pooling with padding "same"',
            backends=("torch",),
            size="up to half of the largest output, where the padding is uneven",
            cause="Keras repeats the border and counts it",
            way_round="choose sizes that need no padding",
        ),
        _pads_unevenly,
    ),
    (
        Known(
            anchor="bicubic",
            what="bicubic resizing",
            backends=("torch", "tensorflow"),
            size="0.1 of the largest output on torch, 7e-4 on tensorflow",
            cause="PyTorch's cubic has A = -0.75, TensorFlow's comes from a table",
            way_round='use "bilinear"',
        ),
        lambda layer, training: _interpolates(layer, "bicubic"),
    ),
    (
        Known(
            anchor="lanczos",
            what="Lanczos resizing",
            backends=("torch",),
            size=_FAILS,
            cause="Keras does not have it on PyTorch",
            way_round='use "bilinear"',
        ),
        lambda layer, training: _interpolates(layer, "lanczos3", "lanczos5"),
    ),
    (
        Known(
            anchor="large-means",
            what="batch or group normalisation",
            backends=("torch",),
            size="2e-3 after inputs with a mean of 100 deviations; nothing for small means",
            cause="the variance is E[x²] - E[x]²",
            way_round="centre the inputs",
        ),
        lambda layer, training: _is(layer, "BatchNormalization", "GroupNormalization"),
    ),
    (
        Known(
            anchor="masked-attention",
            what="attention over masked sequences",
            backends=("torch",),
            size="a gradient where there is none, in sequences of padding alone",
            cause="Keras adds a large negative number instead of replacing the score",
            way_round="leave out sequences of padding alone",
        ),
        lambda layer, training: (
            training.has_masks and _is(layer, "MultiHeadAttention", "GroupedQueryAttention")
        ),
    ),
    (
        Known(
            anchor="kinks",
            what="celu, selu or leaky ReLU",
            backends=_ALL,
            size="the gradient at exactly zero, by a factor of 1.7 to 5",
            cause="each backend counts zero to another side",
            way_round="draw initial biases that are not zero",
        ),
        lambda layer, training: _activation(layer) in _KINKED,
    ),
    (
        Known(
            anchor="transposed-convolution",
            what="transposed convolution with an even kernel and output_padding=0",
            backends=("tensorflow",),
            size=_FAILS,
            cause='"same" has no such width in TensorFlow',
            way_round="leave output_padding at None",
        ),
        _cannot_transpose,
    ),
    (
        Known(
            anchor=SEEDS,
            what="dropout or other randomness",
            backends=_ALL,
            size="other numbers from the same seed",
            cause="each backend has a generator of its own",
            way_round="compare with the ladder's masks, or at rate 0",
        ),
        _draws,
    ),
    (
        Known(
            anchor="float64-cast",
            what="leaky ReLU in float64",
            backends=("tensorflow",),
            size="1e-8",
            cause="the slope is a float32 attribute of TensorFlow's operation",
            way_round="use PReLU with a constant slope",
        ),
        lambda layer, training: (
            training.precision == "float64" and _activation(layer) == "leaky_relu"
        ),
    ),
    (
        Known(
            anchor="float64-resizing",
            what="resizing in float64",
            backends=("tensorflow",),
            size="1e-7 to 6e-7",
            cause="TensorFlow's operation returns float32",
            way_round='use "nearest"',
        ),
        lambda layer, training: (
            training.precision == "float64" and _interpolates(layer, "bilinear", "bicubic")
        ),
    ),
    (
        Known(
            anchor="float64-kernels",
            what="3D pooling or dilated transposed convolution in float64",
            backends=("tensorflow",),
            size=_FAILS,
            cause="TensorFlow has no such kernel",
            way_round="compare in float32",
        ),
        _has_no_float64,
    ),
)

KNOWN = tuple(known for known, _ in _TABLE)
