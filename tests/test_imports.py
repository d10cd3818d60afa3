import ast
from pathlib import Path

import pytest

from tests.conftest import PROJECT

PACKAGE = PROJECT / "lenet_multi"

# From the bottom to the top: a file imports from its own folder and from those before it.
ORDER = (
    *("errors", "config", "machine", "data", "task", "runs", "backends", "own", "training"),
    *("lenet", "inference", "parity", "bench", "compare", "train", "commands", "__main__"),
    *("interface", "__init__"),
)

# Only these know digits; the other folders serve any model.
MAY_KNOW_THE_LENET = {"lenet", "config", "commands", "__init__"}

# `python -m lenet_multi.NAME` runs these; they call the command.
SCRIPTS = {"train", "compare"}

# Only these may import Keras at their own import.
KERAS_MODULES = {
    *("backends.adam", "backends.fast", "backends.jax", "backends.tensorflow", "backends.torch"),
    *("backends.forms.__init__", "backends.forms.after", "backends.forms.convolutions"),
    *("backends.forms.pooling", "lenet.folding", "lenet.options"),
    *("backends.forms.tiles", "backends.forms.winograd", "backends.layers", "backends.portable"),
    *("backends.later", "backends.selfcheck", "backends.stored", "backends.variables"),
    *("data.batches", "training.beyond", "parity.sharing"),
    *("backends.devices.draws", "backends.devices.jax", "backends.devices.tensorflow"),
    "backends.devices.torch",
    *("inference.ensemble", "inference.heads", "lenet.networks"),
    *("own.builder", "own.data", "own.drawn", "own.task", "own.examples.my_model"),
    *("bench.measures", "bench.stages"),
    *("inference.export", "parity.climb", "training.initial_weights"),
    *("parity.layer_calls", "parity.randomness", "parity.terms", "parity.weights"),
    *("parity.float64", "training.callbacks", "training.fit", "training.history"),
    *("training.setup", "training.progress", "training.resume", "training.tensorboard"),
}

# These name a backend, for speed: its batches, its Adam, its step.
SPEAKS_TO = {
    "machine.keras_start": {"tensorflow", "jax", "torch"},  # for full-precision products on a GPU
    "machine.start_error": {"jax"},  # whether its settings forbid what Keras computes
    "machine.threads": {"tensorflow", "torch"},  # tell how many they use
    "machine.devices": {"tensorflow"},  # makes its logical devices
    "machine.ranks": {"tensorflow", "jax", "torch"},  # their processes
    "backends.devices.tensorflow": {"tensorflow"},
    "backends.devices.jax": {"jax"},
    "backends.devices.torch": {"torch"},
    "backends.tensorflow": {"tensorflow"},
    "backends.jax": {"jax"},
    "backends.torch": {"torch"},
    "backends.recording": {"torch"},
    "backends.private": {"torch"},
    "parity.float64": {"jax"},  # for its attention
    "bench.stages": {"tensorflow", "jax", "torch"},  # gradients, and the end of a computation
    # These write and run files in their own formats.
    "inference.export": {"torch"},
    "inference.runtimes": {"tensorflow", "torch"},
}

# Needed when Keras starts, below the room of the other private names.
KERAS_HOME = {"keras.src.backend", "config._KERAS_DIR"}


def imports(path: Path, *, top_level_only: bool) -> set[str]:
    """Return the names of the modules that a file imports, and of the names from them."""
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


def room(module: str) -> str:
    """Return the first part of a module's name within the package: its folder, or its file."""
    return module.removeprefix("lenet_multi.").partition(".")[0]


def above(own: str, imported: set[str]) -> set[str]:
    """Return the folders among `imported` that folder `own` must not know."""
    rooms = {room(module) for module in imported if module.startswith("lenet_multi.")}
    known = {*ORDER[: ORDER.index(own) + 1], "__version__"}
    if own in SCRIPTS:
        known.add("__main__")
    if own not in MAY_KNOW_THE_LENET:
        known.discard("lenet")
    return rooms - known


@pytest.mark.parametrize("path", modules("lenet_multi"), ids=name)
def test_imports_point_downwards(path: Path) -> None:
    """No file imports from a folder above its own, at any depth; few import the LeNet's."""
    assert not above(room(name(path)), imports(path, top_level_only=False))


