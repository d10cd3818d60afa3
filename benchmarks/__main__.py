"""Measure all backends in one run: `python -m benchmarks`, or `nox -s bench`.

Each backend has its own process, which lives for the whole run, and uses its own environment if
`--python` names one. The bench writes each sample to the result file at once, so Ctrl-C or a crash
loses nothing. It ends with the tables. The exit status is 1 if something could not be measured.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from benchmarks.epoch import OURS, STOCK
from benchmarks.record import Record
from benchmarks.report import RESULTS, read
from benchmarks.speed_figures import FIGURES
from benchmarks.speed_report import Results, bench_report
from benchmarks.study import SCALES, SMALL, Request, Scale, on_gpu, requests
from benchmarks.target import TARGET
from lenet_multi.lenet.image_sets import load
from lenet_multi.machine import environment
from lenet_multi.machine.children import bars
from lenet_multi.machine.frameworks import BACKENDS, installed
from lenet_multi.machine.instruction_sets import of_processor
from lenet_multi.machine.keras_start import GPU
from lenet_multi.runs.durable import write_json

SCHEMA_VERSION = 1

MEBIBYTE = 2**20


class FailedError(Exception):
    """A sample could not be taken; the message names the sample and the reason."""


class Worker:
    """A process that measures on one backend; it uses the first `processors` cores, or all."""

    def __init__(
        self, python: str, backend: str, processors: int, log: Path, *, stock: bool
    ) -> None:
        self.log = log.open("a")
        self.process = subprocess.Popen(
            [python, "-m", "benchmarks.worker", backend, *(["stock"] if stock else [])],
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            preexec_fn=lambda: _bind(processors),
        )
        self.started = self._answer()

    def ask(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to one request; raise `FailedError` if there is none."""
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(arguments), file=self.process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "the process ended"}
        if "error" in answer:
            raise FailedError(answer["error"])
        return answer

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        self.log.close()


def _bind(processors: int) -> None:
    if processors:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:processors])


def _environment(**variables: str) -> dict[str, str]:
    # Without Python's bytecode files, an import takes twice as long.
    ours = ("KERAS_", "PYTHONDONTWRITEBYTECODE")
    inherited = {name: v for name, v in os.environ.items() if not name.startswith(ours)}
    return {**inherited, "TF_CPP_MIN_LOG_LEVEL": "2", **variables}


