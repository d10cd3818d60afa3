"""What the project builds: the sdist, and the wheel that users install."""

import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path, PurePosixPath

import pytest
from packaging.requirements import Requirement

from lenet_multi import __version__
from tests.conftest import PROJECT

NAME = f"lenet_multi-{__version__}"
FILES = (
    *(".gitignore", ".pre-commit-config.yaml", "CHANGELOG.md", "LICENSE", "README.md"),
    *("README.zh-CN.md", "constraints.txt", "noxfile.py", "pyproject.toml"),
)
FOLDERS = (".ci", ".github", "benchmarks", "lenet_multi", "tests")

DATA = {
    *(f"lenet_multi/commands/demo/page/{name}" for name in ("index.html", "page.css", "page.js")),
    "lenet_multi/commands/demo/page/icon.svg",
    *(
        f"lenet_multi/lenet/mnist/{part}-ubyte.gz"
        for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3")
    ),
    "lenet_multi/lenet/mnist/t10k-labels-idx1-ubyte.gz",
    *(path.relative_to(PROJECT).as_posix() for path in PROJECT.glob("lenet_multi/**/*.md")),
    "lenet_multi/commands/report/page.html",
    *(f"lenet_multi/own/examples/{name}" for name in ("notebook.ipynb", "same-training.yml")),
}
LICENCES = {"LICENSE", "lenet_multi/lenet/mnist/README.md"}
LITTER = (
    *("runs/jax/model.keras", "dist/old.whl", ".nox/tests/bin/python", "notes.py"),
    *("lenet_multi/__pycache__/train.cpython-311.pyc", "tests/.pytest_cache/README.md"),
    ".coverage",
)

PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
PROMISED = [
    Requirement(text)
    for texts in (PYPROJECT["project"]["dependencies"], *EXTRAS.values())
    for text in texts
]
TESTED = dict(
    entry.split("==")
    for group in PYPROJECT["dependency-groups"].values()
    for entry in group
    if isinstance(entry, str)
)


def build(project: Path, out: Path, *flags: str) -> None:
    """Build with this environment's pinned hatchling, into `out`."""
    command = [sys.executable, "-m", "build", "--no-isolation", *flags, "--outdir", str(out)]
    subprocess.run([*command, str(project)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project as it is checked out."""
    folder = tmp_path_factory.mktemp("package") / "checkout"
    folder.mkdir()
    for name in FILES:
        shutil.copy(PROJECT / name, folder)
    for name in FOLDERS:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / name, folder / name, ignore=ignored)
    return folder


@pytest.fixture(scope="module")
def files(checkout: Path) -> set[str]:
    """The project's files."""
    return {path.relative_to(checkout).as_posix() for path in checkout.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def built(checkout: Path, files: set[str]) -> Path:
    """The folder of sdist and wheel, built in the checkout with litter in it."""
    for name in LITTER:
        assert name not in files
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).touch()
    build(checkout, checkout.parent)
    return checkout.parent


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    """The wheel, which was built from the sdist."""
    return built / f"{NAME}-py3-none-any.whl"


def test_the_sdist_is_the_project_and_nothing_else(built: Path, files: set[str]) -> None:
    """The sdist holds tests, benchmarks, sessions, pins and data, but no runs, caches or notes."""
    with tarfile.open(built / f"{NAME}.tar.gz") as archive:
        names = {PurePosixPath(name).relative_to(NAME).as_posix() for name in archive.getnames()}
    assert names == files | {"PKG-INFO"}


def test_the_wheel_is_the_package_with_its_data(wheel: Path, files: set[str]) -> None:
    """The wheel holds every module, the images, the pages and both licences, but no tests."""
    modules = {name for name in files if name.startswith("lenet_multi/") and name.endswith(".py")}
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    about = f"{NAME}.dist-info"
    assert names == {
        *modules,
        *DATA,
        *(f"{about}/licenses/{name}" for name in LICENCES),
        *(f"{about}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt")),
    }


def test_the_wheel_says_whose_it_is(wheel: Path) -> None:
    """The metadata names both licences, their files, and the oldest Python."""
    with zipfile.ZipFile(wheel) as archive:
        metadata = message_from_bytes(archive.read(f"{NAME}.dist-info/METADATA"))
    assert metadata["License-Expression"] == "Apache-2.0 AND CC-BY-SA-3.0"
    assert set(metadata.get_all("License-File", [])) == LICENCES
    assert metadata["Requires-Python"] == ">=3.11"


def test_the_same_sources_give_the_same_wheel(wheel: Path, checkout: Path, tmp_path: Path) -> None:
    """A wheel built later, directly from the checkout, is the same to the byte."""
    build(checkout, tmp_path, "--wheel")
    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()


@pytest.mark.parametrize("promise", PROMISED, ids=str)
def test_what_is_promised_has_two_ends(promise: Requirement) -> None:
    """Each promise has a lowest and a highest version, and the tested version lies between."""
    assert [one.operator for one in sorted(promise.specifier, key=str)] == ["<", ">="]
    tested = TESTED.get(promise.name) or TESTED[f"{promise.name}-cpu"]
    assert tested in promise.specifier


def test_keras_ends_before_a_known_defect() -> None:
    """The promise excludes Keras 3.16, which computes float64 in float32 on PyTorch."""
    (keras,) = (promise for promise in PROMISED if promise.name == "keras")
    assert "3.16.0" not in keras.specifier
