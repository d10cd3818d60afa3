"""The nox sessions of this project. The versions come from pyproject.toml.

CI runs `nox` without arguments: it lints, runs each backend's tests in an environment with that
backend alone, then runs the tests that need no backend or all three.
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

sys.path.insert(0, str(Path(__file__).parent))  # nox's own environment does not have the package
from lenet_multi.machine.frameworks import BACKENDS

PROJECT = nox.project.load_toml("pyproject.toml")

# Each test of a command imports the frameworks anew. Without bytecode that takes twice as long.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

nox.options.default_venv_backend = "venv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "tests", "across"]
nox.needs_version = ">=2025.5"

# Tests mostly wait for imports and compilers, so two processes of two threads each share the CPU.
AT_ONCE = ("--numprocesses", "2", "--dist", "loadfile")

UNTRACED = (
    "test_main.py::test_help_answers_at_once",  # tracing makes it exceed its time limit
    "commands/test_completion.py::test_completion_answers_at_once",  # same reason
    "test_train.py::test_a_disk_that_refuses_keeps_the_figures",  # refuses the tracer's file too
    "training/test_tensorboard.py::test_a_full_disk_ends_training_and_does_not_hang",  # same reason
    "test_benchmarks.py::test_ctrl_c_keeps_what_was_measured",  # traced, it starts too late
    "test_benchmarks.py::test_a_tiny_benchmark_measures_everything",  # needs one backend alone
)

ACROSS = "across"
NEEDS = {  # groups for the tests of each backend alone, and for the tests that need none or all
    **{backend: (backend, "export", "test") for backend in BACKENDS},
    ACROSS: (*BACKENDS, "test", "browser", "cluster", "export", "huggingface", "tfds"),
}

QUICKEST = "jax"  # to import; it runs the tests that need a backend, but check nothing of it

each_backend = nox.parametrize("backend", BACKENDS, ids=BACKENDS)

STAMP = time.strftime("%Y%m%d-%H%M%S")  # one call of nox puts all its runs in one folder
trained: dict[str, Path] = {}
pythons: dict[str, Path] = {}


# The versions of all other packages. The file has no hashes. pip wants hashes for all packages or
# for none; the project itself cannot have one, and different builds of torch come from different
# places.
CONSTRAINTS = "constraints.txt"


def alone(backend: str) -> dict[str, str]:
    """Return the variables for one backend's tests; each of the parallel tests uses one core."""
    return {"KERAS_BACKEND": backend, "OMP_NUM_THREADS": "1"}


def pins(*groups: str) -> list[str]:
    """Return the exact versions that the dependency groups pin."""
    return [
        requirement
        for group in groups
        for requirement in nox.project.dependency_groups(PROJECT, group)
    ]


def promised(backend: str) -> tuple[dict[str, str], list[str]]:
    """Return the lowest promised versions of what a backend's tests need, and pins for the rest."""
    project = PROJECT["project"]
    needs = chain(project["dependencies"], *project["optional-dependencies"].values())
    lowest = {
        name: bound.version
        for need in map(Requirement, needs)
        for name in (need.name, f"{need.name}-cpu")  # the pinned package may be the -cpu build
        for bound in need.specifier
        if bound.operator == ">="
    }
    pinned = dict(pin.split("==") for pin in pins(*NEEDS[backend]))
    return (
        {name: lowest[name] for name in pinned if name in lowest},
        [f"{name}=={version}" for name, version in pinned.items() if name not in lowest],
    )


def install(session: nox.Session, *groups: str, project: tuple[str, ...] = ("-e", ".")) -> None:
    """Install the project and the dependency groups; pin everything that they need in turn."""
    # Most installed files are never imported; Python compiles those that are.
    session.install("--no-compile", "--constraint", CONSTRAINTS, *pins(*groups), *project)


