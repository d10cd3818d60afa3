import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from lenet_multi.errors import UserError
from lenet_multi.inference.predict import (
    Prediction,
    Prepared,
    as_json,
    captions,
    predict,
    prepare_all,
    print_prediction,
)
from lenet_multi.inference.saved import SavedModel
from tests.conftest import Lenet
from tests.lenet.test_photographs import seven

# backends, and the same digits undistorted 98.5 to 100 %


def page(path: Path) -> Path:
    """Write a page with a seven on it."""
    seven().save(path)
    return path


def example() -> Prediction:
    """Return a prediction of two images."""
    images = Prepared(["a.png", "far/b.png"], np.zeros((2, 28, 28), np.uint8), ["c.png is empty"])
    return Prediction(images, np.array([[0.25, 0.75, 0.0], [0.5, 0.1, 0.4]]))


def test_a_folders_images_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    """Files and folders may be mixed; what is hidden or no image by its name is passed over."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("b.png", "a.png", "C.PNG", ".hidden.png"):
        page(folder / name)
    (folder / "labels.csv").write_text("7")
    found = prepare_all([page(tmp_path / "z.png"), folder], side=28)
    assert [Path(name).name for name in found.names] == ["z.png", "C.PNG", "a.png", "b.png"]
    assert found.pixels.shape == (4, 28, 28)
    assert found.refused == []


def test_the_bad_ones_are_named_and_the_others_kept(tmp_path: Path) -> None:
    """Each refusal is a line that names its file; order stays."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.png").write_text("text")
    Image.new("L", (90, 90), 200).save(tmp_path / "blank.png")
    names = ["text.png", "a.png", "nowhere.png", "empty", "blank.png", "b.png"]
    page(tmp_path / "a.png")
    page(tmp_path / "b.png")
    found = prepare_all([tmp_path / name for name in names], side=28)
    assert [Path(name).name for name in found.names] == ["a.png", "b.png"]
    for refusal, (name, reason) in zip(
        found.refused,
        [
            ("text.png", "is no image"),
            ("nowhere.png", "No such file"),
            ("empty", "is a folder without images"),
            ("blank.png", "nothing is drawn on it"),
        ],
        strict=True,
    ):
        assert str(tmp_path / name) in refusal
        assert reason in refusal


def test_a_folder_that_cannot_be_listed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are answered."""
    (tmp_path / "shut").mkdir()

    def refuse(folder: Path) -> None:
        raise PermissionError(folder)

    monkeypatch.setattr(Path, "iterdir", refuse)
    found = prepare_all([tmp_path / "shut", page(tmp_path / "a.png")], side=28)
    assert [Path(name).name for name in found.names] == ["a.png"]
    assert [str(tmp_path / "shut") in refusal for refusal in found.refused] == [True]


def test_without_any_image_it_fails(tmp_path: Path) -> None:
    """One error names all."""
    with pytest.raises(UserError, match=r"a\.png.*; .*b\.png"):
        prepare_all([tmp_path / "a.png", tmp_path / "b.png"], side=28)


@pytest.mark.parametrize(
    "shape",
    [
        (None, 28, 20, 1),
        (None, 28, 28, 2),
        (None, 10**6, 10**6, 1),
        (None, 0, 0, 1),
        (None, None, None, 1),
        (None, 784),
        None,
    ],
    ids=str,
)
def test_a_model_of_other_images_is_refused(shape: tuple[int, ...] | None) -> None:
    """Before a backend starts."""
    layer = {"class_name": "InputLayer", "config": {"batch_shape": shape}}
    model = SavedModel(Path("odd.keras"), None, {"config": {"layers": [layer]}})
    with pytest.raises(UserError, match=r"odd\.keras takes"):
        predict([Path("a.png")], model, backend="none")


def test_the_table_shows_the_two_likeliest() -> None:
    """A row for each image, whichever class wins."""
    output = io.StringIO()
    print_prediction(example(), Console(file=output, width=100))
    rows = [line.split() for line in output.getvalue().splitlines() if ".png" in line]
    assert [row[1::2] for row in rows] == [
        ["a.png", "1", "75.0%", "0", "25.0%"],
        ["far/b.png", "0", "50.0%", "2", "40.0%"],
    ]


def test_a_name_cannot_command_the_terminal() -> None:
    """Nor need it be text."""
    images = Prepared(["\x1b[2J\udcff.png"], np.zeros((1, 8, 8), np.uint8), [])
    shown = Prediction(images, np.array([[0.25, 0.75]]))
    output = io.StringIO()
    print_prediction(shown, Console(file=output, width=100))
    assert "\\x1b[2J\\udcff.png" in output.getvalue()
    assert captions(shown) == ["\\x1b[2J\\udcff.png\n1 (75.0%)"]


def test_json_holds_every_probability() -> None:
    """In the order of the classes; the refused ones are told."""
    content = as_json(example())
    assert content["refused"] == ["c.png is empty"]
    assert content["images"][1] == {
        "image": "far/b.png",
        "class": 0,
        "probability": 0.5,
        "probabilities": [0.5, 0.1, 0.4],
    }


def test_captions_are_short() -> None:
    """A long name keeps its beginning and its end."""
    images = Prepared(
        ["a-name-much-longer-than-its-image-7.png"], np.zeros((1, 8, 8), np.uint8), []
    )
    (caption,) = captions(Prediction(images, np.array([[0.25, 0.75]])))
    assert caption == "a-name-…mage-7.png\n1 (75.0%)"


@pytest.mark.backend
def test_the_command_answers(tmp_path: Path, lenet: Lenet, small_run: Path, backend: str) -> None:
    """A table on stdout, the newest run by default, a picture where asked for."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mine").symlink_to(small_run)
    page(tmp_path / "seven.png")
    done = lenet("predict", "seven.png", "--show", "seen.png")
    assert done.returncode == 0, done.stderr
    assert "│ seven.png │" in done.stdout
    assert done.stderr == "Model: runs/mine\n"
    assert Image.open(tmp_path / "seen.png").format == "PNG"


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
def test_the_command_goes_on_after_a_bad_one(tmp_path: Path, lenet: Lenet, small_run: Path) -> None:
    """The others are answered, the bad ones named, the status 2."""
    page(tmp_path / "good.png")
    (tmp_path / "bad.png").write_text("text")
    done = lenet("predict", "--model", small_run, "--json", "bad.png", "good.png", "gone.png")
    assert done.returncode == 2
    assert [line.partition(" ")[2][:7] for line in done.stderr.splitlines()] == [
        "bad.png",
        "cannot ",
    ]
    content = json.loads(done.stdout)
    assert [image["image"] for image in content["images"]] == ["good.png"]
    assert sum(content["images"][0]["probabilities"]) == pytest.approx(1)


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
def test_standard_input_is_read(tmp_path: Path, small_run: Path) -> None:
    """`-` is one image, of bytes that come through a pipe."""
    done = subprocess.run(
        [sys.executable, "-m", "lenet_multi", "predict", "-", "--model", small_run, "--json"],
        input=page(tmp_path / "seven.png").read_bytes(),
        env=os.environ,
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout)["images"][0]["image"] == "standard input"
