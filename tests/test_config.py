import dataclasses
import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lenet_multi.commands.train import command
from lenet_multi.config import OWN_DEFAULTS, TEACHING, TrainConfig, flags, setting, with_settings
from lenet_multi.data.examples import Dataset, split
from lenet_multi.errors import UserError
from lenet_multi.lenet.recipes import DEFAULT_RECIPE, RECIPES


def test_notebook_recipe_is_what_the_notebook_ran() -> None:
    """The notebook recipe holds the constants of the notebook's cells."""
    recipe = RECIPES["notebook"]
    assert (recipe.epochs, recipe.batch_size, recipe.validation_split) == (20, 128, 0.95)
    assert (recipe.architecture, recipe.head) == ("lenet", "softmax")
    assert recipe.loss == "categorical_crossentropy"
    assert (recipe.learning_rate, recipe.lr_schedule) == (0.001, "constant")  # Adam's default
    assert recipe.tensorboard


def test_standard_is_the_default_and_gives_logits() -> None:
    """By default the standard recipe runs, and its model gives logits."""
    assert DEFAULT_RECIPE == "standard"
    assert RECIPES["standard"] == TrainConfig()
    assert TrainConfig().head == "logits"


@pytest.mark.parametrize("recipe", RECIPES)
def test_flags_say_every_setting(recipe: str) -> None:
    """The command line reads every setting back from a configuration's flags."""
    config = dataclasses.replace(RECIPES[recipe], seed=3, beta_1=0.1 + 0.2)
    given = command.make_context("train", flags(config)).params
    assert {name: given[name] for name in dataclasses.asdict(config) if name != "recipe"} == {
        name: value for name, value in dataclasses.asdict(config).items() if name != "recipe"
    }


def test_what_is_kept_teaches_nothing() -> None:
    """All settings affect what is learned, except those that only keep or name something."""
    assert {field.name for field in dataclasses.fields(TrainConfig)} - TEACHING == {
        *("checkpoint", "tensorboard", "save_every", "class_names")
    }


@pytest.mark.parametrize(
    ("text", "interval"),
    [
        ("500", (500, math.inf)),
        ("1", (1, math.inf)),
        ("10s", (math.inf, 10)),
        ("0.5s", (math.inf, 0.5)),
    ],
)
def test_an_interval_is_in_steps_or_seconds(text: str, interval: tuple[float, float]) -> None:
    """A plain number counts steps, and a number with "s" counts seconds."""
    assert TrainConfig(save_every=text).save_interval() == interval


@pytest.mark.parametrize("text", ["", "s", "0", "-1", "1.5", "0s", "nans", "infs", "10 m", "ten"])
def test_what_is_no_interval_is_refused(text: str) -> None:
    """The error names the flag and shows both formats."""
    with pytest.raises(UserError, match=r"--save-every must be steps \(500\) or seconds \(10s\)"):
        TrainConfig(save_every=text)


@pytest.mark.parametrize(("images", "steps"), [(1, 1), (10, 1), (11, 2), (95, 10), (100, 10)])
def test_a_smaller_last_batch_is_a_step(images: int, steps: int) -> None:
    """An epoch has a step for each whole batch, and one more for what is left."""
    assert TrainConfig(batch_size=10).steps_per_epoch(images) == steps


