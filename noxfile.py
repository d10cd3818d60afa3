"""Everything that is run on this project; versions come from pyproject.toml.

`nox` alone is what CI runs: lint, the tests of each backend in an environment with that
backend alone, then the tests that need none or all of them.
"""

import os
import shutil
import sys
import time
from itertools import chain, takewhile
from pathlib import Path
from tempfile import TemporaryDirectory

import nox
from packaging.requirements import Requirement

sys.path.insert(0, str(Path(__file__).parent))  # nox runs where the package is not installed
from lenet_multi.machine.frameworks import BACKENDS

PROJECT = nox.project.load_toml("pyproject.toml")

# Each test of a command imports the frameworks anew, which takes twice as long without bytecode.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

nox.options.default_venv_backend = "venv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "tests", "across"]
nox.needs_version = ">=2025.5"

# Tests mostly wait for imports and compilers; two processes of two threads each wait for another.
AT_ONCE = ("--numprocesses", "2", "--dist", "loadfile")

UNTRACED = (
    "test_main.py::test_help_answers_at_once",  # tracing takes longer than it may
    "commands/test_completion.py::test_completion_answers_at_once",  # likewise
    "test_train.py::test_a_disk_that_refuses_keeps_the_figures",  # refuses the tracer's file too
    "training/test_tensorboard.py::test_a_full_disk_ends_training_and_does_not_hang",  # likewise
    "test_benchmarks.py::test_ctrl_c_keeps_what_was_measured",  # its first sample comes too late
    "test_benchmarks.py::test_a_tiny_benchmark_measures_everything",  # wants a backend alone
)

ACROSS = "across"
NEEDS = {  # of the tests of a backend with it alone, and of those that need none or all
    **{backend: (backend, "export", "test") for backend in BACKENDS},
    ACROSS: (*BACKENDS, "test", "browser", "export", "huggingface", "tfds"),
}

each_backend = nox.parametrize("backend", BACKENDS, ids=BACKENDS)

STAMP = time.strftime("%Y%m%d-%H%M%S")  # one folder of runs for one call of nox
trained: dict[str, Path] = {}
pythons: dict[str, Path] = {}


# The version of everything else. It has no hashes: pip asks for those of all or none, the project
# itself can have none, and torch comes from other places in other builds.
CONSTRAINTS = "constraints.txt"


def alone(backend: str) -> dict[str, str]:
    """Return the variables for the tests of one backend, one of which runs on each core."""
    return {"KERAS_BACKEND": backend, "OMP_NUM_THREADS": "1"}


def pins(*groups: str) -> list[str]:
    """Return the exact versions in the dependency groups."""
    return [
        requirement
        for group in groups
        for requirement in nox.project.dependency_groups(PROJECT, group)
    ]


def promised(backend: str) -> tuple[dict[str, str], list[str]]:
    """Return the lowest promised version of what a backend's tests need, and pins of the rest."""
    project = PROJECT["project"]
    needs = chain(project["dependencies"], *project["optional-dependencies"].values())
    lowest = {
        name: bound.version
        for need in map(Requirement, needs)
        for name in (need.name, f"{need.name}-cpu")  # the pinned one is a build of it
        for bound in need.specifier
        if bound.operator == ">="
    }
    pinned = dict(pin.split("==") for pin in pins(*NEEDS[backend]))
    return (
        {name: lowest[name] for name in pinned if name in lowest},
        [f"{name}=={version}" for name, version in pinned.items() if name not in lowest],
    )


def install(session: nox.Session, *groups: str, project: tuple[str, ...] = ("-e", ".")) -> None:
    """Install the project and the dependency groups, all that they need at its pinned version."""
    # Python compiles what is imported, a small part of what is installed.
    session.install("--no-compile", "--constraint", CONSTRAINTS, *pins(*groups), *project)


def run_tests(session: nox.Session, part: str, *flags: str) -> None:
    """Run the tests of a backend, or those across backends; `--fast` leaves the long ones out."""
    if part == ACROSS:
        flags = tuple(flag for flag in flags if flag != "--fast")
        session.run("pytest", "-m", "not backend and not all_backends", *AT_ONCE, *flags)
        session.run("pytest", "-m", "all_backends", *AT_ONCE, *flags)
    else:
        marked = "backend and not slow" if "--fast" in flags else "backend"
        flags = tuple(flag for flag in flags if flag != "--fast")
        session.run("pytest", "-m", marked, *AT_ONCE, *flags, env=alone(part))


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
    install(session, *NEEDS[backend])
    run_tests(session, backend, *session.posargs)


@nox.session
def across(session: nox.Session) -> None:
    """Run the tests that need no backend or all, with all three in one environment."""
    install(session, *NEEDS[ACROSS])
    run_tests(session, ACROSS, *session.posargs)


