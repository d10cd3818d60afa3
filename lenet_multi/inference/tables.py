"""Tables of a classifier's predictions: by class, as a confusion matrix, by image."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lenet_multi.data.class_names import shown
from lenet_multi.errors import printable
from lenet_multi.inference.evaluate import Evaluation
from lenet_multi.inference.predict import Prediction

_MOST_COLUMNS = 20  # more columns of a confusion matrix are not readable in a terminal


def print_evaluation(found: Evaluation, console: Console) -> None:
    """Print a row for each class, and the confusion matrix unless it is too wide."""
    console.print(_class_table(found))
    if len(found.confusion) <= _MOST_COLUMNS:
        console.print(_confusion_table(found))


def _class_table(found: Evaluation) -> Table:
    table = Table(title="Class by class", title_justify="left")
    for column in ("class", "images", "right", "precision", "recall"):
        table.add_column(column, justify="right")
    for of_class in found.by_class():
        counts = [f"{of_class[name]:,}" for name in ("images", "right")]
        shares = [of_class[name] for name in ("precision", "recall")]
        percentages = ["none" if share is None else f"{share:.2%}" for share in shares]
        table.add_row(shown(found.class_names, of_class["class"]), *counts, *percentages)
    return table


def _confusion_table(found: Evaluation) -> Table:
    title = "Confusion: a row for each label, a column for each answer"
    table = Table("", title=title, title_justify="left")
    matrix = found.confusion
    for answer in range(len(matrix)):
        table.add_column(shown(found.class_names, answer), justify="right")
    for label, row in enumerate(matrix):
        cells = [
            Text(str(count or ""), "bold green" if answer == label else "")
            for answer, count in enumerate(row)
        ]
        table.add_row(shown(found.class_names, label), *cells)
    return table


def print_prediction(prediction: Prediction, console: Console) -> None:
    """Print a row for each image: its two likeliest classes with their probabilities.

    A last column says "unsure" of the answers to doubt, if there are any.
    """
    table = Table("image", title="What the images show", title_justify="left")
    for column in ("class", "probability", "second class", "probability"):
        table.add_column(column, justify="right")
    if any(prediction.unsure):
        table.add_column()
    for (name, [(first, likely), (second, less), *_]), unsure in zip(
        prediction.ranked(), prediction.unsure, strict=True
    ):
        said = (shown(prediction.class_names, label) for label in (first, second))
        row = (printable(name), next(said), f"{likely:.1%}", next(said), f"{less:.1%}")
        table.add_row(*row, *(["unsure"] if unsure else []))
    console.print(table)
