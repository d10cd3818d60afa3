import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lenet_multi.bench import session, several
from lenet_multi.bench.result import FILE, SCHEMA_VERSION, Bench
from lenet_multi.bench.several import Several
from lenet_multi.bench.ways import OURS, STOCK
from lenet_multi.commands.bench import command
from lenet_multi.config import TrainConfig
from lenet_multi.errors import StoppedError, UserError
from lenet_multi.lenet.recipes import RECIPES
from lenet_multi.machine.children import Failure
from lenet_multi.machine.frameworks import BACKENDS
from tests.bench.material import THREE, bench, row, write_model
from tests.conftest import CHOSEN, Lenet, child_environment

Ask = Callable[..., tuple[Result, list[Any]]]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ask:
    """Run the command in an empty folder; return its result, and what the session was asked."""
    monkeypatch.chdir(tmp_path)

    def asked(*arguments: str, found: Bench | None = None) -> tuple[Result, list[Any]]:
        given: list[Any] = []

        def run(*positional: Any, **named: Any) -> Bench:
            given.extend([*positional, named])
            return found or bench(THREE)

        monkeypatch.setattr(session, "run", run)
        return CliRunner().invoke(command, arguments), given

    return asked


def test_the_figures_are_printed_and_kept(ask: Ask, tmp_path: Path) -> None:
    """The folder is named first, then come the table and the sentence; or the file's JSON."""
    done, _ = ask("--out", "kept")
    assert done.exit_code == 0, done.output
    first, *lines = done.stdout.splitlines()
    assert first == "Figures: kept"
    assert lines[-1] == bench(THREE).sentence
    assert any("torch" in line for line in lines)
    kept = (tmp_path / "kept" / FILE).read_text()
    done, _ = ask("--json", "--out", "other")
    assert (done.exit_code, json.loads(done.stdout)) == (0, json.loads(kept))
    assert done.stdout.startswith('{\n  "schema_version": ')


@pytest.mark.parametrize(
    ("arguments", "backends", "changed", "named"),
    [
        ([], (), {}, {"rounds": 7, "tries_jit": True, "threads": None, "timeout": 180.0}),
        (["--quick"], (), {}, {"rounds": 3, "tries_jit": False, "threads": None, "timeout": 180.0}),
        (
            [
                *("--backend", "jax", "--backend", "torch", "--rounds", "0", "--quick"),
                *("--threads", "2", "--timeout", "9", "--batch-size", "64"),
            ],
            ("jax", "torch"),
            {"batch_size": 64},
            {"rounds": 0, "tries_jit": False, "threads": 2, "timeout": 9.0},
        ),
    ],
    ids=["default", "quick", "all"],
)
def test_the_session_gets_what_was_asked(
    ask: Ask,
    arguments: list[str],
    backends: tuple[str, ...],
    changed: dict[str, Any],
    named: dict[str, Any],
) -> None:
    """The settings are those of the default recipe, for one epoch; rounds may be given."""
    _, given = ask(*arguments)
    assert given == [TrainConfig(epochs=1, **changed), backends, named]
    assert RECIPES["standard"] == TrainConfig()


def test_a_model_of_ones_own_has_its_own_defaults(ask: Ask, tmp_path: Path) -> None:
    """MODEL is the architecture; without --out a folder in runs/ has the time in its name."""
    done, given = ask("my_model.py:build", "--loss", "mse")
    assert (given[0].architecture, given[0].loss) == ("my_model.py:build", "mse")
    assert given[0].data == "drawn"
    (folder,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"bench-\d{8}-\d{6}", folder.name)
    assert done.stdout.startswith(f"Figures: runs/{folder.name}\n")


