import pytest

from lenet_multi.errors import cannot_read, printable, reason


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
    """Another library's error becomes the one line with its reason."""
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
    """Special characters in a file name are escaped, so it cannot control a terminal."""
    assert printable(text) == shown


def test_what_cannot_be_read_is_named_with_the_reason_and_the_remedy() -> None:
    """The system's words are the reason; an error without them says what it holds."""
    refused = cannot_read("a.npz", PermissionError(13, "Permission denied"))
    assert refused == "cannot read a.npz: Permission denied; give a readable file"
    assert cannot_read("a.npz", OSError("odd")) == "cannot read a.npz: odd; give a readable file"
