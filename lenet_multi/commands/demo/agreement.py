"""Put into words whether backends agree on an image."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

_ALL = {2: "Both agree", 3: "All three agree"}


def agreement(answers: Mapping[str, NDArray[np.float64]]) -> str:
    """Return one line that says whether all backends' probabilities (10,) give the same digit.

    The largest difference is between two backends' probabilities of the same digit.
    """
    digits = {backend: int(each.argmax()) for backend, each in answers.items()}
    if len(answers) < 2:
        answered = (f"{backend} answers {digit}" for backend, digit in digits.items())
        return next(answered, "No backend answers")
    gap = float(np.ptp(list(answers.values()), axis=0).max())
    if len(set(digits.values())) == 1:
        verdict = f"{_ALL[len(answers)]}: {digits.popitem()[1]}"
    else:
        each = ", ".join(f"{backend} {digit}" for backend, digit in digits.items())
        verdict = f"They disagree: {each}"
    return f"{verdict}; largest difference {gap:.2g}"