def run_tests(session: nox.Session, part: str, *flags: str) -> None:
    """Run one backend's tests or those across backends; `--fast` skips a backend's long ones."""
    if part == ACROSS:
        flags = tuple(flag for flag in flags if flag != "--fast")
        session.run("pytest", "-m", "not backend and not all_backends", *AT_ONCE, *flags)
        session.run("pytest", "-m", "all_backends and not study", *AT_ONCE, *flags)
    else:
        marked = "backend" if part == QUICKEST else "backend and not any_backend"
        marked += " and not slow" if "--fast" in flags else ""
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
    """Run the tests of one backend in its own environment; `-- --fast` skips the long ones."""
    install(session, *NEEDS[backend])
    run_tests(session, backend, *session.posargs)


@nox.session
def across(session: nox.Session) -> None:
    """Run the tests that need no backend or all three, in one environment."""
    install(session, *NEEDS[ACROSS])
    run_tests(session, ACROSS, *session.posargs)


@nox.session(default=False, reuse_venv=False)
@each_backend
def minimums(session: nox.Session, backend: str) -> None:
    """Run all but the long tests with the lowest promised versions."""
    lowest, rest = promised(backend)
    wanted = (f"{name}=={version}" for name, version in lowest.items())
    session.install("--no-compile", *wanted, *rest, "-e", ".")
    run_tests(session, backend, "--fast", *session.posargs)


@nox.session(default=False, reuse_venv=False)
@each_backend
def newest(session: nox.Session, backend: str) -> None:
    """Run all but the long tests with the newest releases, and print their versions."""
    names, rest = promised(backend)
    session.install("--no-compile", *names, *rest)
    session.install("--no-compile", "--no-deps", "-e", ".")
    try:
        run_tests(session, backend, "--fast", *session.posargs)
    finally:  # a failure is a failure with these versions
        code = "import sys, importlib.metadata as m; print({n: m.version(n) for n in sys.argv[1:]})"
        session.run("python", "-c", code, *names)


@nox.session(default=False, reuse_venv=False)
@nox.parametrize("part", list(NEEDS), ids=list(NEEDS))
def package(session: nox.Session, part: str) -> None:
    """Build sdist and wheel, install only the wheel, and run the sdist's tests against it."""
    with TemporaryDirectory() as folder:
        install(session, "package", project=())
        session.run("python", "-m", "build", "--no-isolation", "--outdir", folder)
        (wheel,), (sdist,) = (Path(folder).glob(kind) for kind in ("*.whl", "*.tar.gz"))
        install(session, *NEEDS[part], project=(str(wheel),))
        shutil.unpack_archive(sdist, folder, filter="data")
        project = Path(folder, sdist.name.removesuffix(".tar.gz"))
        shutil.rmtree(project / "lenet_multi")
        with session.chdir(project):  # the folder now has the tests but not the package
            code = "import lenet_multi; print(*lenet_multi.__path__)"
            installed = Path(str(session.run("python", "-c", code, silent=True)).strip())
            if "site-packages" not in installed.parts:
                session.error(f"the tests would import {installed}, not the wheel")
            (project / "lenet_multi").symlink_to(installed)  # for the tests that read the sources
            run_tests(session, part, *session.posargs)


@nox.session(default=False)
def pin(session: nox.Session) -> None:
    """Find the version of everything that the groups need; `-- --upgrade` allows newer versions."""
    session.install(*pins("pin"))  # without constraints, which may name another version of uv
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
    """Fail if a pinned version has a known vulnerability; needs the network."""
    install(session, "audit", project=())
    # Without --strict, a package that the database does not know or cannot check would pass.
    flags = ("--strict", "--disable-pip", "--no-deps", "--requirement", CONSTRAINTS)
    session.run("pip-audit", *flags, *session.posargs)


@nox.session(default=False)
def coverage(session: nox.Session) -> None:
    """Measure which lines and branches all but the long tests run; takes half an hour."""
    install(session, *NEEDS[ACROSS], "coverage")
    left_out = [flag for test in UNTRACED for flag in ("--deselect", f"tests/{test}")]
    measured = ("coverage", "run", "-m", "pytest", *AT_ONCE, *left_out)
    session.run("coverage", "erase")
    session.run(*measured, "-m", "not backend and not all_backends")
    for backend in BACKENDS:
        session.run(*measured, "-m", "backend and not slow", env=alone(backend))
    session.run(*measured, "-m", "all_backends and not study")
    session.run("coverage", "combine", "--quiet")
    with TemporaryDirectory() as folder:
        found = str(Path(folder, "coverage.json"))
        session.run("coverage", "json", "--quiet", "-o", found)
        session.run("python", "-m", "benchmarks.coverage", found)


