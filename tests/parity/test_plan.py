import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lenet_multi.config import PRECISIONS, TrainConfig
from lenet_multi.data.examples import Dataset, Examples
from lenet_multi.errors import UserError
from lenet_multi.parity.plan import CONFIDENCE, Plan, confident, is_kept, require_two


def test_weights_are_kept_at_steps_that_a_logarithmic_axis_shows() -> None:
    """An epoch of 446 steps keeps weights at 1, 2, 5, 10, ... 200, and at its last step."""
    kept = [step for step in range(1, 447) if is_kept(step, last=446)]
    assert kept == [1, 2, 5, 10, 20, 50, 100, 200, 446]


@given(st.integers(1, 10_000))
def test_the_last_step_is_kept(last: int) -> None:
    """The last step's weights are kept, however long the epoch."""
    assert is_kept(last, last=last)


def test_float64_trains_a_hundred_steps(mnist: Dataset) -> None:
    """In float64 there are 100 steps of 32 images, the last smaller, at a constant rate."""
    plan = Plan()
    images, config = plan.training_examples(mnist, "float64"), plan.training_config("float64")
    assert config.steps_per_epoch(len(images)) == 100
    assert len(images) % config.batch_size != 0
    assert config.lr_schedule == "constant"


def test_float32_trains_the_epoch_of_the_recipe(mnist: Dataset) -> None:
    """In float32 the epoch has the recipe's 57,000 training images, in its own batches."""
    plan = Plan()
    assert len(plan.training_examples(mnist, "float32")) == 57_000
    config = plan.training_config("float32")
    own = {name: getattr(plan.config, name) for name in ("beta_1", "beta_2")}
    assert dataclasses.replace(config, **own) == dataclasses.replace(plan.config, epochs=1)


def test_float32_holds_its_betas() -> None:
    """In float32 the betas are the recipe's rounded to float32, as in TensorFlow's kernel.

    In float64 they are the recipe's.
    """
    plan = Plan()
    config = plan.training_config("float32")
    for name, own in ((config.beta_1, 0.9), (config.beta_2, 0.999)):
        assert own != name == float(np.float32(own))
    assert plan.training_config("float64").beta_2 == 0.999


@pytest.mark.parametrize("precision", PRECISIONS)
def test_too_few_images_are_refused(mnist: Dataset, precision: str) -> None:
    """Too few images are refused, because L6 needs steps before and after the move."""
    plan = Plan(float32_images=128 * 10, float64_images=32 * 10)
    with pytest.raises(UserError, match="parity needs 20 steps"):
        plan.training_examples(mnist, precision)


def test_no_images_are_refused() -> None:
    """Zero images are refused before any data is read."""
    with pytest.raises(UserError, match="--images must be at least 1, not 0"):
        Plan(float32_images=0)


def test_confident_answers_are_scaled_logits() -> None:
    """Only the last layer is scaled, by a power of two, so there is no rounding.

    A layer without a bias has one weight; a nested layer has a path.
    """
    for names, factors in (
        (["conv1/kernel", "conv1/bias", "dense2/kernel", "dense2/bias"], [1, 1, 256, 256]),
        (["dense1/kernel", "dense1/bias", "dense2/kernel"], [1, 1, 256]),
        (["block/dense/kernel", "head/dense/kernel", "head/dense/bias"], [1, 256, 256]),
    ):
        weights = [np.full(3, 0.1, np.float32) for _ in names]
        scaled = confident(names, weights, CONFIDENCE["confident"])
        assert [float(w[0] / v[0]) for w, v in zip(scaled, weights, strict=True)] == factors
        assert all(weight.dtype == np.float32 for weight in scaled)


OWN = TrainConfig(architecture="my_model.py:build", batch_size=8)


def test_a_users_model_trains_as_many_steps_as_asked_in_both_precisions() -> None:
    """Fifty by default, twenty if it is to be quick, and the last batch is smaller."""
    assert Plan.for_own(OWN) == Plan(
        config=OWN,
        small_batch_size=8,
        saved_after=10,
        one_ulp_steps=50,
        float32_images=396,
        float64_images=396,
    )
    assert isinstance(Plan.for_own(OWN).saved_after, int)
    quick = Plan.for_own(OWN, quick=True, precisions=["float64"], dropout=False)
    assert (quick.saved_after, quick.one_ulp_steps, quick.float32_images) == (0, 20, 156)
    assert (quick.precisions, quick.dropout) == (("float64",), False)
    assert Plan.for_own(OWN, steps=20).one_ulp_steps == 20
    with pytest.raises(UserError, match=r"^--steps must be at least 20, not 19$"):
        Plan.for_own(OWN, steps=19)


def numbered(count: int) -> Dataset:
    """Return examples that are their numbers."""
    numbers = np.arange(count)
    return Dataset(Examples(numbers, numbers), Examples(numbers[:1], numbers[:1]))


def test_a_small_data_set_is_used_again() -> None:
    """A user's examples begin anew where they end, so that there are enough."""
    plan = Plan.for_own(OWN, steps=20)
    found = plan.training_examples(numbered(100), "float32")
    assert list(found.x) == [*range(100), *range(56)]


def test_the_first_batches_are_the_first_examples() -> None:
    """L1 to L3 see as many examples as their steps need."""
    plan = Plan(small_batch_size=3, optimizer_steps=4)
    assert list(plan.first_examples(numbered(100)).x) == [*range(12)]


def test_as_many_images_as_the_two_halves_need_are_enough(mnist: Dataset) -> None:
    """Twenty steps are enough for ten before the move and ten after; the error counts them."""
    plan = Plan(float32_images=128 * 20, float64_images=32 * 20)
    for precision in PRECISIONS:
        assert (
            plan.training_config(precision).steps_per_epoch(
                len(plan.training_examples(mnist, precision))
            )
            == 20
        )
    with pytest.raises(UserError) as refused:
        Plan(float32_images=129).training_examples(mnist, "float32")
    assert str(refused.value) == (
        "parity needs 20 steps in an epoch; 129 training images give 2 in float32: give more "
        "--images, or --data with more"
    )
    assert Plan(float32_images=1).float32_images == 1


def test_two_backends_are_needed() -> None:
    """One backend, or none, has nothing to be compared with; the error says which are found."""
    require_two(["jax", "torch"])
    for found, words in ((["jax"], "jax"), ([], "none")):
        with pytest.raises(UserError) as refused:
            require_two(found)
        assert str(refused.value) == (
            f"parity needs two backends, found {words}; give another --backend, or install one of "
            "tensorflow, jax, torch with pip"
        )
