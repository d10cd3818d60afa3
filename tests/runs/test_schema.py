import json
from typing import Any

import pytest

from lenet_multi.runs.schema import escaped, fits, wrong_fields


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        ("x", str, True),
        (1, str, False),
        ({}, Any, True),
        ([[[[]]]], Any, True),
        (json.loads("[" * 400 + "]" * 400), Any, False),
        (2**63 - 1, int, True),
        (2**63, int, False),
        (-(2**63), int, False),
        (3.4e38, float, True),
        (2.0**128, float, False),
        (3.5e38, float, False),
        (-3.5e38, float, False),
        (1.0, int, False),
        (1, float, True),
        (float("nan"), float, False),
        (float("inf"), float, False),
        (1e39, float, False),
        (10**400, float, False),
        (["a", "b"], list[str], True),
        (["a", 2], list[str], False),
        ("ab", list[str], False),
        ({"a": 1}, dict[str, int], True),
        ({"a": "b"}, dict[str, int], False),
        ([{"a": None}], list[dict[str, Any]], True),
        (None, int | None, True),
        (1, int | None, True),
        ("1", int | None, False),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_value_fits_its_hint_or_not(value: Any, hint: Any, expected: bool) -> None:
    """A value fits its type hint at every depth; numbers must be of a usable size."""
    assert fits(value, hint) is expected


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ({"a": 1, "b": "x"}, []),
        ({"a": 1}, ["b"]),
        ({"a": 1, "b": "x", "c\n": 1}, ["c\\n"]),
        ({"a": "x", "b": 1}, ["a", "b"]),
        ([], ["an object expected, not list"]),
    ],
    ids=["right", "missing", "unknown", "of other types", "no object"],
)
def test_wrong_fields_are_named(content: Any, wrong: list[str]) -> None:
    """Wrong fields are named on one line, whatever their names are."""
    assert wrong_fields(content, {"a": int, "b": str}) == wrong


def test_every_string_is_escaped() -> None:
    """Every string is escaped at every depth; printable text and other values stay."""
    content = {"a\n": ["\udcff", 1, {"b": "\x1b"}], "c": "é", "d": None}
    assert escaped(content) == {"a\\n": ["\\udcff", 1, {"b": "\\x1b"}], "c": "é", "d": None}


def test_a_value_is_not_nested_too_deep() -> None:
    """Twenty levels fit, of lists or dictionaries; more would exhaust Python's stack."""
    assert fits(json.loads("[" * 20 + "]" * 20), Any)
    assert not fits(json.loads("[" * 21 + "]" * 21), Any)
    assert fits(json.loads('{"a":' * 19 + "1" + "}" * 19), Any)
    assert not fits(json.loads('{"a":' * 20 + "1" + "}" * 20), Any)
