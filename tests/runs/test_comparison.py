import dataclasses
import errno
import json
import os
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from lenet_multi.config import TEACHING
from lenet_multi.data.metrics import errors
from lenet_multi.errors import UserError
from lenet_multi.lenet.recipes import RECIPES
from lenet_multi.runs import comparison
from lenet_multi.runs.comparison import (
    RECOUNT,
    Comparison,
    compare,
    premises,
    print_tables,
    seconds_per_epoch,
    write_json,
)
from lenet_multi.runs.record import Run
from lenet_multi.runs.tolerances import TEST_ACCURACY, TEST_ACCURACY_OF_FEW_IMAGES, TEST_METRIC
from tests.conftest import Lenet
from tests.examples import (
    IMAGES,
    RIGHT,
    example_epochs,
    example_run,
    example_values_run,
    keep,
)

ALLOWED = round(TEST_ACCURACY.value / 100 * IMAGES)  # images by which two runs may differ


def compared(tmp_path: Path, *runs: Run) -> Comparison:
    """Return the comparison of runs, each written to its own folder."""
    return compare([keep(run, tmp_path / str(index)) for index, run in enumerate(runs)])


def printed(comparison: Comparison, *, colours: bool = False) -> str:
    """Return the tables as the command prints them, or with a terminal's colours."""
    console = Console(
        file=StringIO(),
        markup=False,
        width=140,
        force_terminal=colours,
        color_system="standard" if colours else None,
        no_color=False,
    )
    with console.capture() as capture:
        print_tables(comparison, console)
    return capture.get()


def failed(comparison: Comparison) -> list[str]:
    """Return the names of the failed checks."""
    return [check.name for check in comparison.checks if not check.passed]


def test_runs_with_other_starts_are_not_compared(tmp_path: Path) -> None:
    """Runs are not compared if one restarted its schedule or began with other weights."""
    plain = example_run()
    on = example_run("torch", schema_version=6, earlier=[{"epochs": 3}])
    of_start = {"path": "m", "sha256": "f" * 64}
    from_model = example_run("torch", schema_version=6, start_from=of_start)
    for run, words in ((on, "epochs before is "), (from_model, "start from is ")):
        with pytest.raises(UserError, match=f"cannot be compared: {words}"):
            compared(tmp_path / words, plain, run)


def test_runs_from_copies_of_one_model_are_compared(tmp_path: Path) -> None:
    """Runs are compared if they started from the same bytes, wherever the file was."""
    runs = []
    for backend in ("jax", "torch"):
        run = example_run(
            backend, schema_version=6, start_from={"path": backend, "sha256": "f" * 64}
        )
        run.result.config["start_from"] = backend
        runs.append(run)
    assert compared(tmp_path, *runs).passed


def test_runs_that_agree_pass(tmp_path: Path) -> None:
    """Equal starts and nearly equal accuracies pass every check, for three runs at once."""
    runs = [
        example_run(backend, right=right, parameters=431_080)
        for backend, right in (("tensorflow", RIGHT), ("jax", RIGHT - 1), ("torch", RIGHT))
    ]
    comparison = compared(tmp_path, *runs)
    assert comparison.passed
    assert failed(comparison) == []
    assert comparison.warnings == []
    assert [run.result.backend for run in comparison.runs] == ["tensorflow", "jax", "torch"]
    assert [dataclasses.astuple(check)[1:3] for check in comparison.checks] == [
        (["2 tensors"] * 3, "equal"),
        (["431,080"] * 3, "equal"),
        (["aaaaaaaaaaaa"] * 3, "equal"),
        (["bbbbbbbbbbbb"] * 3, "equal"),
        (["990, loss 1.4712", "989, loss 1.4722", "990, loss 1.4712"], "as recorded"),
        (["99.00%", "98.90%", "99.00%"], "0.10 apart, 0.5 percentage points allowed"),
    ]


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
    """Whatever differs, in whichever run, only the check for it fails."""
    runs = [example_run(), example_run(), example_run()]
    runs[place] = example_run(**change)
    assert failed(compared(tmp_path, *runs)) == [check]


