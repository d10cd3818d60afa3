import dataclasses
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lenet_multi as lm
from lenet_multi import interface
from lenet_multi.own import sent
from lenet_multi.parity.ladder import FORWARD
from lenet_multi.runs.record import read_run
from tests.conftest import child_environment
from tests.examples import example_run, keep
from tests.parity.test_report import finding

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(160, 3)).astype(np.float32)
Y = X.sum(axis=1, keepdims=True)


def build() -> Any:
    """Return a small compiled model."""
    import keras

    layers = [keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((3,)), *layers])
    model.compile("adam", "mean_squared_error")
    return model


def broken() -> Any:
    """Raise an error as a user's builder may."""
    raise ValueError("no such size")


def temporary() -> set[Path]:
    """Return what is in the folders for temporary results."""
    return set(Path(tempfile.gettempdir()).glob("lenet-multi-*/*"))


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for results without a place of their own, of this test alone."""
    folder = tempfile.TemporaryDirectory(dir=tmp_path)
    monkeypatch.setattr(interface, "_session", lambda: folder)
    return Path(folder.name)


@pytest.mark.backend
@pytest.mark.any_backend
def test_a_function_and_arrays_train(backend: str) -> None:
    """A run comes back with its record, and its folder is still there."""
    run = lm.train(build, (X, Y), backend=backend, epochs=2, batch_size=16, metrics="mae")
    assert run.result.backend == backend
    assert len(run.result.epochs) == 2
    assert run.result.config["batch_size"] == 16
    assert "mean_absolute_error" in run.result.test_metrics
    assert run.outputs.shape == (16, 1)
    assert (run.folder / "model.keras").exists()
    assert run.sentence.startswith("tests.interface.test_interface:build, trained, is in ")


@pytest.mark.backend
@pytest.mark.any_backend
def test_two_trainings_of_a_function_can_be_compared(backend: str, tmp_path: Path) -> None:
    """Runs of one function without a module are of one model, wherever the function was."""
    runs = [
        lm.train(lambda: build(), (X, Y), backend=backend, epochs=1, out=tmp_path / name)
        for name in ("one", "two")
    ]
    assert lm.compare(*runs).passed
    assert lm.compare(tmp_path / "one", str(tmp_path / "two")).passed


@pytest.mark.backend
@pytest.mark.any_backend
def test_a_finished_run_goes_on(backend: str) -> None:
    """With `resume` and `epochs`, a longer run comes back, from a folder of its own."""
    run = lm.train(build, (X, Y), backend=backend, epochs=1)
    longer = lm.train(build, (X, Y), backend=backend, resume=run.folder, epochs=2)
    assert longer.folder != run.folder
    assert longer.result.epochs[0] == run.result.epochs[0]
    assert [one["epochs"] for one in longer.result.earlier] == [1]


@pytest.mark.backend
def test_what_cannot_be_resumed_is_refused(backend: str, tmp_path: Path) -> None:
    """The command's own line comes back."""
    with pytest.raises(lm.UserError, match="none"):
        lm.train(resume=tmp_path / "none")


