import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from click.testing import CliRunner, Result

from lenet_multi.commands import evaluate as verb
from lenet_multi.errors import UserError
from lenet_multi.inference import evaluate, pictures, saved, tables, with_code
from lenet_multi.machine.frameworks import ANSWERING
from tests.stand_ins import Calls

FOUND = SimpleNamespace(
    notes=("a note", "another"),
    doubts=["it is odd", "very odd"],
    loss=0.5,
    metrics={"accuracy": 0.9, "auc": 0.8},
)
Ask = Callable[..., tuple[Result, Any]]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ask:
    """Run the command on a model that is a stand-in; return its result, and the calls it made."""
    monkeypatch.chdir(tmp_path)
    calls = Calls()

    def asked(*arguments: str, is_usual: bool = True) -> tuple[Result, Any]:
        del calls[:]
        words = f"Fed: {is_usual}"
        inputs = SimpleNamespace(is_usual=is_usual, range="0,1", range_words=lambda: words)
        model = SimpleNamespace(path=Path("a/model.keras"), trained_on="torch", inputs=inputs)
        monkeypatch.setattr(saved, "find", calls.of("find", model))
        done = CliRunner().invoke(verb.command, arguments)
        return done, [tuple("model" if one is model else one for one in call) for call in calls]

    monkeypatch.setattr(verb, "choose", calls.of("choose", "jax"))
    monkeypatch.setattr(evaluate, "evaluate_saved", calls.of("evaluate", FOUND))
    monkeypatch.setattr(with_code, "evaluate_saved", calls.of("with code", FOUND))
    monkeypatch.setattr(evaluate, "as_json", lambda found: {"test_correct": found.loss})
    monkeypatch.setattr(with_code, "as_json", lambda found: {"test_loss": found.loss})
    monkeypatch.setattr(tables, "print_evaluation", calls.of("tables"))
    monkeypatch.setattr(pictures, "draw_evaluation", calls.of("draw"))
    return asked


ERRORS = (
    "Data: a note\nData: another\nlenet-multi: warning: it is odd\nlenet-multi: warning: very odd\n"
)
LAST = "Test loss: 0.5\nTest accuracy: 0.9\nTest auc: 0.8\n"


def test_a_classifier_is_evaluated_on_its_test_images(ask: Ask) -> None:
    """Tables, loss and metrics are on stdout; what to know about data and result is on stderr."""
    done, calls = ask("a")
    assert (done.exit_code, done.stdout, done.stderr) == (0, LAST, ERRORS)
    found, chosen, evaluated, (name, *shown) = calls
    named = {"with_code": False, "asked_range": None, "names": None}
    assert found == ("find", Path("a"), named)
    assert chosen == ("choose", None, {"known": ANSWERING, "preferred": "torch"})
    assert evaluated == ("evaluate", "model", None, {"backend": "jax", "transpose": False})
    assert (name, shown[0], shown[1].width, shown[2:]) == ("tables", FOUND, 140, [{}])


def test_flags_reach_what_evaluates(ask: Ask) -> None:
    """Other inputs than the usual ones are said, and pictures are drawn if asked."""
    done, calls = ask(
        *("a", "--data", "b.npz", "--transpose", "--backend", "numpy", "--input-range", "-1,1"),
        *("--class-names", "x,y", "--out", "c"),
        is_usual=False,
    )
    assert done.exit_code == 0
    assert done.stdout == "Pictures: c\n" + LAST
    assert done.stderr == "Fed: False\n" + ERRORS
    assert calls[0] == (
        *("find", Path("a")),
        {"with_code": False, "asked_range": "-1,1", "names": "x,y"},
    )
    assert calls[1][:2] == ("choose", "numpy")
    named = {"backend": "jax", "transpose": True}
    assert calls[2] == ("evaluate", "model", "b.npz", named)
    assert calls[4] == ("draw", FOUND, Path("c"), {})


def test_json_stands_alone_on_stdout(ask: Ask) -> None:
    """The line on pictures is on stderr then."""
    done, calls = ask("a", "--json", "--out", "c")
    figures = {
        "model": "a/model.keras",
        "backend": "jax",
        "input_range": "0,1",
        "test_correct": 0.5,
    }
    assert done.stdout == json.dumps(figures, indent=2) + "\n"
    assert done.stderr == ERRORS.replace("another\n", "another\nPictures: c\n")
    assert "tables" not in [call[0] for call in calls]


def test_a_model_of_ones_own_code_has_its_own_figures(ask: Ask) -> None:
    """Its inputs are its code's, so no range is said."""
    code = ("--model", "my.py:build", "--data", "b.npz")
    done, calls = ask("a", *code, is_usual=False)
    assert (done.exit_code, done.stdout, done.stderr) == (0, LAST, ERRORS)
    assert calls[0][-1]["with_code"] is True
    assert calls[2:] == [("with code", "model", "my.py:build", "b.npz", {"backend": "jax"})]
    done, _ = ask("a", *code, "--json")
    figures = {"model": "a/model.keras", "backend": "jax", "test_loss": 0.5}
    assert done.stdout == json.dumps(figures, indent=2) + "\n"


@pytest.mark.parametrize(
    "given",
    [["--out", "c"], ["--transpose"], ["--input-range", "0,1"], ["--class-names", "x,y"]],
    ids=lambda given: given[0],
)
def test_flags_for_images_of_this_package_are_refused_with_code(ask: Ask, given: list[str]) -> None:
    """The error names the flag, and nothing is evaluated."""
    done, calls = ask("a", "--model", "my.py:build", *given)
    words = f"{given[0]} is for classifiers of images of this package; drop it"
    assert isinstance(done.exception, UserError)
    assert str(done.exception) == words
    assert len(calls) == 2


def test_the_figures_are_printed_even_if_pictures_fail(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the folder."""

    def fail(*given: Any) -> NoReturn:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pictures, "draw_evaluation", fail)
    done, _ = ask("a", "--out", "c")
    assert str(done.exception).startswith("cannot write c: Permission denied; choose another --out")
    assert (done.stdout, done.stderr) == (LAST, ERRORS)