def test_an_edited_result_is_shown_beside_the_recount(tmp_path: Path) -> None:
    """If a record differs from the recount, the table shows the recount and says so."""
    comparison = compared(tmp_path, example_run(), example_run(test_correct=RIGHT + 1))
    (check,) = (check for check in comparison.checks if check.name == RECOUNT)
    assert check.shown == ["990, loss 1.4712", "990, loss 1.4712: NOT as recorded"]


def test_a_gap_just_allowed_passes(tmp_path: Path) -> None:
    """A gap equal to the margin passes; one image more fails (the sabotage above)."""
    assert compared(tmp_path, example_run(), example_run(right=RIGHT - ALLOWED)).passed


def test_few_training_images_get_a_wider_margin(tmp_path: Path) -> None:
    """Runs on 3,000 training images may differ by the larger margin of their seeds, not more."""
    wide = round(TEST_ACCURACY_OF_FEW_IMAGES.value / 100 * IMAGES)
    assert wide > ALLOWED
    first = example_run(train_images=3_000)
    within = example_run(train_images=3_000, right=RIGHT - wide)
    beyond = example_run(train_images=3_000, right=RIGHT - wide - 1)
    assert compared(tmp_path / "within", first, within).passed
    assert failed(compared(tmp_path / "beyond", first, beyond)) == ["test accuracy"]


def test_regressions_that_agree_pass(tmp_path: Path) -> None:
    """Regressions are compared by their headline metric, and their errors are recounted."""
    runs = [example_values_run("jax", error=8), example_values_run("torch", error=7.75)]
    comparison = compared(tmp_path, *runs)
    assert failed(comparison) == []
    recount, headline = comparison.checks[-2:]
    assert dataclasses.astuple(recount) == (
        "test errors, recounted",
        [
            "mean_squared_error 64, mean_absolute_error 8",
            "mean_squared_error 60.06, mean_absolute_error 7.75",
        ],
        "as recorded",
        True,
    )
    assert dataclasses.astuple(headline) == (
        "test mean_absolute_error",
        ["8", "7.75"],
        "3.1% apart, 5% relative allowed",
        True,
    )


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"test_metrics": {"mean_absolute_error": 8.0}}, "test errors, recounted"),
        (
            {"test_metrics": {"mean_absolute_error": 8.0, "mean_squared_error": 63.0}},
            "test errors, recounted",
        ),
        ({"error": 7}, "test mean_absolute_error"),
        ({"error": 9}, "test mean_absolute_error"),
    ],
    ids=["lacks an error", "edited", "smaller", "larger"],
)
@pytest.mark.parametrize("place", [0, 1], ids=["first", "second"])
def test_one_sabotaged_regression_is_caught(
    tmp_path: Path, change: dict[str, Any], check: str, place: int
) -> None:
    """Whatever differs in a regression, only the check for it fails."""
    runs = [example_values_run(error=8), example_values_run(error=8)]
    runs[place] = example_values_run(**{"error": 8, **change})
    comparison = compared(tmp_path, *runs)
    assert failed(comparison) == [check]
    shown = comparison.checks[-2].shown[place]
    assert shown.endswith(": NOT as recorded") == ("recounted" in check)


