import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from lenet_multi.config import TrainConfig
from lenet_multi.errors import UserError
from lenet_multi.runs.durable import check_record, write_record
from lenet_multi.runs.journal import Journal
from tests.runs.test_folder import entries

BACKEND = "jax"


@pytest.fixture(autouse=True)
def versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make versions available without an installed backend."""
    monkeypatch.setattr("lenet_multi.machine.environment.versions", lambda backend: {backend: "1"})


def started(folder: Path) -> Journal:
    """Return the journal of a run that started once and was stopped."""
    journal = Journal(folder, TrainConfig(seed=3))
    with (
        pytest.raises(RuntimeError),
        journal.started(backend=BACKEND, at=(0, 0)),
    ):
        raise RuntimeError("the lamp went out")
    return journal


def test_every_start_and_stop_is_noted(tmp_path: Path) -> None:
    """Settings, epoch, step, backend and reason read back; a killed start has no end."""
    journal = started(tmp_path)
    kept = []
    with journal.started(backend="torch", at=(2, 70)):
        journal.computed_in("tiles", "stock")
        kept = Journal.read(tmp_path).starts
    read = Journal.read(tmp_path)
    assert read.config == TrainConfig(seed=3)
    assert [(start["epoch"], start["step"], start["reason"]) for start in read.starts] == [
        (0, 0, "the lamp went out"),
        (2, 70, "finished"),
    ]
    assert (kept[-1]["ended"], kept[-1]["reason"]) == (None, None)
    forms = [(start["form"], start["answer_form"]) for start in kept]
    assert forms == [(None, None), ("tiles", "stock")]  # the first stopped before
    assert entries(tmp_path) == ["journal.json"]


def test_a_run_keeps_to_its_forms(tmp_path: Path) -> None:
    """A run's forms are those of the last start on the backend that recorded them."""
    journal = Journal(tmp_path, TrainConfig())
    assert journal.forms_on("jax") == (None, None)
    for backend, forms in (
        ("jax", ("stock", "stock")),
        ("jax", ("tiles", "stock")),
        ("torch", ("winograd", "stock")),
        ("jax", None),
    ):
        with journal.started(backend=backend, at=(0, 0)):
            if forms:
                journal.computed_in(*forms)
    read = Journal.read(tmp_path)
    assert read.forms_on("jax") == ("tiles", "stock")
    assert read.forms_on("torch") == ("winograd", "stock")
    assert read.forms_on("tensorflow") == (None, None)


def test_a_journal_of_schema_4_is_read(tmp_path: Path) -> None:
    """Schema 4 may lack the answer form, which is then chosen again, and newer settings."""
    started(tmp_path)
    path = tmp_path / "journal.json"
    content = check_record(path, json.loads(path.read_text()))
    content["schema_version"] = 4
    del content["starts"][0]["answer_form"]
    del content["config"]["dtype_policy"]
    write_record(path, content)
    read = Journal.read(tmp_path)
    assert read.config == TrainConfig(seed=3)
    assert read.forms_on(BACKEND) == (None, None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no unfinished run"),
        (b"{", "damaged"),
        (b"[]", "another version"),
        (b'{"schema_version": 1}', "another version"),
    ],
    ids=["missing", "truncated", "a list", "of another schema"],
)
def test_what_is_no_journal_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    """A missing or unknown journal is refused."""
    if content is not None:
        (tmp_path / "journal.json").write_bytes(content)
    with pytest.raises(UserError, match=message):
        Journal.read(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": None}, "damaged at config"),
        ({"config": {"sead": 3}}, "damaged at sead"),
        ({"config": {**dataclasses.asdict(TrainConfig()), "epochs": "many"}}, "damaged at epochs"),
        ({"config": {**dataclasses.asdict(TrainConfig()), "epochs": 0}}, "--epochs must be at"),
        ({"starts": []}, "damaged at starts"),
        ({"starts": [{"form": "stock"}]}, "damaged at starts"),
        ({"starts": [{"backend": BACKEND, "form": 5}]}, "damaged at starts"),
        ({"starts": [{"backend": BACKEND, "answer_form": [1]}]}, "damaged at starts"),
    ],
    ids=[
        "no settings",
        "no such setting",
        "odd type",
        "out of range",
        "never started",
        "no backend",
        "odd form",
        "odd answer form",
    ],
)
def test_a_signed_journal_of_another_make_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    """The error names what is wrong."""
    started(tmp_path)
    path = tmp_path / "journal.json"
    write_record(path, {**check_record(path, json.loads(path.read_text())), **change})
    with pytest.raises(UserError, match=message):
        Journal.read(tmp_path)


def test_a_changed_journal_is_refused(tmp_path: Path) -> None:
    """A changed seed in the file counts as damage."""
    started(tmp_path)
    path = tmp_path / "journal.json"
    path.write_text(path.read_text().replace('"seed": 3', '"seed": 4'))
    with pytest.raises(UserError, match="its SHA-256 is not that of its content"):
        Journal.read(tmp_path)
