import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from lenet_multi.commands.parity import command
from lenet_multi.config import CLIMB_BATCH_SIZE, TrainConfig, with_settings
from lenet_multi.errors import StoppedError, UserError
from lenet_multi.lenet.recipes import RECIPES
from lenet_multi.machine import frameworks
from lenet_multi.parity import ascent, figure, report, seeds
from lenet_multi.parity.climber import Climber
from lenet_multi.parity.plan import ONE_EPOCH, Plan

OWN = "my_model.py:build"
Calls = list[tuple[Any, ...]]
Ask = Callable[..., tuple[Result, Calls]]


def found(*, passed: bool = True, pairs: bool = True, stopped: bool = False) -> Any:
    """Return what stands for a climb or a study."""
    error = StoppedError(signal.SIGTERM) if stopped else None
    ladder = SimpleNamespace(pairs=lambda precision: pairs and precision == "float32")
    return SimpleNamespace(passed=passed, ladder=ladder, stopped=error)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Calls:
    """What the command asks of stand-ins for the climb and the study, in an empty folder."""
    asked: Calls = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(frameworks, "installed", lambda known=(): ("jax", "torch"))
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")  # it chooses nothing here

    def kept(name: str, answer: Any = None) -> Any:
        def call(*given: Any, **more: Any) -> Any:
            shown = [one.width if isinstance(one, Console) else one for one in given]
            asked.append((name, *shown, more))
            return answer

        return call

    def write(name: str) -> Any:
        def call(*given: Any) -> None:
            asked.append((name, *given))
            given[-1].parent.mkdir(parents=True)
            given[-1].write_text('{"is": "JSON"}\n')

        return call

    monkeypatch.setattr(figure, "draw_gaps", kept("draw"))
    monkeypatch.setattr(report, "print_ascent", kept("print"))
    monkeypatch.setattr(report, "print_study", kept("print"))
    monkeypatch.setattr(ascent, "write_json", write("write"))
    monkeypatch.setattr(seeds, "write_json", write("write"))
    monkeypatch.setattr(seeds, "notes", lambda folder: [f"Data: of {folder}", "Data: same"])
    return asked


