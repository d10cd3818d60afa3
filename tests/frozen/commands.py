"""Run the same commands with an earlier commit's package and with today's; find differences.

Bits differ between processors, so all of them run on this machine, in this environment. Each
command is a process: nothing of either package is imported here.
"""

import csv
import difflib
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

TIMEOUT = 900.0  # seconds; commands take at most two hundred
CRASH = "Traceback (most recent call last)"

# Fields that vary from run to run, and hashes of files that hold such fields.
TIMES = {
    "files_sha256",
    "peak_memory_bytes",
    "seconds",
    "sha256",
    "source_sha256",
    "starts",
    "train_seconds",
    "validation_seconds",
}
# Today's package adds these on purpose: why two processors give other bits, and settings that came.
ADDED = {
    *("instruction_set", "class_counts", "schema_version", "shuffle_split", "transpose"),
    *("class_names", "class_weights", "start_from"),
}

# In text: rows of seconds and of memory, and the rules of a table, which grow with them.
_TEXT = ((r"(?m)^│ (seconds|peak memory).*", r"│ \1"), (r"[━─┏┳┓┡╇┩└┴┘]+", "─"))
# In a report: charts, styles, the row of `ADDED`, other markup, seconds, memory.
_PAGE = (
    (r"(?s)<svg.*?</svg>|<style.*?</style>|<div><dt>instruction set</dt>.*?</div>", ""),
    (r"<[^>]+>", "\n"),
    (r"(?<![\d.])\d+\.\d\d?(?![\d.%])", "SECONDS"),
    (r"(SECONDS an epoch\s+)\d+", r"\1MIB"),
)


@dataclass(frozen=True)
class Case:
    """A command, its expected exit status, and a file that it must leave.

    If today's package prints something else on purpose, for example in a help text, `whole` is
    false. Then only the last line is compared, and no files.
    """

    name: str
    arguments: Sequence[str]
    status: int = 0
    leaves: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)
    whole: bool = True


@dataclass(frozen=True)
class Seen:
    """How a command ended, and everything it showed that must stay the same."""

    status: int
    stderr: str
    shown: dict[str, Any]

    def faults(self, case: Case) -> Iterator[str]:
        """Yield what must never happen, even if both packages do it."""
        end = self.stderr[-300:].strip()
        if self.status != case.status:
            yield f"status {self.status}, not {case.status}: {end}"
        if CRASH in self.stderr:
            yield f"a crash: {end}"
        if case.leaves and case.leaves not in self.shown["files"]:
            yield f"no {case.leaves} is left"


