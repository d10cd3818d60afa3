import json
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from click.testing import CliRunner, Result

from lenet_multi.commands import predict as verb
from lenet_multi.inference import pictures, predict, saved, tables
from lenet_multi.machine import keras_start
from lenet_multi.machine.frameworks import ANSWERING
from tests.stand_ins import Calls

Ask = Callable[..., tuple[Result, Any]]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ask:
    """Run the command on a model that is a stand-in; return its result, and the calls it made."""
    monkeypatch.chdir(tmp_path)
    calls = Calls()

    @contextmanager
    def held() -> Any:
        calls.append(("hold",))
        yield
        calls.append(("let go",))

    def asked(
        *arguments: str, is_usual: bool = True, refused: tuple[str, ...] = ()
    ) -> tuple[Result, Any]:
        del calls[:]
        inputs = SimpleNamespace(
            is_usual=is_usual,
            range="0,1",
            prepared="digit",
            range_words=lambda: "Fed: so",
            prepared_words=lambda: "Images: so",
        )
        path = Path("runs/a/model.keras")
        model = SimpleNamespace(path=path, trained_on="torch", inputs=inputs)
        found = SimpleNamespace(refused=refused, pixels="pixels")
        monkeypatch.setattr(saved, "find", calls.of("find", model))
        monkeypatch.setattr(predict, "predict", calls.of("predict", found))
        monkeypatch.setattr(predict, "as_json", lambda one: {"same": one is found})
        monkeypatch.setattr(predict, "captions", lambda one: ["captions", one is found])
        done = CliRunner().invoke(verb.command, arguments)
        names = {id(model): "model", id(found): "found"}
        return done, [tuple(names.get(id(one), one) for one in call) for call in calls]

    monkeypatch.setattr(saved, "newest_run", lambda: Path("runs/a"))
    monkeypatch.setattr(verb, "choose", calls.of("choose", "jax"))
    monkeypatch.setattr(keras_start, "stderr_held_back", held)
    monkeypatch.setattr(tables, "print_prediction", calls.of("tables"))
    monkeypatch.setattr(pictures, "draw_sheet", calls.of("draw"))
    return asked


def test_the_newest_run_answers(ask: Ask) -> None:
    """It is named on stderr; what libraries write to stderr meanwhile is held back."""
    done, calls = ask("a.png", "-")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "Model: runs/a\n")
    named = {"asked_range": None, "asked_prepared": None, "names": None}
    assert calls[:-1] == [
        ("find", Path("runs/a"), named),
        ("choose", None, {"known": ANSWERING, "preferred": "torch"}),
        ("hold",),
        ("predict", (Path("a.png"), Path("-")), "model", {"backend": "jax"}),
        ("let go",),
    ]
    name, found, console, _ = calls[-1]
    assert (name, found, console.width) == ("tables", "found", 140)


def test_flags_reach_what_predicts(ask: Ask) -> None:
    """A model that is given is not named; other inputs than the usual ones are said."""
    done, calls = ask(
        *("a.png", "--model", "b", "--backend", "numpy", "--prepare", "resize"),
        *("--input-range", "-1,1", "--class-names", "x,y", "--show", "c.png"),
        is_usual=False,
    )
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == "Fed: so\nImages: so\n"
    named = {"asked_range": "-1,1", "asked_prepared": "resize", "names": "x,y"}
    assert calls[0] == ("find", Path("b"), named)
    assert calls[1][1] == "numpy"
    assert calls[-1] == ("draw", "pixels", ["captions", True], Path("c.png"), {})


def test_json_stands_alone_on_stdout(ask: Ask) -> None:
    """It says what was fed, and how the images were prepared."""
    done, calls = ask("a.png", "--model", "b", "--json")
    content = {
        "model": "runs/a/model.keras",
        "backend": "jax",
        "prepared": "digit",
        "input_range": "0,1",
        "same": True,
    }
    assert done.stdout == json.dumps(content, indent=2) + "\n"
    assert done.stderr == ""
    assert "tables" not in [call[0] for call in calls]


def test_images_that_cannot_be_used_are_named(ask: Ask) -> None:
    """The others are answered, and the status is 2; a name moves no cursor."""
    done, calls = ask("a.png", "--model", "b", refused=("\x1b[31m is no image", "b is empty"))
    assert done.exit_code == 2
    assert done.stderr == ("lenet-multi: \\x1b[31m is no image\nlenet-multi: b is empty\n")
    assert calls[-1][0] == "tables"


def test_a_picture_that_cannot_be_written_names_its_flag(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answers are printed before."""

    def fail(*given: Any) -> NoReturn:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pictures, "draw_sheet", fail)
    done, calls = ask("a.png", "--model", "b", "--show", "c.png")
    assert str(done.exception).startswith(
        "cannot write c.png: Permission denied; choose another --show"
    )
    assert calls[-1][0] == "tables"