@pytest.fixture
def ask(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Run the command; return its result and its calls, the first is that of the work."""

    def asked(*arguments: str, outcome: Any = None) -> tuple[Result, Calls]:
        del calls[:]
        outcome = outcome or found()

        def ascend(*given: Any, announce: Any, **more: Any) -> Any:
            announce("a line")
            calls.append(("ascend", *given, more))
            return outcome

        def study(*given: Any, **more: Any) -> Any:
            calls.append(("study", *given, more))
            return outcome

        monkeypatch.setattr(ascent, "ascend", ascend)
        monkeypatch.setattr(seeds, "study", study)
        return CliRunner().invoke(command, arguments), calls

    return asked


def test_a_climb_is_recorded_drawn_and_printed(ask: Ask) -> None:
    """The folder is named first; the defaults are all backends, one thread and half an hour."""
    outcome = found()
    done, calls = ask("--out", "a", outcome=outcome)
    assert (done.exit_code, done.stderr) == (0, "a line\n")
    assert done.stdout == "Evidence, comparison and figure: a\n"
    folder = Path("a")
    assert calls == [
        (
            *("ascend", ["jax", "torch"], Plan(config=ONE_EPOCH), folder),
            {"timeout": 1800.0, "threads": 1},
        ),
        ("write", outcome, folder / "comparison.json"),
        ("draw", outcome.ladder, folder / "gaps.png", {}),
        ("print", outcome, 140, {}),
    ]
    done, calls = ask("--json", "--out", "b", outcome=found(passed=False))
    assert (done.exit_code, done.stdout) == (1, '{"is": "JSON"}\n')
    assert "print" not in [call[0] for call in calls]


def test_without_a_pair_there_is_no_figure(ask: Ask) -> None:
    """A climb in float64 alone has no gaps in float32."""
    _, calls = ask("--out", "a", outcome=found(pairs=False))
    assert [call[0] for call in calls] == ["ascend", "write", "print"]


def test_a_signal_ends_the_command_after_what_was_found(
    ask: Ask, calls: Calls, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The figure of a part of the climb is not drawn."""
    monkeypatch.setattr(ascent, "ascend", lambda *given, **more: found(stopped=True))
    with pytest.raises(StoppedError) as raised:
        command.main([], standalone_mode=False)
    assert raised.value.signal_number == signal.SIGTERM
    assert [call[0] for call in calls] == ["write", "print"]
    assert capsys.readouterr().out.startswith("Evidence, comparison and figure: runs/parity-2")


@pytest.mark.parametrize(
    ("arguments", "plan"),
    [
        (
            ["--architecture", "softmax-regression", "--seed", "3", "--images", "640"],
            Plan(
                config=TrainConfig(architecture="softmax-regression", epochs=1, seed=3),
                float32_images=640,
            ),
        ),
        (
            [OWN],
            Plan.for_own(with_settings(ONE_EPOCH, {"architecture": OWN, "batch_size": 16})),
        ),
        (
            [
                *(OWN, "--batch-size", "8", "--steps", "30", "--precision", "float64", "--quick"),
                *("--no-dropout", "--loss", "mse", "--optimizer", "sgd", "--metrics", "mae"),
            ],
            Plan.for_own(
                with_settings(
                    ONE_EPOCH,
                    {
                        "architecture": OWN,
                        "batch_size": 8,
                        "loss": "mse",
                        "optimizer": "sgd",
                        "metrics": "mae",
                    },
                ),
                dropout=False,
                steps=30,
                quick=True,
                precisions=("float64",),
            ),
        ),
    ],
    ids=["ours", "own", "own-with-flags"],
)
def test_flags_make_the_plan(ask: Ask, arguments: list[str], plan: Plan) -> None:
    """A model of one's own has a batch size, steps, precisions and dropout."""
    _, calls = ask(*arguments)
    assert calls[0][2] == plan
    assert CLIMB_BATCH_SIZE == 16


def test_flags_choose_who_climbs(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is given twice climbs once; every form of a backend is one climber each."""
    names = ("--backend", "torch", "--backend", "jax:tiles", "--backend", "torch")
    _, calls = ask(*names, "--threads", "2", "--timeout", "9", "--out", "a")
    assert calls[0][1] == ["torch", "jax:tiles"]
    assert calls[0][-1] == {"timeout": 9.0, "threads": 2}
    _, calls = ask("--backend", "jax", "--every-form", "--out", "b")
    assert calls[0][1][:2] == ["jax:stock", "jax:pool-first"]
    assert len(calls[0][1]) == 6
    monkeypatch.setattr(frameworks, "installed", lambda known=(): ("tensorflow",))
    _, calls = ask("--every-form", "--out", "c")
    forms = ("stock", "pool-first", "tiles", "winograd")
    assert calls[0][1] == [f"tensorflow:{form}" for form in forms]


@pytest.mark.parametrize("part", ["execution", "environment"])
def test_what_a_climber_lacks_is_refused_at_once(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """A form that the backend lacks, or instructions that the processor lacks."""

    def refuse(climber: Climber) -> NoReturn:
        raise UserError(f"{climber.backend} lacks it")

    monkeypatch.setattr(Climber, part, refuse)
    done, calls = ask("--backend", "torch", "--backend", "jax")
    assert str(done.exception) == "torch lacks it"
    assert calls == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--backend", "jaxx"], "unknown backend 'jaxx'; did you mean 'jax'?"),
        (
            ["--backend", "jax:tiles", "--every-form"],
            "--backend jax:tiles: --every-form takes no form and no instructions; give --backend "
            "jax",
        ),
        (
            ["--backend", "jax:tiles", "--seeds", "0"],
            "--backend jax:tiles: --seeds takes no form and no instructions; give --backend jax",
        ),
        (["--every-form", "--seeds", "0"], "--every-form is no setting of --seeds; drop it"),
        ([OWN, "--images", "9"], "--images is for ours; drop it"),
        *(
            ([flag, value], f"{flag} is a setting of a climb of your own MODEL alone; drop it")
            for flag, value in (
                *(("--steps", "30"), ("--precision", "float64"), ("--batch-size", "8")),
                *(("--loss", "mse"), ("--optimizer", "sgd"), ("--metrics", "mae")),
            )
        ),
        *(
            (
                [OWN, "--seeds", "0", *given],
                f"{flag} is a setting of a climb of your own MODEL alone; drop it",
            )
            for given, flag in (
                *((["--steps", "30"], "--steps"), (["--quick"], "--quick")),
                *((["--precision", "float64"], "--precision"), (["--no-dropout"], "--no-dropout")),
            )
        ),
        *(
            ([flag, value], f"{flag} is a setting of --seeds alone; drop it")
            for flag, value in (
                *(("--recipe", "standard"), ("--epochs", "2"), ("--margin", "0.1")),
                *(("--dtype-policy", "float32"), ("--class-weights", "none")),
            )
        ),
        *(
            (["--seeds", "0", flag, "9"], f"{flag} is no setting of --seeds; drop it")
            for flag in ("--seed", "--images", "--threads")
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_flags_that_do_not_fit_are_refused(ask: Ask, arguments: list[str], message: str) -> None:
    """The error names the flag, and nothing climbs."""
    done, calls = ask(*arguments)
    assert isinstance(done.exception, UserError)
    assert str(done.exception) == message
    assert calls == []


def test_a_study_of_seeds_is_recorded_and_printed(ask: Ask) -> None:
    """The folder is named first, and what the runs said of their data is on stderr."""
    outcome = found()
    done, calls = ask("--seeds", "5", outcome=outcome)
    folder = Path("runs/parity-seeds-lenet")
    assert (done.exit_code, done.stdout) == (0, f"Runs and seeds.json: {folder}\n")
    assert done.stderr == f"Data: of {folder}\nData: same\n"
    standard = RECIPES["standard"]
    assert calls == [
        (
            *("study", ["jax", "torch"], 5, standard, folder),
            {"timeout": 1800.0, "margin": None, "scheduler": None},
        ),
        ("write", outcome, standard, folder / "seeds.json"),
        ("print", outcome, 140, {}),
    ]
    done, calls = ask("--seeds", "5", "--json", "--out", "b", outcome=found(passed=False))
    assert (done.exit_code, done.stdout) == (1, '{"is": "JSON"}\n')
    assert "print" not in [call[0] for call in calls]


def test_flags_of_a_study_reach_it(ask: Ask) -> None:
    """A model of one's own has a folder that its name can be read from, and its own settings."""
    _, calls = ask(
        *("a/my model.py:build", "--seeds", "3", "--margin", "0.5", "--epochs", "2"),
        *("--batch-size", "8", "--loss", "mse", "--recipe", "one-epoch", "--timeout", "9"),
        *("--backend", "torch", "--cluster", "tcp://one:8786"),
    )
    given = {"architecture": "a/my model.py:build", "epochs": 2, "batch_size": 8, "loss": "mse"}
    config = with_settings(RECIPES["one-epoch"], given)
    folder = Path("runs/parity-seeds-my-model.py-build")
    named = {"timeout": 9.0, "margin": 0.5, "scheduler": "tcp://one:8786"}
    assert calls[0] == ("study", ["torch"], 3, config, folder, named)


def test_a_study_that_a_signal_stops_says_how_to_go_on(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same command continues with its runs."""

    def stop(*given: Any, **more: Any) -> NoReturn:
        raise StoppedError(signal.SIGINT)

    monkeypatch.setattr(seeds, "study", stop)
    with pytest.raises(StoppedError):
        command.main(["--seeds", "2", "--out", "a"], standalone_mode=False)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "Run the same command again to continue with the runs in a\n"
