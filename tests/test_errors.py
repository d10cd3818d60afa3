import pytest

from lenet_multi.errors import printable, reason


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("  bad luck\nworse"), "bad luck"),
        (KeyError("layers"), "KeyError: 'layers'"),
        (
            ValueError("Example for <Dense>:\n\nShape mismatch"),
            "Example for <Dense>: Shape mismatch",
        ),
        (ValueError("only this:"), "only this"),
        (MemoryError(), "MemoryError"),
    ],
    ids=["two lines", "a word", "the reason comes next", "no reason comes", "silent"],
)
def test_the_reason_is_one_line(error: Exception, line: str) -> None:
    """Another library's error is reported by the line with its reason."""
    assert reason(error) == line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sieben é 七.png", "sieben é 七.png"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("bytes \udcff", "bytes \\udcff"),
        ("turned \u202e", "turned \\u202e"),
    ],
    ids=["text", "terminal", "no text", "direction"],
)
def test_what_is_no_text_is_escaped(text: str, shown: str) -> None:
    """A file's name cannot control a terminal, and can always be written."""
    assert printable(text) == shown
