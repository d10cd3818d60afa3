"""Mutate one module in a copy of the project, and return what its tests noticed.

The copy replaces decorators by calls, because mutmut leaves decorated functions alone. Processes
that a test starts run the module as it is: what only runs there counts as "no tests".
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import PROJECT
from tests.mutants.parts import FUNCTION

# mutmut calls an outcome so when no test calls the function.
NO_TESTS = "no tests"
_LAST = 3000  # characters of an output that are shown
# What mutmut says where no test calls any function of the module, or none runs without a backend.
NONE_CALL_IT = ("could not find any test case for any mutant", "runner returned 5")


class BrokenTestsError(Exception):
    """Tests that fail without a mutant: what they notice means nothing."""


@dataclass
class Mutant:
    """A mutant: mutmut's word for what the tests did, and how it differs from the module."""

    function: str
    status: str
    was: str = ""
    became: str = ""


def measure(module: Path, tests: Iterable[Path]) -> list[Mutant]:
    """Return all mutants of the file `module` after a run of its `tests`.

    Raises `BrokenTestsError` when the tests fail without a mutant.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        own = str(module.relative_to(PROJECT))
        prepare(folder, own, [str(path.relative_to(PROJECT)) for path in tests])
        said = mutmut(folder)
        with chdir(folder):
            if said and not any(words in said for words in NONE_CALL_IT):
                raise BrokenTestsError(said[-_LAST:])
            if not said:
                check_alone(folder, own)
            return outcomes(own)


def prepare(folder: Path, module: str, tests: list[str]) -> None:
    """Copy the files that tests need to `folder`, without decorators in `module`; set up mutmut."""
    for name in ("lenet_multi", "tests"):
        shutil.copytree(PROJECT / name, folder / name)
    (folder / module).write_text(written_out((PROJECT / module).read_text()))
    settings = {"only_mutate": [module], "pytest_add_cli_args_test_selection": tests}
    lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in settings.items())
    project = (PROJECT / "pyproject.toml").read_text()
    section = "[tool.mutmut]\n"
    (folder / "pyproject.toml").write_text(project.replace(section, f"{section}{lines}\n"))


def written_out(source: str) -> str:
    """Return the program with each decorator replaced by a call: `name = decorator(name)`."""
    lines = source.splitlines()
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, FUNCTION)]
    for function in sorted(functions, key=lambda node: node.lineno, reverse=True):
        for decorator in reversed(function.decorator_list):
            call = f"{function.name} = {ast.unparse(decorator)}({function.name})"
            lines.insert(function.end_lineno or 0, " " * function.col_offset + call)
            first, last = decorator.lineno - 1, decorator.end_lineno or decorator.lineno
            lines[first:last] = [""] * (last - first - 1)  # the call has the other line
    return "\n".join(lines) + "\n"


def mutmut(folder: Path, *arguments: str) -> str:
    """Run `mutmut run ARGUMENTS` in `folder`; return what it printed if it fails, otherwise ""."""
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "mutmut", "run", *arguments],
        cwd=folder,
        env={**os.environ, "CI": "1", "TMPDIR": str(temporary)},  # CI: Hypothesis is deterministic
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.stdout if done.returncode else ""


def check_alone(folder: Path, module: str) -> None:
    """Run again, one by one, the mutants that ran too long, and a control for each function.

    A control has the number 0 and changes nothing. Raises `BrokenTestsError` when one is noticed.
    """
    data = mutation_data(module)
    late = [mutant for mutant, code in data.exit_code_by_key.items() if status(code) == "timeout"]
    functions = {
        mutant.partition("__mutmut_")[0]
        for mutant, code in data.exit_code_by_key.items()
        if status(code) != NO_TESTS
    }
    controls = [f"{function}__mutmut_0" for function in sorted(functions)]
    data.exit_code_by_key |= dict.fromkeys(controls)
    data.save()
    if said := mutmut(folder, "--max-children", "1", *late, *controls):
        raise BrokenTestsError(said[-_LAST:])
    data = mutation_data(module)
    if noticed := {
        control: found
        for control in controls
        if (found := status(data.exit_code_by_key.pop(control))) != "survived"
    }:
        raise BrokenTestsError(f"tests fail without a mutant: {noticed}")
    data.save()


def mutation_data(module: str) -> Any:
    """Return mutmut's record of the file `module`."""
    from mutmut.mutation.data import SourceFileMutationData

    data = SourceFileMutationData(path=module)
    data.load()
    return data


def status(code: int | None) -> str:
    """Return mutmut's word for the exit status of tests."""
    from mutmut.stats import status_by_exit_code

    return NO_TESTS if code is None else str(status_by_exit_code[code])


def outcomes(module: str) -> list[Mutant]:
    """Return all mutants of the file `module`; those that were not noticed with their lines."""
    from mutmut.mutation.diff_apply import get_diff_for_mutant

    found = []
    for mutant, code in mutation_data(module).exit_code_by_key.items():
        shown = [""] * 2
        if status(code) not in ("killed", "timeout"):
            lines = get_diff_for_mutant(mutant, path=module).splitlines()
            shown = [
                " ".join(
                    line[1:].strip() for line in lines if re.match(rf"[{sign}](?![{sign}])", line)
                )
                for sign in "-+"
            ]
        found.append(Mutant(function(mutant), status(code), *shown))
    return found


def function(mutant: str) -> str:
    """Return the function or method of a mutant, with its module."""
    module, _, mangled = mutant.partition("__mutmut_")[0].rpartition(".")
    return f"{module}.{mangled.removeprefix('x_').removeprefix('xǁ').replace('ǁ', '.')}"
