import dataclasses
import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lenet_multi.errors import UserError
from lenet_multi.runs import checkpoint
from lenet_multi.runs.checkpoint import State
from lenet_multi.runs.record import OF_EACH_EPOCH
from tests.examples import example_epochs, example_run


def example(steps: int = 5) -> State:
    """Return a state after `steps` steps of its second epoch."""
    return State(
        epoch=1,
        steps=steps,
        epochs=example_run().result.epochs,
        epoch_seconds=1.5,
        train_seconds=9.25,
        data_sha256="d" * 64,
        names=["dense/kernel", "adam/iteration"],
        callbacks={"EarlyStopping": {"wait": 1, "best": 0.1}},
        variables=[np.full((2, 3), 0.1, np.float32), np.array(7)],
        best_weights=[np.ones(3, np.float32)],
    )


def equal(first: State, second: State) -> bool:
    """Return whether two states are equal to the bit."""

    def bits(state: State) -> list[tuple[str, tuple[int, ...], bytes]]:
        arrays = [*state.variables, *state.best_weights]
        return [(array.dtype.str, array.shape, array.tobytes()) for array in arrays]

    def facts(state: State) -> State:
        return dataclasses.replace(state, variables=[], best_weights=[])

    return bits(first) == bits(second) and facts(first) == facts(second)


def read(folder: Path, warn: Callable[[str], None]) -> State:
    """Return the newest undamaged state in `folder`."""
    state = checkpoint.read(folder, warn)
    assert state
    return state


def test_a_state_reads_back_to_the_bit(tmp_path: Path) -> None:
    """A state is read back to the bit: arrays of any dtype and shape, figures, callbacks' state."""
    checkpoint.write(tmp_path / "resume", example())
    assert equal(read(tmp_path / "resume", pytest.fail), example())


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    """Only the last two checkpoints stay; the newest by number is read, not by name."""
    for steps in (8, 9, 10, 100):
        checkpoint.write(tmp_path, example(steps))
    assert len(list(tmp_path.iterdir())) == 2
    assert read(tmp_path, pytest.fail).steps == 100


@given(share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path, share: float, bit: int) -> None:
    """If any bit of a checkpoint flips, the one before is read, and a warning names the bad one."""
    for path in tmp_path.iterdir():
        path.unlink()
    checkpoint.write(tmp_path, example(1))
    checkpoint.write(tmp_path, example(2))
    newest = max(tmp_path.iterdir())
    content = bytearray(newest.read_bytes())
    content[int(share * len(content))] ^= 1 << bit
    newest.write_bytes(content)
    warnings: list[str] = []
    assert equal(read(tmp_path, warnings.append), example(1))
    assert [newest.name in warning for warning in warnings] == [True]


def test_a_run_without_a_checkpoint_begins_anew(tmp_path: Path) -> None:
    """A run that was killed before its first checkpoint, or could not write it, has no state."""
    assert checkpoint.read(tmp_path / "resume", pytest.fail) is None
    (tmp_path / "resume").mkdir()
    assert checkpoint.read(tmp_path / "resume", pytest.fail) is None


def test_a_checkpoint_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    """If a checkpoint cannot be read, the one before is taken, with the system's reason."""
    checkpoint.write(tmp_path, example(1))
    (path,) = tmp_path.iterdir()
    (tmp_path / f"9{path.name}").mkdir()
    warnings: list[str] = []
    assert read(tmp_path, warnings.append).steps == 1
    assert ["Is a directory; give a readable file" in warning for warning in warnings] == [True]


