"""FINDINGS.md is true: its programs print what it says, and its sources say what it quotes."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import PROJECT, child_environment
from tests.parity.findings import PAGE, PARTS, QUOTED, Finding, Row, findings, is_number

FINDINGS = findings()
VERSION = re.compile(r"\b(Keras|TensorFlow|JAX|PyTorch) (\d+\.\d+\.\d+)")
PACKAGES = {"Keras": "keras", "TensorFlow": "tensorflow-cpu", "JAX": "jax", "PyTorch": "torch"}
BACKEND = os.environ.get("KERAS_BACKEND", "")

Printed = dict[str, dict[str, str]]  # by anchor and name


def cases(*, wrong_only: bool = False) -> Sequence[object]:
    """Return each row with its finding; where this backend is wrong, it must fail."""
    found = []
    for finding in FINDINGS:
        for row in finding.rows:
            is_wrong = BACKEND in row.wrong
            if wrong_only and not row.wrong:
                continue
            reason = f"{finding.headline}: {row.printed.get(BACKEND)} is not {row.right}"
            expected = pytest.mark.xfail(raises=AssertionError, strict=True, reason=reason)
            name = f"{finding.anchor}-{row.name.replace(' ', '-')}"
            marks = [expected] if is_wrong and not wrong_only else []
            found.append(pytest.param(finding, row, id=name, marks=marks))
    return found


@pytest.fixture(scope="module")
def printed(backend: str, tmp_path_factory: pytest.TempPathFactory) -> Printed:
    """What the programs of the page print on the backend, all in one child."""
    home = tmp_path_factory.mktemp("keras")
    done = subprocess.run(
        [sys.executable, "-m", "tests.parity.findings"],
        cwd=PROJECT,
        env=child_environment(KERAS_BACKEND=backend, KERAS_HOME=str(home), JAX_ENABLE_X64="1"),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("FOUND"))
    return dict(json.loads(line.removeprefix("FOUND")))


@pytest.mark.backend
@pytest.mark.parametrize(("finding", "row"), cases())
def test_keras_is_right(backend: str, printed: Printed, finding: Finding, row: Row) -> None:
    """Each program prints what is right; on the backends with a bold value this must fail."""
    assert row.is_right(printed[finding.anchor][row.name], backend)


@pytest.mark.backend
@pytest.mark.parametrize(("finding", "row"), cases(wrong_only=True))
def test_the_page_shows_what_is_printed(
    backend: str, printed: Printed, finding: Finding, row: Row
) -> None:
    """A wrong value is the one on the page, a right one stays ten times below its limit."""
    value = printed[finding.anchor][row.name]
    if backend in row.wrong:
        assert row.is_as_seen(value, backend), value
    elif " ± " in row.right:
        right, _, limit = row.right.partition(" ± ")
        assert abs(float(value) - float(right)) <= float(limit) / 10


@pytest.mark.parametrize("finding", FINDINGS, ids=lambda finding: str(finding.anchor))
def test_a_finding_has_all_its_parts(finding: Finding) -> None:
    """A finding has a headline, a short program, values of each backend, and four paragraphs."""
    assert finding.headline
    assert 1 <= len(finding.program.splitlines()) <= 20
    assert finding.rows
    for row in finding.rows:
        assert set(row.printed) == {"tensorflow", "jax", "torch"}
    assert any(row.wrong for row in finding.rows)
    for part in PARTS:
        assert finding.part(part), part
    assert QUOTED.search(finding.part("Cause"))
    assert re.search(r"\w+#\d+|[Nn]o report", finding.part("Reported"))
    assert VERSION.search(finding.part("Versions"))


def test_a_wrong_value_is_seen() -> None:
    """The rules for rows tell right from wrong values, and a mended Keras from the page's."""
    row = Row("x", "1 ± 0.1", {"jax": "2", "torch": "1"}, frozenset({"jax"}))
    assert row.is_right("1.05", "torch")
    assert not row.is_right("2", "jax")
    assert not row.is_right("ValueError", "jax")
    assert row.is_as_seen("2.5", "jax")
    assert not row.is_as_seen("50", "jax")
    assert not row.is_as_seen("ValueError", "jax")
    same = Row("x", "the same", {"jax": "0.1", "torch": "0.2"}, frozenset({"jax", "torch"}))
    assert same.is_right("0.2001", "jax")
    assert not same.is_right("0.1", "jax")
    word = Row("x", "auto", {"jax": "True", "torch": "False"}, frozenset({"jax", "torch"}))
    assert word.is_right("auto", "jax")
    assert not word.is_right("True", "jax")
    assert not is_number("True")


def test_the_versions_are_the_pinned_ones() -> None:
    """Each version on the page is the one that nox installs."""
    groups = tomllib.loads((PROJECT / "pyproject.toml").read_text())["dependency-groups"]
    pins = dict(
        entry.split("==")
        for name in ("runtime", "tensorflow", "jax", "torch")
        for entry in groups[name]
        if isinstance(entry, str)
    )
    named = set(VERSION.findall(PAGE.read_text()))
    assert {name for name, _ in named} == set(PACKAGES)
    for name, version in named:
        assert version == pins[PACKAGES[name]], name


def assert_quoted_right(package: str) -> None:
    """Assert that the installed source of `package` says what the page quotes, in that line."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin
    root = Path(spec.origin).parent.parent
    quotes = [quote for quote in QUOTED.findall(PAGE.read_text()) if quote[0].startswith(package)]
    assert quotes or package == "torch"
    for path, number, text in quotes:
        line = (root / path).read_text().splitlines()[int(number) - 1]
        assert text in line, f"{path}:{number} is {line.strip()}"


def test_the_causes_quote_keras() -> None:
    """Each line of Keras that the page quotes is in the installed Keras."""
    assert_quoted_right("keras")


@pytest.mark.backend
def test_the_causes_quote_the_backend(backend: str) -> None:
    """Each line of the backend that the page quotes is in the installed backend."""
    assert_quoted_right(backend)


def test_links_within_the_page_lead_somewhere() -> None:
    """Each link to another finding has its anchor."""
    linked = set(re.findall(r"\]\(#([\w-]+)\)", PAGE.read_text()))
    assert linked <= {finding.anchor for finding in FINDINGS}


def test_both_front_pages_count_the_findings() -> None:
    """README.md and README.zh-CN.md have the number of findings."""
    assert f"has all {len(FINDINGS)}, each with a program" in (PROJECT / "README.md").read_text()
    assert f"全部 {len(FINDINGS)} 项" in (PROJECT / "README.zh-CN.md").read_text()
