import hashlib
import os
import platform
import tempfile
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest

from lenet_multi.machine import instruction_sets
from lenet_multi.machine.cache import FOLDER, keep_compiled, place
from lenet_multi.runs.record import read_run
from tests.conftest import Lenet


def test_it_is_kept_in_the_users_cache(tmp_path: Path) -> None:
    """Compiled programs go to the folder in XDG_CACHE_HOME, or else to ~/.cache."""
    named, home = {"XDG_CACHE_HOME": str(tmp_path), "HOME": "/home"}, {"HOME": str(tmp_path)}
    keep_compiled(named)
    keep_compiled(home)
    assert Path(named[FOLDER]).parent == tmp_path / "lenet_multi"
    assert Path(home[FOLDER]).parent == tmp_path / ".cache" / "lenet_multi"
    assert Path(home[FOLDER]).name.startswith("jax-")
    shortest = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"
    assert home == {"HOME": str(tmp_path), FOLDER: home[FOLDER], shortest: "0"}
    users = {**home, FOLDER: "", shortest: "2"}
    keep_compiled(users)
    assert users == {**home, shortest: "2"}


@pytest.mark.parametrize(
    ("known", "kind"),
    [
        ({"flags": "avx2 fma"}, "riscva chipavx2 fma"),
        ({"Features": "asimd"}, "riscva chipasimd"),
        ({"flags": "avx2", "Features": "asimd"}, "riscva chipavx2"),
        ({"model": "1"}, "riscva chip"),
    ],
    ids=["x86", "ARM", "both", "neither"],
)
def test_each_kind_of_processor_has_its_place(
    known: dict[str, str], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name ends with a short hash of the machine, the processor and its instructions."""
    monkeypatch.setattr(instruction_sets, "cpuinfo", lambda: known)
    monkeypatch.setattr(platform, "uname", lambda: SimpleNamespace(machine="riscv"))
    monkeypatch.setattr(platform, "processor", lambda: "a chip")
    ending = hashlib.sha256(kind.encode()).hexdigest()[:8]
    assert place("it", {"HOME": "/home"}) == Path(f"/home/.cache/lenet_multi/it-{ending}")


def test_a_user_without_a_home_has_a_cache_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without HOME the system's own record counts; without both, it is the temporary folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert place("it", {}).parent == tmp_path / ".cache" / "lenet_multi"

    def refuse(path: Path) -> Path:
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "expanduser", refuse)
    assert place("it", {}).parent == Path(tempfile.gettempdir(), "lenet_multi")


def test_only_its_own_warnings_are_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """JAX warns of an entry that it cannot read or write; the user cannot do anything about it."""
    ours = "Error {}ing persistent compilation cache entry for 'x'"
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        keep_compiled({"HOME": "/home"})
        for message in (ours.format("read"), ours.format("writ"), "another", ours.format("find")):
            warnings.warn(message, stacklevel=1)
    assert [str(one.message) for one in told] == ["another", ours.format("find")]


def test_a_folder_that_the_user_chose_stays(tmp_path: Path) -> None:
    """If the user chose a folder for JAX, nothing is changed."""
    environ = {FOLDER: str(tmp_path)}
    keep_compiled(environ)
    assert environ == {FOLDER: str(tmp_path)}


@pytest.mark.all_backends
def test_what_is_compiled_once_is_not_compiled_again(
    tmp_path: Path, lenet: Lenet, small_npz: Path
) -> None:
    """A second run compiles nothing and ends in the same bits, as does a run on a damaged cache."""

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
