import sys

import pytest

from lenet_multi.errors import UserError
from lenet_multi.own.user_code import user_code


def theirs() -> None:
    """Fail like a user's function."""
    raise ValueError("units must be positive\nmore words")


@pytest.mark.parametrize(
    ("backend", "has_started", "where"),
    [("jax", True, " on jax"), ("jax", False, ""), (None, True, "")],
    ids=["started", "not started", "no variable"],
)
def test_an_error_is_theirs_alone(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    backend: str | None,
    has_started: bool,
    where: str,
) -> None:
    """The user sees the traceback from their first line on, and one line of ours without it.

    That line names the backend once Keras has started on it.
    """
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    if backend:
        monkeypatch.setenv("KERAS_BACKEND", backend)
    if has_started:
        monkeypatch.setitem(sys.modules, "keras", sys)
    with pytest.raises(UserError) as raised, user_code("mine.py:build"):
        theirs()
    assert str(raised.value) == (
        f"mine.py:build failed{where}: ValueError: units must be positive; see the traceback"
    )
    shown = capsys.readouterr().err
    assert "in theirs" in shown
    assert shown.endswith("\nValueError: units must be positive\nmore words\n")
    assert "lenet_multi/own" not in shown


def test_our_own_errors_and_signals_pass() -> None:
    """A refusal of ours stays as it is, and Ctrl-C is no error of the user's code."""
    with pytest.raises(UserError, match=r"^other words$"), user_code("mine.py:build"):
        raise UserError("other words")
    with pytest.raises(KeyboardInterrupt), user_code("mine.py:build"):
        raise KeyboardInterrupt


def test_a_script_that_exits_is_refused() -> None:
    """`sys.exit` in a user's file ends no command without a word."""
    with pytest.raises(UserError, match=r"mine\.py failed"), user_code("mine.py"):
        raise SystemExit(0)
