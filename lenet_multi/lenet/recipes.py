"""Recipes: named settings for training."""

from collections.abc import Mapping
from typing import Any

from lenet_multi.config import TrainConfig

# What the most accurate recipes share; images that validate chose it (benchmarks/trials.py).
_IN_ONE_CYCLE: Mapping[str, Any] = {
    "batch_norm": True,
    "lr_schedule": "one-cycle",
    "beta_1": 0.8,
    "beta_2": 0.95,
}

RECIPES: Mapping[str, TrainConfig] = {
    recipe.recipe: recipe
    for recipe in (
        # The notebook's intention: 5 % of the training images validate. The default recipe.
        TrainConfig(recipe="standard"),
        # The best of one pass, of twelve, and of thirty with distorted images.
        TrainConfig(recipe="one-epoch", **_IN_ONE_CYCLE, epochs=1, learning_rate=0.008),
        TrainConfig(
            recipe="one-cycle", **_IN_ONE_CYCLE, dropout=0.4, epochs=12, learning_rate=0.004
        ),
        TrainConfig(
            recipe="best",
            **_IN_ONE_CYCLE,
            epochs=30,
            learning_rate=0.004,
            rotation=10.0,
            shear=8.0,
            zoom=0.1,
            translation=1.5,
            elastic=0.8,
            undistorted=0.1,
        ),
        # The notebook's actual run: its comment calls 0.95 the training share, but Keras takes it
        # as the validation share, so it trained on 3,000 images.
        TrainConfig(
            recipe="notebook",
            head="softmax",
            loss="categorical_crossentropy",
            validation_split=0.95,
            epochs=20,
            lr_schedule="constant",
            tensorboard=True,
        ),
        # The notebook's "earlier model"; it reports an accuracy of 0.91.
        TrainConfig(recipe="baseline", architecture="softmax-regression", epochs=20),
    )
}
DEFAULT_RECIPE = TrainConfig.recipe