@pytest.mark.parametrize(
    ("metrics", "gap", "passed"),
    [
        ((10.0, 9.5), "5.0%", True),
        ((10.0, 9.49), "5.1%", False),
        ((0.0, 0.0), "0.0%", True),
        ((-9.5, -10.0), "5.0%", True),
        ((0.0, -0.1), "100.0%", False),
        ((1.0, -1.0), "200.0%", False),
    ],
    ids=["just allowed", "beyond", "both 0", "below 0", "up to 0", "on both sides"],
)
def test_a_metric_may_be_any_number(
    tmp_path: Path, metrics: tuple[float, float], gap: str, passed: bool
) -> None:
    """The gap is a share of the larger metric, whatever their signs."""
    assert TEST_METRIC.value == 0.05
    run = example_values_run()
    headlines = [{"r2_score": value} | run.result.test_metrics for value in metrics]
    comparison = compared(tmp_path, *(example_values_run(test_metrics=one) for one in headlines))
    check = comparison.checks[-1]
    assert (check.name, check.passed) == ("test r2_score", passed)
    assert check.allowed == f"{gap} apart, 5% relative allowed"


def test_what_numpy_knows_no_errors_of_is_not_recounted(tmp_path: Path) -> None:
    """If outputs and targets differ in shape, as with a user's loss, no errors are recounted."""
    run = example_values_run(test_metrics={"mine": 1.0})
    pairs = dataclasses.replace(run, targets=np.stack([run.targets, run.targets], axis=1))
    comparison = compared(tmp_path, pairs, pairs)
    assert comparison.passed
    assert comparison.checks[-2].shown == ["none", "none"]


def test_tables_of_a_regression_count_no_right_answers(tmp_path: Path) -> None:
    """A regression's table starts with its headline metric and has no right answers."""
    runs = [example_values_run("jax", error=8), example_values_run("torch", error=7.75)]
    text = printed(compared(tmp_path, *runs))
    (row, _) = (line for line in text.splitlines() if line.startswith("│ test mean_absolute"))
    assert row.replace("│", "").split() == ["test", "mean_absolute_error", "8", "7.75"]
    assert "correct" not in text
    assert "The runs agree." in text


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"seed": 1}, "setting seed is 0 and 1"),
        ({"config": dataclasses.asdict(RECIPES["notebook"])}, "setting epochs is 6 and 20"),
        ({"data_sha256": "0" * 64}, "data SHA-256 is dddddddddddd and 000000000000"),
        ({"train_images": 3_000}, "data train_images is 57000 and 3000"),
    ],
    ids=["seed", "recipe", "data", "split"],
)
@pytest.mark.parametrize("place", [1, 2], ids=["second", "third"])
def test_the_incomparable_is_refused(
    tmp_path: Path, change: dict[str, Any], difference: str, place: int
) -> None:
    """Runs with other settings, seeds or data are refused, and the error names the difference."""
    runs = [example_run(), example_run(), example_run()]
    runs[place] = example_run(**change)
    with pytest.raises(UserError) as caught:
        compared(tmp_path, *runs)
    assert str(caught.value) == (
        f"{tmp_path / '0'} and {tmp_path / str(place)} cannot be compared: {difference}; "
        "train one again"
    )


def test_what_begins_alike_is_told_to_its_end(tmp_path: Path) -> None:
    """Names of classes that differ after their first letters are not shown as if they were one."""
    names = [f"class number {label}" for label in range(10)]
    runs = [
        example_run(schema_version=6, class_names=names),
        example_run(schema_version=6, class_names=[*names[:9], "another class"]),
    ]
    with pytest.raises(UserError, match=r"class number 9 and .* another class; train one again"):
        compared(tmp_path, *runs)


@pytest.mark.parametrize(
    ("metrics", "difference"),
    [
        ({"r2_score": 0.5}, "model headline is mean_absolut and r2_score"),
        (None, "model classifies is False and True"),
    ],
    ids=["another metric", "a classifier by now"],
)
def test_a_task_that_became_another_is_refused(
    tmp_path: Path, metrics: dict[str, float] | None, difference: str
) -> None:
    """If a user's task was edited and measures something else, the error names the difference."""
    first = example_values_run()
    second = (
        example_values_run(test_metrics=metrics | first.result.test_metrics)
        if metrics
        else example_run(config=first.result.config)
    )
    with pytest.raises(UserError, match=f"cannot be compared: {difference}; train one again"):
        compared(tmp_path, first, second)


