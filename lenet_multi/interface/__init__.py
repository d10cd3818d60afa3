"""The commands as Python functions: for a notebook, a script, a test.

Each function runs its command in a child process, because this process may have imported Keras on
one backend already. Only `compare` needs no child: it reads run folders without Keras.
"""

import json
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import click

from lenet_multi.commands._arguments import flags
from lenet_multi.errors import UserError
from lenet_multi.interface import child
from lenet_multi.interface.parcel import Parcel
from lenet_multi.interface.results import BenchResult, EvaluationResult, ParityResult
from lenet_multi.own import sent
from lenet_multi.runs import comparison
from lenet_multi.runs.comparison import Comparison
from lenet_multi.runs.record import Run, read_run

Model = str | Path | Callable[[], Any]
Data = str | Path | tuple[Any, Any] | Callable[[], Any] | None

LENET = "lenet"


def parity(
    model: Model = LENET,
    data: Data = None,
    backends: Sequence[str] | None = None,
    *,
    out: str | Path | None = None,
    **flags: Any,
) -> ParityResult:
    """Test rung by rung whether a model trains the same on backends, as `lenet-multi parity` does.

    `model` is a function that returns a Keras model, or its place "FILE.py:FUNCTION" or
    "package.module:FUNCTION", or a `.keras` file, or a model of this package. `data` is (x, y),
    arrays or a list or dictionary of arrays; or ((x, y), (x_test, y_test)); or the path of an
    .npz with x and y; or a function that returns (x, y), or its place. Without it, data that fit
    the model are drawn. `backends` are two or more names (default: all that are installed). `out`
    is the folder for the evidence (default: one that lasts as long as this process). `flags` are
    the command's other flags, with underscores: `steps=20, precision="float64"`.

    Raises `UserError` for bad input, and `TypeError` for a flag that the command does not have.
    """
    done = _ask("parity", model, data, out, {"backend": backends, **flags})
    return ParityResult.of(done.content, done.folder)


def assert_same_training(
    model: Model,
    data: Data = None,
    backends: Sequence[str] | None = None,
    *,
    quick: bool = True,
    out: str | Path | None = None,
    **flags: Any,
) -> None:
    """Raise `AssertionError` unless a model trains the same on backends; for a test.

    The error names the rung, the pair, the place (step, layer and tensor), the gap and its limit,
    and the command that repeats the climb. The arguments are those of `parity`.
    """
    __tracebackhide__ = True  # pytest shows the test's line instead
    given = {"backend": backends, "quick": quick or None, **flags}
    done = _ask("parity", model, data, out, given)
    result = ParityResult.of(done.content, done.folder)
    if not result.passed:
        raise AssertionError(_explanation(result, done.again))


def _explanation(result: ParityResult, again: str) -> str:
    lines = ["the model does not train the same on every backend"]
    if first := result.first_failure:
        lines += [
            f"  rung:  {first.rung}, {first.what}, {first.precision}",
            f"  pair:  {' and '.join(first.pair)}",
            f"  where: {first.where}",
            f"  gap:   {first.gap:.2g}, {first.allowed:.2g} allowed",
        ]
    lines += [f"  failed: {failure}" for failure in result.failures]
    lines += [f"  known: {known}" for known in result.known]
    return "\n".join([*lines, f"  again: {again}"])


def train(
    model: Model = LENET,
    data: Data = None,
    *,
    backend: str | None = None,
    out: str | Path | None = None,
    **settings: Any,
) -> Run:
    """Train a model on one backend, as `lenet-multi train` does, and return the run.

    `model` and `data` are as in `parity`. `backend` is by default that of KERAS_BACKEND, or the
    first one installed. `out` is the run's folder (default: one that lasts as long as this
    process). `settings` are the command's other flags: `epochs=3, learning_rate=0.01`. With
    `resume=RUN`, an interrupted run goes on with its own settings; with `epochs` too, a finished
    run goes on beyond its end, into `out`.

    Raises `UserError` for bad input, and `TypeError` for a flag that the command does not have.
    """
    done = _ask("train", model, data, out, {"backend": backend, **settings})
    return read_run(done.folder)


def compare(*runs: Run | str | Path) -> Comparison:
    """Compare two or more runs, or their folders, as `lenet-multi compare` does.

    Raises `UserError` for what is no run, and for runs with different settings or data.
    """
    return comparison.compare([run.folder if isinstance(run, Run) else Path(run) for run in runs])


