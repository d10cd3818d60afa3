"""Harm runs for real, count what was lost, and record it: `nox -s faults`.

Each fault hits `lenet-multi train` in its own process. Something is lost if a resumed run is not
bit-identical to an undisturbed one, if a flipped bit is not reported, or if the earlier state
cannot be read after the disk refused a write.
"""

import argparse
import dataclasses
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.__main__ import revision
from benchmarks.report import read
from lenet_multi.errors import UserError
from lenet_multi.machine import environment
from lenet_multi.machine.frameworks import installed
from lenet_multi.runs import checkpoint
from lenet_multi.runs.durable import write_json
from lenet_multi.runs.folder import unfinished
from lenet_multi.runs.journal import Journal
from lenet_multi.runs.record import HISTORY, JOURNAL, MODEL, PREDICTIONS, RESULT, RESUME, read_run
from tests.backends.devices.machines import children_of
from tests.faults.devices import device_kills
from tests.faults.trial import Fault, Trial, outcome, prepare, run
from tests.faults.workers import workers

PATIENCE = 15  # seconds to wait for a backend that hangs
CLOCK = """
import itertools, time
now, looks = time.time, itertools.count()
time.time = lambda: now() - 3600 * next(looks)
"""
FULL_AT = """
import errno, os, sys
def refuse(event, given):
    if event == "open" and given[2] & os.O_CREAT:
        if os.path.basename(str(given[0])).lstrip(".").startswith({name!r}):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
sys.addaudithook(refuse)
"""
WRITTEN = (JOURNAL, "00000-", "events.out", HISTORY, MODEL, PREDICTIONS, RESULT)
FILE_SIZES = (0, 500, 5_000, 100_000, 2_000_000, 4_000_000)  # bytes that the disk accepts per file


