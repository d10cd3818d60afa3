import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from lenet_multi.commands import demo as demo_command
from lenet_multi.commands.demo import _class_names, app, assign
from lenet_multi.commands.demo.process import command
from lenet_multi.data.examples import Dataset
from lenet_multi.errors import UserError
from lenet_multi.machine import extras
from lenet_multi.machine.frameworks import BACKENDS, installed
from lenet_multi.runs.durable import check_record, write_record
from lenet_multi.runs.folder import new_run_folder
from lenet_multi.runs.record import file_sha256, write_run
from tests.browser import Open
from tests.commands.demo.test_app import wait_for_backends
from tests.commands.demo.test_page import answers, assert_quiet, draw, wait_for
from tests.conftest import Lenet, child_environment
from tests.examples import example_run, keep
from tests.inference.test_saved import keras_file
from tests.stand_ins import Calls

IMAGES = 6000  # training images: enough for a clear 7


def run_of(backend: str, folder: Path) -> Path:
    """Write a folder like a run of this backend, with a model that Keras cannot load."""

    def save_model(path: str) -> None:
        keras_file(Path(path))

    run = example_run(backend)
    with new_run_folder(folder) as draft:
        write_run(dataclasses.replace(run, folder=draft), save_model)
    return folder


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with runs/jax, runs/torch and the newest, runs/more/torch."""
    monkeypatch.chdir(tmp_path)
    for age, name in enumerate(["more/torch", "torch", "jax"]):
        result = run_of(Path(name).name, Path("runs", name)) / "result.json"
        os.utime(result, (1e9 - age, 1e9 - age))
    return tmp_path


RUNS = {"jax": Path("runs/jax"), "torch": Path("runs/torch")}


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(
    ("models", "wanted", "assigned"),
    [
        ([], [], dict.fromkeys(installed(), Path("runs/more/torch"))),
        ([RUNS["jax"]], [], dict.fromkeys(installed(), RUNS["jax"])),
        ([RUNS["jax"]], ["torch", "jax"], dict.fromkeys(["torch", "jax"], RUNS["jax"])),
        ([RUNS["jax"] / "model.keras"], ["jax"], {"jax": RUNS["jax"] / "model.keras"}),
        ([RUNS["torch"], RUNS["jax"]], [], {"torch": RUNS["torch"], "jax": RUNS["jax"]}),
    ],
    ids=["newest run", "one run", "one run, two backends", "a file", "a run of each"],
)
def test_each_backend_gets_a_model(
    models: list[Path],
    wanted: list[str],
    assigned: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One model goes to all backends; several go each to the backend that trained it.

    The variable that chooses one backend of a training chooses none here.
    """
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    assert assign(models, wanted) == assigned


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(
    ("models", "wanted", "message"),
    [
        (["nowhere"], [], "no model at nowhere"),
        (["runs/jax"], ["jacks"], "unknown backend 'jacks'"),
        (
            ["runs/jax", "runs/torch"],
            ["jax"],
            "^--backend is for one model; drop it, or give one model$",
        ),
        (["runs/torch", "runs/more/torch"], [], "runs/torch and runs/more/torch both ran on torch"),
        (["runs/jax", "runs/torch/model.keras"], [], "model.keras names no backend; give a run"),
        (["runs/jax", "nowhere"], [], "no model at nowhere"),
    ],
)
def test_models_that_cannot_be_told_apart_are_refused(
    models: list[str], wanted: list[str], message: str
) -> None:
    """The error names the model or the flag that is wrong."""
    with pytest.raises(UserError, match=message):
        assign([Path(model) for model in models], wanted)