def test_runs_share_what_teaches_and_the_data() -> None:
    """Runs are comparable with equal data and settings, except settings of what they keep."""
    result = example_run().result
    assert premises(result) == {
        **{f"setting {name}": result.config[name] for name in TEACHING - {"data", "start_from"}},
        "epochs before": [],
        "start from": "none",
        "data train_images": 57_000,
        "data validation_images": 3_000,
        "data test_images": 1_000,
        "data SHA-256": "d" * 64,
        "model classifies": True,
        "model headline": "accuracy",
        "model class names": "numbers",
    }


def test_the_incomparable_ends_with_status_2(tmp_path: Path, lenet: Lenet) -> None:
    """Incomparable runs end the command with one line and status 2, without a file."""
    keep(example_run(), tmp_path / "a")
    keep(example_run(seed=1), tmp_path / "b")
    done = lenet("compare", "a", "b")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "lenet-multi: a and b cannot be compared: setting seed is 0 and 1; train one again"
    ]
    assert not (tmp_path / "comparison.json").exists()


def test_other_versions_are_a_warning(tmp_path: Path) -> None:
    """Runs with different package versions are compared, and each package gives one warning."""
    versions = [
        {"keras": "3.99", "numpy": "2.4", "jax": "1"},
        {"keras": "3.15.1", "numpy": "2.3", "torch": "9"},
        {"keras": "3.99", "numpy": "2.4"},
    ]
    comparison = compared(tmp_path, *(example_run(versions=shared) for shared in versions))
    assert comparison.passed
    assert comparison.warnings == [
        "keras is 3.15.1 and 3.99: this may explain a difference",
        "numpy is 2.3 and 2.4: this may explain a difference",
    ]


def test_another_instruction_set_is_a_warning(tmp_path: Path) -> None:
    """Different instruction sets give a warning, but a run that recorded none gives none."""
    machines = [{"instruction_set": "avx512"}, {"cores": 2}, {"instruction_set": "avx2"}]
    comparison = compared(tmp_path, *(example_run(machine=machine) for machine in machines))
    assert comparison.passed
    assert comparison.warnings == [
        "the instruction set is avx2 and avx512: this may explain a difference"
    ]


def test_another_number_of_threads_is_a_warning(tmp_path: Path) -> None:
    """Sums are rounded in another order, so the weights differ even on one backend."""
    comparison = compared(tmp_path, *(example_run("torch", threads=count) for count in (1, 2)))
    assert comparison.passed
    assert comparison.warnings == [
        "the number of threads is 1 and 2: this may explain a difference"
    ]


PRINTED = """\
Runs
┏━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━┓
┃                   ┃          jax ┃        torch ┃
┡━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━┩
│ test accuracy     │       99.00% │       80.00% │
│ test loss         │       1.4712 │       1.6612 │
│ correct           │ 990 of 1,000 │ 800 of 1,000 │
│ epochs            │            5 │            1 │
│ seconds per epoch │         4.00 │         4.00 │
│ seconds in total  │          5.8 │          5.8 │
│ peak memory       │    1,500 MiB │      500 MiB │
└───────────────────┴──────────────┴──────────────┘
Do they agree?
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━┓
┃ check                                ┃              jax ┃            torch ┃ allowed                                    ┃ verdict ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━┩
│ weight tensors: names, shapes, types │        2 tensors │        2 tensors │ equal                                      │ pass    │
│ parameters                           │              110 │              110 │ equal                                      │ pass    │
│ initial weights (SHA-256)            │     aaaaaaaaaaaa │     aaaaaaaaaaaa │ equal                                      │ pass    │
│ first epoch's order (SHA-256)        │     bbbbbbbbbbbb │     bbbbbbbbbbbb │ equal                                      │ pass    │
│ right answers and loss, recounted    │ 990, loss 1.4712 │ 800, loss 1.6612 │ as recorded                                │ pass    │
│ test accuracy                        │           99.00% │           80.00% │ 19.00 apart, 0.5 percentage points allowed │ FAIL    │
└──────────────────────────────────────┴──────────────────┴──────────────────┴────────────────────────────────────────────┴─────────┘
Warning: keras is 3.15.1 and 3.99: this may explain a difference.
The runs DIFFER, first in: test accuracy.
"""  # noqa: E501