def stopped_and_resumed(
    trial: Trial, backend: str, out: Path, number: signal.Signals, delay: float
) -> str | None:
    """Signal a run after `delay` seconds, resume it until it ends, and return what was lost.

    A run that ends before `delay` was not harmed; it is repeated with a shorter delay.
    """
    with subprocess.Popen(
        trial.train(backend, out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=delay)
            shutil.rmtree(out)
            return stopped_and_resumed(trial, backend, out, number, 0.8 * delay)
        process.send_signal(number)
        told = process.communicate()[1]
    if "Traceback" in told:
        return f"a traceback after {delay:.2f} s: {told[-300:]}"
    lost = ended_otherwise(trial, backend, out, gone_on=not out.exists())
    return f"{backend}, stopped after {delay:.2f} s: {lost}" if lost else None


def ended_otherwise(trial: Trial, backend: str, out: Path, *, gone_on: bool) -> str | None:
    """Resume a run if `gone_on`; return how it differs from an undisturbed one, and remove it.

    A run that had not begun is trained from the start.
    """
    if gone_on:
        begun = (unfinished(out) / JOURNAL).exists()
        go_on = [sys.executable, "-m", "lenet_multi", "train", "--overwrite", "--quiet"]
        done = run([*go_on, "--resume", str(out)] if begun else trial.train(backend, out))
        if done.returncode:
            return f"no way on: {done.stderr[-300:]}"
    same = outcome(out) == trial.undisturbed[backend]
    shutil.rmtree(out)
    return None if same else "other weights, epochs or answers"


def kills(trial: Trial, count: int, chance: random.Random) -> Fault:
    """Send SIGKILL at random moments, from the process's start to its end."""
    return _signals(trial, "SIGKILL at a random moment", [signal.SIGKILL], count, chance)


def requests(trial: Trial, count: int, chance: random.Random) -> Fault:
    """Send SIGTERM and Ctrl-C at random moments."""
    both = [signal.SIGTERM, signal.SIGINT]
    return _signals(trial, "SIGTERM or Ctrl-C at a random moment", both, count, chance)


def _signals(
    trial: Trial, name: str, numbers: list[signal.Signals], count: int, chance: random.Random
) -> Fault:
    fault = Fault(name)
    backends = list(trial.undisturbed)
    jobs = []
    for index in range(count):
        backend = backends[index % len(backends)]
        number = numbers[index // len(backends) % len(numbers)]
        delay = chance.uniform(0, trial.seconds[backend])
        out = trial.folder / f"{number.name}-{index}"
        jobs.append((trial, backend, out, number, delay))
    with ThreadPoolExecutor(2) as pool:
        ended = pool.map(lambda job: stopped_and_resumed(*job), jobs)
        for lost in track(ended, name, total=count, console=Console(stderr=True)):
            fault.note(lost)
    return fault


def flips(trial: Trial, count: int, chance: random.Random) -> Fault:
    """Flip a random bit in each file of a complete run in turn."""
    fault = Fault("a bit flipped in a file of a run")
    folder = trial.folder / next(iter(trial.undisturbed))
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_size]
    for index in range(count):
        path = files[index % len(files)]
        with flipped(path, chance) as place:
            fault.note(_told(lambda: read_run(folder), f"{path.name}, bit {place}"))
    return fault


def checkpoint_flips(trial: Trial, count: int, chance: random.Random) -> Fault:
    """Flip a bit in the newest checkpoint, or in the journal, of an unfinished run."""
    fault = Fault("a bit flipped in a checkpoint or a journal")
    folder = _unfinished_run(trial)
    before = _before_the_newest(folder / RESUME)
    for index in range(count):
        if index % 5 == 4:
            with flipped(folder / JOURNAL, chance) as place:
                fault.note(_told(lambda: Journal.read(folder), f"{JOURNAL}, bit {place}"))
            continue
        newest = max((folder / RESUME).iterdir())
        warnings: list[str] = []
        with flipped(newest, chance) as place:
            state = checkpoint.read(folder / RESUME, warnings.append)
        fell_back = bool(warnings) and state and (state.epoch, state.steps) == before
        fault.note(None if fell_back else f"{newest.name}, bit {place}")
    return fault


class flipped:  # noqa: N801  # a context manager reads as a word
    """Flip a random bit of the file at `path` inside the block; give the bit's number."""

    def __init__(self, path: Path, chance: random.Random) -> None:
        self.path, self.content = path, path.read_bytes()
        self.bit = chance.randrange(8 * len(self.content))

    def __enter__(self) -> int:
        changed = bytearray(self.content)
        changed[self.bit // 8] ^= 1 << self.bit % 8
        self.path.write_bytes(changed)
        return self.bit

    def __exit__(self, *error: object) -> None:
        self.path.write_bytes(self.content)


def _told(read: Callable[[], object], place: str) -> str | None:
    try:
        read()
    except UserError:
        return None
    return f"{place} was not told"


def _unfinished_run(trial: Trial) -> Path:
    """Return the folder of a run that was killed after two checkpoints."""
    out = trial.folder / "left"
    process = subprocess.Popen(
        trial.train(next(iter(trial.undisturbed)), out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    kept = unfinished(out) / RESUME
    while process.poll() is None and len(list(kept.glob("[0-9]*"))) < 2:
        time.sleep(0.01)
    process.kill()
    process.wait()
    for draft in kept.glob(".*"):  # a checkpoint that the kill left half-written
        draft.unlink()
    return unfinished(out)


def _before_the_newest(folder: Path) -> tuple[int, int]:
    newest = max(folder.iterdir())
    content = newest.read_bytes()
    newest.unlink()
    state = checkpoint.read(folder, print)
    assert state
    newest.write_bytes(content)
    return state.epoch, state.steps


def full_disk(trial: Trial) -> Fault:
    """Train on a disk that accepts few bytes per file, or no file from a certain one on."""
    fault = Fault("a disk that is full at some file")
    backend = next(iter(trial.undisturbed))
    older = trial.folder / "older"
    done = run(trial.train(backend, older, "--seed", "1"))
    assert done.returncode == 0, done.stderr
    full: dict[str, dict[str, Any]] = {
        f"{size} bytes": {"preexec_fn": partial(_limit_files, size)} for size in FILE_SIZES
    }
    full |= {name: {"env": with_code(trial, FULL_AT.format(name=name))} for name in WRITTEN}

    def fill(where: str) -> str | None:
        out = trial.folder / where.replace(" ", "-")
        shutil.copytree(older, out)
        done = run(trial.train(backend, out, "--overwrite"), **full[where])
        *_, last = done.stderr.splitlines() or [""]
        told = done.returncode == 2 and last.startswith("lenet-multi: ")
        if not told or "Traceback" in done.stderr:
            return f"{where}: {done.returncode}, {last}"
        if outcome(out) != outcome(older):
            return f"{where}: the older run changed"
        if not unfinished(out).exists():
            shutil.rmtree(out)
        lost = ended_otherwise(trial, backend, out, gone_on=True)
        return f"{where}: {lost}" if lost else None

    with ThreadPoolExecutor(2) as pool:
        filled = pool.map(fill, full)
        for lost in track(filled, fault.name, total=len(full), console=Console(stderr=True)):
            fault.note(lost)
    return fault


def _limit_files(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def with_code(trial: Trial, code: str) -> dict[str, str]:
    """Return an environment in which every Python process first runs `code`."""
    site = Path(tempfile.mkdtemp(dir=trial.folder))
    (site / "sitecustomize.py").write_text(code)
    return {**os.environ, "PYTHONPATH": f"{site}:{os.getcwd()}"}


def killed_for_memory(trial: Trial) -> Fault:
    """Kill runs of a study, as the system does: it must name them, keep the rest and resume."""
    fault = Fault("a child of a study killed, as for memory")
    backends = list(trial.undisturbed)
    command = [
        *(sys.executable, "-m", "lenet_multi", "parity", "--seeds", "2", "--epochs", "1"),
        *(flag for backend in backends for flag in ("--backend", backend)),
        *("--data", str(trial.data), "--out"),
    ]
    quiet, out = trial.folder / "quiet-study", trial.folder / "study"
    run([*command, str(quiet)])
    with subprocess.Popen(
        [*command, str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as study:
        for backend in backends:
            while not (unfinished(out / f"seed-0-{backend}") / JOURNAL).exists():
                time.sleep(0.05)
            os.kill(_child_of(study.pid, f"seed-0-{backend}"), signal.SIGKILL)
        told, _ = study.communicate()
    rest = {path: path.read_bytes() for path in out.glob("seed-1-*/result.json")}
    run([*command, str(out)])
    for backend in backends:
        lost = []
        if f"seed-0-{backend} FAILED: it was killed" not in " ".join(told.split()):
            lost.append("not told")
        if (again := out / f"seed-1-{backend}" / RESULT).read_bytes() != rest.get(again):
            lost.append("the other seed was lost or repeated")
        if outcome(out / f"seed-0-{backend}") != outcome(quiet / f"seed-0-{backend}"):
            lost.append("other weights, epochs or answers")
        fault.note(f"{backend}: {', '.join(lost)}" if lost else None)
    return fault


def _child_of(parent: int, word: str) -> int:
    """Return the child process whose command contains `word`."""
    (child,) = (
        number
        for number in children_of(parent)
        if word in Path(f"/proc/{number}/cmdline").read_text()
    )
    return child


def read_only(trial: Trial) -> Fault:
    """Train into a place where nothing can be written."""
    fault = Fault("a folder that cannot be written")
    done = run(trial.train(next(iter(trial.undisturbed)), Path("/proc/run")))
    told = done.returncode == 2 and len(done.stderr.splitlines()) == 1
    fault.note(None if told else done.stderr[-300:])
    return fault


def clock_back(trial: Trial) -> Fault:
    """Train with a clock that goes back an hour at each look."""
    fault = Fault("a clock that jumps back")
    for backend in trial.undisturbed:
        out = trial.folder / f"clock-{backend}"
        done = run(trial.train(backend, out), env=with_code(trial, CLOCK))
        same = done.returncode == 0 and outcome(out) == trial.undisturbed[backend]
        fault.note(None if same else f"{backend}: {done.stderr[-300:]}")
    return fault


def hanging_import(trial: Trial) -> Fault:
    """Run doctor with a backend that never finishes importing."""
    fault = Fault("a backend that hangs at import")
    hung = trial.folder / "hung" / "torch"
    hung.mkdir(parents=True)
    (hung / "__init__.py").write_text("import time\ntime.sleep(600)\n")
    done = run(
        [sys.executable, "-m", "lenet_multi", "doctor", "--timeout", f"{PATIENCE}", "--json"],
        env={
            **os.environ,
            "PYTHONPATH": f"{hung.parent}:{os.getcwd()}",
            "XDG_CACHE_HOME": str(trial.folder),  # keep its measurements out of the user's cache
        },
    )
    found = {part["backend"]: part["trouble"] for part in json.loads(done.stdout)["backends"]}
    told = found["torch"] == f"did not start within {PATIENCE} s"
    told &= all(not found[backend] for backend in trial.undisturbed if backend != "torch")
    fault.note(None if told else done.stderr[-300:])
    return fault


KINDS: dict[str, Callable[[Trial, argparse.Namespace, random.Random], Fault]] = {
    "flips": lambda trial, wanted, chance: flips(trial, wanted.flips, chance),
    "checkpoint-flips": lambda trial, wanted, chance: checkpoint_flips(trial, wanted.flips, chance),
    "full-disk": lambda trial, wanted, chance: full_disk(trial),
    "memory": lambda trial, wanted, chance: killed_for_memory(trial),
    "read-only": lambda trial, wanted, chance: read_only(trial),
    "clock": lambda trial, wanted, chance: clock_back(trial),
    "hang": lambda trial, wanted, chance: hanging_import(trial),
    "requests": lambda trial, wanted, chance: requests(trial, wanted.requests, chance),
    "kills": lambda trial, wanted, chance: kills(trial, wanted.kills, chance),
    "device-kills": lambda trial, wanted, chance: device_kills(trial, wanted.device_kills, chance),
    "workers": lambda trial, wanted, chance: workers(trial, chance),
}


def faults(trial: Trial, wanted: argparse.Namespace) -> Iterator[Fault]:
    """Do the requested harm, one kind after the other."""
    chance = random.Random(wanted.seed)
    for name in wanted.only or KINDS:
        yield KINDS[name](trial, wanted, chance)


def show(done: list[Fault], console: Console) -> None:
    """Print what was injected and what was lost."""
    table = Table(title="Faults", title_justify="left")
    table.add_column("fault")
    table.add_column("injected", justify="right")
    table.add_column("lost", justify="right")
    for fault in done:
        table.add_row(fault.name, f"{fault.injected}", f"{len(fault.lost)}")
    console.print(table)
    for fault in done:
        for lost in fault.lost:
            console.print(f"{fault.name}: {lost}", style="red")


def main() -> int:
    """Do what the command line says; return 1 if anything was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--device-kills", type=int, default=50)
    parser.add_argument("--requests", type=int, default=12)
    parser.add_argument("--flips", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="seed of the random moments and places")
    parser.add_argument("--only", action="append", choices=[*KINDS], help="kind of harm")
    parser.add_argument(
        "--out", type=Path, help="JSON to write; entries in it for other kinds stay"
    )
    wanted = parser.parse_args()
    done: list[Fault] = []
    with tempfile.TemporaryDirectory() as name:
        trial = prepare(Path(name), installed())
        try:
            done.extend(faults(trial, wanted))
        finally:
            show(done, Console())
    if wanted.out:
        earlier = read(wanted.out)["faults"] if wanted.out.exists() else []
        here = {
            "revision": revision(),
            "machine": environment.machine(),
            "versions": {
                k: v for b in trial.undisturbed for k, v in environment.versions(b).items()
            },
            "seed": wanted.seed,
        }
        now = {fault.name: {**here, **dataclasses.asdict(fault)} for fault in done}
        kept = list(({fault["name"]: fault for fault in earlier} | now).values())
        write_json(wanted.out, {"faults": kept})
    return int(any(fault.lost for fault in done))


if __name__ == "__main__":
    sys.exit(main())
