import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from lenet_multi.commands.compare import command
from tests.examples import example_run, keep


@pytest.mark.parametrize(("right", "status"), [(990, 0), (800, 1)], ids=["agree", "differ"])
def test_the_status_says_whether_runs_agree(tmp_path: Path, right: int, status: int) -> None:
    """The tables or the JSON are on stdout, and the file holds the JSON in either case."""
    runs = [
        str(keep(example_run("jax"), tmp_path / "a")),
        str(keep(example_run("torch", right=right), tmp_path / "b")),
    ]
    out = tmp_path / "found.json"
    done = CliRunner().invoke(command, [*runs, "--out", str(out)])
    assert done.exit_code == status, done.output
    assert "torch" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 140
    assert json.loads(out.read_text())["passed"] is (status == 0)
    done = CliRunner().invoke(command, [*runs, "--out", str(out), "--json"])
    assert (done.exit_code, done.stdout) == (status, out.read_text())
