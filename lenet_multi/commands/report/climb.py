"""Read the findings of `lenet-multi parity` from its --out folder."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lenet_multi.errors import UserError
from lenet_multi.machine.children import Failure
from lenet_multi.parity import ladder
from lenet_multi.parity.ascent import COMPARISON, SCHEMA_VERSION
from lenet_multi.parity.figure import KINDS, Line
from lenet_multi.parity.ladder import Finding
from lenet_multi.parity.report import worst
from lenet_multi.runs.schema import escaped


@dataclass(frozen=True)
class Climb:
    """A climb: its findings, the climbers that failed, and the lines of its figure."""

    findings: list[Finding]
    failures: list[Failure]
    lines: list[Line]

    @property
    def passed(self) -> bool:
        """Whether every climber finished and every finding passed."""
        return not self.failures and self.first_failure is None

    @property
    def first_failure(self) -> Finding | None:
        """The failed finding on the lowest rung."""
        return ladder.first_failure(self.findings)

    @property
    def rungs(self) -> list[Finding]:
        """The finding nearest to its limit on each rung in each precision."""
        return worst(self.findings)


def read_climb(folder: Path) -> Climb:
    """Return the climb in `folder`; raise `UserError` if it is missing, damaged or outdated."""
    path = folder / COMPARISON
    if not path.is_file():
        raise UserError(
            f"{folder} holds no readable {COMPARISON}; give the --out folder of lenet-multi parity"
        )
    try:
        content = escaped(json.loads(path.read_text()))
        if (version := content["schema_version"]) != SCHEMA_VERSION:
            raise UserError(
                f"{path} has schema version {version}, this program reads {SCHEMA_VERSION}; "
                "climb again"
            )
        return Climb(
            [Finding.of(finding) for finding in content["findings"]],
            [Failure(**failure) for failure in content["failures"]],
            [_line(line) for line in content["gaps"]],
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {error}; climb again") from error


def _line(content: dict[str, Any]) -> Line:
    steps = [int(step) for step in content["steps"]]
    gaps = [float(gap) for gap in content["gaps"]]
    if content["kind"] not in KINDS:
        raise ValueError(f"a line of unknown kind {content['kind']!r}")
    if not steps or min(steps) < 1 or len(steps) != len(gaps):
        raise ValueError("a line whose steps are missing, below 1, or not as many as its gaps")
    return Line(str(content["name"]), content["kind"], steps, gaps)
