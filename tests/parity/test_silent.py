"""Silent errors of real trainings: the ladder of any model catches each on the rung it states."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lenet_multi.config import PRECISIONS
from lenet_multi.parity import ladder
from tests.conftest import PROJECT
from tests.parity.again import in_this_process
from tests.parity.layers import HARMS
from tests.parity.sabotage import SABOTAGES, Modules, cases
from tests.parity.silent import NOWHERE, SILENT
from tests.parity.small import HARMED, Trial

ROOM = PROJECT / "lenet_multi" / "parity"


@pytest.fixture(scope="module")
def torch() -> Iterator[Modules]:
    """Keras on torch in this process, put back to float32 afterwards."""
    with in_this_process() as of:
        yield of


@pytest.mark.all_backends
@pytest.mark.parametrize(
    ("name", "precision"),
    cases({name: one.precisions for name, one in SILENT.items() if one.rung != NOWHERE}),
)
def test_a_silent_error_is_caught(
    name: str, precision: str, torch: Modules, tmp_path: Path
) -> None:
    """The unharmed climb passes; the harmed one fails on its rung first, and names the place."""
    silent = SILENT[name]
    trial = Trial(torch, silent.small, precision, tmp_path)
    assert ladder.first_failure(trial.findings("again", harmed=False)) is None
    findings = trial.findings(HARMED, harmed=True, rung=silent.rung)
    failed = [finding for finding in findings if not finding.passed]
    assert failed, "not caught"
    assert failed[0].rung == silent.rung, str(failed[0])
    named = [finding for finding in failed if (finding.rung, finding.what) == silent.finding]
    assert any(finding.where.startswith(silent.where) for finding in named), str(failed[0])


@pytest.mark.all_backends
@pytest.mark.parametrize(
    ("name", "precision"),
    cases({name: PRECISIONS for name, one in SILENT.items() if one.rung == NOWHERE}),
)
def test_the_ladder_does_not_see_everything(
    name: str, precision: str, torch: Modules, tmp_path: Path
) -> None:
    """A climb sets what these errors change, or computes none of it, so it passes."""
    trial = Trial(torch, SILENT[name].small, precision, tmp_path)
    assert ladder.first_failure(trial.findings(HARMED, harmed=True)) is None


def test_the_table_tells_what_is_caught() -> None:
    """Each row of the page is a tested sabotage on its rung; no silent error is left out."""
    page = (ROOM / "SILENT_ERRORS.md").read_text()
    head = "| silent error | in the list | model | caught at |\n| --- | --- | --- | --- |\n"
    table = page.partition(head)[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()]
    rungs = {
        "small": {name: one.rung for tests in (HARMS, SILENT) for name, one in tests.items()},
        "LeNet": {name: one.rung for name, one in SABOTAGES.items()},
    }
    for name, _, its_model, caught in rows:
        assert rungs[its_model][name] == caught, name
    assert {*SILENT} <= {name for name, *_ in rows}


def test_the_sabotages_of_layers_are_counted() -> None:
    """The README says how many there are, and of how many kinds."""
    kinds = {harm.kind for harm in HARMS.values()}
    readme = " ".join((ROOM / "README.md").read_text().split())
    assert f"{len(HARMS)} sabotages of {len(kinds)} kinds of layers" in readme
