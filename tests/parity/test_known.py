"""A model is told which known divergences it will meet, and no others."""

from collections.abc import Callable
from typing import Any

import pytest

from lenet_multi.parity.known import KNOWN, Known, known_divergences
from tests.parity.findings import findings

BACKENDS = ("tensorflow", "jax", "torch")


def asked(model: Any, **change: Any) -> list[Known]:
    """Return what `known_divergences` says of `model`, of SGD and a plain loss if not told."""
    settings: dict[str, Any] = {"optimizer": "sgd", "loss": "mse", "precision": "float32"}
    return known_divergences(model, **{**settings, "backends": BACKENDS, **change})


def anchors(model: Any, **change: Any) -> dict[str, tuple[str, ...]]:
    """Return the layers that meet a divergence, by its anchor."""
    return {one.anchor: one.layers for one in asked(model, **change)}


def token_model(**settings: Any) -> Any:
    """Return a small model of tokens whose Embedding lies in a list inside a layer of its own."""
    import keras

    class Own(keras.Layer):  # type: ignore[misc]  # Keras carries no types
        def __init__(self) -> None:
            super().__init__()
            self.parts = [{"table": keras.layers.Embedding(9, 4, name="table", **settings)}]

        def call(self, x: Any) -> Any:
            return self.parts[0]["table"](x)

    inputs = keras.Input((5,), dtype="int32")
    hidden = Own()(inputs)
    return keras.Model(inputs, keras.layers.MultiHeadAttention(1, 4, name="heads")(hidden, hidden))


def classifier(activation: str | None, *, units: int = 3) -> Any:
    """Return a small functional model whose first layer and whose head have `activation`."""
    import keras

    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(units, activation=activation, name="hidden")(inputs)
    return keras.Model(
        inputs, keras.layers.Dense(units, activation=activation, name="head")(hidden)
    )


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(
    ("make", "precision", "expected"),
    [
        pytest.param(
            lambda layers: layers.UpSampling2D(interpolation="bicubic"),
            "float32",
            {"bicubic"},
            id="bicubic",
        ),
        pytest.param(
            lambda layers: layers.Resizing(4, 4, interpolation="lanczos3"),
            "float32",
            {"lanczos"},
            id="lanczos",
        ),
        pytest.param(
            lambda layers: layers.UpSampling2D(interpolation="bilinear"),
            "float32",
            set(),
            id="bilinear",
        ),
        pytest.param(
            lambda layers: layers.UpSampling2D(interpolation="bilinear"),
            "float64",
            {"float64-resizing"},
            id="bilinear-float64",
        ),
        pytest.param(
            lambda layers: layers.UpSampling2D(interpolation="nearest"),
            "float64",
            set(),
            id="nearest-float64",
        ),
        pytest.param(
            lambda layers: layers.BatchNormalization(), "float32", {"large-means"}, id="batch-norm"
        ),
        pytest.param(
            lambda layers: layers.GroupNormalization(1),
            "float32",
            {"large-means"},
            id="group-norm",
        ),
        pytest.param(lambda layers: layers.LayerNormalization(), "float32", set(), id="layer-norm"),
        pytest.param(
            lambda layers: layers.AveragePooling2D(3, 2, padding="same"),
            "float32",
            {"average-pooling"},
            id="average-pooling",
        ),
        pytest.param(
            lambda layers: layers.AveragePooling2D(2, padding="same"),
            "float32",
            set(),
            id="average-pooling-of-two",
        ),
        pytest.param(
            lambda layers: layers.MaxPooling2D(3, 2, padding="same"),
            "float32",
            set(),
            id="max-pooling",
        ),
        pytest.param(
            lambda layers: layers.Conv2DTranspose(
                1, 2, strides=2, padding="same", output_padding=0
            ),
            "float32",
            {"transposed-convolution"},
            id="transposed",
        ),
        pytest.param(
            lambda layers: layers.Conv2DTranspose(1, 2, strides=2, padding="same"),
            "float32",
            set(),
            id="transposed-with-default-padding",
        ),
        pytest.param(
            lambda layers: layers.Conv2DTranspose(1, 2, dilation_rate=2),
            "float64",
            {"float64-kernels"},
            id="dilated-float64",
        ),
        pytest.param(lambda layers: layers.LeakyReLU(), "float32", {"kinks"}, id="leaky"),
        pytest.param(
            lambda layers: layers.LeakyReLU(),
            "float64",
            {"kinks", "float64-cast"},
            id="leaky-float64",
        ),
        pytest.param(lambda layers: layers.Activation("celu"), "float32", {"kinks"}, id="celu"),
        pytest.param(lambda layers: layers.ReLU(), "float64", set(), id="relu"),
        pytest.param(lambda layers: layers.Dropout(0.5), "float32", {"seeds"}, id="dropout"),
        pytest.param(lambda layers: layers.Dropout(0), "float32", set(), id="no-dropout"),
        pytest.param(
            lambda layers: layers.ConvLSTM1D(1, 2, dropout=0.5),
            "float32",
            {"seeds"},
            id="recurrent",
        ),
        pytest.param(
            lambda layers: layers.ConvLSTM1D(1, 2), "float32", set(), id="recurrent-no-dropout"
        ),
    ],
)
def test_a_layer_is_told(make: Callable[[Any], Any], precision: str, expected: set[str]) -> None:
    """A model with this layer meets these findings and no others."""
    import keras

    model = keras.Sequential([make(keras.layers)])
    found = anchors(model, precision=precision)
    assert set(found) == expected
    drawing = getattr(model.layers[0], "cell", model.layers[0])  # in a recurrent layer
    assert all(layers == (drawing.name,) for layers in found.values())


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(
    ("optimizer", "is_told"),
    [
        pytest.param(lambda keras: "adam", True, id="name"),
        pytest.param(lambda keras: keras.optimizers.Adam(), True, id="adam"),
        pytest.param(lambda keras: keras.optimizers.SGD(clipnorm=1.0), True, id="clipping"),
        pytest.param(lambda keras: keras.optimizers.SGD(momentum=0.9), False, id="momentum"),
        pytest.param(lambda keras: keras.optimizers.Lion(), False, id="lion"),
        pytest.param(lambda keras: None, False, id="none"),
        pytest.param(lambda keras: our_adam(), False, id="ours"),
    ],
)
def test_an_embedding_is_told_of_its_optimizer(
    optimizer: Callable[[Any], Any], is_told: bool
) -> None:
    """Embedding is told with optimizers that need the sum of a token's rows, on TensorFlow only."""
    import keras

    model, given = token_model(), optimizer(keras)
    assert anchors(model, optimizer=given).get("embedding") == (("table",) if is_told else None)
    assert "embedding" not in anchors(model, optimizer=given, backends=("jax", "torch"))


