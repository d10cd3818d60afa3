import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.shell_completion import get_completion_class
from click.testing import CliRunner

from lenet_multi.commands import completion
from tests.conftest import Lenet
from tests.stand_ins import Calls


def complete(lenet: Lenet, line: str) -> list[str]:
    """Return bash's completions at the end of `line`."""
    done = lenet(
        _LENET_MULTI_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(line.count(" "))
    )
    assert done.stderr == ""
    return [offer.partition(",")[2] for offer in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("lenet-multi tra", ["train"]),
        ("lenet-multi train --rec", ["--recipe"]),
        ("lenet-multi train --recipe one", ["one-epoch", "one-cycle"]),
        ("lenet-multi completion z", ["zsh"]),
    ],
    ids=["verb", "flag", "name", "argument"],
)
def test_verbs_flags_and_names_are_completed(lenet: Lenet, line: str, offered: list[str]) -> None:
    """The shell offers what begins with the typed letters."""
    assert complete(lenet, line) == offered


def test_completion_answers_at_once(lenet: Lenet) -> None:
    """Completion takes less than 0.3 s of processor time, process start included."""
    before = os.times()
    complete(lenet, "lenet-multi tra")
    after = os.times()
    assert (
        sum(after[2:4]) - sum(before[2:4]) < 0.3
    )  # the children's time, in the user's code and in the system


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(lenet: Lenet, shell: str) -> None:
    """The script for each shell asks this command for completions in that shell's way."""
    done = lenet("completion", shell)
    assert done.returncode == 0
    assert f"_LENET_MULTI_COMPLETE={shell}_complete" in done.stdout


def test_bash_completes_after_the_documented_line(tmp_path: Path) -> None:
    """A real bash that has read the script completes `lenet-multi tra`."""
    script = (
        'eval "$(lenet-multi completion bash)"; complete -p lenet-multi >/dev/null || exit 1;'
        "COMP_WORDS=(lenet-multi tra); COMP_CWORD=1; _lenet_multi_completion lenet-multi;"
        "echo ${COMPREPLY[@]}"
    )
    program = tmp_path / "lenet-multi"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m lenet_multi "$@"\n')
    program.chmod(0o700)
    done = subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["train"], done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_names_the_command_and_its_variable(shell: str) -> None:
    """It is the script of click for this command, under its own name."""
    from lenet_multi.__main__ import cli

    kind = get_completion_class(shell)
    assert kind
    done = CliRunner().invoke(cli, ["completion", shell])
    assert done.output == kind(cli, {}, "lenet-multi", "_LENET_MULTI_COMPLETE").source() + "\n"


def test_the_script_is_of_the_whole_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """It completes every verb, not this one alone."""
    from lenet_multi.__main__ import cli

    calls = Calls()
    kind = calls.of("kind", SimpleNamespace(source=lambda: "a script"))
    monkeypatch.setattr(completion, "get_completion_class", calls.of("class", kind))
    assert CliRunner().invoke(cli, ["completion", "zsh"]).output == "a script\n"
    name = ("lenet-multi", "_LENET_MULTI_COMPLETE")
    assert calls == [("class", "zsh", {}), ("kind", cli, {}, *name, {})]
