from pathlib import Path

import pytest

from tests.frozen.commands import Case, Package, differences

RUN = """
from pathlib import Path
Path("run").mkdir()
Path("run/result.json").write_text('{"final_weights_sha256": "%s", "seconds": {"train": %s}}')
print("Test accuracy: 0.9")
"""


def stub(place: Path, code: str) -> Package:
    """Return a package whose command is `code`."""
    package = place / "source" / "lenet_multi"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(code)
    (place / "place").mkdir()
    return Package(place.name, place / "source", place / "place")


def found(folder: Path, case: Case, *codes: str) -> list[str]:
    """Return the differences between packages 0, 1, ... with the commands `codes`."""
    return differences(case, *(stub(folder / str(i), code) for i, code in enumerate(codes)))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("print('1')", "print('1')"),
        (RUN % ("aa", 1), RUN % ("aa", 2)),
        ("print('│ seconds │ 9.5 │')", "print('│ seconds   │ 10.5   │')"),
        ("import os; print(os.getcwd())",) * 2,
    ],
)
def test_seconds_and_places_are_no_difference(tmp_path: Path, first: str, second: str) -> None:
    """Differences in time and folder are ignored."""
    assert not found(tmp_path, Case("", []), first, second)


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        ("", "exit(1)", ["1: status 1, not 0: "]),
        ("print('a\\nb')", "print('a\\nc')", ["1: stdout: -b", "1: stdout: +c"]),
        ("print('b')", "print('a\\nb')", ["1: stdout: +a"]),
        (
            RUN % ("aa", 1),
            RUN % ("bb", 1),
            ["1: files run/result.json final_weights_sha256: aa and bb"],
        ),
        ("", "open('a.png', 'w')", ["1: files a.png: nothing and e3b0c442"]),
    ],
)
def test_a_difference_is_named(tmp_path: Path, first: str, second: str, named: list[str]) -> None:
    """A changed status, line, weights hash or file is reported by name."""
    differs = found(tmp_path, Case("", []), first, second)
    assert [line[: len(name)] for line, name in zip(differs, named, strict=True)] == named


def test_the_words_of_a_refusal_count(tmp_path: Path) -> None:
    """If a command is refused, its stderr is compared too."""
    codes = [f"import sys; print({word!r}, file=sys.stderr); exit(2)" for word in "ab"]
    assert found(tmp_path, Case("", [], 2), *codes) == ["1: stderr: -a", "1: stderr: +b"]


def test_crashes_on_both_sides_are_two_faults(tmp_path: Path) -> None:
    """A crash in both packages is two faults, even with the expected exit status."""
    crashes = found(tmp_path, Case("", [], 1), "boom", "boom")
    assert [line[:10] for line in crashes] == ["0: a crash", "1: a crash"]


def test_what_is_to_be_left_is_missed_on_both_sides(tmp_path: Path) -> None:
    """A file that neither package leaves is a fault of both."""
    missing = found(tmp_path, Case("", [], leaves="run/result.json"), "", "")
    assert missing == [f"{i}: no run/result.json is left" for i in (0, 1)]


def test_of_what_may_differ_the_last_line_counts(tmp_path: Path) -> None:
    """If today's package prints more on purpose, only the last line is compared."""
    case = Case("", [], whole=False)
    assert not found(tmp_path, case, "print('b')", "print('a\\nb')")
