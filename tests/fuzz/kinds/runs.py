"""Run folders, complete and interrupted; most mutations are signed again.

A valid signature distinguishes a mutation from a flipped bit, so it reaches the checks behind the
signature.
"""

import dataclasses
import hashlib
import io
import json
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from lenet_multi.config import TrainConfig
from lenet_multi.machine import frameworks
from lenet_multi.parity.ascent import COMPARISON
from lenet_multi.runs import checkpoint
from lenet_multi.runs.folder import new_run_folder, unfinished
from lenet_multi.runs.journal import SCHEMA_VERSION
from lenet_multi.runs.record import (
    HISTORY,
    JOURNAL,
    MODEL,
    PREDICTIONS,
    RESULT,
    RESUME,
    write_run,
)
from tests.commands.report.material import climb_folder
from tests.examples import example_run, example_values_run
from tests.fuzz import stand_ins
from tests.fuzz.inputs import Input, Kind
from tests.fuzz.kinds import models
from tests.fuzz.kinds.npz import npy
from tests.fuzz.mutations import archive, changed_json, damaged, json_bytes, odd, signed
from tests.runs.test_checkpoint import example

NAMES = FIRST, SECOND = "fuzzed-a", "fuzzed-b"
UNFINISHED = "fuzzed-run"
_SIGNED = 0.8  # share of the mutations


def _save_model(path: str) -> None:
    Path(path).write_bytes(models.valid())


@cache
def whole(name: str, *, values: bool = False) -> dict[str, bytes]:
    """Return the files of a run: of a classifier, or with `values` of a regression."""
    first = frameworks.installed()[0]
    if values:
        run = example_values_run(first, error=8 if name == FIRST else 7.5)
    else:
        run = example_run(first, right=990 if name == FIRST else 985)
    run.result.config["data"] = "images.npz"
    with tempfile.TemporaryDirectory() as folder:
        with new_run_folder(Path(folder, name)) as draft:
            write_run(dataclasses.replace(run, folder=draft), _save_model)
        return {path.name: path.read_bytes() for path in Path(folder, name).iterdir()}


def _run(name: str, chance: Random, *, values: bool) -> dict[str, bytes]:
    """Return the files of a run, mostly with one odd file."""
    files = dict(whole(name, values=values))
    harm = chance.random()
    result = json.loads(files[RESULT])
    if harm < 0.15:
        files[PREDICTIONS] = _predictions(files[PREDICTIONS], chance)
    elif harm < 0.25:
        files[MODEL] = models.content(chance)
    elif harm < 0.3:
        files[HISTORY] = damaged(files[HISTORY], chance)
    if harm < 0.3 and chance.random() < _SIGNED:
        result["files_sha256"] = {
            other: hashlib.sha256(content).hexdigest()
            for other, content in files.items()
            if other != RESULT
        }
        files[RESULT] = json.dumps(signed(result)).encode()
    if 0.3 < harm < 0.95:
        deep = [name for name, value in result.items() if isinstance(value, dict | list)]
        if chance.random() < 0.5:
            field = chance.choice(deep)
            result[field] = changed_json(result[field], chance)
        else:
            result = changed_json(result, chance)
        if chance.random() < _SIGNED:
            files[RESULT] = json.dumps(signed(result)).encode() if _writes(result) else b"{}"
        else:
            files[RESULT] = json_bytes(result, chance)
    return files


@cache
def _climb() -> Any:
    """Return the record of a climb of the ladder."""
    with tempfile.TemporaryDirectory() as folder:
        return json.loads((climb_folder(Path(folder, "climb")) / COMPARISON).read_text())


def _writes(content: Any) -> bool:
    """Whether Python can write `content` as JSON; it cannot write very long integers."""
    try:
        json.dumps(content)
    except ValueError:
        return False
    return True


def _predictions(content: bytes, chance: Random) -> bytes:
    with np.load(io.BytesIO(content)) as arrays:
        (first, outputs), (second, targets) = arrays.items()
    way = chance.randrange(11)
    if way == 0:
        return damaged(content, chance)
    if way == 1:
        outputs = outputs.astype(chance.choice(("f8", "f2", "c8", "i4", "U9")))
    elif way == 2:
        outputs = outputs[:, : chance.choice((0, 1, 9))]
    elif way == 3:
        outputs, targets = outputs[:0], targets[:0]
    elif way == 4:
        outputs = np.full_like(outputs, chance.choice((np.nan, np.inf, 3e38, -3e38, 0)))
    elif way == 5:
        targets = targets + targets.dtype.type(chance.choice((1, 10, 200)))
    elif way == 6:
        targets = targets.astype(chance.choice(("O", "U9", "c8")))
    elif way == 7:
        outputs = outputs[0]
    elif way == 8:
        outputs, targets = np.array(1.0), np.array(1.0)
    elif way == 9:
        targets = np.stack([targets, targets], axis=1)
    return archive({f"{first}.npy": npy(outputs), f"{second}.npy": npy(targets)}, chance)


