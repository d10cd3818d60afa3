import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lenet_multi.commands.doctor import checkup, settings
from lenet_multi.commands.doctor.checkup import Checkup, Problem, examine
from lenet_multi.commands.doctor.probe import Probe
from lenet_multi.commands.doctor.tables import print_checkup
from lenet_multi.machine import extras
from lenet_multi.machine.cache import place
from lenet_multi.machine.frameworks import BACKENDS, installed
from lenet_multi.runs.folder import NEEDED_BYTES
from tests.conftest import PROJECT, Lenet
from tests.stand_ins import Calls

WORKING = Probe(
    backend="jax", installed=True, version="0.10", device="cpu:0", threads=2, bfloat16=1.94
)
BROKEN = Probe(backend="torch", installed=True, trouble="ImportError: no libcuda")
MISSING = Probe(backend="tensorflow", installed=False)


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Unset all variables that the doctor looks for, and give Keras an empty home."""
    for name in (*settings.CHANGE_RESULTS, *settings.CHOOSE_MEANS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))


def examined(monkeypatch: pytest.MonkeyPatch, *probes: Probe, **machine: Any) -> Checkup:
    """Return the checkup of a machine whose backends are as in `probes`."""
    here = checkup.Machine(**machine)
    asked = Calls()
    monkeypatch.setattr(checkup, "probe_all", asked.of("probe", list(probes)))
    monkeypatch.setattr(checkup, "Machine", lambda: here)
    found = examine(timeout=1)
    assert asked == [("probe", BACKENDS, {"timeout": 1})]
    return found


@pytest.mark.parametrize(
    ("probes", "healthy"),
    [
        ([WORKING], True),
        ([MISSING, WORKING, BROKEN], True),
        ([BROKEN, MISSING], False),
        ([MISSING], False),
    ],
    ids=["works", "one-of-three", "broken", "missing"],
)
def test_one_backend_that_works_is_enough(
    monkeypatch: pytest.MonkeyPatch, probes: list[Probe], healthy: bool
) -> None:
    """A broken backend is still reported; with no working backend, the machine is not healthy."""
    found = examined(monkeypatch, *probes)
    assert found.healthy is healthy
    assert any("no libcuda" in problem.text for problem in found.problems) is (BROKEN in probes)


def test_a_machine_without_a_backend_gets_the_line_that_installs_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The line is for JAX, the smallest."""
    assert examined(monkeypatch, MISSING).problems == [
        Problem("no backend is installed", "install one, e.g. pip install 'lenet-multi[jax]'")
    ]


def test_a_backend_that_does_not_work_is_named_with_its_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The remedy is the command that shows its whole output."""
    broken = dataclasses.replace(BROKEN, version="2.13")
    assert examined(monkeypatch, broken).problems == [
        Problem(
            "torch 2.13 does not work: ImportError: no libcuda",
            "read its whole output with: python -m lenet_multi.commands.doctor.probe torch; if it "
            "is only slow, give a longer --timeout",
        )
    ]


@pytest.mark.parametrize(
    ("machine", "text", "remedy"),
    [
        (
            {"memory": 2**29},
            "the machine has 512 MiB of memory; training needs up to 1024",
            "give the machine or the container more memory",
        ),
        (
            {"disk_free": 2**20, "runs": "runs"},
            "runs has 1 MiB free; a run needs 16",
            "free some space, or choose another --out",
        ),
    ],
    ids=["memory", "disk"],
)
def test_too_small_a_machine_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, machine: dict[str, Any], text: str, remedy: str
) -> None:
    """Memory and disk are compared to the needs of a training run."""
    found = examined(monkeypatch, WORKING, **machine)
    assert found.problems == [Problem(text, remedy)]
    assert not found.healthy


def test_a_machine_that_has_what_a_run_needs_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more is asked for."""
    enough = {"memory": checkup.NEEDED_MEMORY, "disk_free": NEEDED_BYTES}
    assert examined(monkeypatch, WORKING, **enough).problems == []


@pytest.mark.parametrize(
    ("variable", "value", "healthy"),
    [
        ("KERAS_MAX_EPOCHS", "1", False),
        ("XLA_FLAGS", "--xla_gpu_autotune_level=0", False),
        ("KERAS_BACKEND", "jacks", False),
        ("JAX_PLATFORMS", "cpu", True),
    ],
)
def test_what_changes_results_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, healthy: bool
) -> None:
    """A variable that changes results is a problem; one that chooses a device is not."""
    monkeypatch.setenv(variable, value)
    found = examined(monkeypatch, WORKING)
    assert found.healthy is healthy
    assert [problem.remedy for problem in found.problems] == [f"unset {variable}"] * (not healthy)
    assert all(problem.text.startswith(variable) for problem in found.problems)


