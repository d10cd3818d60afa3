"""Silent errors of real trainings: the ladder of any model catches each on the rung it states."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lenet_multi.parity import ladder
from tests.parity.again import in_this_process
from tests.parity.sabotage import Modules
from tests.parity.silent import SILENT
from tests.parity.small import HARMED, Trial


@pytest.fixture(scope="module")
def torch() -> Iterator[Modules]:
    """Keras on torch in this process, put back to float32 afterwards."""
    with in_this_process() as of:
        yield of


@pytest.mark.all_backends
@pytest.mark.parametrize(
    ("name", "precision"),
    [
        pytest.param(name, precision, id=f"{name}, {precision}")
        for name, silent in SILENT.items()
        for precision in silent.precisions
    ],
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
