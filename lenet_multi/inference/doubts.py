"""Doubt an evaluation: a classifier that is no better than chance, or better when fed otherwise."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lenet_multi.inference.inputs import Inputs, in_brackets

_DEVIATIONS = 3  # standard deviations: a model that guesses exceeds them once in 700 evaluations
SURE = 0.9  # probability of an answer; an answer to a digit that is no higher is called unsure
TRIED = 1000  # images: enough to tell two ranges apart


def most_by_chance(confusion: NDArray[np.int64]) -> float:
    """Return the most right answers that chance explains, of images by label and answer.

    If answers do not depend on labels, the frequency of a pair is the product of both frequencies.
    Chance explains up to three standard deviations above the right answers that this predicts.
    """
    images = int(confusion.sum())
    expected = float(confusion.sum(axis=0) @ confusion.sum(axis=1)) / images
    return expected + _DEVIATIONS * math.sqrt(max(1, expected * (1 - expected / images)))


def is_chance(confusion: NDArray[np.int64]) -> bool:
    """Return whether a model is no better than chance; False where too few images tell."""
    limit = most_by_chance(confusion)
    return int(confusion.trace()) <= limit < int(confusion.sum())


def doubts(
    confusion: NDArray[np.int64], inputs: Inputs, right_when_fed: Callable[[], dict[str, int]]
) -> list[str]:
    """Return lines that warn of an evaluation: of chance, and of a range that gives more right.

    `right_when_fed` counts the right answers to a sample of the images for each range.
    """
    found = []
    by_chance = is_chance(confusion)
    if by_chance:
        found.append(
            f"{confusion.trace():,} of {confusion.sum():,} right is no better than chance (up to "
            f"{most_by_chance(confusion):,.0f}): the model may take other pixels than "
            f"{in_brackets(inputs.range)} (--input-range), or the images or labels are of another "
            "kind than those it was trained on"
        )
    if by_chance or inputs.is_assumed:
        counts = right_when_fed()
        best = max(counts, key=lambda range_: counts[range_])
        fed = counts[inputs.range]
        if counts[best] - fed > _DEVIATIONS * math.sqrt(counts[best] + fed):
            found.append(
                f"of the same images, {counts[best]:,} are right when fed {in_brackets(best)} and "
                f"{fed:,} when fed {in_brackets(inputs.range)}: try --input-range {best}"
            )
    return found
