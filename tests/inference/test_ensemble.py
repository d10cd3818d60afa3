from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lenet_multi.data.examples import Dataset, Examples
from lenet_multi.errors import UserError
from lenet_multi.inference import saved

pytestmark = [pytest.mark.backend, pytest.mark.usefixtures("backend")]


def keep(path: Path, seed: int, **network: Any) -> saved.SavedModel:
    """Write a LeNet with the weights of a seed, and open it."""
    from lenet_multi.lenet import networks

    model = networks.lenet(**network)
    networks.draw(model, seed=seed)
    model.save(path)
    return saved.find(path)


def test_an_ensemble_answers_the_mean(tmp_path: Path, small: Dataset) -> None:
    """The mean of the probabilities of its members, whether they give logits or a softmax."""
    from lenet_multi.inference.ensemble import Ensemble

    models = [
        keep(tmp_path / "logits.keras", 0),
        keep(tmp_path / "softmax.keras", 1, head="softmax"),
    ]
    few = Examples(small.test.x[:7], small.test.y[:7])
    found = Ensemble(models, (28, 28, 1), 10).answers(few)
    one, other = (model.load().predict(few.x / np.float32(255), verbose=0) for model in models)
    powers = np.exp(one - one.max(axis=1, keepdims=True))
    wanted = (powers / powers.sum(axis=1, keepdims=True) + other) / 2
    np.testing.assert_allclose(found, wanted, atol=1e-6)  # roundings of float32 below 1
    assert np.abs(one - other).max() > 0.01


def test_models_of_other_images_or_classes_are_refused(tmp_path: Path) -> None:
    """The line names the model and both sizes."""
    from lenet_multi.inference.ensemble import Ensemble

    model = keep(tmp_path / "few.keras", 0, classes=3)
    with pytest.raises(UserError) as error:
        Ensemble([model], (28, 28, 1), 10)
    assert str(error.value) == (
        f"{tmp_path / 'few.keras'} takes images of 28x28x1 and has 3 classes; the student has "
        "28x28x1 and 10: give models of its data"
    )
