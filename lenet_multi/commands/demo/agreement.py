"""Say in words whether backends agree on an image."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

_ALL = {2: "Both agree", 3: "All three agree"}


def agreement(answers: Mapping[str, NDArray[np.float64]]) -> str:
    """Return, as a line, whether the probabilities (10,) of all backends have one answer.

    The largest difference is that of one digit's probability between two backends.
    """
    digits = {backend: int(each.argmax()) for backend, each in answers.items()}
    if len(answers) < 2:
        told = (f"{backend} answers {digit}" for backend, digit in digits.items())
        return next(told, "No backend answers")
    gap = float(np.ptp(list(answers.values()), axis=0).max())
    if len(set(digits.values())) == 1:
        verdict = f"{_ALL[len(answers)]}: {digits.popitem()[1]}"
    else:
        each = ", ".join(f"{backend} {digit}" for backend, digit in digits.items())
        verdict = f"They disagree: {each}"
    return f"{verdict}; largest difference {gap:.2g}"
