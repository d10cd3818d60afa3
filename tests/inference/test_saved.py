import json
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lenet_multi.data.examples import Dataset
from lenet_multi.errors import UserError
from lenet_multi.inference.saved import SavedModel, find, newest_run
from lenet_multi.lenet.tasks import LENET, SOFTMAX_REGRESSION
from lenet_multi.runs.record import read_run
from lenet_multi.task import Task
from tests.examples import example_run, keep

ROUNDING = 1e-4  # for logits of size 5; measured 2e-6

MORE_WEIGHTS = "more weights than its model.weights.h5 holds"

LAYER = {"module": "keras.layers", "class_name": "Dense", "config": {"units": 3}}
MODEL = {"module": "keras", "class_name": "Sequential", "config": {"layers": [LAYER]}}


def keras_file(path: Path, config: Any = MODEL, *, lacks: str = "") -> Path:
    """Write what looks like a `.keras` file with this configuration."""
    members = {"config.json": json.dumps(config), "metadata.json": "{}", "model.weights.h5": "w"}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            if name != lacks:
                archive.writestr(name, content)
    return path


def test_a_keras_file_is_found_without_keras(tmp_path: Path) -> None:
    """A .keras file with only Keras's own layers is accepted, without Keras, and has no run."""
    path = keras_file(tmp_path / "model.keras")
    assert (find(path).path, find(path).result) == (path, None)


@pytest.mark.parametrize(
    "part",
    [
        {"module": "keras.layers", "class_name": "Lambda", "config": {}},
        {"class_name": "__lambda__", "config": {"value": "YwE="}},
        {"module": "builtins", "class_name": "function", "config": "eval"},
        {"module": "os", "class_name": "system", "config": {}},
        {"module": "kerasish", "class_name": "Dense", "config": {}},
    ],
    ids=["Lambda", "lambda as activation", "builtin", "other module", "module like Keras's"],
)
def test_a_file_with_code_is_refused(tmp_path: Path, part: dict[str, Any]) -> None:
    """A file that names anything but Keras's own parts, at any depth, is refused."""
    layer = {**LAYER, "config": {"activation": part}}
    config = {**MODEL, "config": {"layers": [LAYER, layer]}}
    with pytest.raises(UserError, match="carries code of its own"):
        find(keras_file(tmp_path / "model.keras", config))


@pytest.mark.parametrize("name", ["config.json", "metadata.json", "model.weights.h5"])
def test_a_file_that_lacks_a_part_is_refused(tmp_path: Path, name: str) -> None:
    """The error names the missing member."""
    with pytest.raises(UserError, match=f"is no .keras file: it lacks {name}"):
        find(keras_file(tmp_path / "model.keras", lacks=name))


@pytest.mark.parametrize("kept", [0, 10, -1], ids=["empty", "ten bytes", "all but a byte"])
def test_a_truncated_file_is_refused(tmp_path: Path, kept: int) -> None:
    """A truncated file is refused."""
    path = keras_file(tmp_path / "model.keras")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"is no .keras file"):
        find(path)


@pytest.mark.parametrize("name", ["../canary", "/tmp/canary", "a/../../canary"])
def test_a_member_that_leads_outside_is_refused(tmp_path: Path, name: str) -> None:
    """A member whose path leads outside is refused before anything is unpacked."""
    path = keras_file(tmp_path / "model.keras")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, "out")
    with pytest.raises(UserError, match="would lead out of it"):
        find(path)


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    """A decompression bomb is refused before it is unpacked."""
    path = keras_file(tmp_path / "model.keras", lacks="model.weights.h5")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(70 * 2**20))
    with pytest.raises(UserError, match="decompression bomb"):
        find(path)


def test_a_changed_byte_is_refused(tmp_path: Path) -> None:
    """A changed byte is refused, because the archive's checksum no longer fits."""
    path = keras_file(tmp_path / "model.keras")
    path.write_bytes(path.read_bytes().replace(b"Dense", b"Tense", 1))
    with pytest.raises(UserError, match="damaged"):
        find(path)


@pytest.mark.parametrize("content", ["{", "[" * 100_000], ids=["cut off", "nested without end"])
def test_a_file_whose_model_is_no_json_is_refused(tmp_path: Path, content: str) -> None:
    """A valid archive whose configuration is not JSON is refused."""
    path = keras_file(tmp_path / "model.keras", lacks="config.json")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("config.json", content)
    with pytest.raises(UserError, match=r"is no .keras file, or it is damaged"):
        find(path)


def test_a_file_whose_model_is_huge_is_refused(tmp_path: Path) -> None:
    """A huge configuration is refused before it is unpacked."""
    path = keras_file(tmp_path / "model.keras", {**MODEL, "padding": " " * 17 * 2**20})
    with pytest.raises(UserError, match=r"is no .keras file: its config.json is too large"):
        find(path)


def test_a_path_to_nothing_is_refused(tmp_path: Path) -> None:
    """If the path does not exist, the error says what to give."""
    with pytest.raises(UserError, match=r"give a run folder or a .keras file"):
        find(tmp_path / "nowhere")


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    """A folder such as TensorFlow's SavedModel is called what it is, not a damaged run."""
    (tmp_path / "saved_model").mkdir()
    (tmp_path / "saved_model" / "saved_model.pb").write_bytes(b"x")
    with pytest.raises(UserError, match=r"saved_model is no run folder: it has no result\.json"):
        find(tmp_path / "saved_model")


