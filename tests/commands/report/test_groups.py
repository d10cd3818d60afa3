import dataclasses
from pathlib import Path

import pytest

from lenet_multi.commands.report.groups import group
from lenet_multi.config import TEACHING
from lenet_multi.runs.record import Run
from tests.examples import example_epochs, example_run, example_values_run

EARLIER = {"run": "a", "epochs": 3, "config": {}, "starts": []}


def at(folder: str, run: Run) -> Run:
    """Return the run as if read from `folder`."""
    return dataclasses.replace(run, folder=Path(folder))


@pytest.mark.parametrize(
    ("runs", "labels"),
    [
        ([at("a", example_run("jax")), at("b", example_run("torch"))], ["jax", "torch"]),
        ([at("x/a", example_run()), at("x/b", example_run())], ["jax, a", "jax, b"]),
        ([at("x/a", example_run()), at("y/a", example_run())], ["jax, x/a", "jax, y/a"]),
        ([at("x/jax-1", example_run()), at("x/jax-2", example_run())], ["jax-1", "jax-2"]),
    ],
    ids=["backend", "folder", "path", "named"],
)
def test_labels_tell_runs_apart(runs: list[Run], labels: list[str]) -> None:
    """A label holds only as much of the folder as is needed."""
    (found,) = group(runs)
    assert [shown.label for shown in found.runs] == labels
    assert [shown.run for shown in found.runs] == runs


def test_the_datas_place_does_not_part_runs() -> None:
    """Runs form different groups only if the data's bytes differ."""
    config = example_run().result.config | {"data": "elsewhere"}
    assert len(group([example_run(), example_run("torch", config=config)])) == 1
    turned = dict(reversed(config.items()))  # nor does the order in which a record has them
    assert len(group([example_run(config=config), example_run("torch", config=turned)])) == 1
    assert len(group([example_run(), example_run("torch", data_sha256="0" * 64)])) == 2


def test_a_title_names_what_teaches_otherwise() -> None:
    """A setting that does not affect learning neither separates runs nor is named."""
    of_recipe = example_run().result.config
    watched = dict.fromkeys(of_recipe.keys() - TEACHING, "other")
    assert watched
    runs = [example_run(config=of_recipe | watched), example_run(), example_run(seed=3)]
    assert [found.title for found in group(runs)] == ["standard", "standard, seed 3"]


def test_a_title_names_settings_as_people_read_them() -> None:
    """Of a file it has the name alone; then come the runs before. A recipe may be another's."""
    own = {"data": "far/own.npz", "learning_rate": 0.1, "loss": "a/b"}
    (found,) = group([example_run(config=example_run().result.config | own, earlier=[EARLIER])])
    assert found.title == (
        "standard, loss a/b, data own.npz, learning rate 0.1, went on after epoch 3"
    )
    (found,) = group([example_run(config=example_run().result.config | {"recipe": "mine"})])
    assert found.title == "mine"


@pytest.mark.parametrize(
    ("run", "metrics", "words"),
    [
        (example_run(), ["loss", "accuracy"], "98.77%"),
        (example_values_run(), ["loss", "mean_absolute_error"], "0.9877"),
        (example_values_run(test_metrics={}), ["loss"], "0.9877"),
        (example_run(epochs=example_epochs(2, "other")), ["loss"], "98.77%"),
    ],
    ids=["classifier", "regression", "no-metric", "other-metric"],
)
def test_a_group_has_the_metrics_that_its_epochs_have(
    run: Run, metrics: list[str], words: str
) -> None:
    """A loss has four digits after the point, a classifier's metric is a percentage."""
    (found,) = group([run])
    assert found.metrics == metrics
    assert found.written("loss", 0.98765) == "0.9877"
    assert found.written("accuracy", 0.98765) == words


def test_runs_of_one_backend_differ_in_their_marks() -> None:
    """The colour shows the backend; the mark shows the run."""
    (found,) = group([at("a", example_run()), at("b", example_run())])
    first, second = found.runs
    assert first.accent == second.accent == "jax"
    assert first.mark != second.mark


def test_an_unknown_backend_has_a_colour() -> None:
    """A future backend, or a hostile name, gets the colour that belongs to no backend."""
    (found,) = group([example_run("ground; }")])
    assert found.runs[0].accent == "other"


def test_runs_with_other_class_names_are_in_other_groups() -> None:
    """Runs share a group only if their classes have the same names."""
    names = [f"class-{label}" for label in range(10)]
    first, second = example_run(class_names=names), example_run("torch", class_names=names)
    assert len(group([first, second])) == 1
    assert len(group([first, example_run("torch", class_names=names[::-1])])) == 2