@pytest.mark.backend
@pytest.mark.any_backend
def test_a_users_error_is_shown_once(backend: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The traceback of the user's code is on stderr, and the error says which code failed where."""
    before = temporary()
    with pytest.raises(lm.UserError, match=rf"broken failed on {backend}: .*no such size"):
        lm.train(broken, (X, Y), backend=backend)
    shown = capsys.readouterr().err
    assert shown.count("ValueError: no such size") == 1
    assert "in broken" in shown
    assert temporary() <= before


@pytest.mark.backend
@pytest.mark.any_backend
def test_a_model_is_evaluated(backend: str, small_run: Path, small_npz: Path) -> None:
    """A run or its folder answers the test images of any data."""
    result = lm.evaluate(small_run, small_npz, backend=backend)
    assert result.backend == backend
    assert result.test_images == 500
    assert 0.5 < result.test_accuracy <= 1
    exchanged = lm.evaluate(small_run, small_npz, backend=backend, transpose=True)
    assert exchanged.test_accuracy < result.test_accuracy


def test_runs_are_compared_without_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run folders and runs are compared, and the result is shown as tables."""

    class Refused(subprocess.Popen[bytes]):
        def __init__(self, *given: object, **named: object) -> None:
            pytest.fail(f"a process starts: {given}")

    folders = [keep(example_run(name), tmp_path / name) for name in ("jax", "torch")]
    monkeypatch.setattr(subprocess, "Popen", Refused)
    found = lm.compare(*folders)
    assert found.passed
    assert lm.compare(str(folders[0]), read_run(folders[1])).passed
    assert found.sentence == "The runs agree."
    assert found._repr_html_().count("<table>") == 2


def test_a_misspelt_argument_is_refused_before_anything_runs(session: Path) -> None:
    """It is a `TypeError` that names the nearest argument, and no process starts."""
    with pytest.raises(TypeError, match="did you mean 'epochs'"):
        lm.train("lenet", epoch=1)
    with pytest.raises(TypeError, match="did you mean 'steps'"):
        lm.parity("lenet", step=1)
    assert not list(session.iterdir())


class Command:
    """Stands for the command: remembers what it is asked, and answers."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = json.dumps(answer or {})
        self.asked: list[list[str]] = []
        self.environs: list[Mapping[str, str]] = []
        self.arrays: list[str] = []

    def __call__(self, words: list[str], environ: Mapping[str, str]) -> tuple[int, str]:
        """Answer in JSON, with the exit status of a command that found a difference."""
        self.asked.append(words)
        self.environs.append(environ)
        for word in words:
            if word.startswith("--data=") and word.endswith("data.npz"):
                with np.load(word.removeprefix("--data=")) as file:
                    self.arrays = file.files
        return 1, self.answer


Answers = Callable[[Any], Command]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """Return a function that lets the command answer with some content."""

    def let(content: Any) -> Command:
        command = Command(content)
        monkeypatch.setattr(interface.child, "run", command)
        return command

    return let


def test_a_training_asks_the_command(tmp_path: Path, answers: Answers) -> None:
    """Model, data and settings are flags; the run is read from its folder."""
    folder = keep(example_run("jax"), tmp_path / "run")
    command = answers(None)
    run = lm.train("m.py:build", "m.py:data", backend="jax", out=folder, epochs=2)
    assert run.folder == folder
    assert lm.train(out=folder).result == run.result
    out = f"--out={folder}"
    model = ["m.py:build", "--data=m.py:data"]
    assert command.asked == [
        ["train", *model, "--backend=jax", "--epochs=2", out, "--json"],
        ["train", out, "--json"],
    ]
    assert command.environs == [{}, {}]


def test_a_training_goes_on_where_it_was(tmp_path: Path, answers: Answers) -> None:
    """A stopped run has its model, data and folder; a longer one gets a folder."""
    folder, longer = (keep(example_run("jax"), tmp_path / name) for name in ("run", "longer"))
    command = answers(None)
    run = lm.train("m.py:build", "m.py:data", backend="torch", resume=folder, out=longer)
    assert run.folder == folder
    assert lm.train(resume=folder, epochs=9, out=longer).folder == longer
    assert command.asked == [
        ["train", "--backend=torch", f"--resume={folder}", "--json"],
        ["train", f"--resume={folder}", "--epochs=9", f"--out={longer}", "--json"],
    ]


def climbed(**change: Any) -> dict[str, Any]:
    """Return what the command answers for a climb that passed, with changes."""
    passed = {"passed": True, "findings": [], "failures": [], "seconds": 1.5}
    return {**passed, **change}


def test_a_climb_asks_the_command(tmp_path: Path, session: Path, answers: Answers) -> None:
    """A builder and arrays are sent; what is sent does not stay, but for the evidence."""
    command = answers(climbed(passed=False))
    result = lm.parity(lambda: 0, (X, Y), ["jax", "torch"], steps=20)
    assert (result.passed, result.seconds) == (False, 1.5)
    ((verb, place, data, *flags),) = command.asked
    assert verb == "parity"
    assert place.endswith(":test_a_climb_asks_the_command.<locals>.<lambda>")
    assert command.arrays == ["x", "y"]
    wanted = ["--backend=jax", "--backend=torch", "--steps=20", f"--out={result.folder}", "--json"]
    assert flags == wanted
    assert Path(json.loads(command.environs[0][sent.SENT])[place]).parent == Path(data[7:]).parent
    sending = Path(data.removeprefix("--data=")).parent
    assert sending.name.startswith("lenet-multi-")
    assert not sending.exists()
    (made,) = session.iterdir()
    assert result.folder == made / "parity"
    lm.parity(out=tmp_path)
    assert command.asked[1] == ["parity", f"--out={tmp_path}", "--json"]


@pytest.mark.usefixtures("session")
def test_a_bench_asks_the_command(tmp_path: Path, answers: Answers) -> None:
    """The figures come back as they are."""
    content = {"rows": [{"backend": "jax"}], "sentence": "Take jax."}
    command = answers(content)
    result = lm.bench("m.py:build", "d.npz", ["jax"], quick=True, out=tmp_path)
    assert (result.content, result.folder) == (content, tmp_path)
    wanted = ["bench", "m.py:build", "--data=d.npz", "--backend=jax", "--quick"]
    assert command.asked == [[*wanted, f"--out={tmp_path}", "--json"]]
    assert lm.bench().folder.name == "bench"


def test_an_evaluation_asks_the_command(tmp_path: Path, answers: Answers) -> None:
    """A run's folder stands for the run; pictures are drawn where they are asked for."""
    counts = {"test_images": 4, "test_correct": 3, "test_accuracy": 0.75, "test_loss": 0.5}
    content = {"backend": "jax", "classes": [], "confusion": [[4]], **counts}
    command = answers(content)
    run = example_run("jax")
    assert lm.evaluate(run).test_correct == 3
    lm.evaluate(
        "a.keras",
        tmp_path,
        model="m.py:build",
        class_names="a,b",
        backend="torch",
        transpose=True,
        input_range="0,255",
        out=tmp_path,
    )
    flags = [f"--data={tmp_path}", "--model=m.py:build", "--class-names=a,b", "--backend=torch"]
    assert command.asked == [
        ["evaluate", "jax", "--json"],
        [
            *("evaluate", "a.keras", "--json", *flags),
            *("--transpose", "--input-range=0,255", f"--out={tmp_path}"),
        ],
    ]
    assert command.environs == [{}, {}]


def test_a_test_of_a_model_that_trains_the_same_passes(tmp_path: Path, answers: Answers) -> None:
    """It climbs quickly unless it is asked otherwise."""
    command = answers(climbed())
    lm.assert_same_training("m.py:build", "d.npz", ["jax", "torch"], out=tmp_path)
    lm.assert_same_training("m.py:build", quick=False, out=tmp_path, steps=20)
    out = f"--out={tmp_path}"
    assert command.asked == [
        [
            *("parity", "m.py:build", "--data=d.npz", "--backend=jax", "--backend=torch"),
            *("--quick", out, "--json"),
        ],
        ["parity", "m.py:build", "--steps=20", out, "--json"],
    ]


@pytest.mark.usefixtures("session")
def test_a_test_says_where_a_model_trains_otherwise(answers: Answers) -> None:
    """Each line has its name; a function that was sent cannot be typed again."""
    content = climbed(
        passed=False,
        findings=[dataclasses.asdict(finding(FORWARD, 0.125, allowed=0.0625))],
        failures=[{"child": "jax float32", "reason": "crashed", "last_lines": []}],
        known=[{"what": "bicubic"}],
    )
    answers(content)
    for model, again in (
        ("my model.py:build", "python -m lenet_multi parity 'my model.py:build' --quick"),
        (lambda: 0, "lenet_multi.parity(...) as here"),
    ):
        with pytest.raises(AssertionError) as failed:
            lm.assert_same_training(model)
        assert str(failed.value).splitlines() == [
            "the model does not train the same on every backend",
            "  rung:  L1 forward, losses, float32",
            "  pair:  jax and torch",
            "  where: step 3",
            "  gap:   0.12, 0.062 allowed",
            "  failed: jax float32 crashed",
            "  known: bicubic",
            f"  again: {again}",
        ]
        assert any(one.frame.f_locals.get("__tracebackhide__") is True for one in failed.traceback)
    answers(climbed(passed=False))
    with pytest.raises(
        AssertionError, match=r"backend\n  again: python -m lenet_multi parity m --q"
    ):
        lm.assert_same_training("m")


def test_the_folder_for_results_goes_with_the_process(tmp_path: Path) -> None:
    """What has no place of its own is deleted when Python exits."""
    code = "import lenet_multi.interface as i; print(i._session().name)"
    environ = child_environment(TMPDIR=str(tmp_path))
    printed = subprocess.check_output([sys.executable, "-c", code], env=environ, text=True)
    assert Path(printed.strip()).parent == tmp_path
    assert not list(tmp_path.iterdir())
    assert interface._session() is interface._session()
    made = interface._session.__wrapped__()  # once more
    assert Path(made.name).name.startswith("lenet-multi-")
    assert vars(made)["_ignore_cleanup_errors"] is True  # what cannot be deleted stays


def test_a_command_that_crashes_is_no_result(
    session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without JSON the error says that the command ended, and how."""
    monkeypatch.setattr("lenet_multi.interface.child.run", lambda words, environ: (1, "Traceback"))
    words = "^lenet-multi train ended with status 1; see what it printed$"
    with pytest.raises(RuntimeError, match=words):
        lm.train("lenet")
    assert not list(session.iterdir())
    removed: list[Any] = []
    monkeypatch.setattr(shutil, "rmtree", lambda path, **how: removed.append(how))
    with pytest.raises(RuntimeError, match=words):
        lm.train("lenet")
    assert {"ignore_errors": True} in removed  # what cannot be deleted hides no error


TWO = ["jax", "torch"]

DIFFERING = """
import keras

def build():
    activation = "tanh" if keras.backend.backend() == "torch" else "softsign"
    hidden = keras.layers.Dense(8, activation=activation, name="hidden")
    model = keras.Sequential([keras.Input((3,)), hidden, keras.layers.Dense(1)])
    model.compile("adam", "mean_squared_error")
    return model
"""


@pytest.mark.all_backends
def test_a_model_that_trains_the_same_passes() -> None:
    """A test's assertion passes, for a function that is sent with its arrays."""
    lm.assert_same_training(lambda: build(), (X, Y), TWO, steps=20, precision="float32")


@pytest.mark.all_backends
def test_a_model_that_trains_otherwise_fails_with_the_layer(tmp_path: Path) -> None:
    """The error has the rung, the pair, the layer, the gap, and the command to type."""
    (tmp_path / "differing.py").write_text(DIFFERING)
    place = f"{tmp_path / 'differing.py'}:build"
    with pytest.raises(AssertionError) as failed:
        lm.assert_same_training(place, backends=TWO, steps=20, precision="float32")
    lines = str(failed.value).splitlines()
    words = [line.partition(":")[0].strip() for line in lines[1:]]
    assert words == ["rung", "pair", "where", "gap", "again"]
    assert "L1 forward" in lines[1]
    assert lines[2] == "  pair:  jax and torch"
    assert "hidden" in lines[3]
    assert lines[5] == (
        f"  again: python -m lenet_multi parity {place} --backend=jax --backend=torch --quick "
        "--steps=20 --precision=float32"
    )


@pytest.mark.all_backends
def test_a_climb_that_is_too_slow_fails() -> None:
    """A process that takes too long is told, and it is a failure."""
    with pytest.raises(AssertionError, match=r"failed: .* took longer than 0\.5 s"):
        lm.assert_same_training(build, (X, Y), TWO, timeout=0.5)
