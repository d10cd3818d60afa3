import dataclasses
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lenet_multi.inference import pictures
from lenet_multi.inference.pictures import draw_confusion, draw_evaluation, draw_sheet
from tests.inference.test_evaluate import example


@pytest.mark.parametrize("count", [1, 10, 11], ids=["one", "a row", "a row and one"])
def test_a_sheet_has_room_for_all(tmp_path: Path, count: int) -> None:
    """A sheet has ten images a row, each complete, and is a PNG under any file name."""
    images = np.zeros((count, 28, 28, 1), np.uint8)
    draw_sheet(images, [""] * count, tmp_path / "sheet.any")
    dark = np.asarray(Image.open(tmp_path / "sheet.any").convert("L")) < 128
    side = 0.9 * 1.25 * 110  # pixels of an image
    assert dark.sum() == pytest.approx(count * side**2, rel=0.03)


@pytest.mark.parametrize("name", ["$_{\\frac$.png", "七.png"], ids=["no formula", "no letter"])
def test_a_caption_may_be_anything(tmp_path: Path, name: str) -> None:
    """A caption with formula signs or letters that the font lacks gives no warning."""
    with warnings.catch_warnings(record=True) as told:
        draw_sheet(np.zeros((1, 8, 8, 1), np.uint8), [name], tmp_path / "sheet.png")
    assert not told


def test_wrong_answers_are_coloured(tmp_path: Path) -> None:
    """The confusion matrix has colour only if there is a mistake."""
    for name, matrix in (("right", np.diag([5, 5])), ("wrong", np.array([[4, 1], [0, 5]]))):
        draw_confusion(matrix, tmp_path / name)
        _, saturation, _ = Image.open(tmp_path / name).convert("RGB").convert("HSV").split()
        assert (np.asarray(saturation).max() > 100) == (name == "wrong")


def test_names_are_drawn_beside_the_matrix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both axes have the names, long ones shortened, and a dollar sign makes no formula."""
    drawn = []
    monkeypatch.setattr(pictures, "_save", lambda figure, path: drawn.append(figure.axes[0]))
    names = ("$cat^$", "dog", "an owl with a name that is far too long")
    draw_confusion(np.eye(3, dtype=np.int64), tmp_path / "a.png", names)
    for ticks in (drawn[0].get_xticklabels(), drawn[0].get_yticklabels()):
        assert [tick.get_text() for tick in ticks][:2] == ["$cat^$", "dog"]
        assert len(ticks[2].get_text()) < 30
        assert not any(tick.get_parse_math() for tick in ticks)


def test_mistakes_are_captioned_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caption of a wrong answer names the label and the answer."""
    sheets = []
    monkeypatch.setattr(pictures, "draw_sheet", lambda *given: sheets.append(given))
    named = dataclasses.replace(example(), class_names=("cat", "dog", "great horned owl"))
    pictures.draw_evaluation(named, tmp_path)
    assert [caption.partition("\n")[0] for caption in sheets[0][1]] == [
        "is dog, said cat",
        "is gr…d owl, said cat",
        "is cat, said dog",
    ]


def test_many_classes_are_drawn_without_numbers(tmp_path: Path) -> None:
    """The matrix of a hundred classes has no numbers, but a mistake still shows."""
    matrix = np.diag(np.full(100, 5))
    draw_confusion(matrix, tmp_path / "right")
    assert np.asarray(Image.open(tmp_path / "right").convert("L"))[200:500, 200:500].min() > 200
    matrix[3, 90] = 2
    draw_confusion(matrix, tmp_path / "wrong")
    _, saturation, _ = Image.open(tmp_path / "wrong").convert("RGB").convert("HSV").split()
    assert np.asarray(saturation).max() > 100


def test_the_surest_wrong_answers_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right answers are none; of the wrong ones no more are drawn than there is room for."""
    sheets = []
    monkeypatch.setattr(pictures, "draw_sheet", lambda *given: sheets.append(given))
    monkeypatch.setattr(pictures, "_MOST_MISTAKES", 2)
    found = example()
    numbered = found.test.x + np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1)
    test = dataclasses.replace(found.test, x=numbered)
    draw_evaluation(dataclasses.replace(found, test=test), tmp_path)
    ((images, captions, path),) = sheets
    assert list(images[:, 0, 0, 0]) == [4, 5]
    sureness = [np.exp(logit) / (np.exp(logit) + 2) for logit in (5, 2)]
    assert captions == [
        f"is 1, said 0\n{sureness[0]:.1%}, #4",
        f"is 2, said 0\n{sureness[1]:.1%}, #5",
    ]
    assert path == tmp_path / "mistakes.png"


def test_a_model_without_mistakes_has_no_picture_of_them(tmp_path: Path) -> None:
    """Without mistakes there is no mistakes.png, and an older one is deleted."""
    found = example()
    draw_evaluation(found, tmp_path / "new")
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"confusion.png", "mistakes.png"}
    right = dataclasses.replace(found, outputs=np.eye(3, dtype=np.float32)[found.test.y])
    draw_evaluation(right, tmp_path / "new")
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"confusion.png"}
