from pathlib import Path

import pytest
from click.testing import CliRunner

from lenet_multi.commands.report import climb, command, page
from lenet_multi.errors import UserError
from tests.stand_ins import Calls


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """What the command asked of the page's parts, which are stand-ins."""
    asked = Calls()

    monkeypatch.setattr(page, "refuse_occupied", asked.of("refuse", None))
    monkeypatch.setattr(page, "read_runs", asked.of("read", ["a run", "another"]))
    monkeypatch.setattr(climb, "read_climb", asked.of("climb", "a climb"))
    monkeypatch.setattr(page, "render", asked.of("render", "a page"))
    monkeypatch.setattr(page, "write", asked.of("write", None))
    return asked


def test_a_page_is_drawn_from_runs_and_a_climb(calls: Calls) -> None:
    """An occupied place is refused before anything is read; the last line names the page."""
    arguments = ["a", "b", "--parity", "c", "--out", "p.html", "--overwrite"]
    done = CliRunner().invoke(command, arguments)
    assert (done.exit_code, done.stdout) == (0, "Report: p.html\n")
    assert done.stderr == "Drawing 2 runs\n"
    out, over = Path("p.html"), {"overwrite": True}
    assert calls == [
        ("refuse", out, over),
        ("read", (Path("a"), Path("b")), {}),
        ("climb", Path("c"), {}),
        ("render", ["a run", "another"], "a climb", {}),
        ("write", "a page", out, over),
    ]


def test_without_flags_there_is_no_climb_and_nothing_is_replaced(
    calls: Calls,
) -> None:
    """The page is report.html."""
    assert CliRunner().invoke(command, ["a"]).exit_code == 0
    out, over = Path("report.html"), {"overwrite": False}
    assert calls[0] == ("refuse", out, over)
    assert calls[2:] == [
        ("render", ["a run", "another"], None, {}),
        ("write", "a page", out, over),
    ]


def test_a_folder_that_holds_no_climb_is_refused(tmp_path: Path) -> None:
    """The page's own reader finds that out."""
    with pytest.raises(UserError, match="holds no readable"):
        climb.read_climb(tmp_path)
