import importlib.metadata
import os
import platform

import numpy as np
import pytest

from lenet_multi import __version__, environment


@pytest.mark.backend
def test_versions_are_those_installed(backend: str) -> None:
    """A run's record names what computed it."""
    import keras

    versions = environment.versions(backend)
    assert versions["keras"] == keras.__version__
    assert versions["numpy"] == np.__version__
    assert versions["python"] == platform.python_version()
    assert versions["lenet-multi"] == __version__ == importlib.metadata.version("lenet-multi")
    assert versions[backend]


def test_peak_memory_is_in_bytes() -> None:
    """Holding 100 MB more shows as 100 MB more, give or take the allocator."""
    before = environment.peak_memory_bytes()
    held = np.ones(before + 100_000_000, np.uint8)  # beyond the peak so far
    assert environment.peak_memory_bytes() >= before + 100_000_000
    assert environment.peak_memory_bytes() < before + 2 * held.nbytes


def test_threads_are_those_allowed() -> None:
    """At least one processor, and no more than the machine has."""
    assert 1 <= environment.threads() <= (os.cpu_count() or 1)
