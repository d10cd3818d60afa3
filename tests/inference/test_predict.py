import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Dataset, Examples
from lenet_multi.errors import UserError
from lenet_multi.inference.predict import (
    Prediction,
    as_json,
    captions,
    computing,
    predict,
    prepare_all,
)
from lenet_multi.inference.saved import SavedModel, find
from lenet_multi.lenet.tasks import LENET
from lenet_multi.runs.folder import new_run_folder
from lenet_multi.runs.record import Run, write_run
from tests.conftest import Lenet, train_quietly
from tests.lenet.photographs.material import seven

SHAPE = (28, 28, 1)


def page(path: Path) -> Path:
    """Write a page with a seven on it."""
    seven().save(path)
    return path


def example() -> Prediction:
    """Return a prediction of two images."""
    return Prediction(
        ["a.png", "far/b.png"],
        np.zeros((2, *SHAPE), np.uint8),
        ["c.png is empty"],
        np.array([[0.25, 0.75, 0.0], [0.5, 0.1, 0.4]]),
    )


def likely_one(name: str) -> Prediction:
    """Return a prediction of one image of this name, which shows a 1."""
    return Prediction([name], np.zeros((1, 8, 8, 1), np.uint8), [], np.array([[0.25, 0.75]]))


def prepared(*paths: Path) -> tuple[list[str], NDArray[np.uint8], list[str]]:
    """Return names and pixels of the images at `paths` as the LeNet sees them, and refusals."""
    assert LENET.read_input
    return prepare_all(paths, LENET.read_input, SHAPE)


def test_a_folders_images_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    """A folder's images come by name; hidden files and other files are skipped.

    Files and folders may be mixed.
    """
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("b.png", "a.png", "C.PNG", ".hidden.png"):
        page(folder / name)
    (folder / "labels.csv").write_text("7")
    found, pixels, refused = prepared(page(tmp_path / "z.png"), folder)
    assert [Path(name).name for name in found] == ["z.png", "C.PNG", "a.png", "b.png"]
    assert pixels.shape == (4, *SHAPE)
    assert pixels.dtype == np.uint8
    assert refused == []


def test_the_bad_ones_are_named_and_the_others_kept(tmp_path: Path) -> None:
    """Each bad file is refused in a line that names it; the others keep their order."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.png").write_text("text")
    Image.new("L", (90, 90), 200).save(tmp_path / "blank.png")
    names = ["text.png", "a.png", "nowhere.png", "empty", "blank.png", "b.png"]
    page(tmp_path / "a.png")
    page(tmp_path / "b.png")
    found, _, refused = prepared(*(tmp_path / name for name in names))
    assert [Path(name).name for name in found] == ["a.png", "b.png"]
    for refusal, (name, reason) in zip(
        refused,
        [
            ("text.png", "is no image"),
            ("nowhere.png", "No such file"),
            ("empty", "is a folder without readable images"),
            ("blank.png", "nothing is drawn on it"),
        ],
        strict=True,
    ):
        assert str(tmp_path / name) in refusal
        assert reason in refusal


def test_a_folder_that_cannot_be_listed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that cannot be listed is refused, and the other images are answered."""
    (tmp_path / "shut").mkdir()

    def refuse(folder: Path) -> None:
        raise PermissionError(folder)

    monkeypatch.setattr(Path, "iterdir", refuse)
    names, _, refused = prepared(tmp_path / "shut", page(tmp_path / "a.png"))
    assert [Path(name).name for name in names] == ["a.png"]
    assert [str(tmp_path / "shut") in refusal for refusal in refused] == [True]


def test_without_any_image_it_fails(tmp_path: Path) -> None:
    """If no image can be read, one error names all of them."""
    with pytest.raises(UserError, match=r"a\.png.*; .*b\.png"):
        prepared(tmp_path / "a.png", tmp_path / "b.png")


