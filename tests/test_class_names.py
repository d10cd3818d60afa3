"""Names of classes on their way: from the user or the data through a run to every command."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Lenet

SHAPES = ("bar", "disc", "ring")
FAST = ("--recipe", "baseline", "--epochs", "4", "--batch-size", "16", "--quiet")


def drawn(kind: int, seed: int) -> np.ndarray:
    """Return an image (28, 28) uint8 of the shape `kind`, at a place drawn from `seed`."""
    row, column = np.random.default_rng(seed).integers(10, 18, 2)
    y, x = np.mgrid[:28, :28]
    distance = np.hypot(y - row, x - column)
    masks = (abs(x - column) < 2, distance < 7, abs(distance - 7) < 1.5)
    return np.where(masks[kind], 255, 0).astype(np.uint8)


def npz(path: Path, order: tuple[int, ...] = (0, 1, 2)) -> Path:
    """Write 300 training and 60 test images; the shape of label i is `order[i]`."""
    arrays: dict[str, Any] = {}
    for part, count, first in (("train", 300, 0), ("test", 60, 1000)):
        labels = np.arange(count) % 3
        images = [drawn(order[label], first + place) for place, label in enumerate(labels)]
        arrays |= {f"x_{part}": np.stack(images), f"y_{part}": labels.astype(np.uint8)}
    np.savez(path, **arrays)
    return path


def folders(path: Path, names: dict[str, int]) -> Path:
    """Write a folder of image files for each class in `names`, which are of these shapes."""
    for part, first in (("train", 0), ("test", 2000)):
        for name, kind in names.items():
            for seed in range(first, first + 9):
                file = path / part / name / f"{seed}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(drawn(kind, seed)).save(file)
    return path


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images and a file of the names of their classes."""
    folder = tmp_path_factory.mktemp("named")
    npz(folder / "shapes.npz")
    (folder / "names.txt").write_text("\n".join(SHAPES))
    return folder


@pytest.fixture
def run(material: Path, lenet: Lenet) -> Path:
    """The run folder of a model of bars, discs and rings; it is trained once."""
    out = material / "run"
    if not out.exists():
        names = ("--class-names", material / "names.txt", "--classes", 3)
        done = lenet("train", *FAST, "--data", material / "shapes.npz", *names, "--out", out)
        assert done.returncode == 0, done.stderr
        assert "Classes: bar, disc, ring\n" in done.stdout
        content = json.loads((out / "result.json").read_text())
        assert content["class_names"] == [*SHAPES]
        assert content["config"]["class_names"] == "bar,disc,ring"  # and not the file's place
    return out


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
@pytest.mark.any_backend
def test_evaluate_names_classes(run: Path, lenet: Lenet, tmp_path: Path) -> None:
    """The tables and the JSON of a run's evaluation have the names, and pictures are drawn."""
    done = lenet("evaluate", run, "--out", tmp_path / "pictures")
    assert done.returncode == 0, done.stderr
    rows = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("│")]
    assert rows == [*SHAPES, *SHAPES]  # of both tables
    assert (tmp_path / "pictures" / "confusion.png").exists()
    content = json.loads(lenet("evaluate", run, "--json").stdout)
    assert [one["name"] for one in content["classes"]] == [*SHAPES]
    assert content["test_accuracy"] > 0.9


@pytest.mark.all_backends
def test_labels_of_other_data_are_matched_by_name(run: Path, lenet: Lenet, tmp_path: Path) -> None:
    """`evaluate` matches fewer names in another order to the model's classes."""
    data = folders(tmp_path / "data", {"disc": 1, "ring": 2})
    done = lenet("evaluate", run, "--data", f"hf:{data}", "--json")
    assert "they are matched by name" in done.stderr
    content = json.loads(done.stdout)
    assert content["test_accuracy"] > 0.9
    assert [one["images"] for one in content["classes"]] == [0, 9, 9]


