import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import click
import pytest

from lenet_multi.errors import UserError
from tests.conftest import PROJECT
from tests.fuzz import stand_ins
from tests.fuzz.__main__ import feed, general, made
from tests.fuzz.canary import CANARY
from tests.fuzz.inputs import Input, Kind
from tests.fuzz.kinds import KINDS
from tests.fuzz.kinds.idx import FOLDER, NAMES, few, idx
from tests.fuzz.kinds.npz import Payload
from tests.fuzz.session import Worker

WITH_KERAS = "models in Keras"
GOOD = Input(
    arguments=("train", "--data", FOLDER, "--quiet"),
    files={f"{FOLDER}/{name}": idx(array) for name, array in zip(NAMES, few(), strict=True)},
    culprit=FOLDER,
)


def session(folder: Path, inputs: int, *kinds: str) -> dict[str, dict[str, object]]:
    """Return the record of each kind after a successful session of these kinds."""
    flags = [flag for kind in kinds for flag in ("--kind", kind)] + ["--keep", str(folder)]
    out = folder / "fuzz.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--inputs", f"{inputs}", "--out", str(out), *flags],
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {tally["kind"]: tally for tally in json.loads(out.read_text())["kinds"]}


def test_a_small_session_ends_well(tmp_path: Path) -> None:
    """Every kind of input that needs no Keras is read or refused, and none fails."""
    without = [name for name in KINDS if name != WITH_KERAS]
    found = session(tmp_path, 70, *without)
    assert list(found) == without
    assert all(tally["failed"] == 0 for tally in found.values())
    assert sum(int(str(tally["inputs"])) for tally in found.values()) == 70


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
@pytest.mark.any_backend
def test_odd_models_are_told_by_keras_too(tmp_path: Path) -> None:
    """Keras reads or refuses every model file that passes the check of its configuration."""
    found = session(tmp_path, 20, WITH_KERAS)
    assert found[WITH_KERAS]["read"]
    assert found[WITH_KERAS]["refused"]


# Damaged files broke the Python of the process that had loaded them; each is refused alone.
KNOWN = {"models in Keras": 2}


def test_the_recorded_session_was_long_and_deep() -> None:
    """The record has 10,000 inputs and only known failures; each kind has reads and refusals."""
    record = json.loads((PROJECT / "benchmarks/results/fuzz.json").read_text())
    assert record["inputs"] >= 10_000
    assert {tally["kind"]: tally["failed"] for tally in record["kinds"] if tally["failed"]} == KNOWN
    assert [tally["kind"] for tally in record["kinds"]] == [*KINDS]
    for tally in record["kinds"]:
        assert min(tally["read"], tally["refused"]) >= tally["inputs"] / 20, tally
        assert tally["distinct_refusals"] >= 10, tally


def sabotaged(action: Callable[[], object]) -> Kind:
    """Return a kind whose reader of IDX files does `action` instead of reading."""

    def prepare() -> None:
        stand_ins.install()
        patch("lenet_multi.data.idx_folder.read_idx", lambda path, dimensions: action()).start()

    return Kind(name="sabotaged", make=lambda chance: GOOD, share=1, mebibytes=64, prepare=prepare)


def refuse(message: str) -> None:
    """Refuse an input with this message."""
    raise UserError(message)


def say_and_refuse(line: str) -> None:
    """Refuse an input in two lines."""
    click.echo(line, err=True)
    refuse(FOLDER)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda: int("x"), "ValueError: invalid literal"),
        (lambda: bytearray(2**30), "MemoryError"),
        (lambda: time.sleep(60), "hangs: no end after 1 s"),
        (lambda: os._exit(3), "died with exit status 3"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "died with exit status -9"),
        (lambda: sys.exit(4), "exit status 4"),
        (lambda: refuse("something is wrong"), f"does not name {FOLDER}"),
        (lambda: refuse(f"{FOLDER} is damaged: "), "gives no reason"),
        (lambda: say_and_refuse("one line too many"), "a refusal of 2 lines"),
        (lambda: say_and_refuse("x.py:3: UserWarning: odd"), "shows a traceback or a warning"),
        (lambda: pickle.loads(pickle.dumps(Payload())), "pickle.find_class"),
        (lambda: CANARY.touch(), f"open {CANARY}, the canary was touched"),
        (lambda: Path("../stray").touch(), "stray was written outside"),
        (lambda: Path("/nowhere/stray").mkdir(), "os.mkdir /nowhere/stray"),
        (lambda: os.system("true"), "os.system"),
        (lambda: subprocess.run(["true"]), "subprocess.Popen"),
    ],
    ids=[
        *("raises", "allocates", "sleeps", "exits", "is killed", "odd status", "names nothing"),
        *("no reason", "two lines", "warns", "unpickles", "canary", "escapes", "writes", "shell"),
        "process",
    ],
)
def test_a_bad_reader_is_caught(action: Callable[[], object], message: str) -> None:
    """Whatever a reader must not do fails the input, and the next input is still judged."""
    with Worker(sabotaged(action), patience=1.0) as worker:
        outcomes = [worker.judge(GOOD), worker.judge(GOOD)]
    for outcome in outcomes:
        assert outcome.word == "failed"
        assert message in outcome.message


def test_growth_is_caught() -> None:
    """Memory that grows in steps fails the input, below the limit of addresses or not."""
    kept: list[bytearray] = []

    def grow() -> None:
        while len(kept) < 500:
            kept.append(bytearray(2**20))

    with Worker(sabotaged(grow)) as worker:
        assert worker.judge(GOOD).word == "failed"


def test_a_good_input_is_read() -> None:
    """A correct reader reads the input on which the sabotaged readers fail."""
    with Worker(KINDS["IDX"]) as worker:
        assert worker.judge(GOOD).word == "read"


def test_a_failure_is_kept_and_seen_again(tmp_path: Path) -> None:
    """The first failing input of each sort is kept in a file, and read back unchanged."""
    kind = sabotaged(lambda: int("x"))
    tally = feed(kind, 3, seed=0, keep=tmp_path)
    assert (tally.inputs, tally.failed, len(tally.failures)) == (3, 3, 1)
    (path,) = tmp_path.iterdir()
    assert [*tally.failures.values()] == [str(path)]
    assert Input.read(path) == (kind.name, GOOD)


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_inputs_are_many_and_the_same_again(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A seed and a number always make the same input, others make others; each can be kept."""
    monkeypatch.setattr(time, "time", lambda: 1.7e9)  # zipfile writes the time into its archives
    inputs = [made(kind, 0, index) for index in range(5)]
    assert inputs == [made(kind, 0, index) for index in range(5)]
    assert len({repr(given) for given in inputs}) == 5
    assert repr(made(kind, 1, 0)) not in {repr(given) for given in inputs}
    inputs[0].write(tmp_path / "kept.json", kind.name)
    assert Input.read(tmp_path / "kept.json") == (kind.name, inputs[0])


def test_messages_are_counted_without_names() -> None:
    """Two refusals that differ only in paths, values and numbers count as one."""
    one, other = (
        f"/a/{name}.gz is damaged: {number} bytes of {number + 1:,}, not '{name}'"
        for name, number in (("x", 5), ("fuzzed-y", 70_000))
    )
    assert general(one) == general(other)
