"""The committed record of Keras's own tests: they pass with our training, and the page shows it."""

import pytest

from benchmarks.report import RESULTS, keras_tests_table, read
from lenet_multi.machine.frameworks import BACKENDS
from tests.conftest import PROJECT
from tests.keras_tests import FAST
from tests.keras_tests.__main__ import KNOWN, compared, unexpected

RECORD = read(RESULTS / "keras-tests.json")
PAGE = (PROJECT / "lenet_multi" / "backends" / "README.md").read_text()


@pytest.mark.parametrize("backend", BACKENDS)
def test_kerass_tests_pass_with_our_training(backend: str) -> None:
    """What stock Keras passes, our training passes, but for tests with a known reason."""
    found = RECORD["backends"][backend]
    assert unexpected(found) == []
    assert found["train"] >= 60
    assert len(found["ways"][FAST]) >= 20


def test_each_known_failure_was_seen() -> None:
    """A test that is known to fail with our training failed on a backend, where it was run."""
    failed = {name for found in RECORD["backends"].values() for name in found["failed"]}
    known = [name for name in KNOWN if name.startswith(tuple(RECORD["places"]))]
    assert known
    assert all(any(name.endswith(one) for name in failed) for one in known)


def test_the_page_shows_what_trained() -> None:
    """The table of the page comes from the record."""
    assert keras_tests_table(RECORD) in PAGE


def test_a_test_that_only_stock_keras_passes_is_reported() -> None:
    """A failure, and a test that is missing, count where stock Keras passes, and only there."""
    stock = {name: {"outcome": "passed", "ways": []} for name in ("one", "two", "three")}
    stock["four"] = {"outcome": "failed", "ways": []}
    ours = {
        "one": {"outcome": "failed", "reason": "1 is not 2", "ways": ["a fast way"]},
        "two": {"outcome": "passed", "ways": ["a fast way"]},
        "four": {"outcome": "failed", "ways": []},
    }
    found = compared(stock, ours)
    assert unexpected(found) == ["one failed: 1 is not 2", "three failed: it did not run"]
    assert found["passed_by_stock_keras"] == 3
    assert found["ways"] == {"a fast way": ["one", "two"]}


def test_no_test_at_all_is_reported() -> None:
    """Where Keras's tests cannot run, nothing passes."""
    assert unexpected(compared({}, {})) == ["no test trained"]
