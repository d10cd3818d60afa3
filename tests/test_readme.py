import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.report import RESULTS, accuracy_table, epoch_table, read
from lenet_multi.backends import BACKENDS
from lenet_multi.config import RECIPES
from tests.conftest import PROJECT, child_environment

README = (PROJECT / "README.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
NEEDS_NO_TEST_HERE = {
    "python3 -m venv .venv",  # `.ci/run` runs these three as they stand
    ".venv/bin/pip install -q nox",
    ".venv/bin/nox",
}


def commands(block: str) -> list[str]:
    """Return the commands of a block, one by one, without comments."""
    lines = [line.partition("#")[0].strip() for line in block.splitlines()]
    return [part.strip() for line in lines if line for part in line.split("&&")]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the project to run commands in."""
    hidden = shutil.ignore_patterns(".*", "runs", "__pycache__")
    return Path(shutil.copytree(PROJECT, tmp_path / "checkout", ignore=hidden))


def tiny(command: str, small_npz: Path) -> tuple[list[str], dict[str, str]]:
    """Return the command made small, run by this environment's programs, and its variables.

    A command that is not known here fails the test: each must be run.
    """
    words = shlex.split(command)
    environ = {}
    while re.fullmatch(r"[A-Z_]+=.*", words[0]):
        name, _, environ[name] = words.pop(0).partition("=")
    python, data = sys.executable, ["--data", str(small_npz), "--epochs", "1"]
    match [Path(words[0]).name, *words[1:]]:
        case ["pip", "install", target]:
            return [python, "-m", "pip", "install", "-q", "--dry-run", target], environ
        case ["nox", "-s", session, "--", "--fast"]:
            return [
                python,
                "-m",
                "nox",
                "--no-venv",
                "--no-install",
                "-s",
                session,
                "--",
                "--fast",
                "--collect-only",
            ], environ
        case ["nox", "-s", session]:
            nox = [python, "-m", "nox", "--no-venv", "--no-install", "-s", session, "--"]
            small = {"train": data, "bench": ["--images", "128", "--repeats", "1"]}
            return [*nox, *small[session]], environ
        case ["nox", "-s", "train", "--", *rest]:
            nox = [python, "-m", "nox", "--no-venv", "--no-install", "-s", "train", "--"]
            return [*nox, *rest, *data], environ
        case ["lenet-multi", "train", *rest]:
            return [python, "-m", "lenet_multi", "train", *rest, *data], environ
        case ["lenet-multi", *rest]:
            return [python, "-m", "lenet_multi", *rest], environ
        case ["python", "-m", "lenet_multi.train", *rest]:
            return [python, "-m", "lenet_multi.train", *rest, *data], environ
    raise AssertionError(f"the README shows a command that no test runs: {command}")


@pytest.mark.all_backends
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0][-45:])
def test_the_commands_work(block: str, checkout: Path, small_npz: Path) -> None:
    """Each block of commands, typed in order in a checkout, succeeds."""
    for command in commands(block):
        if command in NEEDS_NO_TEST_HERE:
            continue
        words, environ = tiny(command, small_npz)
        done = subprocess.run(
            words, cwd=checkout, env=child_environment(**environ), capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def test_the_gate_runs_the_readmes_test_command() -> None:
    """`.ci/run` takes exactly one command from the README: the one that passes the tests."""
    marked = [line for line in README.splitlines() if line.endswith("# pass the tests")]
    assert [commands(line) for line in marked] == [
        ["python3 -m venv .venv", ".venv/bin/pip install -q nox", ".venv/bin/nox"]
    ]
    assert "# pass the tests" in (PROJECT / ".ci" / "run").read_text()


def test_accuracies_are_those_of_the_committed_runs() -> None:
    """The README's table of recipes is made from benchmarks/results, figure by figure."""
    comparisons = [read(RESULTS / f"{recipe}.json") for recipe in RECIPES]
    for comparison in comparisons:
        assert comparison["passed"]
        assert [run["backend"] for run in comparison["runs"]] == list(BACKENDS)
    assert accuracy_table(comparisons) in README


def test_committed_runs_are_of_todays_recipes() -> None:
    """A recipe that changes asks for new results."""
    for name, recipe in RECIPES.items():
        for run in read(RESULTS / f"{name}.json")["runs"]:
            recorded = {field: getattr(recipe, field) for field in run["config"]}
            assert run["config"] == recorded


def test_times_are_those_of_the_committed_benchmark() -> None:
    """The README's table of epoch times is made from benchmarks/results, figure by figure."""
    benchmarks = [read(RESULTS / f"epoch-{backend}.json") for backend in BACKENDS]
    assert epoch_table(benchmarks) in README


def test_no_command_names_a_place_of_one_machine() -> None:
    """A stranger can type every command."""
    assert not re.search(r"/(home|root|work|tmp|opt)/", README)
