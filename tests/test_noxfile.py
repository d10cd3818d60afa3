import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lenet_multi.machine.frameworks import BACKENDS
from tests.conftest import PROJECT
from tests.examples import example_run, keep


def test_the_comparison_ends_with_a_page(tmp_path: Path) -> None:
    """Runs that differ fail the session, and a page shows them; its path is printed."""
    for name in ("noxfile.py", "pyproject.toml"):
        shutil.copy(PROJECT / name, tmp_path)
    (tmp_path / "lenet_multi").symlink_to(PROJECT / "lenet_multi")
    keep(example_run("jax"), tmp_path / "a")
    keep(example_run("torch", right=800), tmp_path / "b")
    nox = [sys.executable, "-m", "nox", "--no-venv", "--no-install", "-s", "compare", "--"]
    done = subprocess.run([*nox, "a", "b"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("Report: "))
    page = tmp_path / line.removeprefix("Report: ")
    assert page.parent == tmp_path / "runs"
    assert "They differ." in page.read_text()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("session", ["minimums", "newest"])
def test_both_ends_of_what_is_promised_have_a_session(session: str, backend: str) -> None:
    """The lowest and the newest versions each have a session for every backend."""
    nox = [sys.executable, "-m", "nox", "--no-venv", "--no-install", "--list", "-s"]
    found = subprocess.run([*nox, f"{session}({backend})"], cwd=PROJECT, capture_output=True)
    assert found.returncode == 0
