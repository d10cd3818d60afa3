import dataclasses
import warnings
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
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


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures, which are not saved."""
    figures: list[Figure] = []
    monkeypatch.setattr(pictures, "_save", lambda figure, path: figures.append(figure))
    return figures


def test_a_matrix_is_drawn_so(drawn: list[Figure]) -> None:
    """Right answers are bold on white; from half of the most mistakes on, numbers are white."""
    draw_confusion(np.array([[900, 2, 0], [4, 500, 1], [3, 0, 7]]), Path())
    (figure,) = drawn
    (axes,) = figure.axes
    assert tuple(figure.get_size_inches()) == (7.5, 7)
    assert type(figure.get_layout_engine()).__name__ == "ConstrainedLayoutEngine"
    (image,) = axes.images
    assert np.asarray(image.get_array()).tolist() == [[0, 2, 0], [4, 0, 1], [3, 0, 0]]
    assert (image.get_cmap().name, image.get_clim()) == ("wrong", (0, 4))
    numbers = {text.get_position(): text for text in axes.texts}
    assert [[numbers[x, y].get_text() for x in range(3)] for y in range(3)] == [
        ["900", "2", ""],
        ["4", "500", "1"],
        ["3", "", "7"],
    ]
    white = [at for at, text in numbers.items() if text.get_color() == "white"]
    assert sorted(white) == [(0, 1), (0, 2)]
    assert {text.get_color() for text in numbers.values()} == {"white", "black"}
    bold = [at for at, text in numbers.items() if text.get_fontweight() == "bold"]
    assert sorted(bold) == [(0, 0), (1, 1), (2, 2)]
    assert {text.get_fontweight() for text in numbers.values()} == {"bold", "normal"}
    assert {
        (text.get_horizontalalignment(), text.get_verticalalignment()) for text in numbers.values()
    } == {("center", "center")}
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("answer", "label")
    assert axes.get_title() == "1,407 of 1,417 right; wrong answers are coloured"


@pytest.mark.parametrize(("classes", "numbers"), [(3, 9), (4, 0)])
def test_a_matrix_without_mistakes_has_no_colour(
    drawn: list[Figure], monkeypatch: pytest.MonkeyPatch, classes: int, numbers: int
) -> None:
    """Its scale ends at 1 then; only a few classes have numbers and ticks of their own."""
    monkeypatch.setattr(pictures, "_MOST_NUMBERS", 3)
    draw_confusion(np.eye(classes, dtype=np.int64), Path())
    (axes,) = drawn[0].axes
    assert axes.images[0].get_clim() == (0, 1)
    assert len(axes.texts) == numbers
    if numbers:
        for ticks in (axes.get_xticks(), axes.get_yticks()):
            assert ticks.tolist() == list(range(classes))


def test_names_are_drawn_beside_the_matrix(drawn: list[Figure]) -> None:
    """Both axes have the names, long ones shortened, and a dollar sign makes no formula."""
    names = ("$cat^$", "dog", "an owl with a name that is far too long")
    draw_confusion(np.eye(3, dtype=np.int64), Path(), names)
    (axes,) = drawn[0].axes
    for ticks, turned in ((axes.get_xticklabels(), 90), (axes.get_yticklabels(), 0)):
        assert [tick.get_text() for tick in ticks][:2] == ["$cat^$", "dog"]
        assert len(ticks[2].get_text()) < 30
        assert not any(tick.get_parse_math() for tick in ticks)
        assert {tick.get_rotation() for tick in ticks} == {turned}


def test_a_sheet_is_drawn_so(drawn: list[Figure]) -> None:
    """Images stand in rows, grey ones from black to white, each with its caption below."""
    images = np.full((12, 8, 6, 1), 99, np.uint8)
    draw_sheet(images, [f"${place}" for place in range(12)], Path())
    (figure,) = drawn
    (axes,) = figure.axes
    assert tuple(figure.get_size_inches()) == pytest.approx((12.5, 3.4))
    assert [*axes.get_xlim(), *axes.get_ylim()] == pytest.approx([0, 12.5, 3.4, 0])
    assert not axes.axison
    assert axes.get_position().bounds == (0, 0, 1, 1)
    assert len(axes.images) == len(axes.texts) == 12
    for place, (image, text) in enumerate(zip(axes.images, axes.texts, strict=True)):
        assert (image.get_cmap().name, image.get_clim()) == ("gray", (0, 255))
        left, top = 0.0625 + 1.25 * (place % 10), 0.0625 + 1.7 * (place // 10)
        assert image.get_extent() == pytest.approx([left, left + 1.125, top + 1.125, top])
        assert text.get_text() == f"${place}"
        assert text.get_position() == pytest.approx((left + 0.5625, top + 1.165))
        assert (
            text.get_fontsize(),
            text.get_horizontalalignment(),
            text.get_verticalalignment(),
        ) == (8, "center", "top")
        assert not text.get_parse_math()


def test_other_warnings_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only that of a letter is hidden, and the picture is a PNG whatever the settings say."""
    asked = []

    def save(self: Figure, file: object, **how: object) -> None:
        asked.append(how)
        warnings.warn("a box is too small", stacklevel=1)

    monkeypatch.setattr(Figure, "savefig", save)
    with pytest.warns(UserWarning, match="a box is too small"):
        draw_sheet(np.zeros((1, 8, 8, 1), np.uint8), [""], tmp_path / "sheet.any")
    assert asked == [{"dpi": 110, "format": "png"}]


def test_mistakes_are_captioned_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caption of a wrong answer names the label and the answer."""
    sheets = []
    monkeypatch.setattr(pictures, "draw_sheet", lambda *given: sheets.append(given))
    names = ("cat", "dog", "great horned owl")
    named = dataclasses.replace(example(), class_names=names)
    matrices = []
    monkeypatch.setattr(pictures, "draw_confusion", lambda *given: matrices.append(given))
    pictures.draw_evaluation(named, tmp_path)
    ((matrix, path, drawn_names),) = matrices
    assert matrix.tolist() == named.confusion.tolist()
    assert (path, drawn_names) == (tmp_path / "confusion.png", names)
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
    folder = tmp_path / "a" / "b"
    draw_evaluation(found, folder)
    assert {path.name for path in folder.iterdir()} == {"confusion.png", "mistakes.png"}
    right = dataclasses.replace(found, outputs=np.eye(3, dtype=np.float32)[found.test.y])
    for _ in range(2):
        draw_evaluation(right, folder)
        assert {path.name for path in folder.iterdir()} == {"confusion.png"}
