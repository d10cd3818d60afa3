import dataclasses
import io

import numpy as np
import pytest
from rich.console import Console

from lenet_multi.data.examples import Examples
from lenet_multi.inference.evaluate import Evaluation
from lenet_multi.inference.tables import print_evaluation, print_prediction
from tests.inference.test_evaluate import example as example_evaluation
from tests.inference.test_predict import example, likely_one


@pytest.mark.parametrize(("classes", "shown"), [(10, True), (40, False)], ids=["few", "many"])
def test_a_matrix_too_wide_is_left_out(classes: int, shown: bool) -> None:
    """A matrix too wide for the terminal is left out; the figures of each class stay."""
    labels = np.arange(classes, dtype=np.uint8)
    logits = np.eye(classes, dtype=np.float32)
    output = io.StringIO()
    images = np.zeros((classes, 8, 8, 1), np.uint8)
    found = Evaluation(Examples(images, labels), logits, 0.0, {"accuracy": 1.0})
    print_evaluation(found, Console(file=output, width=140))
    text = output.getvalue()
    assert ("Confusion" in text) == shown
    assert text.count("100.00%") == 2 * classes


def test_the_table_shows_the_two_likeliest() -> None:
    """Each image has a row with its two likeliest classes, the likelier first."""
    output = io.StringIO()
    print_prediction(example(), Console(file=output, width=100))
    rows = [line.split() for line in output.getvalue().splitlines() if ".png" in line]
    assert [row[1::2] for row in rows] == [
        ["a.png", "1", "75.0%", "0", "25.0%"],
        ["far/b.png", "0", "50.0%", "2", "40.0%"],
    ]


def test_the_tables_show_names() -> None:
    """Both tables show the names of classes in rows and columns."""
    output = io.StringIO()
    console = Console(file=output, width=140)
    names = ("cat", "$dog$", "\x1b[2Jowl")
    print_evaluation(dataclasses.replace(example_evaluation(), class_names=names), console)
    print_prediction(dataclasses.replace(example(), class_names=names), console)
    lines = [line.split() for line in output.getvalue().splitlines()]
    rows = [line[1] for line in lines if line and line[0] == "│"]
    assert rows == [*("cat", "$dog$", "\\x1b[2Jowl") * 2, "a.png", "far/b.png"]
    assert ["┃", "┃", "cat", "┃", "$dog$", "┃", "\\x1b[2Jowl", "┃"] in lines
    answers = [line[3::2] for line in lines if "a.png" in line or "far/b.png" in line]
    assert answers == [["$dog$", "75.0%", "cat", "25.0%"], ["cat", "50.0%", "\\x1b[2Jowl", "40.0%"]]


def test_a_name_cannot_command_the_terminal() -> None:
    """The table escapes terminal codes and bytes that are not text in a file's name."""
    output = io.StringIO()
    print_prediction(likely_one("\x1b[2J\udcff.png"), Console(file=output, width=100))
    assert "\\x1b[2J\\udcff.png" in output.getvalue()


SHOWN = """\
Class by class
┏━━━━━━━┳━━━━━━━━┳━━━━━━━┳━━━━━━━━━━━┳━━━━━━━━┓
┃ class ┃ images ┃ right ┃ precision ┃ recall ┃
┡━━━━━━━╇━━━━━━━━╇━━━━━━━╇━━━━━━━━━━━╇━━━━━━━━┩
│     0 │      3 │     2 │    50.00% │ 66.67% │
│     1 │      2 │     1 │    50.00% │ 50.00% │
│     2 │      1 │     0 │      none │  0.00% │
└───────┴────────┴───────┴───────────┴────────┘
Confusion: a row
for each label, a
column for each
answer
┏━━━┳━━━┳━━━┳━━━┓
┃   ┃ 0 ┃ 1 ┃ 2 ┃
┡━━━╇━━━╇━━━╇━━━┩
│ 0 │ 2 │ 1 │   │
│ 1 │ 1 │ 1 │   │
│ 2 │ 1 │   │   │
└───┴───┴───┴───┘
What the images show
┏━━━━━━━━━━━┳━━━━━━━┳━━━━━━━━━━━━━┳━━━━━━━━━━━━━━┳━━━━━━━━━━━━━┓
┃ image     ┃ class ┃ probability ┃ second class ┃ probability ┃
┡━━━━━━━━━━━╇━━━━━━━╇━━━━━━━━━━━━━╇━━━━━━━━━━━━━━╇━━━━━━━━━━━━━┩
│ a.png     │     1 │       75.0% │            0 │       25.0% │
│ far/b.png │     0 │       50.0% │            2 │       40.0% │
└───────────┴───────┴─────────────┴──────────────┴─────────────┘
"""


def test_the_tables_are_shown_so() -> None:
    """Numbers stand on the right, titles on the left, and no answers are an empty cell."""
    output = io.StringIO()
    console = Console(file=output, width=100)
    print_evaluation(example_evaluation(), console)
    print_prediction(example(), console)
    assert [line.rstrip() for line in output.getvalue().splitlines()] == SHOWN.splitlines()


@pytest.mark.parametrize(("classes", "shown"), [(20, True), (21, False)])
def test_the_widest_matrix_has_twenty_columns(classes: int, shown: bool) -> None:
    """One more is not readable; the right answers are marked by their colour alone."""
    output = io.StringIO()
    console = Console(file=output, width=200, force_terminal=True, color_system="standard")
    labels = np.arange(classes, dtype=np.uint8)
    logits = np.roll(np.eye(classes, dtype=np.float32), 1, axis=0)
    logits[1] = np.eye(classes)[1]
    images = np.zeros((classes, 8, 8, 1), np.uint8)
    print_evaluation(Evaluation(Examples(images, labels), logits, 0.0, {}), console)
    assert ("Confusion" in output.getvalue()) is shown
    assert output.getvalue().count("\x1b[1;32m1\x1b[0m") == shown


def test_counts_stand_on_the_right() -> None:
    """Units are below units."""
    output = io.StringIO()
    labels = np.repeat(np.arange(2, dtype=np.uint8), (12, 3))
    logits = np.eye(2, dtype=np.float32)[labels * 0]
    images = np.zeros((15, 8, 8, 1), np.uint8)
    print_evaluation(Evaluation(Examples(images, labels), logits, 0.0, {}), Console(file=output))
    assert "│ 0 │ 12 │   │" in output.getvalue()
    assert "│ 1 │  3 │   │" in output.getvalue()


def test_the_table_says_what_is_unsure() -> None:
    """In a last column, which it has only if there is such an answer."""
    output = io.StringIO()
    found = dataclasses.replace(example(), of_digits=True)
    print_prediction(found, Console(file=output, width=100))
    assert output.getvalue().count("unsure") == sum(found.unsure) > 0
    sure = dataclasses.replace(found, probabilities=np.array([[0.95, 0.05]] * len(found.names)))
    output = io.StringIO()
    print_prediction(sure, Console(file=output, width=100))
    assert "unsure" not in output.getvalue()