@pytest.mark.all_backends
def test_data_of_other_classes_are_refused(run: Path, lenet: Lenet, tmp_path: Path) -> None:
    """A class that the model lacks ends the command in one line."""
    data = folders(tmp_path / "data", {"bar": 0, "cross": 1, "disc": 2})
    done = lenet("evaluate", run, "--data", f"hf:{data}")
    assert done.returncode == 2
    assert "has a class 'cross', but the model has bar, disc, ring; give data" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
@pytest.mark.any_backend
def test_a_folder_for_each_class_gives_names_without_a_library(
    run: Path, lenet: Lenet, tmp_path: Path
) -> None:
    """`evaluate` matches the folders of pictures by name, and refuses a class that is new."""
    data = folders(tmp_path / "data", {"disc": 1, "ring": 2})
    done = lenet("evaluate", run, "--data", data, "--json")
    assert "they are matched by name" in done.stderr
    content = json.loads(done.stdout)
    assert content["test_accuracy"] > 0.9
    assert [one["images"] for one in content["classes"]] == [0, 9, 9]
    folders(tmp_path / "data", {"cross": 0})
    done = lenet("evaluate", run, "--data", data)
    assert done.returncode == 2
    assert "has a class 'cross', but the model has bar, disc, ring; give data" in done.stderr


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
@pytest.mark.any_backend
def test_names_of_folders_stay_with_a_run_that_goes_on(lenet: Lenet, tmp_path: Path) -> None:
    """A warning calls a class by its name, and added epochs keep names and weights."""
    folders(tmp_path / "data", dict(zip(SHAPES, range(3), strict=True)))
    data = ("--data", "data", "--classes", 3, "--class-weights", "balanced", "--out", "first")
    done = lenet("train", "--epochs", 1, "--quiet", *data)
    assert done.returncode == 0, done.stderr
    assert "Classes: bar, disc, ring\n" in done.stdout
    (line,) = (line for line in done.stderr.splitlines() if "no validation image" in line)
    assert [name for name in SHAPES if name in line]
    assert not [word for word in line.split(":")[1].split() if word.strip(",").isdigit()]
    done = lenet("train", "--resume", "first", "--epochs", 2, "--quiet")
    assert done.returncode == 0, done.stderr
    first, longer = (
        json.loads((tmp_path / name / "result.json").read_text())
        for name in ("first", "first-2-epochs")
    )
    for field in ("class_names", "class_weights", "class_counts", "inputs"):
        assert longer[field] == first[field]
    assert first["class_names"] == [*SHAPES]
    assert longer["earlier"][0]["epochs"] == 1


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
@pytest.mark.any_backend
def test_predict_names_classes(run: Path, lenet: Lenet, tmp_path: Path) -> None:
    """The table and the JSON of predictions have the names."""
    Image.fromarray(255 - drawn(2, 5)).resize((200, 200)).save(tmp_path / "page.png")
    image = json.loads(lenet("predict", "page.png", "--model", run, "--json").stdout)["images"][0]
    assert image["name"] == SHAPES[image["class"]]
    done = lenet("predict", "page.png", "--model", run, "--show", "seen.png")
    assert done.returncode == 0, done.stderr
    assert f" {image['name']} │" in done.stdout


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
@pytest.mark.any_backend
def test_a_bare_file_takes_names(run: Path, lenet: Lenet, tmp_path: Path) -> None:
    """`--class-names` names the classes of a .keras file, and must name them all."""
    model, data = run / "model.keras", run.parent / "shapes.npz"
    given = ("evaluate", model, "--data", data, "--json")
    content = json.loads(lenet(*given, "--class-names", "a,b,c").stdout)
    assert [one["name"] for one in content["classes"]] == ["a", "b", "c"]
    done = lenet(*given, "--class-names", "a,b")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--class-names names 2 classes (a, b), but the model has 3; give 3 names" in done.stderr
    assert "name" not in json.loads(lenet(*given).stdout)["classes"][0]


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
@pytest.mark.any_backend
def test_a_run_keeps_its_names(run: Path, lenet: Lenet) -> None:
    """Commands refuse names other than the run's; the user may repeat these."""
    for command in (("evaluate", run), ("export", run, "--format", "onnx"), ("predict", "a.png")):
        model = ("--model", run) if command[0] == "predict" else ()
        done = lenet(*command, *model, "--class-names", "ring,disc,bar")
        assert done.returncode == 2
        assert f"{run} names its classes bar, disc, ring; drop --class-names" in done.stderr
    assert lenet("evaluate", run, "--class-names", ",".join(SHAPES)).returncode == 0


