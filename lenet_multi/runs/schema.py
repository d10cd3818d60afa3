"""Check a record read from JSON against the type hints of its dataclass."""

from collections.abc import Mapping
from types import UnionType
from typing import Any, get_args, get_origin

from lenet_multi.errors import printable

# Values beyond these limits match no hint.
_MOST = 2**63  # integers have at most 64 bits
_MOST_FLOAT = 2.0**128  # every float32 is smaller; a chart cannot show far larger ones
_DEEPEST = 20  # nested lists and dictionaries; a real record has 5


def wrong_fields(content: Any, hints: Mapping[str, Any]) -> list[str]:
    """Return the names of fields that are missing, unknown or of another type than hinted."""
    if not isinstance(content, dict):
        return [f"an object expected, not {type(content).__name__}"]
    return sorted(map(printable, hints.keys() ^ content.keys())) or [
        name for name, hint in hints.items() if not fits(content[name], hint)
    ]


def fits(value: Any, hint: Any) -> bool:
    """Return whether `value` matches `hint`: a type, or a list, dictionary or union of types."""
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
    """Return whether `value` is nested at most `most` deep; other checks recurse into it."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return most > 0 and all(_is_shallow(item, most - 1) for item in items)


def escaped(content: Any) -> Any:
    """Return JSON `content` with every string made printable, names of fields too."""
    if isinstance(content, str):
        return printable(content)
    if isinstance(content, dict):
        return {printable(name): escaped(value) for name, value in content.items()}
    return [escaped(item) for item in content] if isinstance(content, list) else content