@pytest.mark.parametrize(
    "shape",
    [
        (None, 28, 2000, 1),
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
    """A model of other images is refused before a backend starts."""
    layer = {"class_name": "InputLayer", "config": {"batch_shape": shape}}
    model = SavedModel(Path("odd.keras"), None, {"config": {"layers": [layer]}})
    with pytest.raises(UserError, match=r"odd\.keras takes"):
        predict([Path("a.png")], model, backend="none")


def test_a_captions_name_cannot_command_the_terminal() -> None:
    """A caption escapes terminal codes and bytes that are not text in a file's name."""
    assert captions(likely_one("\x1b[2J\udcff.png")) == ["\\x1b[2J\\udcff.png\n1 (75.0%)"]


def test_a_task_that_reads_no_image_files_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that reads no image files is refused before a backend starts."""
    monkeypatch.setattr(SavedModel, "task", dataclasses.replace(LENET, read_input=None))
    with pytest.raises(UserError, match=r"m\.keras is of a task that reads no image files"):
        predict([Path("a.png")], SavedModel(Path("m.keras")), backend="none")


def test_json_holds_every_probability() -> None:
    """The JSON holds every probability in class order, and the refused images."""
    content = as_json(example())
    assert content["refused"] == ["c.png is empty"]
    assert content["images"][1] == {
        "image": "far/b.png",
        "class": 0,
        "probability": 0.5,
        "probabilities": [0.5, 0.1, 0.4],
    }


def test_json_and_captions_hold_names() -> None:
    """The JSON has names beside the numbers, and captions have names instead of numbers."""
    named = dataclasses.replace(example(), class_names=("cat", "dog", "owl"))
    content = as_json(named)
    assert content["class_names"] == ["cat", "dog", "owl"]
    assert [(image["class"], image["name"]) for image in content["images"]] == [
        (1, "dog"),
        (0, "cat"),
    ]
    assert captions(named) == ["a.png\ndog (75.0%)", "b.png\ncat (50.0%)"]
    long = dataclasses.replace(named, class_names=("great horned owl", "dog", "owl"))
    assert captions(long)[1] == "b.png\ngre…ned owl (50.0%)"


def test_captions_are_short() -> None:
    """A caption keeps the beginning and the end of a long name."""
    (caption,) = captions(likely_one("a-name-much-longer-than-its-image-7.png"))
    assert caption == "a-name-…mage-7.png\n1 (75.0%)"


@pytest.mark.backend
@pytest.mark.any_backend
def test_the_command_answers(tmp_path: Path, lenet: Lenet, small_run: Path, backend: str) -> None:
    """By default the newest run answers, in a table on stdout; `--show` writes a picture."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mine").symlink_to(small_run)
    page(tmp_path / "seven.png")
    done = lenet("predict", "seven.png", "--show", "seen.png")
    assert done.returncode == 0, done.stderr
    assert "│ seven.png │" in done.stdout
    assert done.stderr == "Model: runs/mine\n"
    assert Image.open(tmp_path / "seen.png").format == "PNG"


@pytest.mark.backend
@pytest.mark.any_backend
@pytest.mark.usefixtures("backend")
def test_the_command_goes_on_after_a_bad_one(tmp_path: Path, lenet: Lenet, small_run: Path) -> None:
    """The good images are answered, the bad ones named, and the status is 2."""
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
@pytest.mark.any_backend
@pytest.mark.usefixtures("backend")
def test_standard_input_is_read(tmp_path: Path, small_run: Path) -> None:
    """`-` reads one image from a pipe."""
    done = subprocess.run(
        [sys.executable, "-m", "lenet_multi", "predict", "-", "--model", small_run, "--json"],
        input=page(tmp_path / "seven.png").read_bytes(),
        env=os.environ,
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout)["images"][0]["image"] == "standard input"


def squares(count: int, shape: tuple[int, ...], seed: int) -> Examples:
    """Return images of squares on dark noise; the class is the square's place: left or right."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 30, (count, *shape)).astype(np.uint8)
    labels = generator.integers(0, 2, count).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        left = label * shape[1] // 2 + 2
        image[8:14, left : left + 6] = generator.integers(120, 256, shape[-1])
    return Examples(images, labels)


@pytest.mark.backend
@pytest.mark.parametrize("shape", [(32, 32, 3), (28, 28, 1)], ids=["colour", "grey"])
@pytest.mark.any_backend
def test_pictures_of_the_test_set_are_answered_as_evaluated(
    tmp_path: Path, backend: str, shape: tuple[int, ...]
) -> None:
    """`predict` answers test images saved as PNG as `evaluate` does, for images of no digits.

    To move a square to the middle, as a digit, would change its class.
    """
    dataset = Dataset(squares(400, shape, 0), squares(40, shape, 1))
    config = TrainConfig(data="squares.npz", classes=2, epochs=3, batch_size=16)
    run = train_quietly(config, dataset, backend)
    assert run.result.inputs == {"prepared": "resize", "range": "0,1"}
    with new_run_folder(tmp_path / "run") as draft:
        seen = run.evaluation
        write_run(Run(draft, run.result, seen.outputs, seen.test.y), run.model.save)
    paths = []
    for index, image in enumerate(dataset.test.x):
        paths.append(tmp_path / f"{index:02}.png")
        Image.fromarray(image.squeeze(-1) if shape[-1] == 1 else image).save(paths[-1])
    found = predict(paths, find(tmp_path / "run"), backend=backend)
    np.testing.assert_array_equal(found.pixels, dataset.test.x)
    np.testing.assert_array_equal(found.probabilities.argmax(1), seen.outputs.argmax(1))
    assert np.mean(found.probabilities.argmax(1) == dataset.test.y) > 0.9


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
@pytest.mark.any_backend
def test_the_command_says_what_it_assumes(tmp_path: Path, lenet: Lenet) -> None:
    """For a model without a record, two lines say what is assumed, and flags change it."""
    import keras

    layers = [keras.layers.Flatten(), keras.layers.Dense(2)]
    keras.Sequential([keras.Input((20, 30, 3)), *layers]).save(tmp_path / "own.keras")
    page(tmp_path / "seven.png")
    done = lenet("predict", "seven.png", "--model", "own.keras")
    assert done.returncode == 0, done.stderr
    fed, prepared = done.stderr.splitlines()
    assert fed.startswith("Fed: pixels in [0, 1], assumed")
    assert prepared.startswith("Images: each is resized as a whole, and stretched")
    done = lenet("predict", "seven.png", "--model", "own.keras", "--prepare", "digit")
    assert done.returncode == 2
    assert done.stderr.endswith("use another model, or --prepare resize\n")
    flags = ("--prepare", "resize", "--input-range", "-1,1", "--json")
    done = lenet("predict", "seven.png", "--model", "own.keras", *flags)
    content = json.loads(done.stdout)
    assert (content["prepared"], content["input_range"]) == ("resize", "-1,1")


@pytest.mark.parametrize("name", ["a.heic", "b.AVIF", "c.webp", "d.HEIF"])
def test_no_picture_in_a_folder_is_passed_over(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture in a folder is read or refused, also where `mimetypes` does not know its kind."""
    monkeypatch.setattr("mimetypes.guess_type", lambda *given, **named: (None, None))
    page(tmp_path / "seven.webp")
    (tmp_path / name).write_bytes(b"no picture")
    _, _, (refusal,) = prepared(tmp_path)
    assert name in refusal


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("name", ["openvino", "tensorflow"])
def test_what_a_backend_cannot_compute_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a backend cannot compute a model, the error names both and suggests another backend.

    The backend may lack an operation, or the model may make no sense: TensorFlow accepts no name
    like a:b.
    """
    monkeypatch.setattr("keras.backend.backend", lambda: name)
    message = f"{name} cannot compute m.keras: no `qr`; choose another --backend"
    with pytest.raises(UserError, match=message), computing(Path("m.keras")):
        raise NotImplementedError("no `qr`\nand more")


def test_an_answer_about_a_digit_is_sure_or_not() -> None:
    """At most 90 % is unsure; of other pictures nothing is said, in JSON neither."""
    likely = np.array([[0.09, 0.91], [0.1, 0.9]])
    pixels = np.zeros((2, 8, 8, 1), np.uint8)
    digits = Prediction(["a", "b"], pixels, [], likely, of_digits=True)
    assert digits.unsure == [False, True]
    assert json.loads(json.dumps(as_json(digits)))["images"][1]["unsure"] is True
    others = dataclasses.replace(digits, of_digits=False)
    assert others.unsure == [False, False]
    assert "unsure" not in as_json(others)["images"][1]
