from pathlib import Path
from typing import Any

import pytest

from benchmarks.report import RESULTS, read
from tests.conftest import PROJECT
from tests.mutants import parts
from tests.mutants.__main__ import NOTICED, STATUSES, digest, is_enough, share
from tests.mutants.parts import has_functions, imports_a_backend, mutated
from tests.mutants.reasons import NOT_YET, reason
from tests.mutants.run import function, written_out

RECORD = read(RESULTS / "mutants.json")["modules"]


def counts(**numbers: int) -> dict[str, Any]:
    """Return the record of a module with these outcomes, and no survivor's lines."""
    found = {status: numbers.get(status, 0) for status in STATUSES}
    return {"mutants": sum(found.values()), **found, "survivors": []}


@pytest.mark.parametrize("module", RECORD)
def test_most_mutants_are_noticed(module: str) -> None:
    """In the committed record, enough mutants were noticed, and each of the others has a reason.

    A module where that is not so yet is named, so that it is not forgotten.
    """
    assert is_enough(RECORD[module]) is (module not in NOT_YET)


@pytest.mark.parametrize("module", RECORD)
def test_no_mutant_is_left_out(module: str) -> None:
    """In the committed record, each mutant was noticed or is listed."""
    noticed = sum(RECORD[module][status] for status in NOTICED)
    assert noticed + len(RECORD[module]["survivors"]) == RECORD[module]["mutants"]


def test_every_module_is_in_a_part_or_imports_a_backend() -> None:
    """The parts are found by the imports: at the top of a file, and in its functions."""
    found = mutated()
    files = {path for paths in found.values() for path in paths}
    package = PROJECT / "lenet_multi"
    coded = {path for path in package.rglob("*.py") if has_functions(path)}
    assert {path for path in coded if not imports_a_backend(path)} == files
    assert package / "runs" / "folder.py" in found["runs"]
    assert package / "config.py" in found["config"]
    assert package / "backends" / "jax.py" not in files
    assert package / "machine" / "threads.py" not in files  # imports in its functions


@pytest.mark.parametrize(
    ("module", "tests"),
    [
        ("config.py", ["test_config.py"]),
        ("__init__.py", ["test_init.py"]),
        ("runs/folder.py", ["runs/test_folder.py"]),
        ("commands/report/__init__.py", ["commands/report/test_report.py"]),
        ("commands/_beyond.py", ["commands/test_beyond.py"]),
        ("runs/tolerances.py", ["runs/test_comparison.py"]),
    ],
)
def test_a_module_has_the_tests_that_mirror_it(module: str, tests: list[str]) -> None:
    """Or those of its room that import it, where none mirrors it."""
    found = parts.tests_of(PROJECT / "lenet_multi" / module)
    assert {*tests} <= {str(path.relative_to(PROJECT / "tests")) for path in found}


def test_a_share_counts_what_no_test_calls() -> None:
    """A mutant that no test calls is as bad as a survivor; one that does not end is noticed."""
    assert share(counts(killed=8, timeout=1, survived=1)) == 0.9
    assert share(counts(killed=8, timeout=1, **{"no tests": 1})) == 0.9


def test_a_survivor_needs_a_reason() -> None:
    """However few they are."""
    module = counts(killed=99, survived=1)
    assert is_enough({**module, "survivors": [{"reason": "It changes nothing."}]})
    assert not is_enough({**module, "survivors": [{"reason": ""}]})
    assert not is_enough(counts(killed=89, survived=11))


def test_a_changed_file_is_measured_again(tmp_path: Path) -> None:
    """The digest of the module and its tests tells whether either has changed."""
    (tmp_path / "a.py").write_text("a = 1")
    before = digest([tmp_path / "a.py"])
    assert digest([tmp_path / "a.py"]) == before
    (tmp_path / "a.py").write_text("a = 2")
    assert digest([tmp_path / "a.py"]) != before


@pytest.mark.parametrize(
    ("mutant", "name"),
    [
        (
            "lenet_multi.data.idx_folder.x_index_of__mutmut_3",
            "lenet_multi.data.idx_folder.index_of",
        ),
        (
            "lenet_multi.errors.xǁUserErrorǁ__init____mutmut_1",
            "lenet_multi.errors.UserError.__init__",
        ),
    ],
)
def test_a_mutant_names_its_function(mutant: str, name: str) -> None:
    """With its module and its class."""
    assert function(mutant) == name


def test_a_program_without_decorators_does_the_same() -> None:
    """Decorators are replaced by calls in the right order, also in classes and functions."""
    source = """
def twice(function):
    return lambda *given: 2 * function(*given)

def plus(
    number,
):
    return lambda function: lambda *given: number + function(*given)

@twice
@plus(
    1,
)
def ten():
    return 10

@twice
def five():
    @plus(
        3,
    )
    def two():
        return 2
    return two()

class Number:
    @property
    def three(self):
        return 3

found = ten(), five(), Number().three
"""
    assert "@" not in written_out(source)
    for program in (source, written_out(source)):
        names: dict[str, object] = {}
        exec(program, names)
        assert names["found"] == (22, 10, 3)


def test_a_reason_fits_its_line_alone() -> None:
    """A line has the reason that names it; a piece has its own, in whichever line it stands."""
    assert reason("f", "a", 'style="BOLD GREEN" if not failed else "bold red",')
    was = "zip(a, b, strict=True), zip(c, d, strict=True)"
    assert reason("f", was, "zip(a, b, strict=True), zip(c, d, )")
    assert reason("f", was, "zip(a, b, strict=False), zip(c, d, strict=True)")
    assert not reason("f", was, "zip(a, strict=True), zip(c, d, strict=True)")
    assert not reason("f", was, was)
