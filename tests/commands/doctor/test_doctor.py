import dataclasses
import json

import pytest
from click.testing import CliRunner

from lenet_multi.commands.doctor import checkup, command
from lenet_multi.commands.doctor.checkup import Checkup, Machine, Problem
from lenet_multi.commands.doctor.probe import Probe
from tests.stand_ins import Calls


@pytest.mark.parametrize("is_grave", [False, True])
def test_the_status_says_whether_the_machine_is_healthy(
    monkeypatch: pytest.MonkeyPatch, is_grave: bool
) -> None:
    """The tables and the JSON hold all that was found; a backend has the time that was asked."""
    problems = [Problem("it is full", "free some space", grave=is_grave)]
    probes = [Probe(backend="jax", installed=True)]
    found = Checkup(probes, Machine(), [], [], problems)
    asked = Calls()
    monkeypatch.setattr(checkup, "examine", asked.of("examine", found))
    done = CliRunner().invoke(command, ["--timeout", "5"])
    assert done.exit_code == is_grave
    assert "it is full\n  Remedy: free some space\n" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 140
    done = CliRunner().invoke(command, ["--json"])
    assert done.exit_code == is_grave
    healthy = {"healthy": not is_grave}
    assert done.stdout == json.dumps(healthy | dataclasses.asdict(found), indent=2) + "\n"
    assert asked == [("examine", {"timeout": 5.0}), ("examine", {"timeout": 60.0})]