@pytest.mark.parametrize(
    ("own", "imported", "refused"),
    [
        ("runs", "lenet_multi.training.fit", {"training"}),
        ("parity", "lenet_multi.lenet.reference", {"lenet"}),
        ("machine", "lenet_multi.__main__", {"__main__"}),
        ("commands", "lenet_multi.lenet.reference", set()),
        ("training", "lenet_multi.runs.folder", set()),
    ],
)
def test_an_import_that_points_upwards_is_seen(own: str, imported: str, refused: set[str]) -> None:
    """The rule above catches an import that points upwards."""
    assert above(own, {imported}) == refused


def test_the_house_can_be_seen_from_its_listing() -> None:
    """The package has at most twelve folders and seven files, and all of them are in ORDER."""
    entries = {path for path in PACKAGE.iterdir() if not path.name.startswith("__pycache__")}
    files = {path.stem for path in entries if path.is_file() and path.suffix == ".py"}
    rooms = {path.name for path in entries if path.is_dir()}
    assert len(files) <= 7
    assert len(rooms) <= 12
    assert files | rooms == set(ORDER)


@pytest.mark.parametrize("path", modules("lenet_multi"), ids=name)
def test_no_module_imports_a_backend(path: Path) -> None:
    """Only the modules in SPEAKS_TO import a backend, at any depth."""
    roots = {name.partition(".")[0] for name in imports(path, top_level_only=False)}
    assert roots & {"tensorflow", "jax", "torch"} == SPEAKS_TO.get(name(path), set())


@pytest.mark.parametrize("path", modules("lenet_multi"), ids=name)
def test_only_what_trains_imports_keras(path: Path) -> None:
    """Modules that read runs, data and settings do not import Keras, not even indirectly."""
    if name(path) in KERAS_MODULES:
        return
    top_level = imports(path, top_level_only=True)
    assert not {name for name in top_level if name.partition(".")[0] == "keras"}
    assert not top_level & {f"lenet_multi.{module}" for module in KERAS_MODULES}


def private_names(source: str) -> set[str]:
    """Return foreign private names in a file: keras.src modules, and attributes not of self."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and "keras.src" in (node.module or ""):
            found.add(str(node.module))
        elif isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            own = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
            if not own and not node.attr.startswith("__"):
                found.add(ast.unparse(node))
    return found


@pytest.mark.parametrize("path", modules("lenet_multi"), ids=name)
def test_private_names_have_one_room(path: Path) -> None:
    """Only backends.private uses private names of Keras or of a framework, but for one."""
    if name(path) != "backends.private":
        allowed = KERAS_HOME if name(path) == "machine.keras_home" else set()
        assert private_names(path.read_text()) <= {"os._exit", "libc._exit", *allowed}


@pytest.mark.parametrize(
    "source",
    ["from keras.src.utils import tree", "optimizer._learning_rate", "keras.Model()._call()"],
)
def test_a_private_name_is_seen(source: str) -> None:
    """The rule above catches a private name."""
    assert private_names(source)


@pytest.mark.parametrize("path", modules("lenet_multi"), ids=name)
def test_the_package_stands_alone(path: Path) -> None:
    """The package imports neither tests nor benchmarks."""
    roots = {name.partition(".")[0] for name in imports(path, top_level_only=False)}
    assert not roots & {"tests", "benchmarks"}


@pytest.mark.parametrize("path", modules("benchmarks"), ids=name)
def test_benchmarks_do_not_import_tests(path: Path) -> None:
    """Benchmarks never import tests."""
    roots = {name.partition(".")[0] for name in imports(path, top_level_only=False)}
    assert "tests" not in roots


def test_the_walk_sees_an_import_in_a_function(tmp_path: Path) -> None:
    """The rules above catch an import inside a function."""
    path = tmp_path / "sly.py"
    path.write_text("def run():\n    import torch.nn\n")
    assert imports(path, top_level_only=False) == {"torch.nn"}
    assert imports(path, top_level_only=True) == set()


@pytest.mark.parametrize("path", modules("benchmarks/peers"), ids=name)
def test_the_peers_share_no_code_with_us(path: Path) -> None:
    """No file in benchmarks/peers imports lenet_multi, directly or through another benchmark."""
    found = imports(path, top_level_only=False)
    ours = {module for module in found if module.startswith(("lenet_multi", "benchmarks"))}
    assert all(module.startswith("benchmarks.peers") for module in ours)
