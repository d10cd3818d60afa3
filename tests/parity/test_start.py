import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lenet_multi.data.examples import Examples
from lenet_multi.parity.start import Start

POINTS, KINDS = np.ones((3, 2), np.float32), np.arange(3)


@pytest.mark.parametrize(
    ("x", "kind"),
    [
        (POINTS, "ndarray"),
        ((POINTS, KINDS), "tuple"),
        ((POINTS,), "tuple"),
        ([POINTS, KINDS], "list"),
        ({"points": POINTS, "weights": KINDS}, "dict"),
    ],
    ids=["array", "two", "one of several", "list", "names"],
)
def test_what_is_written_is_read(tmp_path: Path, x: Any, kind: str) -> None:
    """Inputs and targets come back in their structure, the weights in their order, and the facts.

    A list comes back as a tuple, which is the same to a model.
    """
    folder = tmp_path / "new" / "start"
    weights = [np.full((2, 1), place, np.float32) for place in range(11)]
    Start(Examples(x, {"y": KINDS}), weights, {"parameters": 7}).write(folder)
    found = Start.read(folder)
    assert found.facts == {"kinds": {"x": kind, "y": "dict"}, "parameters": 7}
    assert json.loads((folder / "start.json").read_text()) == found.facts
    wanted = tuple(x) if isinstance(x, list) else x
    np.testing.assert_equal((found.examples.x, found.examples.y), (wanted, {"y": KINDS}))
    assert isinstance(found.examples.x, type(wanted))
    np.testing.assert_equal(found.weights, weights)
    assert found.weights[0].dtype == np.float32


def test_it_trains_on_all_examples() -> None:
    """The ladder needs none for the test."""
    dataset = Start(Examples(POINTS, KINDS), [], {}).dataset
    assert (len(dataset.train), len(dataset.test)) == (3, 0)
    assert dataset.test.x.shape == (0, 2)


def test_no_pickle_is_read_or_written(tmp_path: Path) -> None:
    """Code that stands in the folder in place of arrays is not run."""
    Start(Examples(POINTS, KINDS), [], {}).write(tmp_path)
    np.savez(tmp_path / "start.npz", np.array([{}]))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        Start.read(tmp_path)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        Start(Examples(np.array([{}]), KINDS), [], {}).write(tmp_path)
