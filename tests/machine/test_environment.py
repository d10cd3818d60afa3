import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lenet_multi import __version__
from lenet_multi.machine import environment, instruction_sets


def files(monkeypatch: pytest.MonkeyPatch, contents: dict[str, str]) -> None:
    """Make these the only files of the system."""

    def text(path: Path) -> str:
        if str(path) not in contents:
            raise FileNotFoundError(path)
        return contents[str(path)]

    monkeypatch.setattr(Path, "read_text", text)


@pytest.mark.backend
def test_versions_are_those_installed(backend: str) -> None:
    """The versions in a run's record are the installed ones."""
    import keras

    versions = environment.versions(backend)
    assert versions["keras"] == keras.__version__
    assert versions["numpy"] == np.__version__
    assert versions["python"] == platform.python_version()
    assert versions["lenet-multi"] == __version__ == importlib.metadata.version("lenet-multi")
    assert versions[backend]


def test_versions_have_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names are those of the distributions, and the backend's own."""
    monkeypatch.setattr(environment, "installed_version", lambda name: f"that of {name}")
    assert environment.versions("jax") == {
        "python": platform.python_version(),
        "lenet-multi": __version__,
        "numpy": "that of numpy",
        "keras": "that of keras",
        "jax": "that of jax",
    }


def test_a_machine_is_told_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its system, processor, instruction set, cores and GPU; at least one core."""
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "riscv")
    monkeypatch.setattr(environment, "processor", lambda: "a processor")
    monkeypatch.setattr(instruction_sets, "used", lambda backend: f"that of {backend}")
    monkeypatch.setattr(environment, "_gpu", lambda: "a GPU")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    found = {
        "system": "Linux riscv",
        "processor": "a processor",
        "instruction_set": "that of torch",
        "cores": 6,
        "gpu": "a GPU",
    }
    assert environment.machine("torch") == found
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert environment.machine("torch") == {**found, "cores": 1}


def test_peak_memory_is_in_bytes() -> None:
    """Another 100 MB show as 100 MB more, apart from the allocator's own memory."""
    before = environment.peak_memory_bytes() or 0
    held = np.ones(before + 100_000_000, np.uint8)  # beyond the peak so far
    after = environment.peak_memory_bytes() or 0
    assert before + 100_000_000 <= after < before + 2 * held.nbytes


def test_memory_is_none_where_the_system_does_not_report_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Windows has neither of the two calls that report memory, so both figures are None."""

    def refuse(path: Path) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", refuse)
    monkeypatch.setattr(environment, "resource", None)
    monkeypatch.delattr(os, "sysconf")
    assert environment.peak_memory_bytes() is None
    assert environment.memory_bytes() is None


def test_peak_memory_is_that_of_linuxs_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other figures in the file do not count; without it the system's call does."""
    status = "Name:\tpython\nVmPeak:\t   9 kB\nVmHWM:\t   7 kB\nVmRSS:\t   5 kB\n"
    files(monkeypatch, {"/proc/self/status": status})
    assert environment.peak_memory_bytes() == 7 * 1024
    files(monkeypatch, {"/proc/self/status": status.replace("HWM", "Data")})
    used = {3: SimpleNamespace(ru_maxrss=5)}
    called = SimpleNamespace(RUSAGE_SELF=3, getrusage=used.__getitem__)
    monkeypatch.setattr(environment, "resource", called)
    assert environment.peak_memory_bytes() == 5 * 1024
    files(monkeypatch, {})
    monkeypatch.setattr(sys, "platform", "darwin")
    assert environment.peak_memory_bytes() == 5


@pytest.mark.parametrize(
    ("limit", "memory"),
    [({}, 1200), ({"max": "max\n"}, 1200), ({"max": "1199\n"}, 1199), ({"max": "1201\n"}, 1200)],
    ids=["no container", "no limit", "less", "more"],
)
def test_memory_is_the_machines_or_its_containers(
    limit: dict[str, str], memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lower of the two counts."""
    pages = {"SC_PHYS_PAGES": 30, "SC_PAGE_SIZE": 40}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    files(monkeypatch, {f"/sys/fs/cgroup/memory.{name}": text for name, text in limit.items()})
    assert environment.memory_bytes() == memory


def test_peak_memory_is_not_that_of_the_parent() -> None:
    """A small process that a large one starts reports its own memory."""
    held = np.ones(500_000_000, np.uint8)
    code = "from lenet_multi.machine import environment; print(environment.peak_memory_bytes())"
    peak = int(subprocess.check_output([sys.executable, "-c", code]))
    assert peak < held.nbytes


def test_threads_are_those_allowed() -> None:
    """The number of threads lies between one and the machine's processors."""
    assert 1 <= environment.threads() <= (os.cpu_count() or 1)


def test_only_a_process_own_processors_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process may be bound to some of them; a system that counts none has one."""
    monkeypatch.setattr(os, "sched_getaffinity", {0: {3, 5, 6}}.__getitem__, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert environment.threads() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    assert environment.threads() == 1


@pytest.mark.parametrize(
    ("cpuinfo", "processor"),
    [
        (
            "cpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\n",
            "AMD EPYC (family 25, model 17)",
        ),
        (
            "cpu family\t: 26\nmodel\t\t: 2\nmodel name\t: AMD EPYC\n",
            "AMD EPYC (family 26, model 2)",
        ),
        ("model name\t: Cortex-A72\nCPU part\t: 0xd08\n", "Cortex-A72"),
        ("processor\t: 0\nCPU part\t: 0xd0c\n", "a processor"),
    ],
    ids=["Zen 4", "Zen 5", "named", "unnamed"],
)
def test_processors_of_one_name_are_told_apart(
    cpuinfo: str, processor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processor generations with the same cloud name get different names."""
    monkeypatch.setattr(Path, "read_text", lambda path: cpuinfo + "\n" + cpuinfo)
    monkeypatch.setattr(platform, "processor", lambda: "a processor")
    assert environment.machine()["processor"] == processor


def test_a_system_without_linuxs_files_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Linux's files, Python names the processor, and all cores count."""

    def refuse(path: Path) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", refuse)
    monkeypatch.setattr(platform, "processor", lambda: "a processor")
    monkeypatch.delattr(os, "sched_getaffinity")
    assert environment.machine()["processor"] == "a processor"
    assert environment.threads() == os.cpu_count()


@pytest.mark.parametrize(
    ("script", "gpu"),
    [
        ("#!/bin/sh\necho 'NVIDIA H200'; echo another", "NVIDIA H200"),
        ("#!/bin/sh\nexit 9", None),
        ("no program", None),
        (None, None),
    ],
    ids=["two GPUs", "no driver", "damaged", "no GPU"],
)
def test_a_gpu_is_part_of_the_machine(
    script: str | None, gpu: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The GPU's name comes from the driver's command, and is left out without one."""
    if script:
        command = tmp_path / "nvidia-smi"
        command.write_text(script)
        command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    environment._gpu.cache_clear()
    assert environment.machine().get("gpu") == gpu
    environment._gpu.cache_clear()


def test_a_gpus_command_that_hangs_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command asks for names alone, prints no error, and ends soon."""
    asked: list[Any] = []

    def ask(command: Any, **options: Any) -> str:
        asked.append((command, options))
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(subprocess, "check_output", ask)
    environment._gpu.cache_clear()
    assert environment._gpu() == ""
    environment._gpu.cache_clear()
    command = ("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    options = {"text": True, "stderr": subprocess.DEVNULL, "timeout": 10}
    assert asked == [(command, options)]