def test_configuration_is_frozen() -> None:
    """A configuration cannot change during a run."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainConfig().epochs = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("epochs", 0, "must be at least 1, not 0"),
        ("epochs", 2**63, "must be below 2^63, not 9223372036854775808"),
        ("batch_size", 0, "must be at least 1, not 0"),
        ("classes", 1, "must lie between 2 and 256, not 1"),
        ("classes", 257, "must lie between 2 and 256, not 257"),
        ("seed", -1, "must be 0 or more, not -1"),
        ("early_stopping", -1, "must be 0 or more, not -1"),
        ("checkpoint", "last", ""),
        ("learning_rate", -0.1, "must be a finite number above 0, not -0.1"),
        ("learning_rate", 0.0, ""),
        ("learning_rate", math.nan, ""),
        ("learning_rate", math.inf, ""),
        ("beta_1", 1.0, "must be 0 or more and below 1, not 1.0"),
        ("beta_2", -0.1, "must be 0 or more and below 1, not -0.1"),
        ("beta_2", math.nan, ""),
        ("dtype_policy", "float16", ""),
        ("class_weights", "even", ""),
        ("validation_split", 0.0, "must be above 0 and below 1, not 0.0"),
        ("validation_split", 1.0, "must be above 0 and below 1, not 1.0"),
        ("validation_split", math.nan, ""),
        ("architecture", "resnet", ""),
        ("head", "sigmoid", ""),
        ("loss", "mse", ""),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name: str, value: object, words: str) -> None:
    """A value out of range is refused; the error names its flag, the limit and the value."""
    with pytest.raises(UserError) as refused:
        dataclasses.replace(TrainConfig(), **{name: value})  # type: ignore[arg-type]
    flag = "--" + name.replace("_", "-")
    assert f"{flag} {words}" in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("epochs", 1), ("batch_size", 1), ("classes", 2), ("classes", 256), ("seed", 0)),
        *(("seed", 2**63 - 1), ("beta_1", 0.0), ("early_stopping", 0), ("learning_rate", 5e-324)),
    ],
)
def test_a_limit_itself_is_taken(name: str, value: float) -> None:
    """The least and the largest value are no errors."""
    assert getattr(TrainConfig(**{name: value}), name) == value  # type: ignore[arg-type]


def test_a_task_of_somebody_elses_is_taken_by_its_name() -> None:
    """An architecture may be package.module:NAME; other settings accept only their choices."""
    config = TrainConfig(architecture="my.module:TASK")
    given = command.make_context("train", flags(config)).params
    assert given["architecture"] == config.architecture
    with pytest.raises(UserError, match="unknown --head 'my:head'"):
        TrainConfig(head="my:head")


@given(
    validation_split=st.floats(0, 1, exclude_min=True, exclude_max=True),
    epochs=st.integers(1, 1000),
    learning_rate=st.floats(1e-12, 1e3),
)
def test_a_value_in_range_is_taken_as_it_is(
    validation_split: float, epochs: int, learning_rate: float
) -> None:
    """A value in range is neither rounded nor clipped."""
    config = TrainConfig(
        validation_split=validation_split, epochs=epochs, learning_rate=learning_rate
    )
    assert (config.validation_split, config.epochs, config.learning_rate) == (
        validation_split,
        epochs,
        learning_rate,
    )


@pytest.mark.parametrize(
    ("recipe", "training", "validation"),
    [("standard", 57_000, 3_000), ("notebook", 3_000, 57_000), ("baseline", 57_000, 3_000)],
)
def test_each_recipe_splits_as_documented(
    mnist: Dataset, recipe: str, training: int, validation: int
) -> None:
    """The notebook's 0.95 leaves 3,000 training images; the others keep 57,000: the first ones."""
    parts = split(mnist, RECIPES[recipe])
    assert tuple(map(len, parts)) == (training, validation)
    assert np.shares_memory(parts[0].x, mnist.train.x)
    np.testing.assert_array_equal(parts[0].x, mnist.train.x[:training])
    np.testing.assert_array_equal(parts[1].y, mnist.train.y[training:])


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("classes", 5, "--classes 10"),
        ("head", "softmax", "--head logits"),
        ("transpose", True, "--no-transpose"),
    ],
)
def test_a_setting_that_a_task_would_ignore_is_refused(name: str, value: Any, remedy: str) -> None:
    """A Task of one's own sets its outputs and its loss; a flag for them would do nothing."""
    message = f"^--{name} {value} is for lenet, .* only; give {remedy}$"
    with pytest.raises(UserError, match=message):
        TrainConfig(architecture="package.module:NAME", **{name: value})


def test_a_setting_has_the_facts_that_help_shows() -> None:
    """By default it has no unit and no choices, affects what is learned, and is for any model."""
    plain = setting(1, "a number")
    assert plain.default == 1
    assert plain.metadata == {
        "meaning": "a number",
        "unit": "",
        "choices": (),
        "others": False,
        "teaches": True,
        "own": False,
    }
    words: dict[str, Any] = {
        "unit": "s",
        "choices": ("a",),
        "others": True,
        "teaches": False,
        "own": True,
    }
    assert setting(1, "a number", **words).metadata == {"meaning": "a number", **words}