@pytest.mark.backend
@pytest.mark.any_backend
def test_exports_name_classes(run: Path, backend: str) -> None:
    """The metadata of an export have the names of the run, or those that the user gives."""
    from lenet_multi.inference.export import describe
    from lenet_multi.inference.formats import FORMATS
    from lenet_multi.inference.saved import find

    kind = dataclasses.replace(FORMATS["onnx"], routes={backend: ()})
    for saved, names in (
        (find(run), [*SHAPES]),
        (find(run / "model.keras", names="a,b,c"), ["a", "b", "c"]),
        (find(run / "model.keras"), ["0", "1", "2"]),
    ):
        assert json.loads(describe(saved, kind, saved.load())["classes"]) == names


@pytest.mark.backend
@pytest.mark.any_backend
@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--class-names", "a,b"], "--class-names names 2 classes (a, b), but the model has 10; "),
        (["--class-names", "nowhere"], "--class-names nowhere is no file; give one with a name"),
        (["--class-names", "a,a"], "'a' is there twice; name each class differently"),
    ],
    ids=["too few", "no file", "twice"],
)
def test_names_that_do_not_fit_are_refused_before_training(
    lenet: Lenet, tmp_path: Path, flags: list[str], message: str
) -> None:
    """Names that do not fit end `train` in one line, and it leaves no folder."""
    npz(tmp_path / "shapes.npz")
    done = lenet("train", *FAST, "--data", "shapes.npz", *flags)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "runs").exists() or not any((tmp_path / "runs").iterdir())


@pytest.mark.all_backends
def test_a_digit_model_reads_digits_by_value(lenet: Lenet, tmp_path: Path) -> None:
    """A folder of the classes 1 and 2 has the labels 1 and 2 of a model of ten classes."""
    npz(tmp_path / "shapes.npz")
    done = lenet("train", *FAST, "--data", "shapes.npz", "--out", "run")
    assert done.returncode == 0, done.stderr
    data = folders(tmp_path / "data", {"1": 1, "2": 2})
    done = lenet("evaluate", "run", "--data", f"hf:{data}", "--json")
    content = json.loads(done.stdout)
    assert content["test_accuracy"] > 0.9
    assert [one["images"] for one in content["classes"][:4]] == [0, 9, 9, 0]


@pytest.mark.all_backends
def test_data_without_the_models_names_are_assumed_to_have_its_order(
    run: Path, lenet: Lenet, tmp_path: Path
) -> None:
    """A model without names takes those of the data, and says so."""
    data = folders(tmp_path / "data", dict(zip(SHAPES, range(3), strict=True)))
    done = lenet("evaluate", run / "model.keras", "--data", f"hf:{data}", "--json")
    assert "the model does not name its classes; they are taken for those of" in done.stderr
    content = json.loads(done.stdout)
    assert [one["name"] for one in content["classes"]] == [*SHAPES]
    assert content["test_accuracy"] > 0.9


@pytest.mark.backend
@pytest.mark.any_backend
def test_wrong_answers_are_logged_by_name(backend: str, tmp_path: Path) -> None:
    """TensorBoard's pictures of wrong answers have the names of label and answer."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from lenet_multi.data.examples import Examples
    from lenet_multi.training.tensorboard import log_wrong_answers

    images = Examples(np.zeros((1, 8, 8, 1), np.uint8), np.array([1]))
    log_wrong_answers(tmp_path, images, np.array([[1, 0]], np.float32), ("T-shirt/top", "bag"))
    log = EventAccumulator(str(tmp_path / "test"), {"images": 0})
    log.Reload()
    assert log.Tags()["images"] == ["wrong/bag_taken_for_T-shirt-top_image_0"]
