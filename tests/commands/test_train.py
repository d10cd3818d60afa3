import dataclasses
import json
import re
import signal
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import pytest

from lenet_multi.commands.train import command
from lenet_multi.config import TrainConfig
from lenet_multi.errors import StoppedError, UserError
from lenet_multi.lenet.recipes import RECIPES
from lenet_multi.machine import environment, frameworks
from lenet_multi.runs import checkpoint
from lenet_multi.runs.checkpoint import State
from lenet_multi.runs.folder import unfinished
from lenet_multi.runs.journal import Journal
from lenet_multi.runs.record import Run, read_run, write_run
from lenet_multi.train import TrainedRun
from tests.examples import example_epochs, example_run, example_values_run, keep

training: Any = import_module("lenet_multi.train")  # the package's attribute is the function

Trains = Callable[[Path], None]


def save(path: str) -> None:
    """Write what stands for a model's file."""
    Path(path).touch()


def state(epoch: int = 0, steps: int = 2) -> State:
    """Return the state of a training at this place."""
    return State(epoch, steps, example_epochs(epoch), 1.0, 1.0, "d" * 64, [], {}, [], [])


class Stage:
    """The command in an empty folder; its training is a stand-in."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.calls: list[Any] = []  # the settings of each training, and its arguments
        self.run = example_run()
        self.save: Callable[[str], None] = save
        self.trains: Trains = lambda folder: None
        self.start: Any = None
        self.capsys = capsys
        monkeypatch.setattr(training, "train", self.train)
        monkeypatch.setattr(training, "starting_model", self.starting_model)

    def train(self, config: TrainConfig, **given: Any) -> TrainedRun:
        """Say a line, warn, and return a run, unless `trains` raises an error."""
        self.calls.append((config, given))
        given["announce"]("a line")
        given["warn"]("a warning")
        given["computed_in"]("tiles", "stock")
        self.trains(given["folder"])
        evaluation = SimpleNamespace(
            outputs=self.run.outputs, test=SimpleNamespace(y=self.run.targets)
        )
        return TrainedRun(SimpleNamespace(save=self.save), evaluation, self.run.result)  # type: ignore[arg-type]

    def starting_model(self, config: TrainConfig) -> Any:
        """Return the model to start from."""
        self.calls.append(config.start_from)
        return self.start

    def ask(self, *arguments: str) -> tuple[str, str]:
        """Run the command; return its stdout and stderr."""
        self.capsys.readouterr()
        command.main(list(arguments), standalone_mode=False)
        return tuple(self.capsys.readouterr())  # type: ignore[return-value]

    def refused(self, *arguments: str) -> str:
        """Run the command, which must fail, and return its error."""
        with pytest.raises(UserError) as raised:
            self.ask(*arguments)
        return str(raised.value)

    def stop(self, *arguments: str, at: State | None = None) -> str:
        """Run the command, which a signal stops after a checkpoint, and return its stderr."""

        def trains(folder: Path) -> NoReturn:
            checkpoint.write(folder / "resume", at or state())
            raise StoppedError(signal.SIGTERM)

        self.trains = trains
        with pytest.raises(StoppedError):
            self.ask(*arguments)
        self.trains = lambda folder: None
        del self.calls[:]
        return str(self.capsys.readouterr().err)


@pytest.fixture
def stage(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Stage:
    """The command on a machine with all backends."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setattr(frameworks, "installed", tuple)
    monkeypatch.setattr(environment, "versions", lambda backend: {backend: "1"})
    return Stage(monkeypatch, capsys)


def test_a_run_is_trained_and_kept(stage: Stage, tmp_path: Path) -> None:
    """What it announces is on stdout, then come its folder and results; warnings are on stderr."""
    out, err = stage.ask("--backend", "jax", "--out", "a", "--seed", "3", "--quiet")
    result = stage.run.result
    assert out == (f"a line\nRun folder: a\nTest loss: {result.test_loss}\nTest accuracy: 0.99\n")
    assert err == "a warning\n"
    (start_from, (config, given)) = stage.calls
    assert (start_from, config) == ("none", TrainConfig(seed=3))
    announce, warn, computed_in = (given.pop(name) for name in ("announce", "warn", "computed_in"))
    assert callable(announce)
    assert callable(warn)
    assert computed_in.__name__ == "computed_in"
    assert given == {
        "backend": "jax",
        "devices": 1,
        "form": None,
        "answer_form": None,
        "folder": tmp_path.resolve() / "a.unfinished",
        "state": None,
        "earlier": [],
        "start": None,
        "quiet": True,
    }
    kept = read_run(Path("a"))
    (start,) = kept.result.starts
    assert (start["backend"], start["form"], start["answer_form"]) == ("jax", "tiles", "stock")
    assert (start["epoch"], start["step"], start["versions"]) == (0, 0, {"jax": "1"})
    np.testing.assert_array_equal(kept.outputs, stage.run.outputs)
    np.testing.assert_array_equal(kept.targets, stage.run.targets)