def test_several_models_are_benched_apart(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each gets the flags that were given; tables or files are printed, then what failed."""
    given: list[Any] = []

    def run(*positional: Any, **named: Any) -> Several:
        given.append((*positional, named))
        bench(THREE).write(tmp_path / "figures")
        folders = [tmp_path / "figures", tmp_path / "none"]
        failure = Failure("two.py:build", "ended with status 2", ["it has no build"])
        return Several(folders, ["a table"], [failure])

    monkeypatch.setattr(several, "run", run)
    flags = ("--backend", "jax", "--quick", "--batch-size", "64")
    models = ("one.py:build", "two.py:build")
    done, asked = ask(*models, *flags, "--out", "kept")
    words = ["--backend=jax", "--quick", "--timeout=180.0", "--batch-size=64"]
    options = {"scheduler": None, "backends": ("jax",)}
    assert given == [(models, words, Path("kept"), options)]
    assert asked == []
    assert (done.exit_code, done.stdout) == (1, "Figures: kept\na table\n\n")
    assert done.stderr == "two.py:build: it has no build\n"
    done, _ = ask("one.py:build", "--cluster", "tcp://one:8786", *flags, "--json", "--out", "again")
    assert given[1][0] == ("one.py:build",)
    assert given[1][-1]["scheduler"] == "tcp://one:8786"
    assert [one["model"] for one in json.loads(done.stdout)] == [bench(THREE).model]
    ask(*models, "--rounds", "0", "--out", "refused")  # each command refuses it
    assert "--rounds=0" in given[2][1]
    done, _ = ask("one.py:build", "one.py:build", "--out", "third")
    assert isinstance(done.exception, UserError)
    assert "a MODEL is given twice" in str(done.exception)


def test_a_used_folder_is_kept(ask: Ask, tmp_path: Path) -> None:
    """It is refused before anything is timed."""
    (tmp_path / "used").touch()
    done, given = ask("--out", "used")
    assert isinstance(done.exception, UserError)
    assert given == []


def test_the_status_says_whether_a_backend_failed(ask: Ask) -> None:
    """The figures are printed, and also if the disk refuses them."""
    done, _ = ask("--out", "a", found=bench((*THREE[:4], row("torch", STOCK, failure="no"))))
    assert done.exit_code == 1
    assert "Take jax (stock)" in done.stdout
    done, _ = ask("--out", "/proc/kept")
    assert isinstance(done.exception, UserError)
    assert "Take torch (ours)" in done.stdout


@pytest.mark.usefixtures("ask")
def test_a_signal_ends_the_command_after_its_figures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error has the signal's number, from which the status comes."""
    found = bench(THREE, stopped_by=signal.SIGTERM)
    monkeypatch.setattr(session, "run", lambda *given, **more: found)
    with pytest.raises(StoppedError) as raised:
        command.main([], standalone_mode=False)
    assert raised.value.signal_number == signal.SIGTERM
    assert "Take torch (ours)" in capsys.readouterr().out


@pytest.mark.study  # the example script and the README bench in the gate
@pytest.mark.all_backends
def test_a_quick_bench_of_all_backends(lenet: Lenet, tmp_path: Path) -> None:
    """It prints a table and a sentence, which names a backend, and keeps the figures."""
    write_model(tmp_path)
    done = lenet(
        *("bench", "my_model.py:build", "--data", "my_model.py:data", "--quick"),
        *("--rounds", 2, "--threads", 1, "--out", "a-bench"),
    )
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert re.match(r"Take (tensorflow|jax|torch) \((stock|ours)\)", last)
    assert re.search(r"; on (tensorflow|jax|torch) with stock Keras, .* takes? \d+% of ", last)
    content = json.loads((tmp_path / "a-bench" / FILE).read_text())
    assert content["schema_version"] == SCHEMA_VERSION
    assert content["sentence"] == last
    assert [(row["backend"], row["way"]) for row in content["rows"]] == [
        (backend, way) for backend in BACKENDS for way in (STOCK, OURS)
    ]
    for one in content["rows"]:
        assert one["failure"] is None
        assert len(one["step_ms"]) == len(one["predict_ms"]) == 2
        assert one["backend"] in one["versions"]


@pytest.mark.all_backends
def test_a_model_that_one_backend_lacks_is_timed_on_the_others(
    lenet: Lenet, tmp_path: Path
) -> None:
    """Its line names the error, the traceback is the user's alone, and the status is 1."""
    write_model(tmp_path)
    done = lenet(
        *("bench", "my_model.py:without_jax", "--backend", "jax", "--backend", "torch"),
        *("--quick", "--rounds", 1, "--threads", 1),
    )
    assert done.returncode == 1, done.stderr
    assert "jax, stock: cannot: my_model.py:without_jax failed on jax: ValueError: it has no " in (
        " ".join(done.stdout.split())
    )
    assert done.stdout.splitlines()[-1].startswith("Take torch (")
    assert done.stderr.count("Traceback") == 1
    assert "lenet_multi" not in done.stderr


@pytest.mark.any_backend
@pytest.mark.backend
@pytest.mark.parametrize(
    ("arguments", "words", "lines"),
    [
        (["nowhere.py:build"], "cannot read", 1),
        (["my_model.py:nothing"], "has no nothing; give one of build,", 1),
        (["my_model.py:build", "--data", "my_model.py:misfit"], "the model takes float32 6", 1),
        (["my_model.py:build", "--data", "no.npz"], "no file no.npz; give an .npz", 1),
        (["my_model.py:build", "--loss", "mze"], "--loss mze: Keras has no such one", 1),
        (["my_model.py:bad_loss", "--data", "my_model.py:data"], "trains on no backend; ", 1),
        (["my_model.py:broken"], "my_model.py:broken failed on ", 5),
        (["--head", "softmax"], "No such option '--head'", 1),
    ],
    ids=["file", "name", "data", "npz", "loss", "bad-loss", "code", "flag"],
)
def test_bad_input_is_told_in_one_line(
    backend: str, lenet: Lenet, tmp_path: Path, arguments: list[str], words: str, lines: int
) -> None:
    """Status 2, nothing on stdout, no folder; a user's own traceback comes before the line."""
    write_model(tmp_path)
    done = lenet("bench", *arguments, "--backend", backend, "--quick")
    assert done.returncode == 2
    assert done.stdout == ""
    assert words in done.stderr.splitlines()[-1]
    assert len(done.stderr.strip().splitlines()) <= lines
    assert not (tmp_path / "runs").exists()


@pytest.mark.all_backends
def test_ctrl_c_prints_what_was_measured(tmp_path: Path) -> None:
    """Interrupted in its rounds, the command prints the table so far, and exits with 130."""
    write_model(tmp_path)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "lenet_multi", "bench", "my_model.py:build"),
            *("--quick", "--rounds", "100000", "--backend", "torch", "--out", "a-bench"),
        ],
        cwd=tmp_path,
        env=child_environment(**CHOSEN),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(25)  # a whole bench of one round takes 14 seconds on two busy cores
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert stderr == "lenet-multi: stopped by SIGINT\n"
    assert stdout.splitlines()[-1].startswith("Take torch (")
    assert json.loads((tmp_path / "a-bench" / FILE).read_text())["stopped_by"] == signal.SIGINT


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rounds", "0"], "--rounds must be at least 1, not 0"),
        (["--threads", "0"], "--threads must be between 1 and"),
        (["--timeout", "0"], "--timeout must be a finite number of seconds above 0"),
        (["--backend", "jaxx"], "unknown backend 'jaxx'; did you mean 'jax'?"),
        (["--batch-size", "0"], "--batch-size must be at least 1, not 0"),
        (["--out", "file"], "file is not an empty folder; choose another --out"),
        (["lenett"], "unknown --architecture 'lenett'; did you mean 'lenet'?"),
    ],
    ids=["rounds", "threads", "timeout", "backend", "batch", "out", "model"],
)
def test_bad_flags_are_told_in_one_line(
    lenet: Lenet, tmp_path: Path, arguments: list[str], words: str
) -> None:
    """They are refused before a process starts."""
    (tmp_path / "file").touch()
    done = lenet("bench", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
