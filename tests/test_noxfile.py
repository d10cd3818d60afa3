import shutil
import subprocess
import sys
from pathlib import Path

from tests.conftest import PROJECT
from tests.examples import example_run, keep


def test_the_comparison_ends_with_a_page(tmp_path: Path) -> None:
    """Runs that differ fail the session, and are shown on a page whose place is printed."""
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
