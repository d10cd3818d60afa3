import ast
from pathlib import Path

import pytest

from tests.conftest import PROJECT

# Only these may import Keras when they are imported themselves.
KERAS_MODULES = {
    *("adam", "answer", "batches", "callbacks", "evaluate", "export", "fit", "forms", "history"),
    *("model", "pipeline", "progress", "resume", "tensorboard", "torch_step", "variables"),
    *("forms.__init__", "forms.convolutions", "forms.pooling", "forms.tiles", "forms.winograd"),
    *("parity.climb", "parity.float64", "xla_steps"),
}

# What speaks to a backend by name, for speed: its batches, its Adam, its step.
SPEAKS_TO = {
    "session": {"tensorflow", "jax", "torch"},  # for products in full on a GPU
    "pipeline": {"tensorflow", "jax", "torch"},
    "adam": {"tensorflow", "torch"},
    "recording": {"torch"},
    "xla_steps": {"tensorflow", "jax"},
    "torch_step": {"torch"},
    # What writes and runs files of their own formats.
    "export": {"torch"},
    "runtimes": {"tensorflow", "torch"},
}


def imports(path: Path, *, top_level_only: bool) -> set[str]:
    """Return the first parts, or lenet_multi.NAME, of what a file imports."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def modules(folder: str) -> list[Path]:
    """Return the Python files of a folder of the project."""
    return sorted((PROJECT / folder).rglob("*.py"))


def name(path: Path) -> str:
    """Return the module's name within the package, such as parity.climb."""
    return ".".join(
        path.relative_to(PROJECT / path.relative_to(PROJECT).parts[0]).with_suffix("").parts
    )


@pytest.mark.parametrize("path", modules("lenet_multi"), ids=name)
def test_no_module_imports_a_backend(path: Path) -> None:
    """A few modules import a backend, which they say; no other does, at any depth."""
    roots = {name.partition(".")[0] for name in imports(path, top_level_only=False)}
    assert roots & {"tensorflow", "jax", "torch"} == SPEAKS_TO.get(name(path), set())


@pytest.mark.parametrize("path", modules("lenet_multi"), ids=name)
def test_only_what_trains_imports_keras(path: Path) -> None:
    """What reads runs, data and settings does not import Keras, directly or through others."""
    if name(path) in KERAS_MODULES:
        return
    top_level = imports(path, top_level_only=True)
    assert not {name for name in top_level if name.partition(".")[0] == "keras"}
    assert not top_level & {f"lenet_multi.{module}" for module in KERAS_MODULES}


@pytest.mark.parametrize("path", modules("lenet_multi"), ids=name)
def test_the_package_stands_alone(path: Path) -> None:
    """The package imports neither tests nor benchmarks."""
    roots = {name.partition(".")[0] for name in imports(path, top_level_only=False)}
    assert not roots & {"tests", "benchmarks"}


@pytest.mark.parametrize("path", modules("benchmarks"), ids=name)
def test_benchmarks_do_not_import_tests(path: Path) -> None:
    """Tests import benchmarks, never the other way round."""
    roots = {name.partition(".")[0] for name in imports(path, top_level_only=False)}
    assert "tests" not in roots


def test_the_walk_sees_an_import_in_a_function(tmp_path: Path) -> None:
    """The rules above would catch a hidden import."""
    path = tmp_path / "sly.py"
    path.write_text("def run():\n    import torch.nn\n")
    assert imports(path, top_level_only=False) == {"torch.nn"}
    assert imports(path, top_level_only=True) == set()
