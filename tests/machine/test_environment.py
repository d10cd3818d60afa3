import importlib.metadata
import os
import platform
from pathlib import Path

import numpy as np
import pytest

from lenet_multi import __version__
from lenet_multi.machine import environment


@pytest.mark.backend
def test_versions_are_those_installed(backend: str) -> None:
    """The versions of a record are those of the installed packages."""
    import keras

    versions = environment.versions(backend)
    assert versions["keras"] == keras.__version__
    assert versions["numpy"] == np.__version__
    assert versions["python"] == platform.python_version()
    assert versions["lenet-multi"] == __version__ == importlib.metadata.version("lenet-multi")
    assert versions[backend]


def test_peak_memory_is_in_bytes() -> None:
    """100 MB more in use are 100 MB more at the peak, within the allocator's tolerance."""
    before = environment.peak_memory_bytes()
    held = np.ones(before + 100_000_000, np.uint8)  # beyond the peak so far
    assert environment.peak_memory_bytes() >= before + 100_000_000
    assert environment.peak_memory_bytes() < before + 2 * held.nbytes


def test_threads_are_those_allowed() -> None:
    """The number of threads is at least one, and at most the machine's processors."""
    assert 1 <= environment.threads() <= (os.cpu_count() or 1)


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
    """A cloud's two processor generations of one name, one twice as fast, get different names."""
    monkeypatch.setattr(Path, "read_text", lambda path: cpuinfo + "\n" + cpuinfo)
    monkeypatch.setattr(platform, "processor", lambda: "a processor")
    assert environment.machine()["processor"] == processor


def test_a_system_without_linuxs_files_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processor is the one that Python reports; the cores are all of the machine's."""

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
    """The GPU's name is the one that the driver reports; without a GPU it is left out."""
    if script:
        command = tmp_path / "nvidia-smi"
        command.write_text(script)
        command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    environment._gpu.cache_clear()
    assert environment.machine().get("gpu") == gpu
    environment._gpu.cache_clear()