def _make(chance: Random) -> Input:
    files: dict[str, bytes | None] = {
        "images.npz": models.images(),
        "seven.png": models.seven(),
    }
    odd_one, values = chance.choice(NAMES), chance.random() < 0.3
    for name in NAMES:
        is_odd = name == odd_one
        of_run = _run(name, chance, values=values) if is_odd else whole(name, values=values)
        files |= {f"{name}/{file}": content for file, content in of_run.items()}
    if chance.random() < 0.1:
        files["fuzzed-climb/comparison.json"] = json_bytes(changed_json(_climb(), chance), chance)
    elif chance.random() < 0.03:
        del files[f"{odd_one}/{chance.choice([*whole(odd_one)])}"]
    climb = ("--parity", "fuzzed-climb") if "fuzzed-climb/comparison.json" in files else ()
    commands: tuple[tuple[str, ...], ...] = (
        ("compare", *NAMES),
        ("compare", *NAMES),
        ("compare", *NAMES, "--json"),
        ("report", *NAMES),
        ("report", odd_one),
        ("predict", "seven.png", "--model", odd_one),
        ("evaluate", odd_one),
        ("demo", odd_one, "--port", "0"),
    )
    chosen = ("report", *NAMES, *climb) if climb else chance.choice(commands)
    # An error about a run may name the data or the task instead.
    culprit = "" if chosen[0] == "evaluate" or values else "fuzzed"
    return Input(arguments=chosen, files=files, culprit=culprit)


def _make_unfinished(chance: Random) -> Input:
    folder = unfinished(Path(UNFINISHED)).name
    journal: Any = {
        "schema_version": SCHEMA_VERSION,
        "config": dataclasses.asdict(TrainConfig(data="images.npz")),
        "starts": [{"backend": frameworks.installed()[0], "form": "stock", "epoch": 0, "step": 0}],
    }
    if chance.random() < 0.5:
        journal = changed_json(journal, chance)
        if isinstance(journal, dict) and chance.random() < 0.5:
            journal["config"] = changed_json(dataclasses.asdict(TrainConfig()), chance)
    if chance.random() < _SIGNED:
        journal = signed(journal)
        content = json.dumps(journal).encode() if _writes(journal) else b"{}"
    else:
        content = json_bytes(journal, chance)
    files: dict[str, bytes | None] = {
        f"{folder}/{JOURNAL}": content,
        "images.npz": models.images(),
    }
    for steps in range(chance.choice((0, 1, 1, 2))):
        packed = _checkpoint(chance)
        digest = hashlib.sha256(packed).hexdigest()[:16]
        name = f"00001-{steps:08d}-{digest}.npz"
        if chance.random() < 0.1:
            name = chance.choice((f"0-{digest}.npz", "0.npz", "9" * 200 + f"-{digest}.npz"))
        files[f"{folder}/{RESUME}/{name}"] = packed
    return Input(
        arguments=("train", "--resume", UNFINISHED, "--quiet"),
        files=files,
        culprit="",  # an error about a setting out of range names the flag
    )


@cache
def _members() -> dict[str, bytes]:
    """Return the members of a checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.write(Path(folder), example())
        (path,) = Path(folder).iterdir()
        with zipfile.ZipFile(path) as packed:
            return {name: packed.read(name) for name in packed.namelist()}


def _checkpoint(chance: Random) -> bytes:
    members = dict(_members())
    facts = json.loads(np.load(io.BytesIO(members["facts.npy"])).tobytes())
    harm = chance.random()
    if harm < 0.6:
        facts = changed_json(facts, chance)
        if isinstance(facts, dict) and chance.random() < 0.2:
            facts[chance.choice(("variables", "best_weights"))] = odd(chance, like=1)
        text = json_bytes(facts, chance)
        members["facts.npy"] = npy(np.frombuffer(text, np.uint8))
    elif harm < 0.7:
        other = chance.choice((np.zeros(3), np.array(["x"]), np.array(3), np.zeros((2, 2), "u1")))
        members["facts.npy"] = npy(other)
    elif harm < 0.8:
        name = chance.choice([*members])
        members[name] = damaged(members[name], chance)
    elif harm < 0.9:
        del members[chance.choice([*members])]
    return archive(members, chance)


KINDS = (
    Kind(
        name="run folders",
        make=_make,
        share=15,
        mebibytes=384,
        prepare=stand_ins.install,
        told=r"Drawing \d+ runs",
    ),
    Kind(
        name="interrupted runs",
        make=_make_unfinished,
        share=8,
        mebibytes=256,
        prepare=stand_ins.install,
        told=r"Continue with: .*|What was kept so far: .*|trying an earlier checkpoint: .*",
    ),
)