class Bench:
    """One run of the benchmark: its processes, its records, its file."""

    def __init__(self, pythons: dict[str, str], out: Path, scale: str) -> None:
        self.pythons, self.out = pythons, out
        self.workers: dict[tuple[str, int, bool], Worker] = {}
        self.records: dict[tuple[str, ...], Record] = {}
        self.failures: dict[str, str] = {}
        self.versions: dict[str, dict[str, str]] = {}
        self.devices: dict[str, str] = {}
        self.began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.scale = scale
        self.load = os.getloadavg()[0]
        self.revision = revision()
        self.temporary = tempfile.TemporaryDirectory()

    def __enter__(self) -> "Bench":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self.workers.values():
            worker.close()
        self.temporary.cleanup()

    def take(self, request: Request) -> None:
        """Take one sample, or record why it failed."""
        name = f"{request.process} {request.backend} {_words(request.arguments)}"
        if name in self.failures:
            return
        try:
            for record in getattr(self, f"_{request.process}")(request):
                kept = self.records.setdefault(record.key(), dataclasses.replace(record, values=[]))
                kept.values.extend(record.values)
                kept.rounds.extend([request.round] * len(record.values))
        except (FailedError, subprocess.CalledProcessError) as error:
            output = getattr(error, "stderr", None) or str(error)
            self.failures[name] = output.strip().splitlines()[-1]
        self.write()

    def scale_here(self) -> Scale:
        """Return how much to measure here: GPU sizes if every backend computes on a GPU."""
        scale = SCALES[self.scale]
        if "gpu" not in environment.machine() or self.scale == "tiny":
            return scale
        with contextlib.suppress(FailedError):  # the backend's first sample will report it
            for backend in self.pythons:
                self._started(backend)
        on_gpus = [self.devices.get(backend) == GPU for backend in self.pythons]
        return on_gpu(scale) if all(on_gpus) else scale

    def _started(self, backend: str, processors: int = 0, *, stock: bool = False) -> Worker:
        # Stock gets its own process: ours and the loops by hand change theirs
        # (`machine.allocator`).
        place = (backend, processors, stock)
        if place not in self.workers:
            log = Path(self.temporary.name, f"{'-'.join(map(str, place))}.txt")
            python = self.pythons[backend]
            worker = Worker(python, backend, processors, log, stock=stock)
            self.workers[place] = worker
            self.versions[backend] = worker.started["versions"]
            self.devices[backend] = worker.started["device"]
        return self.workers[place]

    def _worker(self, request: Request) -> list[Record]:
        stock = request.arguments.get("way") == STOCK
        place = (request.backend, request.processors, stock)
        worker = self._started(request.backend, request.processors, stock=stock)
        try:
            record = Record(**worker.ask(request.arguments))
        except FailedError:  # a GPU's fault spoils later measurements in its process
            self.workers.pop(place).close()
            raise
        if request.processors:
            record.context["threads"] = request.processors
        return [record]

    def _retire(self, request: Request) -> list[Record]:
        """End the worker of ours and the loops by hand; the next request starts a new one."""
        if worker := self.workers.pop((request.backend, request.processors, False), None):
            worker.close()
        return []

    def _startup(self, request: Request) -> list[Record]:
        shutil.rmtree(self._cache(), ignore_errors=True)
        way, images = request.arguments["way"], request.arguments["images"]
        command = ("benchmarks.startup", "--backend", request.backend, "--way", way)
        found = json.loads(
            self._run(request.backend, *command, "--images", images, "--began", time.time())
        )
        memory = found.pop("peak memory") / MEBIBYTE

        def record(measure: str, unit: str, value: float) -> Record:
            return Record(measure, request.backend, way, unit, [value], {"images": images})

        parts = [record(part, "s", seconds) for part, seconds in found.items()]
        return [*parts, record("peak memory", "MiB", memory)]

    def _growth(self, request: Request) -> list[Record]:
        size, times = request.arguments["size"], request.arguments["times"]
        command = ("benchmarks.growth", "--backend", request.backend, size, "--times", times)
        found = json.loads(self._run(request.backend, *command))

        def record(measure: str, unit: str, values: list[float]) -> Record:
            return Record(measure, request.backend, OURS, unit, values, {"images": size})

        memory = found["memory beyond the data"] / MEBIBYTE
        return [
            record("epoch of a set", "s", found["epoch of a set"]),
            record("memory beyond the data", "MiB", [memory]),
        ]

    def _target(self, request: Request) -> list[Record]:
        way, small, backend = request.arguments["way"], request.arguments["small"], request.backend
        same: list[object] = ["--seed", request.arguments["seed"]]
        same += ["--data", self._few_images()] if small else []
        began = time.time()
        if way != STOCK:
            if way == OURS:  # start without compiled programs
                shutil.rmtree(self._cache(), ignore_errors=True)
            folder = Path(self.temporary.name, "run")
            flags = ("--recipe", "one-epoch", "--out", folder, "--overwrite", *same)
            self._run(backend, "lenet_multi.train", "--backend", backend, *flags)
            result = json.loads((folder / "result.json").read_text())
            self.versions.setdefault(backend, result["versions"])
            epochs, accuracy = 1, result["test_accuracy"]
        else:
            flags = (*same, *(("--target", 0.01) if small else ()))
            epochs, accuracy = json.loads(
                self._run(backend, "benchmarks.target", backend, *flags)
            ).values()
        seconds = time.time() - began
        reached = {"target": TARGET}
        return [
            Record("time to target", request.backend, way, "s", [seconds], reached),
            Record("epochs to target", request.backend, way, "epochs", [epochs], reached),
            Record("accuracy reached", request.backend, way, "share", [accuracy], reached),
        ]

    def _few_images(self) -> Path:
        """Return an .npz of a few images; it exercises every step but cannot reach the target."""
        dataset = load()
        parts = {"train": dataset.train[:SMALL], "test": dataset.test[:SMALL]}
        arrays = {f"x_{name}": part.x for name, part in parts.items()}
        arrays |= {f"y_{name}": part.y for name, part in parts.items()}
        path = Path(self.temporary.name, "few.npz")
        np.savez(path, allow_pickle=False, **arrays)
        return path

    def _cache(self) -> Path:
        """Return the folder in which fresh processes keep compiled programs."""
        return Path(self.temporary.name, "cache")

    def _run(self, backend: str, module: str, *arguments: object) -> str:
        done = subprocess.run(
            [self.pythons[backend], "-m", module, *map(str, arguments)],
            env=_environment(XDG_CACHE_HOME=str(self._cache())),
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.splitlines()[-1]

    def write(self) -> None:
        """Write everything measured so far, whole or not at all."""
        content = {
            "schema_version": SCHEMA_VERSION,
            "began": self.began,
            "scale": self.scale,
            "revision": self.revision,
            "machine": environment.machine(),
            "load_before": self.load,
            "versions": self.versions,
            "devices": self.devices,
            "failures": self.failures,
            "records": [dataclasses.asdict(record) for record in self.records.values()],
        }
        self.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.out, content, indent=1)