@pytest.mark.usefixtures("runs")
def test_each_backend_gets_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The libraries are looked for first; what serves gets the address and the processes."""
    calls = Calls()
    monkeypatch.setattr(extras, "require", calls.of("require"))
    monkeypatch.setattr(app, "serve", calls.of("serve"))
    monkeypatch.setattr(demo_command, "_class_names", calls.of("names", ("a", "b")))
    monkeypatch.setenv("OMP_NUM_THREADS", "")  # so that the end restores what was before
    monkeypatch.delenv("OMP_NUM_THREADS")
    flags = ("--backend", "jax", "--backend", "torch", "--host", "::1", "--port", "0", "--open")
    done = CliRunner().invoke(demo_command.command, ["runs/jax", *flags])
    assert done.exit_code == 0, done.output
    assert os.environ["OMP_NUM_THREADS"] == "1"
    *before, (name, backends, named) = calls
    assert before == [
        ("require", "starlette.applications", "demo", {}),
        ("require", "uvicorn", "demo", {}),
        ("names", [Path("runs/jax")] * 2, {}),
    ]
    assert (name, named) == ("serve", {"host": "::1", "port": 0, "open_browser": True})
    assert [(one.backend, one.model, one.command, one.class_names) for one in backends] == [
        (backend, "runs/jax", command(backend, Path("runs/jax")), ("a", "b"))
        for backend in ("jax", "torch")
    ]
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    CliRunner().invoke(demo_command.command, [])
    assert os.environ["OMP_NUM_THREADS"] == "4"
    assert calls[-1][-1] == {"host": "127.0.0.1", "port": 8028, "open_browser": False}


def test_without_a_run_one_learns_to_train_one(lenet: Lenet) -> None:
    """In an empty folder the error says what to do."""
    done = lenet("demo")
    assert done.returncode == 2
    assert "no run in runs/: give a model, or train one" in done.stderr


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_without_its_libraries_one_learns_to_install_them(runs: Path, missing: str) -> None:
    """If a library is missing, the error names the extra to install."""
    code = (
        f"import sys; sys.modules[{missing!r}] = None; "
        "from lenet_multi.__main__ import main; main('demo')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=runs, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"lenet-multi: {missing}")
    assert done.stderr.endswith("; install it with: pip install 'lenet-multi[demo]'\n")
    assert len(done.stderr.splitlines()) == 1


@pytest.fixture(scope="module")
def demo(mnist: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a demo on all three backends of a LeNet that JAX trained."""
    folder = tmp_path_factory.mktemp("demo")
    few = Dataset(mnist.train[:IMAGES], mnist.test[:500])
    np.savez(
        folder / "few.npz",
        x_train=few.train.x,
        y_train=few.train.y,
        x_test=few.test.x,
        y_test=few.test.y,
    )
    lenet = (sys.executable, "-m", "lenet_multi")
    train = ("train", "--backend", "jax", "--recipe", "one-epoch", "--data", "few.npz")
    subprocess.run([*lenet, *train], cwd=folder, env=child_environment(), check=True)
    with subprocess.Popen(
        [*lenet, "demo", "--port", "0"],
        cwd=folder,
        env=child_environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout
            address = process.stdout.readline().split()[1]
            states = wait_for_backends(address)
            assert [state["failure"] for state in states] == [None, None, None]
            yield address
        finally:
            process.kill()  # its backends end with it


@pytest.mark.all_backends
def test_three_backends_see_a_seven(demo: str, open_page: Open) -> None:
    """All three backends answer 7 to a 7 drawn with the mouse, and agree."""
    visit = open_page(demo)
    draw(visit.page)
    wait_for(visit.page, "#agreement", re.compile("^All three agree: 7; largest difference"))
    assert answers(visit.page) == ["7", "7", "7"]
    assert visit.page.locator(".name").all_text_contents() == list(BACKENDS)
    assert_quiet(visit, demo)


def test_models_that_name_classes_differently_are_refused(tmp_path: Path) -> None:
    """Models whose classes have different names cannot share a page."""
    names = [f"class-{label}" for label in range(10)]
    given = {"a": names, "b": names, "c": names[::-1], "d": []}
    for folder, own in given.items():
        keep(example_run(class_names=own), tmp_path / folder)
        keras_file(tmp_path / folder / "model.keras")
        path = tmp_path / folder / "result.json"
        content = check_record(path, json.loads(path.read_text()))
        content["files_sha256"]["model.keras"] = file_sha256(tmp_path / folder / "model.keras")
        write_record(path, content)
    assert _class_names([tmp_path / "a", tmp_path / "b"]) == tuple(names)
    assert _class_names([tmp_path / "d"]) is None
    for other in ("c", "d"):
        two = [tmp_path / "a", tmp_path / other]
        words = f"^{two[0]} and {two[1]} name their classes differently; drop one$"
        with pytest.raises(UserError, match=words):
            _class_names(two)