def test_json_stands_alone_on_stdout(stage: Stage) -> None:
    """It is the record that is kept; a form that is asked for is that of training."""
    out, err = stage.ask("--out", "a", "--json", "--form", "tiles")
    result = read_run(Path("a")).result
    assert out == json.dumps(result.as_json(), indent=2) + "\n"
    assert result.files_sha256
    assert err == "a warning\n"
    _, given = stage.calls[-1]
    assert (given["backend"], given["quiet"]) == ("tensorflow", False)
    assert (given["form"], given["answer_form"]) == ("tiles", None)


def test_a_headline_that_is_the_loss_is_printed_once(stage: Stage) -> None:
    """A regression without a metric has its loss alone."""
    stage.run = example_values_run(test_metrics={})
    out, _ = stage.ask("--out", "a")
    assert out.endswith("Run folder: a\nTest loss: 1.0\n")


def test_without_out_the_folder_has_the_recipe_and_the_time(stage: Stage, tmp_path: Path) -> None:
    """The recipe's settings are those that no flag changes; MODEL is the architecture."""
    stage.ask("softmax-regression", "--recipe", "one-epoch", "--backend", "torch")
    (folder,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"one-epoch-torch-\d{8}-\d{6}", folder.name)
    config, _ = stage.calls[-1]
    plain = dataclasses.replace(RECIPES["one-epoch"], batch_norm=False)
    assert config == dataclasses.replace(plain, architecture="softmax-regression")


def test_names_of_classes_are_kept_not_their_file(stage: Stage, tmp_path: Path) -> None:
    """The run can then be used where the file is not."""
    (tmp_path / "names.txt").write_text("".join(f"class-{label}\n" for label in range(10)))
    stage.ask("--class-names", "names.txt", "--out", "a")
    config, _ = stage.calls[-1]
    assert config.class_names == ",".join(f"class-{label}" for label in range(10))


def test_a_form_that_a_backend_lacks_is_refused_before_a_folder(
    stage: Stage, tmp_path: Path
) -> None:
    """Nothing is trained."""
    words = stage.refused("--backend", "tensorflow", "--form", "channels-first", "--out", "a")
    assert "channels-first" in words
    assert list(tmp_path.iterdir()) == []
    assert stage.calls == ["none"]


def test_an_older_run_is_replaced_only_if_told(stage: Stage) -> None:
    """The hint to continue says so too."""
    keep(example_run(), Path("a"))
    assert "holds a run; pass --overwrite" in stage.refused("--out", "a")
    err = stage.stop("--out", "a", "--overwrite")
    assert err == "a warning\nContinue with: lenet-multi train --resume a --overwrite\n"
    stage.ask("--out", "a", "--overwrite", "--seed", "5")
    assert stage.calls[-1][0].seed == 5


def test_a_stopped_run_continues_as_it_began(stage: Stage) -> None:
    """It has its settings, its backend and its forms again, and goes on at its checkpoint."""
    err = stage.stop("--out", "a", "--backend", "torch", "--seed", "3", at=state(1, 7))
    assert err == "a warning\nContinue with: lenet-multi train --resume a\n"
    out, err = stage.ask("--resume", "a", "--quiet")
    assert out.startswith("Continuing at step 7 of epoch 2\na line\nRun folder: a\nTest loss: ")
    assert err == "a warning\n"
    start_from, (config, given) = stage.calls
    assert (start_from, config) == ("none", TrainConfig(seed=3))
    assert (given["state"].epoch, given["state"].steps) == (1, 7)
    assert (given["backend"], given["form"], given["answer_form"]) == ("torch", "tiles", "stock")
    first, second = read_run(Path("a")).result.starts
    assert (first["epoch"], first["step"], first["reason"]) == (0, 0, "stopped by SIGTERM")
    assert (second["epoch"], second["step"]) == (1, 7)