def bench(
    model: Model = LENET,
    data: Data = None,
    backends: Sequence[str] | None = None,
    *,
    out: str | Path | None = None,
    **flags: Any,
) -> BenchResult:
    """Measure how fast each backend trains a model, as `lenet-multi bench` does.

    The arguments are those of `parity`; `flags` are the command's other flags: `quick=True`.

    Raises `UserError` for bad input, and `TypeError` for a flag that the command does not have.
    """
    done = _ask("bench", model, data, out, {"backend": backends, **flags})
    return BenchResult(done.content, done.folder)


def evaluate(
    run: Run | str | Path,
    data: str | Path | None = None,
    *,
    model: str | None = None,
    class_names: str | None = None,
    backend: str | None = None,
    transpose: bool = False,
    input_range: str | None = None,
    out: str | Path | None = None,
) -> EvaluationResult:
    """Evaluate a run, its folder or a `.keras` file, as `lenet-multi evaluate` does.

    `data` is a `--data` of `train` (default: the run's). `model` is the place of the code of a run
    of your own model. `class_names` are the names of the classes of a `.keras` file, "a,b" or a
    file. `backend` is by default the run's. `transpose` exchanges rows and columns of the images.
    `input_range` is what a model takes for a pixel, such as "0,255", if neither its run nor its
    layers tell. `out` is a folder for pictures (default: none are drawn). Raises `UserError` for
    bad input.
    """
    path = run.folder if isinstance(run, Run) else Path(run)
    given: dict[str, Any] = {"data": data, "model": model, "class_names": class_names}
    given |= {"backend": backend, "transpose": transpose or None, "input_range": input_range}
    words = flags(_command("evaluate"), given) + ([f"--out={out}"] if out else [])
    return EvaluationResult.of(_answer(["evaluate", str(path), "--json", *words], {}))


@dataclass(frozen=True)
class _Done:
    content: Any  # of the JSON that the command printed
    folder: Path
    again: str  # how to ask for the same


def _ask(
    verb: str, model: Model, data: Data, out: str | Path | None, given: Mapping[str, Any]
) -> _Done:
    """Run the command `verb` on a model and data; without `out` its folder is temporary."""
    words = flags(_command(verb), given)
    resumed = given.get("resume") if given.get("epochs") is None else None  # in the same folder
    own = Path(mkdtemp(dir=_session().name))
    folder = Path(resumed or out or own / verb)
    try:
        with TemporaryDirectory(prefix="lenet-multi-") as sending:
            parcel = Parcel(Path(sending))
            asked = [f"--data={parcel.data(data)}"] if data is not None else []
            if model != LENET:
                asked = [parcel.model(model), *asked]
            asked = [verb, *([] if resumed else asked), *words]
            placed = [] if resumed else [f"--out={folder}"]
            content = _answer([*asked, *placed, "--json"], sent.environment(parcel.files))
            typed = shlex.join(["python", "-m", "lenet_multi", *asked])
            again = f"lenet_multi.{verb}(...) as here" if any(parcel.folder.iterdir()) else typed
    except BaseException:
        shutil.rmtree(own, ignore_errors=True)
        raise
    return _Done(content, folder, again)


def _command(verb: str) -> click.Command:
    return import_module(f"lenet_multi.commands.{verb}").command  # type: ignore[no-any-return]


def _answer(arguments: list[str], environ: Mapping[str, str]) -> Any:
    """Return what the command answers in JSON; raise `RuntimeError` when it crashed."""
    status, output = child.run(arguments, environ)
    try:
        return json.loads(output)
    except ValueError as error:
        raise RuntimeError(
            f"lenet-multi {arguments[0]} ended with status {status}; see what it printed"
        ) from error


@cache
def _session() -> TemporaryDirectory[str]:
    """Return the folder for results without a place of their own; it goes when Python exits."""
    return TemporaryDirectory(prefix="lenet-multi-", ignore_cleanup_errors=True)


__all__ = [
    "BenchResult",
    "Comparison",
    "EvaluationResult",
    "ParityResult",
    "Run",
    "UserError",
    "assert_same_training",
    "bench",
    "compare",
    "evaluate",
    "parity",
    "train",
]
