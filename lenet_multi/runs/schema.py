"""What a record read from JSON must look like, by the type hints of what it becomes."""

from collections.abc import Mapping
from types import UnionType
from typing import Any, get_args, get_origin

from lenet_multi.errors import printable

_MOST = 2**63  # above every integer of a record
_MOST_FLOAT = 2.0**128  # above every float32; no chart could hold what is far above
_DEEPEST = 20  # a record's own are 5


def wrong_fields(content: Any, hints: Mapping[str, Any]) -> list[str]:
    """Return the names of fields that are missing, unknown or of another type than hinted.

    An integer of more than 64 bits, a float that no float32 can be, or what is nested deeper
    than `_DEEPEST`, is of no type.
    """
    if not isinstance(content, dict):
        return [f"an object expected, not {type(content).__name__}"]
    return sorted(map(printable, hints.keys() ^ content.keys())) or [
        name for name, hint in hints.items() if not fits(content[name], hint)
    ]


def fits(value: Any, hint: Any) -> bool:
    """Return whether `value` is what `hint` says: a type, or a list or dictionary of such."""
    if hint is Any:
        return _is_shallow(value, _DEEPEST)
    if hint is int:
        return isinstance(value, int) and abs(value) < _MOST
    if hint is float:
        return fits(value, int) or (isinstance(value, float) and abs(value) < _MOST_FLOAT)
    kind, parts = get_origin(hint), get_args(hint)
    if kind is UnionType:
        return any(fits(value, part) for part in parts)
    if kind is list:
        return isinstance(value, list) and all(fits(item, parts[0]) for item in value)
    if kind is dict:
        return isinstance(value, dict) and all(fits(item, parts[1]) for item in value.values())
    return isinstance(value, hint)


def _is_shallow(value: Any, most: int) -> bool:
    """Return whether no list or dictionary in `value` lies deeper than `most`; Python recurses."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return most > 0 and all(_is_shallow(item, most - 1) for item in items)


def escaped(content: Any) -> Any:
    """Return JSON's `content` with every string printable, names of fields too."""
    if isinstance(content, str):
        return printable(content)
    if isinstance(content, dict):
        return {printable(name): escaped(value) for name, value in content.items()}
    return [escaped(item) for item in content] if isinstance(content, list) else content
