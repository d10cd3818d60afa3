import io
import os
import pkgutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

from lenet_multi import __main__ as program
from lenet_multi import commands
from lenet_multi.errors import StoppedError, UserError
from lenet_multi.machine import frameworks
from lenet_multi.machine.frameworks import installed
from tests.conftest import Lenet
from tests.examples import example_run, keep
from tests.stand_ins import Calls

VERBS = [verb for _, verb, _ in pkgutil.iter_modules(commands.__path__) if verb[0] != "_"]


@pytest.mark.parametrize("verb", [[], *([verb] for verb in VERBS)], ids=["all", *VERBS])
def test_help_answers_at_once(lenet: Lenet, verb: list[str]) -> None:
    """Help takes under 0.3 s of processor time, process start included: the best of five.

    On an idle machine that is the whole wait; on a busy one every command waits longer.
    """
    seconds = []
    for _ in range(5):
        before = processor_seconds()
        assert lenet(*verb, "--help").returncode == 0
        seconds.append(processor_seconds() - before)
    assert min(seconds) < 0.3


def processor_seconds() -> float:
    """Return the processor time used by this process's finished children."""
    resource = pytest.importorskip("resource", reason="Windows has no such figures")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return float(used.ru_utime + used.ru_stime)


def test_importing_the_package_imports_no_keras() -> None:
    """Neither the package nor the readers of run folders import Keras or a backend."""
    code = (
        "import sys, lenet_multi, lenet_multi.__main__, lenet_multi.compare, lenet_multi.train,"
        " lenet_multi.lenet.image_sets; print(*sys.modules)"
    )
    modules = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert not {"keras", "tensorflow", "jax", "torch"} & set(modules)