def test_another_model_in_a_run_folder_is_refused(tmp_path: Path) -> None:
    """A model in a run folder is refused if its hash differs from the recorded one."""
    folder = keep(example_run(), tmp_path / "run")
    keras_file(folder / "model.keras")
    with pytest.raises(UserError, match="damaged or of another run"):
        find(folder)


@pytest.mark.parametrize(
    ("layers", "shape"),
    [
        ([{"class_name": "InputLayer", "config": {"batch_shape": [None, 28, 28, 1]}}, LAYER], 4),
        ([LAYER], None),
        (["odd"], None),
    ],
    ids=["told", "not told", "no layers"],
)
def test_the_input_shape_is_told_without_keras(
    tmp_path: Path, layers: list[Any], shape: int | None
) -> None:
    """The input shape is read without Keras, if the file holds it."""
    path = keras_file(tmp_path / "model.keras", {**MODEL, "config": {"layers": layers}})
    found = find(path).input_shape
    assert found == (None, 28, 28, 1) if shape else found is None


@pytest.mark.parametrize(
    ("architecture", "task"),
    [(None, LENET), ("lenet", LENET), ("softmax-regression", SOFTMAX_REGRESSION)],
)
def test_the_task_is_that_of_the_run(architecture: str | None, task: Task) -> None:
    """A run's file has the run's task; a file without a run has the LeNet's."""
    run = example_run()
    run.result.config["architecture"] = architecture
    assert SavedModel(Path("m.keras"), run.result if architecture else None).task is task


def test_somebody_elses_task_is_not_imported() -> None:
    """The task module that a run names is not imported, because a file must not choose code."""
    run = example_run()
    run.result.config["architecture"] = "antigravity:TASK"
    with pytest.raises(
        UserError, match=r"^m\.keras is of antigravity:TASK, .*the flag --model antigravity:TASK"
    ):
        _ = SavedModel(Path("m.keras"), run.result).task
    assert "antigravity" not in sys.modules


def test_the_newest_run_is_found(tmp_path: Path) -> None:
    """The newest run is found in the folder or one level deeper, as nox writes them.

    An unfinished run is never found.
    """
    with pytest.raises(UserError, match=r"no run in .*lenet-multi train"):
        newest_run(tmp_path)
    for age, name in enumerate(["old", "deep/new", "draft.unfinished"]):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "result.json").touch()
        os.utime(tmp_path / name / "result.json", (age, age))
    assert newest_run(tmp_path) == tmp_path / "deep" / "new"


@pytest.mark.backend
def test_loading_draws_nothing(small_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading a model calls no initializer of Keras; afterwards initializers draw as usual."""
    import keras

    def refuse(*given: object, **named: object) -> None:
        pytest.fail("something was drawn")

    with monkeypatch.context() as patched:
        patched.setattr(keras.initializers.GlorotUniform, "__call__", refuse)
        model = find(small_run).load()
    assert np.ptp(keras.ops.convert_to_numpy(model.layers[0].kernel)) > 0
    drawn = keras.ops.convert_to_numpy(keras.layers.Dense(3).kernel_initializer((3, 3)))
    assert np.ptp(drawn) > 0


@pytest.mark.backend
def test_a_run_loads_and_answers_as_it_did(small_run: Path, small: Dataset) -> None:
    """The loaded model gives the logits that the run recorded, up to another form's rounding."""
    found, run = find(small_run), read_run(small_run)
    assert found.result == run.result
    pixels = small.test.x[:100] / np.float32(255)
    logits = found.load().predict(pixels, verbose=0)
    np.testing.assert_allclose(logits, run.outputs[:100], atol=ROUNDING)


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
def test_a_model_of_other_shape_is_refused(tmp_path: Path) -> None:
    """A model that does not take images is refused."""
    import keras

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.save(tmp_path / "model.keras")
    with pytest.raises(UserError, match="to be an image classifier"):
        find(tmp_path / "model.keras").load()


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ({"units": 10**9}, MORE_WEIGHTS),
        ({"units": 10**9, "kernel_initializer": "Identity"}, MORE_WEIGHTS),
        ({"units": 10**9, "kernel_initializer": None}, MORE_WEIGHTS),
        ({"units": 11}, "cannot be loaded: A total of 1 objects could not be loaded.*: .*shape"),
    ],
    ids=["a billion units", "another initializer", "no initializer", "a unit more"],
)
def test_weights_that_the_file_has_not_are_refused(
    tmp_path: Path, small_run: Path, layer: dict[str, Any], message: str
) -> None:
    """A model with more weights than its file holds is refused, before memory is taken.

    If Keras finds the fault, the error gives Keras's reason.
    """
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(small_run / "model.keras") as before, zipfile.ZipFile(path, "w") as after:
        for name in before.namelist():
            content = before.read(name)
            if name == "config.json":
                config = json.loads(content)
                config["config"]["layers"][-1]["config"] |= layer
                content = json.dumps(config).encode()
            after.writestr(name, content)
    with pytest.raises(UserError, match=message):
        find(path).load()
