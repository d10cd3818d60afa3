from typing import Any

import pytest

from lenet_multi.parity.wording import differences, in_words


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, ["b (2 and 3)"]),
        ({"a": 1}, {"b": 2}, ["a (1 and none)", "b (none and 2)"]),
        ({"a": 1}, {"a": 1}, []),
        ("x" * 40, "y", [f"{'x' * 30} and y"]),
        ({"a": 1}, [1], ["{'a': 1} and [1]"]),
        ([1], {"a": 1}, ["[1] and {'a': 1}"]),
        (5, 5, []),
    ],
)
def test_facts_that_differ_are_named_with_both_values(
    first: Any, second: Any, words: list[str]
) -> None:
    """One fact shows its values, of several each has its name; a long value is cut."""
    assert differences(first, second) == words


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("10/conv1/kernel", "step 10, conv1/kernel"),
        ("10", "step 10"),
        ("initial/conv1/kernel", "initial, conv1/kernel"),
        ("confident/loss", "confident, loss"),
        ("encoder/attention", "encoder/attention"),
        ("loaded weights", "loaded weights"),
    ],
)
def test_a_place_is_said_in_words(place: str, words: str) -> None:
    """Steps and points are said, and a layer's path stays as it is."""
    assert in_words(place) == words
