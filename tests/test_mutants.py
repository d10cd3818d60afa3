import tomllib

import pytest

from benchmarks.report import RESULTS, read
from tests.conftest import PROJECT
from tests.mutants import LEAST_NOTICED, NOTICED, share, written_out

RECORD = read(RESULTS / "mutants.json")
SETTINGS = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["mutmut"]


@pytest.mark.parametrize("module", SETTINGS["only_mutate"])
def test_most_mutants_are_noticed(module: str) -> None:
    """In the committed record, the tests of each module detected enough of its mutants."""
    assert share(RECORD["modules"][module]) >= LEAST_NOTICED


def test_the_mutants_that_are_left_were_looked_at() -> None:
    """In the committed record, each mutant that no test detected has a reason."""
    left = sum(
        count["mutants"] - sum(count[status] for status in NOTICED)
        for count in RECORD["modules"].values()
    )
    assert len(RECORD["survivors"]) == left
    assert [survivor for survivor in RECORD["survivors"] if not survivor["reason"]] == []


def test_a_program_without_decorators_does_the_same() -> None:
    """Decorators are replaced by calls in the right order, also in classes."""
    source = """
def twice(function):
    return lambda *given: 2 * function(*given)

def plus_one(function):
    return lambda *given: 1 + function(*given)

@twice
@plus_one
def ten():
    return 10

class Number:
    @property
    def three(self):
        return 3

found = ten(), Number().three
"""
    assert "@" not in written_out(source)
    for program in (source, written_out(source)):
        names: dict[str, object] = {}
        exec(program, names)
        assert names["found"] == (22, 3)