def test_a_stopped_run_continues_on_another_backend_if_told(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the flag, or by the variable; the forms are then that backend's."""
    stage.stop("--out", "a", "--backend", "torch", at=state(6, 0))
    stage.stop("--resume", "a", "--backend", "jax", at=state(6, 0))
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    out, _ = stage.ask("--resume", "a", "--form", "winograd")
    assert out.startswith("Continuing after the last epoch\n")
    _, given = stage.calls[-1]
    assert (given["backend"], given["form"], given["answer_form"]) == (
        *("tensorflow", "winograd"),
        None,
    )
    backends = [start["backend"] for start in read_run(Path("a")).result.starts]
    assert backends == ["torch", "jax", "tensorflow"]


def test_a_damaged_checkpoint_is_said(stage: Stage, tmp_path: Path) -> None:
    """An earlier one takes its place."""
    stage.stop("--out", "a", at=state(0, 2))
    stage.stop("--resume", "a", at=state(0, 3))
    (newest,) = (tmp_path / "a.unfinished" / "resume").glob("00000-00000003-*")
    newest.write_text("")
    out, err = stage.ask("--resume", "a")
    assert out.startswith("Continuing at step 2 of epoch 1\n")
    assert err.startswith("trying an earlier checkpoint: ")


@pytest.mark.parametrize(
    ("given", "flag"),
    [
        (["--recipe", "standard"], "--recipe"),
        (["--out", "b"], "--out"),
        (["--epochs", "9"], "--epochs"),
        (["--learning-rate", "0.1"], "--learning-rate"),
    ],
    ids=lambda given: given[0] if isinstance(given, list) else "",
)
def test_a_stopped_run_keeps_its_settings(stage: Stage, given: list[str], flag: str) -> None:
    """The error names the flag."""
    stage.stop("--out", "a")
    words = f"--resume keeps the run's settings and folder; drop {flag}"
    assert stage.refused("--resume", "a", *given) == words


def test_a_finished_run_needs_more_epochs(stage: Stage) -> None:
    """Unless it was being replaced, and that one is not finished."""
    keep(example_run(), Path("a"))
    words = "a is finished; add --epochs, more than it has, to train on"
    assert stage.refused("--resume", "a") == words
    stage.stop("--out", "a", "--overwrite")
    assert "holds a run; pass --overwrite" in stage.refused("--resume", "a")
    out, _ = stage.ask("--resume", "a", "--overwrite")
    assert out.startswith("Continuing at step 2 of epoch 1\n")
    assert "holds no unfinished run" in stage.refused("--resume", "nowhere")


def test_a_run_that_a_kill_met_at_its_end_is_put_in_its_place(stage: Stage) -> None:
    """All is written, so nothing is trained again."""
    stage.stop("--out", "a")
    draft = unfinished(Path("a"))
    write_run(Run(draft, stage.run.result, stage.run.outputs, stage.run.targets), save)
    out, err = stage.ask("--resume", "a")
    assert out == (f"Run folder: a\nTest loss: {stage.run.result.test_loss}\nTest accuracy: 0.99\n")
    assert err == ""
    assert stage.calls == ["none"]


def test_the_model_that_a_run_starts_from_is_remembered(stage: Stage) -> None:
    """A run that continues needs the same one."""
    stage.start = SimpleNamespace(path=Path("b/model.keras"), sha256="e" * 64)
    stage.stop("--out", "a", "--start-from", "b")
    of_start = {"path": "b/model.keras", "sha256": "e" * 64}
    assert Journal.read(unfinished(Path("a"))).start_from == of_start
    stage.start = SimpleNamespace(path=Path("b/model.keras"), sha256="f" * 64)
    words = "b/model.keras is not what the run started from; put that model back"
    assert stage.refused("--resume", "a") == words
    stage.start.sha256 = "e" * 64
    stage.ask("--resume", "a")
    assert stage.calls[-2] == "b"
    assert stage.calls[-1][-1]["start"] is stage.start


def test_a_record_that_names_no_model_to_start_from_is_no_reason_to_refuse_it(
    stage: Stage,
) -> None:
    """There is nothing to compare that model with."""
    stage.stop("--out", "a")
    stage.start = SimpleNamespace(path=Path("b/model.keras"), sha256="e" * 64)
    stage.ask("--resume", "a")
    assert stage.calls[-1][-1]["start"] is stage.start


def test_a_finished_run_goes_on_in_a_folder_of_its_own(stage: Stage) -> None:
    """It has the run's backend and settings; the run stays, and is among the earlier ones."""
    run = example_run("torch", epochs=example_epochs(2), schema_version=6)
    keep(run, Path("a"))
    out, _ = stage.ask("--resume", "a", "--epochs", "9")
    assert out.startswith("Going on from a: epochs 3 to 9\na line\nRun folder: a-9-epochs\n")
    ((config, given),) = stage.calls
    assert config == TrainConfig(epochs=9)
    assert (given["backend"], given["state"], given["start"]) == ("torch", None, None)
    assert [(one["run"], one["epochs"]) for one in given["earlier"]] == [("a", 2)]
    (start,) = read_run(Path("a-9-epochs")).result.starts
    assert (start["epoch"], start["step"]) == (2, 0)
    assert len(read_run(Path("a")).result.epochs) == 2


def test_what_goes_on_can_be_told_where_and_on_what(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it is stopped it continues as what it is, with no start from another model."""
    keep(example_run("torch", epochs=example_epochs(2), schema_version=6), Path("a"))
    flags = ("--resume", "a", "--epochs", "9", "--out", "b")
    assert stage.refused(*flags, "--recipe", "standard") == (
        "--resume keeps the run's settings; drop --recipe"
    )
    stage.stop(*flags, "--backend", "jax")
    assert "holds an unfinished run" in stage.refused(*flags)
    stage.ask("--resume", "b")
    ((config, given),) = stage.calls[-1:]
    assert config.epochs == 9
    assert (given["backend"], given["start"]) == ("jax", None)
    assert "none" not in stage.calls
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    stage.ask("--resume", "a", "--epochs", "8")
    assert stage.calls[-1][1]["backend"] == "tensorflow"


def test_a_failed_run_says_what_is_left(stage: Stage, tmp_path: Path) -> None:
    """Without a checkpoint to continue from there may be models; without those, nothing."""

    def fail(folder: Path) -> NoReturn:
        raise UserError("it diverged")

    def keep_and_fail(folder: Path) -> NoReturn:
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints" / "epoch-1.keras").touch()
        fail(folder)

    stage.trains = fail
    assert stage.refused("--out", "a") == "it diverged"
    assert stage.capsys.readouterr().err == "a warning\n"
    assert list(tmp_path.iterdir()) == []
    stage.trains = keep_and_fail
    assert stage.refused("--out", "a") == "it diverged"
    draft = tmp_path.resolve() / "a.unfinished"
    assert stage.capsys.readouterr().err == f"a warning\nWhat was kept so far: {draft}\n"


def test_a_disk_that_refuses_a_checkpoint_is_named(stage: Stage, tmp_path: Path) -> None:
    """It names the folder; an error of a backend stays what it is."""

    def refuse(folder: Path) -> NoReturn:
        raise OSError(28, "No space left on device")

    def break_down(folder: Path) -> NoReturn:
        raise RuntimeError("out of luck")

    stage.trains = refuse
    draft = tmp_path.resolve() / "a.unfinished"
    assert stage.refused("--out", "a").startswith(f"cannot write {draft}: No space left on device")
    stage.trains = break_down
    with pytest.raises(RuntimeError, match="out of luck"):
        stage.ask("--out", "a")


@pytest.mark.parametrize("flags", [(), ("--json",)], ids=["text", "json"])
def test_results_are_printed_even_if_they_cannot_be_saved(
    stage: Stage, flags: tuple[str, ...]
) -> None:
    """Hours of training are not lost."""

    def refuse(path: str) -> NoReturn:
        raise OSError(28, "No space left on device")

    stage.save = refuse
    assert "No space left on device" in stage.refused("--out", "a", *flags)
    out = stage.capsys.readouterr().out
    loss = stage.run.result.test_loss
    if flags:
        assert json.loads(out)["test_loss"] == loss
    else:
        assert out == f"a line\nTest loss: {loss}\nTest accuracy: 0.99\n"
