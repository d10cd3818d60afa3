"""Count the photographs of digits that a run reads: `nox -s study -- photographs RUN`.

The digits are test images of MNIST that the run knows: it is right, and above 0.99 sure. So a miss
is one of the preparation. With `--training` they are training images; the recipe was developed on
those. Two digits on one picture must be refused.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from benchmarks.photographs.conditions import CONDITIONS, Condition
from benchmarks.photographs.recipes import RECIPES, Prepared
from benchmarks.report import RESULTS, markdown
from lenet_multi.errors import UserError
from lenet_multi.inference import saved
from lenet_multi.inference.doubts import SURE
from lenet_multi.inference.predict import probabilities
from lenet_multi.lenet import image_sets
from lenet_multi.lenet.photographs.placing import SIDE
from lenet_multi.machine import children, environment, keras_start
from lenet_multi.runs.durable import write_json

RECORD = RESULTS / "photographs.json"
KNOWN = 0.99  # probability of the right digit
_TILE = 140  # pixels of a picture on the sheet of misses


@dataclass(frozen=True)
class Count:
    """How many pictures of a condition a recipe reads."""

    condition: str
    recipe: str
    pictures: int
    right: int
    refused: int
    sure_and_wrong: int


@dataclass(frozen=True)
class Miss:
    """A picture that our recipe does not read."""

    condition: str
    picture: Image.Image
    seen: Prepared | None
    words: str


class Study:
    """The digits that a run knows, and what it answers."""

    def __init__(self, run: Path, *, training: bool) -> None:
        found = saved.find(run)
        self.backend = found.trained_on or "jax"
        keras_start.start(self.backend)
        self._network, self._task = found.load(), found.task
        images = image_sets.load()
        some = images.train if training else images.test
        self.digits, labels = np.asarray(some.x)[..., 0], np.asarray(some.y)
        self.labels = labels
        answers = self.answers(list(self.digits))
        self.known = np.flatnonzero(
            (answers.argmax(axis=1) == labels) & (answers.max(axis=1) > KNOWN)
        )

    def answers(self, images: Sequence[Prepared]) -> NDArray[np.float64]:
        """Return the probabilities (N, 10) for prepared `images`."""
        return probabilities(self._network, self._task, np.stack(images)[..., np.newaxis])

    def drawn(self, name: str, condition: Condition) -> tuple[list[Image.Image], list[int]]:
        """Return the pictures of a condition, and their labels; -1 where there are two."""
        generator = np.random.default_rng([*CONDITIONS].index(name))
        chosen = generator.choice(self.known, (condition.pictures, condition.digits), replace=False)
        is_one = condition.digits == 1
        digits = self.digits[chosen[:, 0] if is_one else chosen]
        pictures = [condition.draw(some, generator) for some in digits]
        return pictures, self.labels[chosen[:, 0]].tolist() if is_one else [-1] * len(chosen)

    def counts(self, name: str, recipe: str, misses: list[Miss]) -> Count:
        """Return how many pictures of condition `name` a recipe reads; add ours to `misses`."""
        pictures, labels = self.drawn(name, CONDITIONS[name])
        seen = [_prepared(recipe, picture) for picture in pictures]
        blank = np.zeros((SIDE, SIDE), np.uint8)
        answers = self.answers([blank if one is None else one for one in seen])
        count = dict.fromkeys(("right", "refused", "sure_and_wrong"), 0)
        for picture, label, one, answer in zip(pictures, labels, seen, answers, strict=True):
            is_right = one is None if label < 0 else one is not None and answer.argmax() == label
            count["right"] += int(is_right)
            count["refused"] += int(one is None)
            is_sure = one is not None and answer.max() > SURE
            count["sure_and_wrong"] += int(is_sure and not is_right)
            if recipe == "ours" and not is_right:
                said = "refused" if one is None else f"{answer.argmax()} {answer.max():.2f}"
                misses.append(Miss(name, picture, one, f"{name}: {label} -> {said}"))
        return Count(name, recipe, len(pictures), **count)


def _prepared(recipe: str, picture: Image.Image) -> Prepared | None:
    try:
        return RECIPES[recipe](picture)
    except UserError:
        return None


def table(counts: Sequence[Mapping[str, Any]]) -> str:
    """Return what each recipe reads under each condition."""
    each = {(one["condition"], one["recipe"]): one for one in counts}
    rows = []
    for condition in dict.fromkeys(one["condition"] for one in counts):
        ours = each[condition, "ours"]
        others = [each.get((condition, name)) for name in RECIPES if name != "ours"]
        rows.append(
            [
                condition,
                str(ours["pictures"]),
                str(ours["right"]),
                *(str(one["right"]) if one else "" for one in others),
                str(ours["sure_and_wrong"]),
            ]
        )
    return markdown(["condition", "pictures", *RECIPES, "sure and wrong"], rows)


def sheet(misses: Sequence[Miss], across: int = 4) -> Image.Image:
    """Return each missed picture beside what the network saw."""
    width, height = 2 * _TILE + 20, _TILE + 30
    whole = Image.new("RGB", (across * width, max(1, -(-len(misses) // across)) * height), "white")
    for number, miss in enumerate(misses):
        left, top = number % across * width, number // across * height
        ImageDraw.Draw(whole).text((left + 4, top + 4), miss.words, fill="black")
        shown = [miss.picture.convert("RGB")]
        shown += [Image.fromarray(miss.seen).convert("RGB")] if miss.seen is not None else []
        for place, picture in enumerate(shown):
            small = picture.resize((_TILE, _TILE), Image.Resampling.BOX)
            whole.paste(small, (left + place * (_TILE + 5), top + 20))
    return whole


def _counted(study: Study, asked: argparse.Namespace, misses: list[Miss]) -> Iterator[Count]:
    wanted = [
        (name, recipe)
        for name in CONDITIONS
        if not asked.only or name in asked.only
        for recipe in asked.recipe or RECIPES
    ]
    with children.bars() as progress:
        for name, recipe in progress.track(wanted, description="pictures"):
            yield study.counts(name, recipe, misses)


def main() -> int:
    """Count, print the table, and keep the record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.photographs", description=__doc__)
    parser.add_argument("run", type=Path, help="run folder of a model of digits")
    parser.add_argument("--only", action="append", choices=CONDITIONS, help="a condition")
    parser.add_argument("--recipe", action="append", choices=RECIPES, help="a recipe")
    parser.add_argument("--training", action="store_true", help="draw training images")
    parser.add_argument(
        "--out",
        type=Path,
        default=RECORD,
        help="JSON to write, and beside it a picture of one miss for each condition",
    )
    parser.add_argument("--misses", type=Path, help="picture of all our misses to write")
    asked = parser.parse_args()
    try:
        study = Study(asked.run, training=asked.training)
    except UserError as error:
        parser.error(str(error))
    misses: list[Miss] = []
    counts = [asdict(one) for one in _counted(study, asked, misses)]
    record = {
        "machine": environment.machine(),
        "versions": environment.versions(study.backend),
        "images": "training" if asked.training else "test",
        "counts": counts,
    }
    write_json(asked.out, record)
    print(table(counts))
    one_each = {miss.condition: miss for miss in reversed(misses)}
    sheet([*reversed(one_each.values())]).save(asked.out.with_suffix(".png"), optimize=True)
    if asked.misses:
        sheet(misses).save(asked.misses)
    return 0


if __name__ == "__main__":
    sys.exit(main())
