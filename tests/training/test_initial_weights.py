"""Initial weights of a guest: spread as its initializers say, and equal on every backend."""

import hashlib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Dataset, Examples
from lenet_multi.errors import UserError
from lenet_multi.task import Task

if TYPE_CHECKING:
    import keras

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("backend")]

# The hash of `known`'s weights under seed 0, on every backend.
KNOWN_SHA256 = "eec94f3fd1238238d42a536b93e3618a0b8c2df138e0db111721cb6ccbe7b4ce"

# For 18,000 numbers; measured 0.012.
BY_CHANCE = 0.03

_EMPTY = Examples(np.zeros((4, 6), np.float32), np.zeros((4, 1)))
DATA = Dataset(_EMPTY, _EMPTY)


def known(config: TrainConfig, dataset: Dataset) -> "keras.Model":
    """Return a model with five kinds of initializers, and one layer already trained."""
    import keras

    layers = keras.layers
    trained = layers.Dense(4, name="trained")
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(16, kernel_initializer="he_normal", bias_initializer="random_normal"),
            layers.BatchNormalization(name="normal"),
            layers.Dense(8, kernel_initializer="random_uniform"),
            keras.Sequential([layers.Dense(8)], name="nested"),
            trained,
            layers.Dense(1, kernel_initializer="lecun_normal"),
        ]
    )
    trained.set_weights([np.full((8, 4), 0.5), np.arange(4)])
    return model


def unknown(config: TrainConfig, dataset: Dataset) -> "keras.Model":
    """Return a model with a kernel that NumPy cannot draw here, between two that it can."""
    import keras

    class Turned(keras.initializers.Orthogonal):  # type: ignore[misc]  # Keras carries no types
        """An initializer of the user's."""

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(5),
            layers.Dense(5, kernel_initializer=Turned(), name="turned"),
            layers.Dense(1),
        ]
    )


def task_of(build: Any) -> Task:
    """Return a task for the model that `build` builds."""
    return Task(name="guest", load=lambda config: DATA, build=build, loss=lambda config: "mse")


KNOWN, UNKNOWN = task_of(known), task_of(unknown)


def weights_of(task: Task, *, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Return the initial weights by layer and name."""
    from lenet_multi.training.initial_weights import build

    config = TrainConfig(architecture=f"{__name__}:UNKNOWN", seed=seed)
    model = build(task, config, DATA)
    return {
        weight.path: value for weight, value in zip(model.weights, model.get_weights(), strict=True)
    }


@pytest.mark.parametrize("shape", [(150, 120), (3, 3, 20, 100), (18_000,)], ids=str)
@pytest.mark.parametrize(
    "name",
    [
        *("glorot_uniform", "glorot_normal", "he_uniform", "he_normal"),
        *("lecun_uniform", "lecun_normal"),
        *("random_uniform", "random_normal", "truncated_normal", "untruncated"),
    ],
)
def test_numpy_draws_as_far_and_wide_as_keras(name: str, shape: tuple[int, ...]) -> None:
    """NumPy's numbers have mean zero, and the spread and limits of Keras's own."""
    import keras

    from lenet_multi.training.initial_weights import draw

    keras.utils.set_random_seed(0)
    if name == "untruncated":
        initializer = keras.initializers.VarianceScaling(
            3.0, mode="fan_out", distribution="untruncated_normal"
        )
    else:
        initializer = keras.initializers.get(name)
    theirs = keras.ops.convert_to_numpy(initializer(shape))
    ours = draw(initializer, shape, np.random.default_rng(0))
    assert ours is not None
    assert ours.shape == shape
    assert ours.std() == pytest.approx(theirs.std(), rel=BY_CHANCE)
    assert abs(ours.mean()) < BY_CHANCE * ours.std()
    has_end = name not in {"random_normal", "untruncated"}
    assert np.abs(ours).max() == pytest.approx(np.abs(theirs).max(), rel=0.01 if has_end else 0.3)


def test_each_kernel_has_its_initializer() -> None:
    """A kernel is found under each name that Keras's layers give it, in nested layers too."""
    import keras

    from lenet_multi.training.initial_weights import _initializers

    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((10, 8)),
            layers.Conv1D(4, 3),
            layers.EinsumDense("abc,cde->abde", (None, 2, 5)),
            layers.Dense(3),
            layers.DepthwiseConv2D(1, depthwise_initializer="he_normal"),
            layers.SeparableConv2D(2, 1),
        ]
    )
    known = _initializers(model)
    assert all(id(weight) in known for weight in model.weights)


def test_the_fans_of_attention_follow_from_its_equation() -> None:
    """The kernel of attention sums over the axes that its equation names, as Keras counts them."""
    import keras

    from lenet_multi.training.initial_weights import _initializers, draw

    layer = keras.layers.EinsumDense("abc,cde->abde", (None, 20, 30))
    model = keras.Sequential([keras.Input((10, 40)), layer])
    initializer = _initializers(model)[id(model.weights[0])]
    ours = draw(initializer, (40, 20, 30), np.random.default_rng(0))
    theirs = keras.ops.convert_to_numpy(layer.kernel)
    assert ours is not None
    assert np.abs(ours).max() == pytest.approx(np.abs(theirs).max(), rel=0.01)