def our_adam() -> Any:
    """Return this project's Adam."""
    from lenet_multi.backends.adam import Adam

    return Adam(0.1)


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
def test_attention_is_told_where_there_are_masks() -> None:
    """Attention is told only in a model that makes masks."""
    assert anchors(token_model(mask_zero=True)) == {"masked-attention": ("heads",)}
    assert anchors(token_model()) == {}


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(
    ("activation", "loss", "is_told"),
    [
        pytest.param("softmax", "sparse_categorical_crossentropy", True, id="softmax"),
        pytest.param("softmax", {"head": "CategoricalCrossentropy"}, True, id="dictionary"),
        pytest.param("sigmoid", ["binary_crossentropy"], True, id="sigmoid"),
        pytest.param("sigmoid", "categorical_crossentropy", False, id="sigmoid-of-classes"),
        pytest.param("softmax", "mse", False, id="mse"),
        pytest.param(None, "sparse_categorical_crossentropy", False, id="no-activation"),
    ],
)
def test_a_head_is_told_of_its_loss(activation: str | None, loss: Any, is_told: bool) -> None:
    """A head of probabilities is told with a cross-entropy; a hidden layer is not."""
    expected = {"probabilities": ("head",)} if is_told else {}
    assert anchors(classifier(activation), loss=loss) == expected


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
def test_a_loss_that_takes_logits_is_not_told() -> None:
    """A loss object is told unless it takes logits."""
    import keras

    losses = keras.losses
    assert anchors(classifier("softmax"), loss=losses.CategoricalCrossentropy())
    assert not anchors(classifier("softmax"), loss=losses.CategoricalCrossentropy(from_logits=True))
    assert anchors(classifier("sigmoid"), loss=losses.binary_crossentropy)


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
def test_heads_are_found_in_any_kind_of_model() -> None:
    """The head of a Sequential, a nested, a wrapped and a subclassed model is found."""
    import keras

    class Own(keras.Model):  # type: ignore[misc]  # Keras carries no types
        def __init__(self) -> None:
            super().__init__()
            self.head = keras.layers.Dense(3, activation="softmax", name="head")

        def call(self, x: Any) -> Any:
            return self.head(x)

    wrapped = keras.layers.TimeDistributed(keras.layers.Dense(3, "softmax", name="head"))
    softmax = keras.Sequential([keras.layers.Dense(3), keras.layers.Softmax(name="head")])
    nested = keras.Sequential([keras.Input((4,)), classifier("softmax")])
    for model in (Own(), softmax, nested, keras.Sequential([wrapped])):
        found = anchors(model, loss="categorical_crossentropy")
        assert found == {"probabilities": ("head",)}, model


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
def test_only_the_compared_backends_are_told() -> None:
    """A divergence names the compared backends that are wrong; one alone has only errors."""
    import keras

    bicubic = keras.Sequential([keras.layers.UpSampling2D(interpolation="bicubic", name="up")])
    (one,) = asked(bicubic, backends=("jax", "torch"))
    assert one.backends == ("torch",)
    assert str(one).startswith("bicubic resizing (up; wrong on torch): 0.1 of ")
    assert not asked(bicubic, backends=("torch",))
    lanczos = keras.Sequential([keras.layers.UpSampling2D(interpolation="lanczos3")])
    assert asked(lanczos, backends=("torch",))
    assert not asked(lanczos, backends=("tensorflow", "jax"))


def test_each_anchor_is_on_the_page() -> None:
    """Each divergence points to a finding that says the same of the backends."""
    page = {finding.anchor: finding for finding in findings()}
    assert page.keys() >= {one.anchor for one in KNOWN}
    for one in KNOWN:
        wrong = frozenset[str]().union(*(row.wrong for row in page[one.anchor].rows))
        assert set(one.backends) == wrong