def test_tables_show_the_runs_and_the_checks(tmp_path: Path) -> None:
    """Runs are side by side, then the checks with verdicts, the warnings and the first failure."""
    epochs = [
        {**epoch, "train_seconds": seconds}
        for epoch, seconds in zip(example_epochs(5), (30.0, 3.0, 5.0, 4.0, 2.0), strict=True)
    ]
    comparison = compared(
        tmp_path,
        example_run("jax", epochs=epochs, peak_memory_bytes=1500 * 2**20),
        example_run("torch", right=800, versions={"keras": "3.99"}),
    )
    lines = printed(comparison).splitlines()
    assert [line.rstrip() for line in lines] == PRINTED.splitlines()


@pytest.mark.parametrize(
    ("right", "shown"),
    [
        (RIGHT, ["\x1b[32mpass ", "\x1b[1;32mThe runs agree.\x1b[0m"]),
        (
            800,
            [
                "\x1b[1;31mFAIL ",
                "\x1b[33mWarning: keras is ",
                "\x1b[1;31mThe runs DIFFER, first in: test accuracy.\x1b[0m",
            ],
        ),
    ],
    ids=["agree", "differ"],
)
def test_verdicts_have_their_colours(tmp_path: Path, right: int, shown: list[str]) -> None:
    """On a terminal agreement is green, warnings are yellow and differences are red."""
    keras = "3.15.1" if right == RIGHT else "3.99"
    other = example_run("torch", right=right, versions={"keras": keras})
    text = printed(compared(tmp_path, example_run(), other), colours=True)
    assert [words for words in shown if words not in text] == []


def test_the_file_holds_all_that_was_compared(tmp_path: Path) -> None:
    """comparison.json holds the verdict, the warnings, and each run's folder, record and check."""
    runs = [example_run("jax"), example_run("torch", right=800, versions={"keras": "3.99"})]
    comparison = compared(tmp_path, *runs)
    write_json(comparison, tmp_path / "comparison.json")
    assert json.loads((tmp_path / "comparison.json").read_text()) == {
        "schema_version": 1,
        "passed": False,
        "warnings": ["keras is 3.15.1 and 3.99: this may explain a difference"],
        "runs": [
            {"folder": str(tmp_path / str(index)), **run.result.as_json()}
            for index, run in enumerate(comparison.runs)
        ],
        "checks": [
            {"name": check.name, "shown": check.shown, "allowed": check.allowed, "passed": passed}
            for check, passed in zip(comparison.checks, [True] * 5 + [False], strict=True)
        ],
    }