@dataclass(frozen=True)
class Package:
    """A package to run: its name, its folder, and the folder in which its commands run."""

    name: str
    source: Path
    place: Path

    def run(self, case: Case) -> Seen:
        """Run `lenet-multi ARGUMENTS` and return what it printed and left."""
        known = self._files()
        done = subprocess.run(
            [sys.executable, "-m", "lenet_multi", *case.arguments],
            cwd=self.place,
            env=self._environment(**case.environ),
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        is_json = done.stdout.startswith("{")
        said = lasting(json.loads(done.stdout)) if is_json else self._plain(done.stdout)
        refused = self._plain(done.stderr) if done.returncode == 2 else []
        if not case.whole:
            return Seen(done.returncode, done.stderr, {"last line": [*said, *refused][-1:]})
        changed = [path for path, at in self._files().items() if known.get(path) != at]
        files = {self._name(path): _content(path) for path in changed}
        shown = {"stdout": said, "stderr": refused, "files": files}
        return Seen(done.returncode, done.stderr, shown)

    def interrupt(self, arguments: Sequence[str], kept: Path) -> None:
        """Run a training and end it as soon as it wrote a checkpoint into the folder `kept`."""
        process = subprocess.Popen(
            [sys.executable, "-m", "lenet_multi", *arguments],
            cwd=self.place,
            env=self._environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + TIMEOUT
        while process.poll() is None and not any((self.place / kept).glob("*.npz")):
            if time.monotonic() > until:
                raise TimeoutError(f"{kept} stayed empty")
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        process.wait(TIMEOUT)

    def imported(self) -> Path:
        """Return the file of the imported package; an installed package could shadow it."""
        code = "import lenet_multi; print(lenet_multi.__file__)"
        command, environment = [sys.executable, "-c", code], self._environment()
        found = subprocess.check_output(command, cwd=self.place, env=environment, text=True)
        return Path(found.strip())

    def _environment(self, **environ: str) -> dict[str, str]:
        inherited = {name: v for name, v in os.environ.items() if name != "KERAS_BACKEND"}
        return {**inherited, "PYTHONPATH": str(self.source), **environ}

    def _files(self) -> dict[Path, int]:
        """Return the files in the folder, with their modification times."""
        found = (path for path in self.place.rglob("*") if path.is_file())
        return {path: path.stat().st_mtime_ns for path in found}

    def _name(self, path: Path) -> str:
        """Return the name of a file, without the time that TensorBoard puts into its own."""
        return re.sub(r"tfevents\.\d+", "tfevents.TIME", str(path.relative_to(self.place)))

    def _plain(self, text: str) -> list[str]:
        return _lines(text.replace(str(self.place), "PLACE"), _TEXT)


def differences(case: Case, first: Package, *others: Package) -> list[str]:
    """Run a command with each package, two at a time; return faults and differences."""
    packages = (first, *others)
    with ThreadPoolExecutor(2) as pool:
        seen = list(pool.map(lambda package: package.run(case), packages))
    found = []
    for package, one in zip(packages, seen, strict=True):
        wrong = [*one.faults(case), *different(seen[0].shown, one.shown)]
        found += [f"{package.name}: {what}" for what in wrong]
    return found


def different(first: Any, other: Any, where: str = "") -> Iterator[str]:
    """Yield where two values differ, element by element and line by line."""
    if isinstance(first, list) and isinstance(other, list):
        if all(isinstance(line, str) for line in (*first, *other)):
            changed = islice(difflib.unified_diff(first, other, n=0, lineterm=""), 2, None)
            yield from (f"{where}: {line[:200]}" for line in changed if line[0] != "@")
            return
        first, other = dict(enumerate(first)), dict(enumerate(other))
    if isinstance(first, dict) and isinstance(other, dict):
        for name in sorted({*first, *other}):
            a, b = first.get(name, "nothing"), other.get(name, "nothing")
            yield from different(a, b, f"{where} {name}".strip())
    elif first != other:
        yield f"{where}: {str(first)[:200]} and {str(other)[:200]}"


def lasting(value: Any) -> Any:
    """Return the fields of a record that must stay the same."""
    if isinstance(value, list):
        return [lasting(part) for part in value]
    if isinstance(value, dict):
        return {name: lasting(v) for name, v in value.items() if name not in TIMES | ADDED}
    return value


def _content(path: Path) -> Any:
    """Return the content of a file that must stay the same; formats with stamps give nothing.

    `export` prints how far an exported program's answers are from Keras's, so these are compared
    there.
    """
    if path.suffix == ".json":
        return lasting(json.loads(path.read_text()))
    if path.suffix == ".csv":
        return lasting(list(csv.DictReader(path.read_text().splitlines())))
    if path.suffix == ".html":
        return _lines(path.read_text(), _PAGE)
    if path.suffix in {".bin", ".onnx", ".png", ".xml"}:
        return _digest(re.sub(rb"[0-9a-f]{64}", b"", path.read_bytes()))  # source_sha256
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            return {name: _member(file, name) for name in file.namelist()}
    return "a file"


def _member(file: zipfile.ZipFile, name: str) -> str:
    """Return the hash of a member; some members hold dates and addresses of objects."""
    stamped = ("metadata.json", "config.json", "serialization_id")
    return "a member" if name.endswith(stamped) else _digest(file.read(name))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _lines(text: str, plain: Sequence[tuple[str, str]]) -> list[str]:
    """Return the lines of a text, with the replacements of `plain`."""
    for pattern, instead in plain:
        text = re.sub(pattern, instead, text)
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]