def test_a_model_of_ones_own_has_defaults_of_its_own() -> None:
    """They stand in for the recipe's; a setting that is given beats both."""
    own = with_settings(TrainConfig(), {"architecture": "my_model.py:build", "batch_size": 8})
    assert {name: getattr(own, name) for name in OWN_DEFAULTS} == {**OWN_DEFAULTS, "batch_size": 8}
    assert with_settings(own, {"epochs": 2}).lr_schedule == OWN_DEFAULTS["lr_schedule"]
    assert with_settings(TrainConfig(), {"epochs": 2}) == TrainConfig(epochs=2)


def test_a_teacher_needs_the_loss_on_shares() -> None:
    """With that loss, a teacher and a temperature are taken."""
    config = TrainConfig(teacher="runs/t", temperature=2.0, loss="categorical_crossentropy")
    assert (config.teacher, config.temperature) == ("runs/t", 2.0)


def test_a_recipe_keeps_what_is_the_lenets_for_the_lenet() -> None:
    """Another model takes the rest of a recipe; what the user gives is refused as ever."""
    recipe = TrainConfig(batch_norm=True, dropout=0.4, head="softmax", rotation=9.0, epochs=3)
    own = with_settings(recipe, {"architecture": "my_model.py:build"})
    assert own == with_settings(TrainConfig(epochs=3), {"architecture": "my_model.py:build"})
    other = with_settings(recipe, {"architecture": "softmax-regression"})
    assert other == TrainConfig(
        architecture="softmax-regression", head="softmax", rotation=9.0, epochs=3
    )
    assert with_settings(recipe, {}) == recipe
    with pytest.raises(UserError, match="--batch-norm is an option of the LeNet"):
        with_settings(recipe, {"architecture": "softmax-regression", "batch_norm": True})


@pytest.mark.parametrize(
    ("architecture", "is_own"),
    [("lenet", False), ("my_model.py:build", True), ("package:TASK", True), ("m.keras", True)],
)
def test_a_place_is_a_model_of_ones_own(architecture: str, is_own: bool) -> None:
    """What names a function, or is a saved model, is no task of this package."""
    assert TrainConfig(architecture=architecture).is_own is is_own


def test_flags_are_those_of_the_command_line() -> None:
    """A name has a dash for each underscore; a setting that is off has the flag that says so."""
    given = flags(TrainConfig(tensorboard=True))
    assert given[:2] == ["--architecture", "lenet"]
    assert "--tensorboard" in given
    assert "--no-shuffle-split" in given
    assert given[given.index("--batch-size") + 1] == "128"
    assert "--recipe" not in given


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dropout": 1.0}, "--dropout must be 0 or more and below 1, not 1.0"),
        ({"rotation": -1.0}, "--rotation must be a finite number, 0 or more, not -1.0"),
        ({"shear": 46.0}, "--shear must be at most 45 degrees, not 46.0"),
        ({"zoom": 1.0}, "--zoom must be below 1, not 1.0"),
        ({"elastic": math.inf}, "--elastic must be a finite number, 0 or more, not inf"),
        ({"undistorted": 1.5}, "--undistorted must lie between 0 and 1, not 1.5"),
        (
            {"batch_norm": True, "architecture": "softmax-regression"},
            "--batch-norm is an option of the LeNet; give --no-batch-norm",
        ),
        (
            {"teacher": "runs/teacher"},
            "--teacher runs/teacher gives a share to each class; give "
            "--loss categorical_crossentropy",
        ),
        (
            {"temperature": 2.0},
            "--temperature is of a teacher's answers; give --teacher, or drop it",
        ),
        ({"temperature": 0.0}, "--temperature must be a finite number above 0, not 0.0"),
        (
            {"batch_norm": True, "start_from": "runs/a"},
            "--start-from runs/a: a run keeps its network without batch normalisation, so "
            "--batch-norm cannot begin with it; give --no-batch-norm",
        ),
    ],
)
def test_options_and_distortions_have_limits(settings: dict[str, Any], message: str) -> None:
    """What no network and no image can do is refused by name."""
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        TrainConfig(**settings)


def test_normalisation_and_a_start_are_each_allowed() -> None:
    """Only both together are refused."""
    assert TrainConfig(start_from="runs/a").start_from == "runs/a"
    assert TrainConfig(batch_norm=True).batch_norm