@nox.session(default=False, reuse_venv=False)
@each_backend
def minimums(session: nox.Session, backend: str) -> None:
    """Pass the tests, but the long ones, with the lowest versions that are promised."""
    lowest, rest = promised(backend)
    wanted = (f"{name}=={version}" for name, version in lowest.items())
    session.install("--no-compile", *wanted, *rest, "-e", ".")
    run_tests(session, backend, "--fast", *session.posargs)


@nox.session(default=False, reuse_venv=False)
@each_backend
def newest(session: nox.Session, backend: str) -> None:
    """Run the tests, but the long ones, with the newest releases, and name these."""
    names, rest = promised(backend)
    session.install("--no-compile", *names, *rest)
    session.install("--no-compile", "--no-deps", "-e", ".")
    try:
        run_tests(session, backend, "--fast", *session.posargs)
    finally:  # what broke, broke with these
        code = "import sys, importlib.metadata as m; print({n: m.version(n) for n in sys.argv[1:]})"
        session.run("python", "-c", code, *names)


@nox.session(default=False, reuse_venv=False)
@nox.parametrize("part", list(NEEDS), ids=list(NEEDS))
def package(session: nox.Session, part: str) -> None:
    """Build sdist and wheel, install the wheel alone, and pass the sdist's tests with it."""
    with TemporaryDirectory() as folder:
        install(session, "package", project=())
        session.run("python", "-m", "build", "--no-isolation", "--outdir", folder)
        (wheel,), (sdist,) = (Path(folder).glob(kind) for kind in ("*.whl", "*.tar.gz"))
        install(session, *NEEDS[part], project=(str(wheel),))
        shutil.unpack_archive(sdist, folder, filter="data")
        project = Path(folder, sdist.name.removesuffix(".tar.gz"))
        shutil.rmtree(project / "lenet_multi")
        with session.chdir(project):  # which now has tests, but not what they test
            code = "import lenet_multi; print(*lenet_multi.__path__)"
            installed = Path(str(session.run("python", "-c", code, silent=True)).strip())
            if "site-packages" not in installed.parts:
                session.error(f"the tests would not test the wheel, but {installed}")
            (project / "lenet_multi").symlink_to(installed)  # for the tests that read the sources
            run_tests(session, part, *session.posargs)


@nox.session(default=False)
def pin(session: nox.Session) -> None:
    """Find the version of everything that the groups need; `-- --upgrade` takes newer ones."""
    session.install(*pins("pin"))  # the constraints may be of another one
    oldest = PROJECT["project"]["requires-python"].removeprefix(">=")
    session.run(
        *("uv", "pip", "compile", "--quiet", "--universal", "--python-version", oldest),
        *("--custom-compile-command", f"nox -s pin, for every system and Python {oldest} or later"),
        *("--no-annotate", "--strip-extras", "--output-file", CONSTRAINTS, "pyproject.toml"),
        *(flag for group in PROJECT["dependency-groups"] for flag in ("--group", group)),
        *session.posargs,
    )


@nox.session(default=False)
def audit(session: nox.Session) -> None:
    """Fail where a pinned version has a known vulnerability; asks the network."""
    install(session, "audit", project=())
    # Unless strict, what the database does not know, or does not answer for, passes.
    flags = ("--strict", "--disable-pip", "--no-deps", "--requirement", CONSTRAINTS)
    session.run("pip-audit", *flags, *session.posargs)


@nox.session(default=False)
def coverage(session: nox.Session) -> None:
    """Measure which lines and branches the tests run, but the long ones; takes half an hour."""
    install(session, *NEEDS[ACROSS], "coverage")
    left_out = [flag for test in UNTRACED for flag in ("--deselect", f"tests/{test}")]
    measured = ("coverage", "run", "-m", "pytest", *AT_ONCE, *left_out)
    session.run("coverage", "erase")
    session.run(*measured, "-m", "not backend and not all_backends")
    for backend in BACKENDS:
        session.run(*measured, "-m", "backend and not slow", env=alone(backend))
    session.run(*measured, "-m", "all_backends")
    session.run("coverage", "combine", "--quiet")
    with TemporaryDirectory() as folder:
        found = str(Path(folder, "coverage.json"))
        session.run("coverage", "json", "--quiet", "-o", found)
        session.run("python", "-m", "benchmarks.coverage", found)


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
    """Measure all backends in one run, each in its environment; `-- --help` tells of less."""
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
def frozen(session: nox.Session) -> None:
    """Run commands as an earlier commit had them and as they are now, and find what differs."""
    install(session, *NEEDS[ACROSS])
    session.run("python", "-m", "tests.frozen", *session.posargs)


@nox.session(default=False)
def processors(session: nox.Session) -> None:
    """Prove the ladder on every instruction set that this processor has; takes two hours."""
    install(session, *BACKENDS, "test")
    session.run("python", "-m", "tests.processors", *session.posargs)


@nox.session(default=False)
def mutants(session: nox.Session) -> None:
    """Change two modules in small ways, and count what their tests notice; takes minutes."""
    install(session, "mutation")
    session.run("python", "-m", "tests.mutants", *session.posargs)
