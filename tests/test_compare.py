import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from lenet_multi.compare import RECOUNT, Comparison, compare, write_json
from lenet_multi.config import RECIPES
from lenet_multi.errors import UserError
from lenet_multi.runs import Run
from lenet_multi.tolerances import TEST_ACCURACY, TEST_ACCURACY_OF_FEW_IMAGES
from tests.conftest import Lenet
from tests.examples import IMAGES, RIGHT, example_run, keep

ALLOWED = round(TEST_ACCURACY.value / 100 * IMAGES)  # images between two runs that may differ


def compared(tmp_path: Path, *runs: Run) -> Comparison:
    """Return the comparison of runs written to folders of their own."""
    return compare([keep(run, tmp_path / str(index)) for index, run in enumerate(runs)])


def failed(comparison: Comparison) -> list[str]:
    """Return the names of the checks that failed."""
    return [check.name for check in comparison.checks if not check.passed]


def test_runs_that_agree_pass(tmp_path: Path) -> None:
    """Equal starts and nearly equal accuracies pass every check, for three runs at once."""
    comparison = compared(
        tmp_path, example_run("tensorflow"), example_run("jax", right=RIGHT - 1), example_run()
    )
    assert comparison.passed
    assert failed(comparison) == []


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"weights": [{"path": "dense/kernel"}]}, "weight tensors: names, shapes, types"),
        (
            {
                "weights": [
                    {"path": "dense/kernel", "shape": [10, 10], "dtype": "float16"},
                    {"path": "dense/bias", "shape": [10], "dtype": "float32"},
                ]
            },
            "weight tensors: names, shapes, types",
        ),
        ({"parameters": 111}, "parameters"),
        ({"initial_weights_sha256": "0" * 64}, "initial weights (SHA-256)"),
        ({"first_epoch_order_sha256": "0" * 64}, "first epoch's order (SHA-256)"),
        ({"test_correct": RIGHT + 1}, RECOUNT),
        ({"test_accuracy": RIGHT / IMAGES + 1e-4}, RECOUNT),
        ({"test_loss": 0.0}, RECOUNT),
        ({"right": RIGHT - ALLOWED - 1}, "test accuracy"),
        ({"right": RIGHT + ALLOWED + 1}, "test accuracy"),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2], ids=["first", "second", "third"])
def test_one_sabotaged_run_is_caught(
    tmp_path: Path, change: dict[str, Any], check: str, place: int
) -> None:
    """Whatever differs, in whichever run, the check where it belongs fails, and it alone."""
    runs = [example_run(), example_run(), example_run()]
    runs[place] = example_run(**change)
    assert failed(compared(tmp_path, *runs)) == [check]


def test_a_gap_just_allowed_passes(tmp_path: Path) -> None:
    """The margin itself is allowed; one image more is not (the sabotage above)."""
    assert compared(tmp_path, example_run(), example_run(right=RIGHT - ALLOWED)).passed


def test_few_training_images_get_a_wider_margin(tmp_path: Path) -> None:
    """Runs on 3,000 images may differ by what their seeds differ, and by no more."""
    wide = round(TEST_ACCURACY_OF_FEW_IMAGES.value / 100 * IMAGES)
    assert wide > ALLOWED
    first = example_run(train_images=3_000)
    within = example_run(train_images=3_000, right=RIGHT - wide)
    beyond = example_run(train_images=3_000, right=RIGHT - wide - 1)
    assert compared(tmp_path / "within", first, within).passed
    assert failed(compared(tmp_path / "beyond", first, beyond)) == ["test accuracy"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "setting seed is 0 and 1"),
        ({"config": dataclasses.asdict(RECIPES["notebook"])}, "setting epochs is 6 and 20"),
        ({"data_sha256": "0" * 64}, "data SHA-256 is dddddddddddd and 000000000000"),
        ({"train_images": 3_000}, "data train_images is 57000 and 3000"),
    ],
    ids=["seed", "recipe", "data", "split"],
)
def test_the_incomparable_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    """Runs of other settings, seeds or data are not compared; the error names what differs."""
    with pytest.raises(UserError, match=message):
        compared(tmp_path, example_run(), example_run(), example_run(**change))


