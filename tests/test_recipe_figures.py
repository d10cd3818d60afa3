from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes

from benchmarks import recipe_figures

ONE = {"recipe": "one", "calibration": [[30, 0.5, 0.4], [10, 0.9, 1.0]]}
ANOTHER = {"recipe": "one", "calibration": [[10, 0.7, 0.8], [0, 0.0, 0.0]]}
TWO = {"recipe": "two", "calibration": [[20, 0.6, 0.5], [500, 0.99, 0.98]]}


def test_bins_of_runs_are_pooled_by_their_images() -> None:
    """A pooled bin has the images of all, and the means over them; an empty bin counts nothing."""
    images, confidence, right = recipe_figures.pooled([ONE, ANOTHER])
    np.testing.assert_allclose(images, [40, 10])
    np.testing.assert_allclose(confidence, [(30 * 0.5 + 10 * 0.7) / 40, 0.9])
    np.testing.assert_allclose(right, [(30 * 0.4 + 10 * 0.8) / 40, 1.0])


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[list[float], list[float]]]:
    """The lines that are drawn, by their labels."""
    lines: dict[str, tuple[list[float], list[float]]] = {}
    plot = Axes.plot

    def noted(axes: Axes, x: Any, y: Any, *style: Any, label: str, **more: Any) -> None:
        lines[label] = np.round(x, 6).tolist(), np.round(y, 6).tolist()
        plot(axes, x, y, *style, label=label, **more)

    monkeypatch.setattr(Axes, "plot", noted)
    return lines


def test_curves_are_shares_of_wrong_answers(
    drawn: dict[str, tuple[list[float], list[float]]], tmp_path: Path
) -> None:
    """Each recipe and backend has a line of its wrong validation images, in percent."""
    path = tmp_path / "curves.png"
    recipe_figures.draw_curves({"long": {"jax": [0.9, 0.98]}, "short": {"torch": [0.95]}}, path)
    assert drawn == {"long, jax": ([1, 2], [10, 2]), "short, torch": ([1], [5])}
    assert path.read_bytes().startswith(b"\x89PNG")


def test_bins_of_few_answers_are_not_drawn(
    drawn: dict[str, tuple[list[float], list[float]]], tmp_path: Path
) -> None:
    """A recipe has one line over all its runs; a bin of ten answers is left out."""
    path = tmp_path / "reliability.png"
    recipe_figures.draw_reliability([ONE, TWO, ANOTHER], path)
    del drawn["as sure as right"]
    assert drawn == {"one": ([0.55], [0.5]), "two": ([0.6, 0.99], [0.5, 0.98])}
    assert path.read_bytes().startswith(b"\x89PNG")
