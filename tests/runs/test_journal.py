import dataclasses
import json
import re
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
    """Give every backend a version, so none needs to be installed."""
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
    """Settings and each start's place, backend and reason are read back; a kill leaves no end."""
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
    assert forms == [(None, None), ("tiles", "stock")]  # the first start stopped before
    assert entries(tmp_path) == ["journal.json"]


def test_a_run_keeps_to_its_forms(tmp_path: Path) -> None:
    """A run keeps the forms of its last start on the backend that chose any."""
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
    """A journal of schema 4 is read, without its missing answer form and later settings."""
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


def test_a_run_that_goes_on_keeps_what_it_goes_on_from(tmp_path: Path) -> None:
    """A journal keeps the finished runs, their forms and the model that training started from."""
    entry = {
        "run": "a-run",
        "epochs": 2,
        "starts": [{"backend": BACKEND, "form": "tiles", "answer_form": "stock"}],
        "start_from": {},
        "initial_weights_sha256": "a" * 64,
        "model_sha256": "e" * 64,
    }
    of_start = {"path": "m.keras", "sha256": "f" * 64}
    journal = Journal(tmp_path, TrainConfig(), earlier=[entry], start_from=of_start)
    assert journal.forms_on(BACKEND) == ("tiles", "stock")
    with journal.started(backend=BACKEND, at=(2, 0)):
        pass
    read = Journal.read(tmp_path)
    assert (read.earlier, read.start_from) == ([entry], of_start)
    content = json.loads((tmp_path / "journal.json").read_text())
    assert content["schema_version"] == 5  # an older program would train from the first epoch


def test_other_journals_stay_as_they_were(tmp_path: Path) -> None:
    """The journal of a run without these options has the version that older programs read."""
    started(tmp_path)
    content = json.loads((tmp_path / "journal.json").read_text())
    assert content["schema_version"] == 4
    assert not {"earlier", "start_from"} & content.keys()


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
    """Without a valid journal there is no run to resume."""
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
        ({"earlier": [{"run": 5}]}, "damaged at earlier"),
        ({"start_from": {"path": 5}}, "damaged at start_from"),
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
        "odd finished run",
        "odd model to start from",
        "no backend",
        "odd form",
        "odd answer form",
    ],
)
def test_a_signed_journal_of_another_make_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    """The error names the wrong field of a signed journal."""
    started(tmp_path)
    path = tmp_path / "journal.json"
    write_record(path, {**check_record(path, json.loads(path.read_text())), **change})
    with pytest.raises(UserError, match=message):
        Journal.read(tmp_path)


def test_a_changed_journal_is_refused(tmp_path: Path) -> None:
    """A journal with a changed seed is refused as damaged."""
    started(tmp_path)
    path = tmp_path / "journal.json"
    path.write_text(path.read_text().replace('"seed": 3', '"seed": 4'))
    with pytest.raises(UserError, match=f"^{path} is damaged: its SHA-256 is not that of its con"):
        Journal.read(tmp_path)


def test_a_run_that_an_older_program_split_otherwise_is_refused(tmp_path: Path) -> None:
    """A set of `hf:` was split as stored before it was shuffled: such a run is not resumed."""
    journal = Journal(tmp_path, TrainConfig(data="hf:digits"))
    with journal.started(backend=BACKEND, at=(0, 0)):
        pass
    assert Journal.read(tmp_path).config.data == "hf:digits"
    path = tmp_path / "journal.json"
    content = check_record(path, json.loads(path.read_text()))
    del content["config"]["shuffle_split"]
    write_record(path, content)
    with pytest.raises(
        UserError, match=f"^{tmp_path} is of an older program, which split hf:digits"
    ):
        Journal.read(tmp_path)


def test_a_start_has_all_that_is_known_of_it(tmp_path: Path) -> None:
    """Its versions, its place, and local times with their offset; Ctrl-C is a reason by name."""
    journal = Journal(tmp_path, TrainConfig())
    with pytest.raises(KeyboardInterrupt), journal.started(backend="jax", at=(1, 2)):
        raise KeyboardInterrupt
    read = Journal.read(tmp_path)
    assert read.folder == tmp_path
    (start,) = read.starts
    times = [start.pop("began"), start.pop("ended")]
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}", time) for time in times)
    assert start == {
        "backend": "jax",
        "devices": 1,
        "form": None,
        "answer_form": None,
        "versions": {"jax": "1"},
        "epoch": 1,
        "step": 2,
        "reason": "KeyboardInterrupt",
    }


def test_the_last_start_with_forms_decides(tmp_path: Path) -> None:
    """Also one of the runs that this one goes on from, where this one has none on the backend."""
    start = {"backend": BACKEND, "answer_form": "stock"}
    earlier = [{"starts": [start | {"form": "old"}]}, {"starts": [start | {"form": "older"}]}]
    journal = Journal(tmp_path, TrainConfig(), earlier=earlier)
    assert journal.forms_on(BACKEND) == ("older", "stock")
    journal.starts.append(start | {"form": "new"})
    assert journal.forms_on(BACKEND) == ("new", "stock")


def test_a_refusal_says_what_to_do(tmp_path: Path) -> None:
    """Give another folder, or train again; all wrong settings are named."""
    path = tmp_path / "journal.json"

    def refused() -> str:
        with pytest.raises(UserError) as error:
            Journal.read(tmp_path)
        return str(error.value)

    assert refused() == f"{tmp_path} holds no unfinished run; give the folder of one"
    path.write_text("half")
    assert refused() == (
        f"{path} is damaged: Expecting value: line 1 column 1 (char 0); train again with "
        "--overwrite"
    )
    path.write_text("{}")
    assert refused() == f"{path} is of another version of lenet-multi; train again"
    started(tmp_path)
    content = check_record(path, json.loads(path.read_text()))
    content["config"] |= {"epochs": "many", "seed": "any"}
    write_record(path, content)
    assert refused() == f"{path} is damaged at epochs, seed; train again with --overwrite"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The error names the run's folder, which --out chose."""
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match=f"^cannot write {tmp_path}/file: Not a directory; "),
        Journal(tmp_path / "file", TrainConfig()).started(backend="jax", at=(0, 0)),
    ):
        pass