def test_help_tells_unit_type_and_default(lenet: Lenet) -> None:
    """The help of every setting shows its type, unit and default."""
    text = " ".join(lenet("train", "--help").stdout.split())
    assert "--epochs INTEGER passes over the training images [epochs] (default: " in text
    assert "--learning-rate FLOAT Adam's largest learning rate [per step] (default: 0.001)" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "Did you mean 'train'"),
        (["train", "--epoch", "1"], "'--epochs'"),
        (["train", "--recipe", "standrad"], "did you mean 'standard'?"),
        (["train", "--recipe", "xyz"], "choose from standard, one-epoch, one-cycle, best"),
        (["train", "--epochs", "0"], "--epochs must be at least 1, not 0"),
        (["train", "--epochs", "many"], "'many' is not a valid integer"),
        (["train", "--seed", f"{2**63}"], "--seed must be below 2^63"),
        (["train", "--learning-rate", "-1"], "--learning-rate must be a finite number above 0"),
        (["train", "--learning-rate", "nan"], "--learning-rate must be a finite number above 0"),
        (["train", "--validation-split", "1"], "--validation-split must be above 0 and below 1"),
        (["train", "--validation-split", "0.99999"], "so that neither is 0"),
        (["train", "--data", "nowhere"], "no data at 'nowhere'"),
        (["train", "--classes", "5"], "labels run from 0 to 9"),
        (["train", "--backend", "jacks"], "unknown backend 'jacks'"),
        (["train", "--form", "tile"], "did you mean 'tiles'?"),
        (["train", "--architecture", "lenett"], "did you mean 'lenet'?"),
        (["train", "--architecture", "no.such:TASK"], "there is no module no.such"),
        (["train", "--architecture", ":TASK"], "or package.module:NAME"),
        (["train", "--out", "a-run"], "holds a run; pass --overwrite or choose another --out"),
        (["train", "--out", "/proc/run"], "cannot write /proc/run"),
        (["train", "--resume", "nowhere", "--epochs", "9"], "settings and folder; drop --epochs"),
        (["train", "--resume", "nowhere"], "nowhere.unfinished holds no unfinished run"),
        (["train", "--resume", "a-run"], "a-run is finished; add --epochs, more than it has"),
        (["train", "--resume", "a-run", "--epochs", "1"], "1 epochs; give --epochs above 1"),
        (["train", "--resume", "a-run", "--epochs", "9", "--seed", "1"], "settings; drop --seed"),
        (["train", "--resume", "a-run", "--epochs", "9", "--recipe", "standard"], "drop --recipe"),
        (["train", "--start-from", "nowhere"], "no model at nowhere: give a run folder or a"),
        (["train", "--start-from", "a-run"], "is no .keras file"),
        (["train", "--class-weights", "even"], "choose from none, balanced"),
        (["parity", "--class-weights", "balanced"], "is a setting of --seeds alone; drop it"),
        (["parity", "--cluster", "tcp://one:8786"], "is a setting of --seeds alone; drop it"),
        (["compare", "a-run"], "two or more different run folders"),
        (["compare", "a-run", "nowhere"], "nowhere is no run folder"),
        (["report", "a-run", "./a-run"], "a-run is given twice"),
        (["report"], "Missing argument 'RUNS...'"),
        (["parity", "--backend", "jacks:tiles"], "unknown backend 'jacks'"),
        (["parity", "--every-form", "--seeds", "2"], "--every-form is no setting of --seeds"),
        (["predict"], "Missing argument 'IMAGES...'"),
        (["predict", "seven.png"], "no run in runs/: give a model, or train one"),
        (["predict", "seven.png", "--model", "nowhere"], "no model at nowhere"),
        (["predict", "seven.png", "--model", "a-run"], "is no .keras file"),
        (["predict", "seven.png", "--model-file", "x"], "Did you mean '--model'"),
        (["evaluate"], "Missing argument 'MODEL'"),
        (["evaluate", "nowhere"], "no model at nowhere"),
        (["evaluate", "a-run"], "is no .keras file"),
        (["compare"], "Missing argument 'RUNS...'"),
        (["evaluate", "x" * 300], "File name too long"),
        (["evaluate", "\x1b[31m\udcff"], r"no model at \x1b[31m\udcff"),
        (["parity", "--seeds", "9" * 30], "--seeds must be 10,000 at most"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_gets_one_line_and_status_2(
    tmp_path: Path, lenet: Lenet, arguments: list[str], message: str
) -> None:
    """Bad input gets one line on stderr with fault and remedy, nothing on stdout, and status 2."""
    keep(example_run(), tmp_path / "a-run")
    backend = next(iter(installed()))
    done = lenet(*arguments, KERAS_BACKEND="" if "--backend" in arguments else backend)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
    assert [path.name for path in tmp_path.iterdir() if path.name != "runs"] == ["a-run"]


class Exited(BaseException):
    """The process would end here."""


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """The calls of a program that ends neither this process nor its output."""
    kept = Calls()

    def end(status: int) -> None:
        kept.append(("exit", status))
        raise Exited

    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(sys, "argv", ["lenet-multi", "--port", "0"])
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setenv("MPLBACKEND", "nonsense")
    return kept


class Output(io.TextIOWrapper):
    """Output in ASCII."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="ascii", write_through=True)


def ended(monkeypatch: pytest.MonkeyPatch, calls: Calls, error: BaseException) -> Any:
    """Run the program, whose command raises `error`; return its exit status."""

    def fail(*given: Any, **named: Any) -> None:
        calls.append(("run", *given, named))
        raise error

    monkeypatch.setattr(program.cli, "main", fail)
    monkeypatch.setattr(sys, "stdout", Output())
    with pytest.raises((SystemExit, Exited)) as raised:
        program.main("demo")
    return getattr(raised.value, "code", None)


def test_the_program_runs_its_command_line(monkeypatch: pytest.MonkeyPatch, calls: Calls) -> None:
    """A verb of `main` comes first. Figures are files, and a path that is no text is printed."""
    monkeypatch.setattr(program.cli, "main", calls.of("run"))
    output = Output()
    monkeypatch.setattr(sys, "stdout", output)
    with pytest.raises(SystemExit) as raised:
        program.main("demo")
    assert raised.value.code == 0
    named = {"prog_name": "lenet-multi", "standalone_mode": False}
    assert calls == [("run", ["demo", "--port", "0"], named)]
    assert sys.unraisablehook is program.come_again
    assert os.environ["MPLBACKEND"] == "agg"
    print("\udcff", file=output)
    assert output.buffer.getvalue() == b"\\udcff\n"  # type: ignore[attr-defined]
    monkeypatch.setattr(sys, "stdout", io.StringIO())  # a notebook's is of another kind
    with pytest.raises(SystemExit):
        program.main()


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (click.UsageError("no  such\nflag"), "no such flag"),
        (UserError("a \x1b[31m file"), r"a \x1b[31m file"),
        (FileNotFoundError(2, "No such file", "a.npz"), "cannot use a.npz: No such file"),
    ],
    ids=["usage", "user", "file"],
)
def test_an_error_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    calls: Calls,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    line: str,
) -> None:
    """The status is 2, and what Python drops at the end says nothing more."""
    assert ended(monkeypatch, calls, error) == 2
    assert capsys.readouterr().err == f"lenet-multi: {line}\n"
    assert sys.unraisablehook(SimpleNamespace()) is None


def test_the_help_is_shown_where_a_verb_lacks(
    monkeypatch: pytest.MonkeyPatch, calls: Calls, capsys: pytest.CaptureFixture[str]
) -> None:
    """The status is 2."""
    error = click.exceptions.NoArgsIsHelpError(click.Context(program.cli))
    assert ended(monkeypatch, calls, error) == 2
    assert capsys.readouterr().err.startswith("Usage: ")


@pytest.mark.parametrize("kind", [ImportError, AttributeError])
def test_what_hides_a_library_is_named(
    monkeypatch: pytest.MonkeyPatch,
    calls: Calls,
    capsys: pytest.CaptureFixture[str],
    kind: type[Exception],
) -> None:
    """Without a user's file of that name the error is a bug, and stays what it is."""
    error = kind("numpy has no attribute array")
    known = {error: Path("numpy.py")}
    monkeypatch.setattr(frameworks, "hider", known.get)
    assert ended(monkeypatch, calls, error) == 2
    assert capsys.readouterr().err == (
        "lenet-multi: numpy.py hides a module of the same name (numpy has no attribute array); "
        "rename it, or work in another folder\n"
    )
    known.clear()
    with pytest.raises(kind):
        ended(monkeypatch, calls, error)
    with pytest.raises(OSError, match="broken"):
        ended(monkeypatch, calls, OSError("broken"))


@pytest.mark.parametrize(
    ("error", "line", "status"),
    [
        (StoppedError(signal.SIGTERM), "stopped by SIGTERM", 143),
        (KeyboardInterrupt(), "interrupted; what was not saved is lost", 130),
        (click.Abort(), "interrupted; what was not saved is lost", 130),
    ],
    ids=["stopped", "Ctrl-C", "abort"],
)
def test_a_signal_has_its_own_status(
    monkeypatch: pytest.MonkeyPatch,
    calls: Calls,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    line: str,
    status: int,
) -> None:
    """The process ends at once."""
    ended(monkeypatch, calls, error)
    assert calls[1:] == [("exit", status)]
    assert capsys.readouterr().err == f"lenet-multi: {line}\n"


@pytest.mark.parametrize(
    ("error", "number"),
    [(KeyboardInterrupt(), signal.SIGINT), (StoppedError(signal.SIGTERM), signal.SIGTERM)],
    ids=["Ctrl-C", "stopped"],
)
def test_a_signal_that_python_dropped_is_sent_again(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, number: int
) -> None:
    """It comes a moment later, to the thread in which Python handles signals."""
    calls = Calls()
    timer = SimpleNamespace(start=calls.of("start"))
    monkeypatch.setattr(threading, "Timer", calls.of("timer", timer))
    dropped: Any = SimpleNamespace(exc_type=type(error), exc_value=error)
    program.come_again(dropped)
    again = (threading.get_ident(), number)
    assert calls == [("timer", 0.05, program._send, again, {}), ("start", {})]
    monkeypatch.setattr(signal, "pthread_kill", calls.of("kill"), raising=False)
    monkeypatch.setattr(signal, "raise_signal", calls.of("raise"))
    program._send(*again)
    monkeypatch.delattr(signal, "pthread_kill")
    program._send(*again)
    assert calls[2:] == [("kill", *again, {}), ("raise", number, {})]


def test_other_errors_that_python_dropped_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are as without this program."""
    calls = Calls()
    monkeypatch.setattr(sys, "__unraisablehook__", calls.of("shown"))
    dropped: Any = SimpleNamespace(exc_type=ValueError, exc_value=ValueError())
    program.come_again(dropped)
    assert calls == [("shown", dropped, {})]


def test_flag_against_variable_is_refused(lenet: Lenet) -> None:
    """If flag and variable name different backends, that is an error, whatever is installed."""
    done = lenet("train", "--backend", "jax", KERAS_BACKEND="torch")
    assert done.returncode == 2
    assert "--backend jax conflicts with KERAS_BACKEND=torch" in done.stderr


@pytest.mark.parametrize("variable", ["KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH"])
def test_a_variable_that_cuts_training_short_is_refused(lenet: Lenet, variable: str) -> None:
    """Keras would obey it silently; the error names it."""
    done = lenet("train", **{variable: "1", "KERAS_BACKEND": next(iter(installed()))})
    assert done.returncode == 2
    assert f"{variable} would cut training short" in done.stderr


def test_no_arguments_shows_the_help(lenet: Lenet) -> None:
    """The command without arguments shows its help."""
    done = lenet()
    assert done.returncode == 2
    assert "Examples:\n    lenet-multi parity my_model.py:build\n" in done.stderr


def test_a_ctrl_c_that_python_drops_comes_again() -> None:
    """It came within a callback of the garbage collector, where Python cannot raise it."""
    code = (
        "import gc, os, signal, sys, time\n"
        "from lenet_multi.__main__ import come_again\n"
        "sys.unraisablehook = come_again\n"
        "gc.callbacks.append(lambda *told: gc.callbacks.clear() or os.kill(os.getpid(), 2))\n"
        "try:\n"
        "    gc.collect()\n"
        "    time.sleep(60)\n"
        "except KeyboardInterrupt:\n"
        "    print('came')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    assert (done.stdout, done.stderr) == ("came\n", "")


@pytest.mark.parametrize("is_package", [False, True], ids=["file", "package"])
@pytest.mark.parametrize("name", ["numpy", "rich"])
def test_a_file_that_hides_a_library_is_named(
    name: str, is_package: bool, lenet: Lenet, tmp_path: Path
) -> None:
    """A user's numpy.py in the working folder gets one line that names it, and no traceback."""
    path = tmp_path / name if is_package else tmp_path / f"{name}.py"
    file = path / "__init__.py" if is_package else path
    file.parent.mkdir(exist_ok=True)
    file.write_text("print\n")
    done = lenet("compare", "a", "b")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"lenet-multi: {path} hides a module of the same name ")
    assert line.endswith("; rename it, or work in another folder")


def test_a_window_for_figures_that_is_not_there_changes_nothing(
    lenet: Lenet, tmp_path: Path
) -> None:
    """Figures are files, so what MPLBACKEND names is not needed."""
    keep(example_run(), tmp_path / "a")
    done = lenet("report", "a", "--out", "page.html", MPLBACKEND="nonsense")
    assert done.returncode == 0, done.stderr
