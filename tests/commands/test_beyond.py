import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from lenet_multi.commands._beyond import beyond
from lenet_multi.config import TrainConfig, with_settings
from lenet_multi.errors import UserError
from lenet_multi.runs.record import read_run
from tests.examples import example_epochs, example_run, example_values_run, keep

CODE, DATA = "my_model.py:build", "my_model.py:data"


def kept(folder: Path, **settings: Any) -> Path:
    """Keep a run of a user's own model with these settings."""
    config = with_settings(TrainConfig(), {"architecture": CODE, "data": DATA, **settings})
    return keep(example_values_run(config=dataclasses.asdict(config)), folder)


def test_only_the_epochs_change(tmp_path: Path) -> None:
    """All other settings come from the record, and the finished run joins the earlier ones."""
    before = {"run": "first", "epochs": 1}
    run = example_run(seed=3, epochs=example_epochs(2), schema_version=6, earlier=[before])
    folder = keep(run, tmp_path / "run")
    config, earlier = beyond(folder, {"epochs": 5})
    assert config == TrainConfig(seed=3, epochs=5)
    assert [(one["run"], one["epochs"]) for one in earlier] == [("first", 1), (str(folder), 2)]
    assert earlier[1]["config"] == read_run(folder).result.config


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epochs": 1}, "run has trained 1 epochs; give --epochs above 1"),
        ({"epochs": 9, "learning_rate": 0.1}, "the run's settings; drop --learning-rate"),
        ({"epochs": 9, "architecture": CODE}, f"run is of lenet, not of {CODE}; drop MODEL"),
    ],
    ids=["no epochs", "another setting", "another model"],
)
def test_what_does_not_go_on_is_refused(
    tmp_path: Path, given: dict[str, Any], message: str
) -> None:
    """The error names the run or the flag, and says what to give or drop."""
    with pytest.raises(UserError, match=re.escape(message)):
        beyond(keep(example_run(), tmp_path / "run"), given)


def test_a_finished_run_starts_no_code_by_itself(tmp_path: Path) -> None:
    """The user must name the code of a run's model and data."""
    own = kept(tmp_path / "own")
    with pytest.raises(UserError, match="may not start; give it as MODEL too: lenet-multi train"):
        beyond(own, {"epochs": 9})
    assert beyond(own, {"epochs": 9, "architecture": CODE})[0].data == DATA
    foreign = kept(tmp_path / "foreign", data="evil.py:data")
    with pytest.raises(UserError, match=r"on evil.py:data, code .*; give --data evil.py:data"):
        beyond(foreign, {"epochs": 9, "architecture": CODE})
    given = {"epochs": 9, "architecture": CODE, "data": "evil.py:data"}
    assert beyond(foreign, given)[0].data == "evil.py:data"


def test_a_run_that_an_older_program_split_otherwise_is_refused(tmp_path: Path) -> None:
    """Such a run of a set of `hf:` would go on with other images for training."""
    config = dataclasses.asdict(TrainConfig(data="hf:digits"))
    assert beyond(keep(example_run(config=config), tmp_path / "new"), {"epochs": 9})
    del config["shuffle_split"]
    with pytest.raises(UserError, match="old is of an older program, which split hf:digits other"):
        beyond(keep(example_run(config=config), tmp_path / "old"), {"epochs": 9})
