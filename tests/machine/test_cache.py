import os
from pathlib import Path

import pytest

from lenet_multi.machine.cache import FOLDER, keep_compiled
from lenet_multi.runs.record import read_run
from tests.conftest import Lenet


def test_it_is_kept_in_the_users_cache(tmp_path: Path) -> None:
    """The cache is in XDG_CACHE_HOME if that is set, otherwise below the home folder."""
    named, home = {"XDG_CACHE_HOME": str(tmp_path), "HOME": "/home"}, {"HOME": str(tmp_path)}
    keep_compiled(named)
    keep_compiled(home)
    assert Path(named[FOLDER]).parent == tmp_path / "lenet_multi"
    assert Path(home[FOLDER]).parent == tmp_path / ".cache" / "lenet_multi"


def test_a_folder_that_the_user_chose_stays(tmp_path: Path) -> None:
    """If the user set JAX's cache folder, no variable changes."""
    environ = {FOLDER: str(tmp_path)}
    keep_compiled(environ)
    assert environ == {FOLDER: str(tmp_path)}


@pytest.mark.all_backends
def test_what_is_compiled_once_is_not_compiled_again(
    tmp_path: Path, lenet: Lenet, small_npz: Path
) -> None:
    """A second run adds no file and ends in the same bits; so does a run with a damaged cache."""

    def train(name: str) -> tuple[str, dict[Path, int]]:
        environ = {"XDG_CACHE_HOME": str(tmp_path), "KERAS_BACKEND": "jax", FOLDER: ""}
        flags = ("--epochs", 1, "--quiet", "--data", small_npz, "--out", name)
        done = lenet("train", "--backend", "jax", *flags, **environ)
        assert (done.returncode, done.stderr) == (0, "")
        kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("lenet_multi/*/*")}
        return read_run(tmp_path / name).result.final_weights_sha256, kept

    first = train("first")
    assert any("train_steps" in path.name for path in first[1])
    assert train("second") == first
    for path in first[1]:
        os.truncate(path, path.stat().st_size // 2)
    assert train("damaged")[0] == first[0]
