"""The examples for a user who brings a model: each runs as it stands."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
import yaml
from packaging.requirements import Requirement

import lenet_multi as lm
from lenet_multi.__main__ import cli
from tests.conftest import PROJECT, child_environment

ROOM = PROJECT / "lenet_multi" / "own"
EXAMPLES = ROOM / "examples"
PAGE = (ROOM / "README.md").read_text()
WORKFLOW = yaml.safe_load((EXAMPLES / "same-training.yml").read_text())


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder with the examples alone."""
    return Path(shutil.copytree(EXAMPLES, tmp_path / "mine", dirs_exist_ok=True))


def run(words: list[str], folder: Path, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run a command in `folder`, which finds the package."""
    path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        words,
        cwd=folder,
        env=child_environment(PYTHONPATH=path, **environ),
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.mark.all_backends
def test_the_script_runs(mine: Path) -> None:
    """It finds the backends alike, says which to take, and trains."""
    done = run([sys.executable, "script.py"], mine, KERAS_BACKEND="torch")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The same at every rung: jax, torch." in done.stdout
    assert "Take " in done.stdout
    assert "Epoch 3/3" in done.stdout


class Asked:
    """Stands for the package's functions: remembers in their order what they are asked."""

    def __init__(self, patch: pytest.MonkeyPatch, *, passed: bool) -> None:
        self.asked: list[Any] = []
        answer = SimpleNamespace(passed=passed, first_failure="L1", sentence="They train.")
        for name in ("parity", "bench", "fast", "assert_same_training"):
            patch.setitem(vars(lm), name, partial(self.ask, name, answer))  # without importing it

    def ask(self, name: str, answer: Any, *given: Any, **named: Any) -> Any:
        """Return what a function returns."""
        self.asked.append((name, given, named))
        return nullcontext() if name == "fast" else answer


@pytest.mark.parametrize("passed", [False, True], ids=["differing", "alike"])
def test_the_script_trains_what_is_alike(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], passed: bool
) -> None:
    """It ends where the backends differ; else it measures and trains with the fast layers."""
    trained: list[Any] = []
    model = SimpleNamespace(fit=lambda *given, **named: trained.append((given, named)))
    build, data = (lambda: model), (lambda: ("x", "y"))
    monkeypatch.setitem(sys.modules, "my_model", SimpleNamespace(build=build, data=data))
    asked = Asked(monkeypatch, passed=passed).asked
    from lenet_multi.own.examples import script

    backends = ["jax", "torch"]
    run_it: Any = script.main
    climb = ("parity", (build, data, backends), {"quick": True, "precision": "float32"})
    monkeypatch.setattr(script, "build", build)
    monkeypatch.setattr(script, "data", data)
    if passed:
        run_it()
        bench = ("bench", (build, data, backends), {"quick": True})
        assert asked == [climb, bench, ("fast", (model,), {})]
        assert trained == [(("x", "y"), {"epochs": 3, "verbose": 2})]
    else:
        with pytest.raises(SystemExit, match=r"^They differ: L1$"):
            run_it()
        assert asked == [climb]
    assert capsys.readouterr().out.count("They train.") == 1 + passed


def test_the_test_asks_for_two_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Model and data are places in the file beside it."""
    asked = Asked(monkeypatch, passed=True).asked
    from lenet_multi.own.examples import test_my_model

    run_it: Any = test_my_model.test_my_model_trains_the_same_on_jax_and_torch
    run_it()
    places = ("my_model.py:build", "my_model.py:data")
    assert asked == [("assert_same_training", places, {"backends": ["jax", "torch"]})]


@pytest.mark.study  # the script runs in the gate
@pytest.mark.all_backends
def test_the_notebook_runs(mine: Path) -> None:
    """Its cells run in their order, and show tables, the figure and the verdict."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(mine / "notebook.ipynb", as_version=4)
    path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
    environ = child_environment(PYTHONPATH=path, KERAS_BACKEND="jax")
    resources = {"metadata": {"path": str(mine)}}
    NotebookClient(notebook, timeout=600, resources=resources).execute(env=environ)
    outputs = {cell["id"]: shown(cell) for cell in notebook.cells if cell.cell_type == "code"}
    assert "L4 trajectory" in outputs["climb"]["text/html"]
    assert '<img alt="the gap' in outputs["climb"]["text/html"]
    assert outputs["verdict"]["text/plain"].startswith("(True, None, ")
    assert "The runs agree." in outputs["train"]["text/html"]
    assert sorted(path.name for path in mine.iterdir()) == sorted(os.listdir(EXAMPLES))


def shown(cell: Any) -> Any:
    """Return what a cell shows, by MIME type."""
    return {kind: text for one in cell.outputs for kind, text in one.get("data", {}).items()}


def steps() -> list[list[str]]:
    """Return the commands of the workflow."""
    (job,) = WORKFLOW["jobs"].values()
    return [shlex.split(step["run"]) for step in job["steps"] if "run" in step]


def test_the_workflow_is_one() -> None:
    """It has what GitHub asks of a workflow, and installs extras that the package has."""
    assert set(WORKFLOW) == {"name", True, "jobs"}  # YAML 1.1 reads the key `on` as true
    install, *others = steps()
    assert [words[0] for words in others] == ["pytest", "lenet-multi"]
    wanted = Requirement(install[2])
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert wanted.name == "lenet-multi"
    assert wanted.extras <= extras["optional-dependencies"].keys()


@pytest.mark.study
@pytest.mark.all_backends
@pytest.mark.parametrize("words", steps()[1:], ids=lambda words: words[0])
def test_the_workflows_commands_run(mine: Path, words: list[str]) -> None:
    """Each command succeeds in a folder with the model and its test."""
    module = words[0].replace("-", "_")
    done = run([sys.executable, "-m", module, *words[1:]], mine)
    assert done.returncode == 0, done.stdout + done.stderr


COMMANDS = [
    line.partition("#")[0].strip()
    for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
    if line.startswith("lenet-multi")
]


@pytest.mark.parametrize("line", COMMANDS)
def test_the_pages_commands_have_these_flags(line: str) -> None:
    """Each command of the room's page is one that the program can read."""
    _, verb, *words = shlex.split(line)
    command = cli.get_command(click.Context(cli), verb)
    assert command
    command.make_context(verb, words)


def test_the_page_names_what_exists() -> None:
    """Each function that the page shows is one of the package."""
    named = set(re.findall(r"\blm\.(\w+)", PAGE))
    assert named >= set(lm.__all__) - {"Task"}
    assert named <= set(lm.__all__)