@nox.session(default=False)
def parity(session: nox.Session) -> None:
    """Climb the parity ladder with all three backends; accepts the flags of `parity`."""
    install(session, *BACKENDS, "cluster")
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
    """Train and evaluate on each backend, then compare; accepts the flags of `train`."""
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
    """Compare run folders and show them on a page; accepts the arguments of `compare`."""
    install(session, "runtime")
    folders = list(takewhile(lambda argument: not argument.startswith("-"), session.posargs))
    try:
        session.run("lenet-multi", "compare", *session.posargs)
    finally:  # if the runs differ, the page shows how
        if folders:
            session.run("lenet-multi", "report", *folders, "--out", f"runs/{STAMP}.html")


@nox.session(default=False)
@each_backend
def bench(session: nox.Session, backend: str) -> None:
    """Measure all backends in one run, each in its environment; `-- --help` lists shorter runs."""
    install(session, backend)
    folder, *_ = session.bin_paths or [str(Path(sys.executable).parent)]  # empty with --no-venv
    pythons[backend] = Path(folder, "python")
    if len(pythons) == len(BACKENDS):
        named = [flag for name, path in pythons.items() for flag in ("--python", f"{name}={path}")]
        session.run("python", "-m", "benchmarks", *named, *session.posargs)


@nox.session(default=False)
def study(session: nox.Session) -> None:
    """Study the recipes; `-- trials`, `-- photographs RUN` and the like do others."""
    install(session, *BACKENDS, "study", "cluster")
    part, *rest = session.posargs or ["recipes"]
    session.run("python", "-m", f"benchmarks.{part}", *rest)


@nox.session(default=False)
def faults(session: nox.Session) -> None:
    """Kill, fill disks, flip bits and hang for real, and count what is lost; takes an hour."""
    install(session, *BACKENDS, "test", "cluster")
    session.run("python", "-m", "tests.faults", *session.posargs)


@nox.session(default=False)
def fuzz(session: nox.Session) -> None:
    """Give the command ten thousand odd inputs; it must read each or refuse it in one line."""
    install(session, *BACKENDS, "test", "huggingface")
    session.run("python", "-m", "tests.fuzz", *session.posargs)


@nox.session(default=False)
def frozen(session: nox.Session) -> None:
    """Run commands at an earlier commit and now, and report what differs."""
    install(session, *NEEDS[ACROSS])
    session.run("python", "-m", "tests.frozen", *session.posargs)


@nox.session(default=False)
def processors(session: nox.Session) -> None:
    """Climb the ladder on every instruction set that this processor has; takes two hours."""
    install(session, *BACKENDS, "test")
    session.run("python", "-m", "tests.processors", *session.posargs)


@nox.session(default=False)
def mutants(session: nox.Session) -> None:
    """Change modules in small ways, and count what tests detect; `-- runs` does one part."""
    install(session, *NEEDS[ACROSS], "mutation")
    session.run("python", "-m", "tests.mutants", *session.posargs)


@nox.session(name="keras-tests", default=False)
def keras_tests(session: nox.Session) -> None:
    """Run Keras's own tests of training with stock Keras and with our training; half an hour."""
    install(session, *BACKENDS, "test", "keras-tests")
    session.run("python", "-m", "tests.keras_tests", *session.posargs)


@nox.session(default=False)
def models(session: nox.Session) -> None:
    """Climb with thirteen models from several seeds, and run the long tests; half an hour."""
    install(session, *BACKENDS, "test")
    session.run("pytest", "-m", "study", *AT_ONCE)
    session.run("python", "-m", "tests.models", *session.posargs)
