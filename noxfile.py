"""Everything that is run on this project; versions come from pyproject.toml.

`nox` alone is what CI runs: lint, the tests of each backend in an environment with that
backend alone, then the tests that need none or all of them.
"""

import sys
import time
from itertools import takewhile
from pathlib import Path

import nox

sys.path.insert(0, str(Path(__file__).parent))  # nox runs where the package is not installed
from lenet_multi.backends import BACKENDS

PROJECT = nox.project.load_toml("pyproject.toml")

nox.options.default_venv_backend = "venv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "tests", "across"]
nox.needs_version = ">=2025.5"

# Tests mostly wait for imports and compilers; two processes of two threads each wait for another.
AT_ONCE = ("--numprocesses", "2", "--dist", "loadfile")

each_backend = nox.parametrize("backend", BACKENDS, ids=BACKENDS)

STAMP = time.strftime("%Y%m%d-%H%M%S")  # one folder of runs for one call of nox
trained: dict[str, Path] = {}
pythons: dict[str, Path] = {}


def install(session: nox.Session, *groups: str) -> None:
    """Install the package and the pinned versions of the dependency groups."""
    pinned = [
        requirement
        for group in groups
        for requirement in nox.project.dependency_groups(PROJECT, group)
    ]
    # Python compiles what is imported, a small part of what is installed.
    session.install("--no-compile", *pinned, "--editable", ".")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format and types."""
    install(session, "lint")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")


@nox.session
@each_backend
def tests(session: nox.Session, backend: str) -> None:
    """Run the tests of one backend, with it alone; `-- --fast` leaves the long ones out."""
    install(session, backend, "export", "test")
    fast = "--fast" in session.posargs
    session.run(
        "pytest",
        *("-m", "backend and not slow" if fast else "backend"),
        *(argument for argument in session.posargs if argument != "--fast"),
        *AT_ONCE,
        env={"KERAS_BACKEND": backend, "OMP_NUM_THREADS": "1"},
    )


@nox.session
def across(session: nox.Session) -> None:
    """Run the tests that need no backend or all, with all three in one environment."""
    install(session, *BACKENDS, "test", "browser", "export", "huggingface", "tfds")
    flags = [argument for argument in session.posargs if argument != "--fast"]
    session.run("pytest", "-m", "not backend and not all_backends", *AT_ONCE, *flags)
    session.run("pytest", "-m", "all_backends", *AT_ONCE, *flags)


@nox.session(default=False)
def parity(session: nox.Session) -> None:
    """Climb the parity ladder with all three backends; takes the flags of `parity`."""
    install(session, *BACKENDS)
    wanted = [flag for backend in BACKENDS for flag in ("--backend", backend)]
    session.run("lenet-multi", "parity", *wanted, *session.posargs)


@nox.session(default=False)
def exports(session: nox.Session) -> None:
    """Train on each backend, export each run to each format, and record the deviations."""
    install(session, *BACKENDS, "export")
    session.run("python", "-m", "benchmarks.exports", *session.posargs)


@nox.session
@each_backend
def train(session: nox.Session, backend: str) -> None:
    """Train and evaluate on each backend, then compare; takes the flags of `train`."""
    install(session, backend)
    out = Path("runs", STAMP, backend)
    session.run(
        "lenet-multi",
        "train",
        "--backend",
        backend,
        "--out",
        str(out),
        *session.posargs,
        env={"KERAS_BACKEND": backend},
    )
    trained[backend] = out
    if len(trained) == len(BACKENDS):
        session.notify("compare", [*map(str, trained.values()), "--out", f"{out.parent}.json"])


@nox.session(default=False)
def compare(session: nox.Session) -> None:
    """Compare run folders and show them on a page; takes the arguments of `compare`."""
    install(session, "runtime")
    folders = list(takewhile(lambda argument: not argument.startswith("-"), session.posargs))
    try:
        session.run("lenet-multi", "compare", *session.posargs)
    finally:  # a page shows best how they differ
        if folders:
            session.run("lenet-multi", "report", *folders, "--out", f"runs/{STAMP}.html")


@nox.session(default=False)
@each_backend
def bench(session: nox.Session, backend: str) -> None:
    """Measure all backends in one run, each in its environment; `-- --quick` takes two minutes."""
    install(session, backend)
    folder, *_ = session.bin_paths or [str(Path(sys.executable).parent)]  # none with --no-venv
    pythons[backend] = Path(folder, "python")
    if len(pythons) == len(BACKENDS):
        named = [flag for name, path in pythons.items() for flag in ("--python", f"{name}={path}")]
        session.run("python", "-m", "benchmarks", *named, *session.posargs)


@nox.session(default=False)
def faults(session: nox.Session) -> None:
    """Kill, fill, flip and hang for real, and count what is lost; takes an hour."""
    install(session, *BACKENDS, "test")
    session.run("python", "-m", "tests.faults", *session.posargs)


@nox.session(default=False)
def fuzz(session: nox.Session) -> None:
    """Feed ten thousand odd inputs to the command; each succeeds or is refused in one line."""
    install(session, *BACKENDS, "test")
    session.run("python", "-m", "tests.fuzz", *session.posargs)


@nox.session(default=False)
def mutants(session: nox.Session) -> None:
    """Change two modules in small ways, and count what their tests notice; takes minutes."""
    install(session, "mutation")
    session.run("python", "-m", "tests.mutants", *session.posargs)