def test_no_whole_checkpoint_is_an_error(tmp_path: Path) -> None:
    """If no checkpoint is undamaged, the error says to train again."""
    checkpoint.write(tmp_path, example())
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"no checkpoint in .* can be read; train again"):
        checkpoint.read(tmp_path, lambda warning: None)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"epoch": -1}, "epoch"),
        ({"steps": -1}, "steps"),
        ({"epoch_seconds": "long"}, "epoch_seconds"),
        ({"epochs": [{"epoch": 1}]}, "epochs"),
        ({"epochs": [*example_epochs(1), example_epochs(1)[0] | {"other": 1.0}]}, "epochs"),
        ({"names": ["dense/kernel"]}, "variables"),
        ({"variables": [np.array(["a"]), np.array(7)]}, "variables"),
        ({"best_weights": [np.ones(3)] * 3}, "best_weights"),
        ({"callbacks": {"EarlyStopping": None}}, "callbacks"),
        ({"callbacks": {"EarlyStopping": {"wait": "long"}}}, "callbacks"),
    ],
    ids=str,
)
def test_a_checkpoint_of_another_make_is_refused(
    tmp_path: Path, change: dict[str, Any], wrong: str
) -> None:
    """In an undamaged file, facts that do not fit are named."""
    checkpoint.write(tmp_path, dataclasses.replace(example(), **change))
    (path,) = tmp_path.iterdir()
    path.rename(path.with_name(f"0-{path.name.rpartition('-')[2]}"))  # no minus in front
    warnings: list[str] = []
    with pytest.raises(UserError, match=r"no checkpoint in .* can be read"):
        checkpoint.read(tmp_path, warnings.append)
    assert [warning.endswith(f".npz is damaged at {wrong}") for warning in warnings] == [True]


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"\xff", b"[" * 10**5, b"[]"],
    ids=["empty", "cut", "no text", "too deep", "a list"],
)
def test_facts_that_are_none_are_refused(tmp_path: Path, text: bytes) -> None:
    """Facts that are not JSON, or not an object, are refused."""
    buffer = io.BytesIO()
    np.savez(buffer, facts=np.frombuffer(text, np.uint8))
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()[:16]
    (tmp_path / f"00001-00000005-{digest}.npz").write_bytes(buffer.getvalue())
    with pytest.raises(UserError, match=r"no checkpoint in .* can be read"):
        checkpoint.read(tmp_path, lambda warning: None)


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": 0, "steps": 0, "epochs": [], "best_weights": []},
        {"best_weights": [np.ones(3), np.array(7)]},
        {"epochs": [dict.fromkeys(OF_EACH_EPOCH, 1.0)]},
    ],
    ids=["before the first step", "all weights are the best", "no metrics"],
)
def test_the_least_and_the_most_are_read(tmp_path: Path, change: dict[str, Any]) -> None:
    """A state may be of the beginning, of a model without metrics, or have all weights twice."""
    state = dataclasses.replace(example(), **change)
    checkpoint.write(tmp_path, state)
    assert equal(read(tmp_path, pytest.fail), state)


def test_all_that_is_wrong_is_named(tmp_path: Path) -> None:
    """The warning lists the facts, or has the reason why there are none."""
    checkpoint.write(tmp_path, dataclasses.replace(example(), epoch=-1, steps=-1))
    (path,) = tmp_path.iterdir()
    path.rename(path.with_name(f"0-{path.name.rpartition('-')[2]}"))
    buffer = io.BytesIO()
    np.savez(buffer, facts=np.frombuffer(b"{", np.uint8))
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()[:16]
    (tmp_path / f"00001-00000005-{digest}.npz").write_bytes(buffer.getvalue())
    warnings: list[str] = []
    with pytest.raises(UserError, match="no checkpoint"):
        checkpoint.read(tmp_path, warnings.append)
    no_json, no_facts = warnings
    assert no_json.startswith("trying an earlier checkpoint: ")
    assert no_json.endswith(
        f"{digest}.npz is damaged: Expecting property name enclosed in double "
        "quotes: line 1 column 2 (char 1)"
    )
    assert no_facts.endswith(".npz is damaged at epoch, steps")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The error names the folder of the checkpoints and the flag that chooses another."""
    (tmp_path / "resume").touch()
    with pytest.raises(UserError) as refused:
        checkpoint.write(tmp_path / "resume", example())
    assert str(refused.value) == (
        f"cannot write {tmp_path / 'resume'}: File exists; choose another --out"
    )
