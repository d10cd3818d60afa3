import numpy as np
import pytest

from lenet_multi.commands.demo.agreement import agreement

SEVEN, ALMOST, ONE = np.eye(10)[7], np.eye(10)[7] + 3e-7, np.eye(10)[1]


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({}, "No backend answers"),
        ({"jax": SEVEN}, "jax answers 7"),
        ({"jax": SEVEN, "torch": SEVEN}, "Both agree: 7; largest difference 0"),
        (
            {"tensorflow": SEVEN, "jax": ALMOST, "torch": SEVEN},
            "All three agree: 7; largest difference 3e-07",
        ),
        (
            {"tensorflow": SEVEN, "jax": SEVEN, "torch": ONE},
            "They disagree: tensorflow 7, jax 7, torch 1; largest difference 1",
        ),
    ],
    ids=["none", "one", "two", "three", "disagreement"],
)
def test_agreement_is_told_in_words(answers: dict[str, np.ndarray], words: str) -> None:
    """The line counts the backends, names the answer and gives the largest probability gap."""
    assert agreement(answers) == words