def test_a_file_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the disk refuses, the error is one line, and the older comparison stays whole."""

    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "comparison.json"
    path.write_text("older")
    comparison = compared(tmp_path, example_run(), example_run())
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(UserError) as caught:
        write_json(comparison, path)
    assert str(caught.value) == (
        f"cannot write {path}: No space left on device; choose another --out"
    )
    assert path.read_text() == "older"


@pytest.mark.parametrize(
    ("seconds", "median"),
    [([7.0], 7.0), ([9.0, 1.0, 3.0], 3.0), ([9.0, 1.0, 2.0, 4.0, 3.0, 5.0], 4.0)],
    ids=["one epoch", "odd", "even"],
)
def test_a_slow_first_epoch_weighs_little(seconds: list[float], median: float) -> None:
    """The seconds per epoch are the median; of two middle epochs, the longer one."""
    (epoch,) = example_epochs(1)
    epochs = [{**epoch, "train_seconds": taken} for taken in seconds]
    assert seconds_per_epoch(example_run(epochs=epochs).result) == median


def test_what_a_run_keeps_is_not_compared(tmp_path: Path) -> None:
    """Runs that differ only in what they keep can be compared: they learned the same."""
    config = {**example_run().result.config, "tensorboard": True, "checkpoint": "best"}
    assert compared(tmp_path, example_run(), example_run(config=config)).passed


def test_json_is_what_is_written(tmp_path: Path, lenet: Lenet) -> None:
    """With --json stdout is exactly the comparison's file, and the verdict is the exit status."""
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
    for folders in ([folder], [folder, tmp_path / "run" / ".." / "run"]):
        with pytest.raises(UserError) as caught:
            compare(folders)
        assert str(caught.value) == (
            "RUNS must be two or more different run folders; a run equals itself"
        )


@pytest.mark.parametrize(
    ("right", "status", "words"), [(RIGHT, 0, "The runs agree."), (800, 1, "test accuracy")]
)
def test_the_verdict_is_the_exit_status(
    tmp_path: Path, lenet: Lenet, right: int, status: int, words: str
) -> None:
    """The command prints both tables, writes comparison.json and exits with 0 or 1."""
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
    """If the file cannot be written, the error names it and the flag for another path."""
    comparison = compared(tmp_path, example_run(), example_run())
    with pytest.raises(UserError, match=r"cannot write .*: No such file.*; choose another --out"):
        write_json(comparison, tmp_path / "nowhere" / "comparison.json")


@pytest.mark.parametrize("edited", [None, "b_mean_absolute_error"], ids=["as-left", "edited"])
def test_each_of_several_outputs_is_recounted(tmp_path: Path, edited: str | None) -> None:
    """The errors of each output are computed again, so an edited one shows."""
    run = example_values_run()
    outputs = {"a": run.outputs, "b": run.outputs + 1}
    targets = {"a": run.targets, "b": run.targets}
    found = {"mae": 1.0} | errors(outputs, targets)
    for backend in ("jax", "torch"):
        change = {edited: 7.0} if edited and backend == "torch" else {}
        result = dataclasses.replace(run.result, backend=backend, test_metrics=found | change)
        several = dataclasses.replace(run, result=result, outputs=outputs, targets=targets)
        keep(several, tmp_path / backend)
    comparison = compare([tmp_path / "jax", tmp_path / "torch"])
    assert comparison.passed == (edited is None)
    assert "b_mean_absolute_error 2" in comparison.checks[-2].shown[0]


def test_an_older_record_has_the_defaults_of_newer_settings() -> None:
    """A setting that it lacks is compared as what it was; names have commas between them."""
    run = example_run(class_names=["cat", "dog"])
    lacking = {name: value for name, value in run.result.config.items() if name != "batch_size"}
    older = dataclasses.replace(run.result, config=lacking)
    assert premises(older) == premises(run.result)
    assert premises(older)["setting batch_size"] == 128
    assert premises(older)["model class names"] == "cat, dog"


def test_an_unknown_size_is_a_dash() -> None:
    """A system may not tell the memory of a process."""
    assert comparison._mebibytes(None) == "-"
    assert comparison._mebibytes(2000 * 2**20) == "2,000 MiB"


def test_ten_thousand_images_are_many(tmp_path: Path) -> None:
    """One less has the wider tolerance of few."""
    for images, allowed in ((10_000, "0.5"), (9_999, "1.0")):
        runs = [example_run(who, train_images=images) for who in ("jax", "torch")]
        found = compared(tmp_path / str(images), *runs)
        (check,) = (one for one in found.checks if one.name == "test accuracy")
        assert check.allowed == f"0.00 apart, {allowed} percentage points allowed"