def test_an_orthogonal_kernel_turns() -> None:
    """NumPy draws orthogonal rows or columns, whichever are fewer, times the gain."""
    import keras

    from lenet_multi.training.initial_weights import draw

    for shape in ((3, 5), (5, 3), (2, 2, 3)):
        drawn = draw(keras.initializers.Orthogonal(2.0), shape, np.random.default_rng(0))
        assert drawn is not None
        matrix = drawn.reshape(-1, shape[-1])
        small = matrix @ matrix.T if len(matrix) < shape[-1] else matrix.T @ matrix
        np.testing.assert_allclose(small, 4 * np.eye(len(small)), atol=1e-12)


@pytest.mark.parametrize("name", ["zeros", "somebody's"])
def test_what_is_not_known_is_not_drawn(name: str) -> None:
    """An unknown initializer is not drawn, nor is a user's subclass, which may draw otherwise."""
    import keras

    from lenet_multi.training.initial_weights import draw

    class Own(keras.initializers.GlorotUniform):  # type: ignore[misc]  # Keras carries no types
        def __call__(self, shape: Any, dtype: Any = None) -> Any:
            return 2 * super().__call__(shape, dtype)

    initializer = Own() if name == "somebody's" else keras.initializers.get(name)
    assert draw(initializer, (3, 3), np.random.default_rng(0)) is None


def test_weights_are_the_same_on_every_backend() -> None:
    """One seed gives the same bits on every backend, and another seed gives others."""

    def hashed(weights: dict[str, NDArray[Any]]) -> str:
        return hashlib.sha256(b"".join(array.tobytes() for array in weights.values())).hexdigest()

    first = weights_of(KNOWN)
    assert {array.dtype for array in first.values()} == {np.dtype(np.float32)}
    assert hashed(first) == hashed(weights_of(KNOWN)) == KNOWN_SHA256
    other = weights_of(KNOWN, seed=1)
    for (path, weight), of_other in zip(first.items(), other.values(), strict=True):
        if path.endswith("kernel") and "trained" not in path:
            assert not np.array_equal(weight, of_other)


def test_each_weight_has_its_own_initializer() -> None:
    """Each weight is drawn by its own initializer, also in a nested model."""
    weights = list(weights_of(KNOWN).values())
    kernel, bias = weights[:2]
    assert kernel.std() == pytest.approx(np.sqrt(2 / 6), rel=0.2)
    assert bias.std() == pytest.approx(0.05, rel=0.5)
    assert bias.any()
    nested = next(w for w in weights if w.shape == (8, 8))
    assert np.abs(nested).max() <= np.float32(np.sqrt(6 / 16))
    assert nested.std() == pytest.approx(np.sqrt(6 / 16 / 3), rel=0.2)


def test_what_is_no_matter_of_chance_stays() -> None:
    """A norm's scale and variance are one, biases are zero, and trained weights are kept."""
    weights = weights_of(KNOWN)
    for name, value in (("gamma", 1), ("moving_variance", 1), ("beta", 0), ("moving_mean", 0)):
        (weight,) = (w for path, w in weights.items() if path.endswith(f"normal/{name}"))
        assert (weight == value).all()
    (kernel,) = (w for path, w in weights.items() if path.endswith("trained/kernel"))
    (bias,) = (w for path, w in weights.items() if path.endswith("trained/bias"))
    assert (kernel == 0.5).all()
    assert list(bias) == [0, 1, 2, 3]


def test_what_is_not_known_is_drawn_in_a_child() -> None:
    """An unknown initializer draws in a child process, the same each time.

    The child uses Keras's NumPy backend, which needs JAX.
    """
    if find_spec("jax") is None:
        with pytest.raises(UserError, match="turned/kernel has an unknown initializer"):
            weights_of(UNKNOWN)
        return
    first, again = (list(weights_of(UNKNOWN).values()) for _ in range(2))
    assert all(map(np.array_equal, first, again))
    turned = first[2]
    np.testing.assert_allclose(turned.T @ turned, np.eye(5), atol=1e-6)
    assert not np.array_equal(turned, list(weights_of(UNKNOWN, seed=1).values())[2])


def test_an_initializer_with_a_seed_of_its_own_is_drawn_by_numpy() -> None:
    """NumPy draws instead of an initializer with its own seed, which differs between backends."""
    import keras

    def seeded(config: TrainConfig, dataset: Dataset) -> "keras.Model":
        initializer = keras.initializers.GlorotUniform(seed=3)
        layer = keras.layers.Dense(8, kernel_initializer=initializer, name="seeded")
        return keras.Sequential([keras.Input((6,)), layer])

    own = keras.ops.convert_to_numpy(seeded(TrainConfig(), DATA).layers[0].kernel)
    drawn, again = (next(iter(weights_of(task_of(seeded)).values())) for _ in range(2))
    assert drawn.shape == own.shape
    assert not np.array_equal(drawn, own)
    np.testing.assert_array_equal(drawn, again)


def test_a_task_without_a_name_cannot_be_drawn_elsewhere() -> None:
    """A task without an importable name is refused, because a child could not build its model."""
    from lenet_multi.training.initial_weights import build

    with pytest.raises(UserError, match=r"--architecture package\.module:NAME"):
        build(UNKNOWN, TrainConfig(), DATA)
