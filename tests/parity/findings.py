"""Read FINDINGS.md, and run its programs: `python -m tests.parity.findings` prints their values."""

import contextlib
import io
import json
import re
from dataclasses import dataclass

from tests.conftest import PROJECT

PAGE = PROJECT / "lenet_multi" / "parity" / "FINDINGS.md"

PARTS = ("Versions", "Cause", "Way round", "Reported")

# How a source is quoted: the file, its line, and the text that stands there.
QUOTED = re.compile(r"`((?:keras|tensorflow|jax|torch)/[\w/]+\.py):(\d+)`\s`([^`]+)`")

_SAME = "the same"
_WITHIN = " ± "


@dataclass(frozen=True)
class Row:
    """A value that a program prints: what is right, and what each backend printed."""

    name: str
    right: str
    printed: dict[str, str]  # by backend
    wrong: frozenset[str]  # backends

    def is_right(self, value: str, backend: str) -> bool:
        """Return whether `value`, printed on `backend`, is right."""
        if self.right == _SAME:
            return all(short(value) == seen for seen in self._elsewhere(backend))
        right, within, limit = self.right.partition(_WITHIN)
        if not within:
            return value == right
        return is_number(value) and abs(float(value) - float(right)) <= float(limit)

    def is_as_seen(self, value: str, backend: str) -> bool:
        """Return whether a wrong `value` is the one on the page.

        Rounding depends on the processor, so a number may be ten times smaller or larger.
        """
        seen = self.printed[backend]
        if not (is_number(value) and is_number(seen)) or float(seen) == 0:
            return short(value) == seen
        return 0.1 < float(value) / float(seen) < 10

    def _elsewhere(self, backend: str) -> list[str]:
        return [value for other, value in self.printed.items() if other != backend]


@dataclass(frozen=True)
class Finding:
    """A section of the page."""

    anchor: str
    headline: str
    program: str
    rows: tuple[Row, ...]
    text: str

    def part(self, name: str) -> str:
        """Return the paragraph that starts with `name` in bold; empty if there is none."""
        found = re.search(rf"^\*\*{name}\.\*\* (.+?)(?:\n\n|\Z)", self.text, re.M | re.S)
        return found.group(1) if found else ""


def findings() -> list[Finding]:
    """Return the findings of the page, in its order."""
    sections = re.split(r'^<a id="([\w-]+)"></a>$', PAGE.read_text(), flags=re.M)[1:]
    return [_finding(*pair) for pair in zip(sections[::2], sections[1::2], strict=True)]


def _finding(anchor: str, text: str) -> Finding:
    headline = re.search(r"^## (.+)$", text, re.M)
    program = re.search(r"^```python\n(.+?)^```$", text, re.M | re.S)
    return Finding(
        anchor,
        headline.group(1) if headline else "",
        program.group(1) if program else "",
        tuple(_rows(text)),
        text.strip(),
    )


def _rows(text: str) -> list[Row]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    if not cells:
        return []
    backends = cells[0][2:]
    rows = []
    for name, right, *values in cells[2:]:
        printed = dict(zip(backends, values, strict=True))
        wrong = frozenset(backend for backend, value in printed.items() if value.startswith("**"))
        plain = {backend: value.strip("*") for backend, value in printed.items()}
        rows.append(Row(name, right, plain, wrong))
    return rows


def is_number(value: str) -> bool:
    """Return whether `value` is a number."""
    try:
        float(value)
    except ValueError:
        return False
    return True


def short(value: str) -> str:
    """Return a printed value as the page shows it: fractions with three digits."""
    if value.isdigit() or not is_number(value):
        return value
    return f"{float(value) + 0.0:.3g}"  # no -0


def run(program: str, names: list[str]) -> dict[str, str]:
    """Return what `program` prints, by name; if it fails, the exception's name for each name."""
    import keras

    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output):
            exec(program, {"__name__": "__main__"})
    except Exception as error:
        return dict.fromkeys(names, type(error).__name__)
    pairs = (line.rpartition(" ") for line in output.getvalue().splitlines())
    return {name: value for name, _, value in pairs if name in names}


if __name__ == "__main__":
    ran = {
        finding.anchor: run(finding.program, [row.name for row in finding.rows])
        for finding in findings()
    }
    print("FOUND", json.dumps(ran))
