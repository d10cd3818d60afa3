"""Change modules in small ways, and record which changes no test detects: `nox -s mutants`.

mutmut makes the mutants and runs the tests on them, as pyproject.toml says, in a copy of the
project. The copy replaces decorators by calls, because mutmut leaves decorated functions alone.
"""

import argparse
import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.report import RESULTS
from lenet_multi.machine import environment
from lenet_multi.runs.durable import write_json
from tests.conftest import PROJECT

LEAST_NOTICED = 0.85  # share of the mutants of each module
NOTICED = ("killed", "timeout")  # in mutmut's words
STATUSES = (*NOTICED, "survived", "no tests")

# Reasons for the surviving mutants, with the lines that they change to.
REASONS = {
    "Two runs or more are equal to the first where they are equal to the second.": {
        "equal = all(value == values[1] for value in values)",
    },
    "A digit less or more: both are finer than one image and coarser than rounding.": {
        "gap = round(100 * (high - low), 10)  # drops noise, keeps one image's share",
    },
    "Rich reads styles in upper case too.": {
        'console.print(f"Warning: {warning}.", style="YELLOW")',
        'style="BOLD GREEN" if not failed else "bold red",',
        'style="bold green" if not failed else "BOLD RED",',
        'verdict = Text("pass", "GREEN") if check.passed else Text("FAIL", "bold red")',
        'verdict = Text("pass", "green") if check.passed else Text("FAIL", "BOLD RED")',
    },
    "Rich aligns to the left where it does not know the word.": {
        f"return Table(first, *backends, *last, title=title, title_justify={word})"
        for word in ("None", '"XXleftXX"', '"LEFT"')
    },
    "Python translates line ends on Windows alone, where folders cannot be locked as here.": {
        'with (draft / HISTORY).open("w", newline=None) as file:',
        'with (draft / HISTORY).open("w", ) as file:',
    },
    "hashlib takes the name in upper case too.": {
        'return hashlib.file_digest(file, "SHA256").hexdigest()',
    },
}


def written_out(source: str) -> str:
    """Return the program with each decorator replaced by a call: `name = decorator(name)`."""
    lines = source.splitlines()
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    for function in sorted(functions, key=lambda node: node.lineno, reverse=True):
        for decorator in reversed(function.decorator_list):
            call = f"{function.name} = {ast.unparse(decorator)}({function.name})"
            lines.insert(function.end_lineno or 0, " " * function.col_offset + call)
            del lines[decorator.lineno - 1]
    return "\n".join(lines) + "\n"


def prepare(folder: Path, modules: list[str]) -> None:
    """Copy the files that tests need to `folder`, and replace decorators in `modules`."""
    for name in ("lenet_multi", "tests"):
        shutil.copytree(PROJECT / name, folder / name)
    shutil.copy(PROJECT / "pyproject.toml", folder)
    for name in modules:
        (folder / name).write_text(written_out((folder / name).read_text()))


def mutmut(folder: Path, *arguments: str) -> str:
    """Return what `mutmut ARGUMENTS` prints in `folder`; "run" shows its progress on stderr."""
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-m", "mutmut", *arguments],
        cwd=folder,
        env={**os.environ, "CI": "1", "TMPDIR": str(temporary)},  # CI: Hypothesis is deterministic
        stdout=sys.stderr if arguments[0] == "run" else subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


def statuses(folder: Path) -> dict[str, str]:
    """Return each mutant's status by its name in mutmut."""
    lines = mutmut(folder, "results", "--all", "true").splitlines()
    return dict(line.strip().rsplit(": ", 1) for line in lines if line.strip())


def function(mutant: str) -> str:
    """Return the function or method of a mutant, with its module."""
    return re.sub(r"x_|xǁ(\w+)ǁ", r"\1.", mutant.partition("__mutmut_")[0]).replace("..", ".")


def left(folder: Path, mutant: str) -> dict[str, str]:
    """Return a surviving mutant's function, its line before and after, and the reason."""
    lines = mutmut(folder, "show", mutant).splitlines()
    was, became = (
        " ".join(line[1:].strip() for line in lines if re.match(rf"[{sign}](?![{sign}])", line))
        for sign in "-+"
    )
    reason = next((reason for reason, lines in REASONS.items() if became in lines), "")
    return {"function": function(mutant), "was": was, "became": became, "reason": reason}


def counted(found: dict[str, str], module: str) -> dict[str, int]:
    """Return how many mutants the file `module` has, and how many have each status."""
    of_module = module.removesuffix(".py").replace("/", ".") + "."
    count = Counter(status for mutant, status in found.items() if mutant.startswith(of_module))
    return {"mutants": count.total(), **{status: count[status] for status in STATUSES}}


def main() -> int:
    """Do what the command line says; return 1 if too many survive, or one lacks a reason."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / "mutants.json", help="JSON to write")
    out = parser.parse_args().out
    mutated = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["mutmut"]
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, mutated["only_mutate"])
        mutmut(folder, "run")
        found = statuses(folder)
        survivors = [
            left(folder, mutant) for mutant, status in found.items() if status not in NOTICED
        ]
    modules = {module: counted(found, module) for module in mutated["only_mutate"]}
    record: dict[str, Any] = {
        "machine": environment.machine(),
        "versions": {name: version(name) for name in ("lenet-multi", "mutmut", "pytest")},
        "seconds": round(time.monotonic() - began),
        "modules": modules,
        "survivors": survivors,
    }
    write_json(out, record)
    show(modules, survivors, Console(width=120, markup=False))
    enough = all(share(count) >= LEAST_NOTICED for count in modules.values())
    return int(not (enough and all(survivor["reason"] for survivor in survivors)))


def share(count: dict[str, int]) -> float:
    """Return the share of mutants that tests detect, by failing or by not ending."""
    return sum(count[status] for status in NOTICED) / count["mutants"]


def show(
    modules: dict[str, dict[str, int]], survivors: list[dict[str, str]], console: Console
) -> None:
    """Print the counts of each module, and the survivors without a reason."""
    table = Table("module", "mutants", *STATUSES, "noticed")
    for module, count in modules.items():
        table.add_row(module, *map(str, count.values()), f"{share(count):.1%}")
    console.print(table)
    for survivor in survivors:
        if not survivor["reason"]:
            console.print(f"{survivor['function']}\n- {survivor['was']}\n+ {survivor['became']}")


if __name__ == "__main__":
    sys.exit(main())