@pytest.mark.parametrize(("cost", "is_reported"), [(0.0, False), (1.5, False), (7.3, True)])
def test_threads_that_wait_for_each_other_are_reported(
    monkeypatch: pytest.MonkeyPatch, cost: float, is_reported: bool
) -> None:
    """The doctor reports threads that take much longer than one, with the factor and a remedy."""
    torch = Probe(backend="torch", installed=True, threads=2, thread_cost=cost)
    found = examined(monkeypatch, torch)
    assert found.healthy
    problem = Problem(
        "torch's 2 threads take 7.3 times as long as one for a small step: other programs use the "
        "processors, so the threads wait for each other",
        "set OMP_NUM_THREADS=1 while the machine is shared; sums are then rounded in another order",
        grave=False,
    )
    assert found.problems == [problem] * is_reported


def test_a_remedy_that_is_known_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor gives the probe's remedy instead of a command that shows the whole output."""
    remedy = "unset JAX_PLATFORMS (now 'cuda')"
    stopped = Probe(backend="jax", installed=True, trouble="no cuda", remedy=remedy)
    problem, *_ = examined(monkeypatch, stopped).problems
    assert problem.text == "jax does not work: no cuda"
    assert problem.remedy == remedy


def test_everything_found_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The output holds backends, settings, extras, and each problem with its remedy."""
    monkeypatch.setenv("KERAS_MAX_EPOCHS", "1")
    found = examined(monkeypatch, MISSING, WORKING, BROKEN)
    page = io.StringIO()
    print_checkup(found, Console(file=page, width=140, markup=False))
    for text in (
        *("works", "cpu:0", "ImportError: no libcuda", "pip install 'lenet-multi[tensorflow]'"),
        *("bfloat16", "1.9x"),
        *(extra.name for extra in found.extras),
        *(part for problem in found.problems for part in (problem.text, problem.remedy)),
        "Not healthy",
    ):
        assert text in page.getvalue()


def test_a_healthy_machine_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last line names the backends that can train; an empty table of settings is left out."""
    page = io.StringIO()
    monkeypatch.setattr(settings, "found", list)
    print_checkup(examined(monkeypatch, MISSING, WORKING), Console(file=page, width=140))
    last = page.getvalue().splitlines()[-1]
    assert last == "Healthy: jax can train, and nothing changes the results."
    assert "Settings from outside" not in page.getvalue()


def test_what_was_not_measured_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that does not start has no bfloat16 figure."""
    page = io.StringIO()
    print_checkup(examined(monkeypatch, BROKEN), Console(file=page, width=140))
    assert "bfloat16" in page.getvalue()
    assert "0.0x" not in page.getvalue()


def test_a_folder_without_permission_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor reports that the folder for runs is not writable."""
    monkeypatch.setattr("os.access", lambda path, mode: False)
    problem = Problem(f"{Path.cwd()}, for runs, is not writable", "choose another --out")
    assert examined(monkeypatch, WORKING).problems == [problem]


def test_a_package_that_is_missing_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """The problem names it, and the remedy is the line that installs this package's needs."""
    monkeypatch.setattr(extras, "requires", lambda _: ["numpy>=2", "no-such-package>=1"])
    (problem,) = examined(monkeypatch, WORKING).problems
    assert problem.text == "no-such-package>=1 is needed"
    assert problem.remedy == "pip install lenet-multi"


def test_sources_that_are_not_installed_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their needs are then unknown, but no result changes."""
    monkeypatch.setattr(extras, "DISTRIBUTION", "no-such-distribution")
    found = examined(monkeypatch, WORKING)
    assert found.healthy
    assert found.extras == []
    text = f"lenet-multi runs from {PROJECT} and is not installed, so its needs are unknown"
    assert found.problems == [Problem(text, f"pip install {PROJECT}", grave=False)]


@pytest.mark.backend
@pytest.mark.any_backend
def test_the_command_tells_what_is_here(lenet: Lenet, tmp_path: Path) -> None:
    """Every installed backend works, no other is reported as installed, and the exit status is 0.

    The doctor keeps its measurement in the cache folder, where a run looks for it.
    """
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = lenet("doctor", "--json", KERAS_HOME=str(tmp_path / "keras"), **cache)
    told = json.loads(done.stdout)
    assert done.returncode == 0, told["problems"]
    assert done.stderr == ""
    assert told["healthy"] is True
    found = {one["backend"]: one for one in told["backends"]}
    assert list(found) == list(BACKENDS)
    assert [name for name, one in found.items() if one["installed"]] == list(installed())
    for name in installed():
        assert found[name]["trouble"] == ""
        assert found[name]["device"]
        assert found[name]["threads"] >= 1
        assert (found[name]["thread_cost"] > 0) is (name == "torch" and found[name]["threads"] > 1)
        kept = float(place(f"bfloat16-{name}", cache).read_text())
        assert found[name]["bfloat16"] == kept > 0
