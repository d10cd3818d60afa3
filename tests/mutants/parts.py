"""The modules to mutate, the parts that they come in, and the tests of each."""

import ast
from pathlib import Path

from lenet_multi.machine.frameworks import BACKENDS
from tests.conftest import PROJECT
from tests.test_imports import ORDER, imports, modules, name, room

FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef


def mutated() -> dict[str, list[Path]]:
    """Return, for each room or file of the package, its modules that have code but no backend."""
    found: dict[str, list[Path]] = {}
    for path in sorted(modules("lenet_multi"), key=lambda path: ORDER.index(room(name(path)))):
        if has_functions(path) and not imports_a_backend(path):
            found.setdefault(room(name(path)), []).append(path)
    return found


def has_functions(path: Path) -> bool:
    """Return whether a file has a function; mutmut changes nothing else."""
    return any(isinstance(node, FUNCTION) for node in ast.walk(ast.parse(path.read_text())))


def imports_a_backend(path: Path) -> bool:
    """Return whether a file imports Keras or a backend, at its top or in a function."""
    roots = {module.partition(".")[0] for module in imports(path, top_level_only=False)}
    return not roots.isdisjoint({"keras", *BACKENDS})


def tests_of(path: Path) -> list[Path]:
    """Return the test file that mirrors a module.

    Without one, return those in its room's tests that import the module, or else all of them.
    """
    within = path.relative_to(PROJECT / "lenet_multi")
    folder = PROJECT / "tests" / within.parent
    stem = within.parent.name if within.stem == "__init__" and within.parent.name else within.stem
    mirror = folder / f"test_{stem.strip('_')}.py"
    if mirror.exists():
        return [mirror]
    while not (files := sorted(folder.glob("test_*.py"))):
        folder = folder.parent
    module = f"lenet_multi.{name(path).removesuffix('.__init__')}"
    importing = [file for file in files if module in imports(file, top_level_only=False)]
    return importing or files
