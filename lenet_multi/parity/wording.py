"""Say in words which facts differ, and the place of a finding."""

from typing import Any

from lenet_multi.parity.plan import CONFIDENCE


def differences(first: Any, second: Any) -> list[str]:
    """Return the names of facts that differ, with both values; of one fact, its values."""
    if isinstance(first, dict) and isinstance(second, dict):
        both = [(name, first.get(name), second.get(name)) for name in first | second]
        return [f"{name} ({_short(a)} and {_short(b)})" for name, a, b in both if a != b]
    return [f"{_short(first)} and {_short(second)}"] if first != second else []


def _short(value: Any) -> str:
    return "none" if value is None else str(value)[:30]


def in_words(place: str) -> str:
    """Return the place of a finding in words; a layer's path stays as it is.

    >>> in_words("10/conv1/kernel"), in_words("encoder/attention")
    ('step 10, conv1/kernel', 'encoder/attention')
    """
    first, _, rest = place.partition("/")
    if first.isdigit():
        first = f"step {first}"
    elif first not in CONFIDENCE:
        return place
    return f"{first}, {rest}" if rest else first