def _words(arguments: dict[str, Any]) -> str:
    return ", ".join(str(value) for value in arguments.values())


def revision() -> str:
    """Return the checked-out commit, with a mark if files differ from it."""
    try:
        return subprocess.check_output(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            text=True,
            stderr=subprocess.DEVNULL,
        ).strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def default_out(scale: str) -> Path:
    """Return the file of the full scale and of its parts in benchmarks/results/; others: runs/."""
    machine = environment.machine()
    held = "" if machine["instruction_set"] == of_processor() else machine["instruction_set"]
    words = f"{machine['processor']} {machine['cores']} {machine.get('gpu', '')} {held}"
    name = "-".join([*re.findall(r"\w+", words.lower()), time.strftime("%Y%m%d")])
    match scale:
        case "full":
            return RESULTS / f"{name}.json"
        case "targets":
            return RESULTS / f"{name}-seeds.json"
        case "distorted":
            return RESULTS / f"{name}-distorted.json"
        case _:
            return Path("runs", f"bench-{scale}", f"{name}.json")


def main() -> int:
    """Measure as the command line says, and print the results."""
    parser = argparse.ArgumentParser(
        prog="benchmarks", description=(__doc__ or "").split("\n")[0], allow_abbrev=False
    )
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="BACKEND=PATH",
        help="interpreter of a backend's environment (default: this one, for installed ones)",
    )
    scale = parser.add_mutually_exclusive_group()
    scale.add_argument("--quick", dest="scale", action="store_const", const="quick", default="full")
    scale.add_argument(
        "--targets",
        dest="scale",
        action="store_const",
        const="targets",
        help="measure only the time to 99 %%, from five seeds",
    )
    scale.add_argument(
        "--distorted",
        dest="scale",
        action="store_const",
        const="distorted",
        help="measure only what distorted images cost",
    )
    scale.add_argument("--tiny", dest="scale", action="store_const", const="tiny")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    asked = parser.parse_args()
    pythons = dict(name.split("=", 1) for name in asked.python) or dict.fromkeys(
        installed(), sys.executable
    )
    if unknown := [name for name in pythons if name not in BACKENDS]:
        parser.error(f"unknown backend {unknown[0]!r}; choose from {', '.join(BACKENDS)}")
    if missing := [path for path in pythons.values() if not shutil.which(path)]:
        parser.error(f"--python: there is no interpreter at {missing[0]}; name one that is there")
    out = asked.out or default_out(asked.scale)
    progress = bars()
    interrupted = False
    with Bench(pythons, out, asked.scale) as bench:
        try:
            wanted = list(requests(tuple(pythons), bench.scale_here()))
            task = progress.add_task("samples", total=len(wanted))
            with progress:
                for request in wanted:
                    words = _words(request.arguments)
                    progress.update(task, description=f"{request.backend}: {words}")
                    bench.take(request)
                    progress.advance(task)
        except KeyboardInterrupt:
            interrupted = True
    if interrupted and not bench.records:
        print("benchmarks: interrupted before anything was measured", file=sys.stderr)
        return 130
    content = read(out)
    results = Results.of(content)
    figures = {name: draw for name, (measure, draw) in FIGURES.items() if results.all(measure)}
    for name, draw in figures.items():
        draw(results, out.with_name(f"{out.stem}-{name}.png"))
    print(bench_report(content))
    print(f"Samples: {out}; figures beside it: {', '.join(figures)}")
    for name, reason in bench.failures.items():
        print(f"benchmarks: {name}: could not be measured: {reason}", file=sys.stderr)
    if interrupted:
        print(f"benchmarks: interrupted; what was measured is in {out}", file=sys.stderr)
        return 130
    return 1 if bench.failures else 0


if __name__ == "__main__":
    sys.exit(main())