def test_the_incomparable_ends_with_status_2(tmp_path: Path, lenet: Lenet) -> None:
    """The command says in one line why, and writes nothing."""
    keep(example_run(), tmp_path / "a")
    keep(example_run(seed=1), tmp_path / "b")
    done = lenet("compare", "a", "b")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "lenet-multi: a and b cannot be compared: setting seed is 0 and 1; train one again"
    ]
    assert not (tmp_path / "comparison.json").exists()


def test_other_versions_are_a_warning(tmp_path: Path, lenet: Lenet) -> None:
    """Runs of two Keras versions are compared; the warning is shown and recorded."""
    keep(example_run("jax"), tmp_path / "a")
    keep(example_run("torch", versions={"keras": "3.99", "torch": "9"}), tmp_path / "b")
    done = lenet("compare", "a", "b")
    assert done.returncode == 0
    assert "Warning: keras is 3.15.1 and 3.99" in done.stdout
    written = json.loads((tmp_path / "comparison.json").read_text())
    assert [warning.partition(":")[0] for warning in written["warnings"]] == [
        "keras is 3.15.1 and 3.99"
    ]


def test_what_a_run_keeps_is_not_compared(tmp_path: Path) -> None:
    """Runs that differ in what they keep on the way have learned the same."""
    config = {**example_run().result.config, "tensorboard": True, "checkpoint": "best"}
    assert compared(tmp_path, example_run(), example_run(config=config)).passed


def test_json_is_what_is_written(tmp_path: Path, lenet: Lenet) -> None:
    """With --json stdout is the comparison's file and nothing else; the verdict is the status."""
    keep(example_run("jax"), tmp_path / "a")
    keep(example_run("torch", right=800), tmp_path / "b")
    done = lenet("compare", "a", "b", "--json")
    assert done.returncode == 1
    assert done.stdout == (tmp_path / "comparison.json").read_text()


def test_equal_data_may_lie_in_different_places(tmp_path: Path) -> None:
    """The data's bytes are compared, not their path."""
    config = {**example_run().result.config, "data": "elsewhere"}
    assert compared(tmp_path, example_run(), example_run(config=config)).passed


def test_a_run_is_not_compared_with_itself(tmp_path: Path) -> None:
    """The same folder twice, and a single folder, are refused."""
    folder = keep(example_run(), tmp_path / "run")
    for folders in ([folder], [folder, tmp_path / "." / "run"]):
        with pytest.raises(UserError, match="two or more different run folders"):
            compare(folders)


@pytest.mark.parametrize(
    ("right", "status", "words"), [(RIGHT, 0, "The runs agree."), (800, 1, "test accuracy")]
)
def test_the_verdict_is_the_exit_status(
    tmp_path: Path, lenet: Lenet, right: int, status: int, words: str
) -> None:
    """The command prints both tables, writes comparison.json and exits 0 or 1."""
    keep(example_run("jax"), tmp_path / "a")
    keep(example_run("torch", right=right), tmp_path / "b")
    done = lenet("compare", "a", "b")
    assert done.returncode == status, done.stderr
    assert words in done.stdout.splitlines()[-1]
    assert {"jax", "torch", "verdict"} <= set(done.stdout.split())
    written = json.loads((tmp_path / "comparison.json").read_text())
    assert written["passed"] is (status == 0)
    assert [run["backend"] for run in written["runs"]] == ["jax", "torch"]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """The error names it and the flag that chooses another."""
    comparison = compared(tmp_path, example_run(), example_run())
    with pytest.raises(UserError, match=r"cannot write .*: No such file.*; choose another --out"):
        write_json(comparison, tmp_path / "nowhere" / "comparison.json")
