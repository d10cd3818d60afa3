"""Print the findings of a climb, rung by rung in each precision, and the verdict."""

import math
from collections import defaultdict
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lenet_multi.machine.children import Failure
from lenet_multi.parity import ladder
from lenet_multi.parity.ascent import Ascent
from lenet_multi.parity.ladder import Finding
from lenet_multi.parity.seeds import Study
from lenet_multi.runs.comparison import shown_headline


def print_ascent(ascent: Ascent, console: Console) -> None:
    """Print the failures with their last lines, the table of rungs, and the verdict."""
    _print_failures(ascent.failures, console)
    console.print(rungs_table(ascent.findings))
    first = ladder.first_failure(ascent.findings)
    backends = ", ".join(ascent.ladder.backends)
    if nulls := ascent.ladder.null_tensors:
        names = ", ".join(sorted(nulls))
        console.print(f"Null tensors, which only rounding moves: {names}.", style="dim")
    if lacking := _lacking(ascent):
        words = f"Note: this Keras has no {', '.join(lacking)}"
        console.print(f"{words}; float64 and random numbers may differ for that.", style="yellow")
    if first:
        console.print(f"They DIFFER, first at {first}", style="bold red")
        for known in ascent.known:
            if {*known.backends} & {*first.pair}:
                console.print(f"A known difference of this model: {known}", style="yellow")
    elif ascent.stopped:
        words = "what it reached agrees" if ascent.findings else "it reached no rung"
        console.print(f"No verdict: the climb was stopped; {words}.", style="yellow")
    elif ascent.failures:
        console.print("No verdict: a climber failed.", style="bold red")
    else:
        console.print(f"The same at every rung: {backends}.", style="bold green")


def _lacking(ascent: Ascent) -> list[str]:
    """Return the private names that the climbers did not find (see `backends.private`)."""
    found = (seen.record.get("lacking", []) for seen in ascent.ladder.climbed.values())
    return sorted(set().union(*found))


def rungs_table(findings: Iterable[Finding]) -> Table:
    """Return a table of the worst finding on each rung in each precision."""
    title = "Parity: the gap nearest to its limit on each rung"
    table = Table("rung", "precision", "where", "between", title=title, title_justify="left")
    for column in ("gap", "allowed", "share"):
        table.add_column(column, justify="right")
    table.add_column("verdict")
    for finding in worst(findings):
        table.add_row(
            finding.rung,
            finding.precision,
            f"{finding.what}: {finding.where}" if finding.share else "all",
            " and ".join(finding.pair) if finding.share else "all",
            f"{finding.gap:.1e}" if finding.share else "none",
            f"{finding.allowed:.2g}" if finding.allowed else "none",
            f"{finding.share:.1%}",
            Text("pass", "green") if finding.passed else Text("FAIL", "bold red"),
        )
    return table


def worst(findings: Iterable[Finding]) -> list[Finding]:
    """Return, for each rung and precision, the finding nearest to or farthest over its limit."""
    by_place = defaultdict(list)
    for finding in findings:
        by_place[finding.rung, finding.precision].append(finding)
    return [max(found, key=_nearness) for found in by_place.values()]


def _nearness(finding: Finding) -> float:
    return math.inf if math.isnan(finding.share) else finding.share


def print_study(study: Study, console: Console) -> None:
    """Print the failures, all test metrics, and for each pair whether it is equivalent."""
    _print_failures(study.failures, console)
    console.print(_headlines(study))
    console.print(_outcomes(study))
    if study.passed:
        console.print("Equivalent: every pair, within the preset margin.", style="bold green")
    else:
        console.print("NOT shown to be equivalent.", style="bold red")


def _headlines(study: Study) -> Table:
    backends = list(dict.fromkeys(backend for _, backend in study.runs))
    table = Table(title=f"Test {study.metric}", title_justify="left")
    for column in ("seed", *backends):
        table.add_column(column, justify="right")
    for seed in dict.fromkeys(seed for seed, _ in study.runs):
        runs = (study.runs.get((seed, backend)) for backend in backends)
        shown = (shown_headline(run.result) if run else "failed" for run in runs)
        table.add_row(str(seed), *shown)
    return table


def _outcomes(study: Study) -> Table:
    table = Table(title="L5 outcome: two one-sided tests over paired seeds", title_justify="left")
    for column in ("between", "seeds", "mean gap", "90 % interval", "margin", "p", "answer alike"):
        table.add_column(column, justify="right")
    table.add_column("verdict")
    for outcome in study.outcomes:
        found, classifies = outcome.gap, outcome.agreement is not None
        form = "+.3f" if classifies else "+.3g"
        table.add_row(
            " and ".join(outcome.pair),
            str(found.pairs),
            f"{found.mean:{form}}",
            f"{found.low:{form}} to {found.high:{form}}",
            f"{found.margin:g} {study.unit if classifies else ''}".strip(),
            f"{found.p_value:.1e}",
            "-" if outcome.agreement is None else f"{outcome.agreement:.2%}",
            Text("equivalent", "green") if found.passed else Text("NOT SHOWN", "bold red"),
        )
    return table


def _print_failures(failures: Iterable[Failure], console: Console) -> None:
    for failure in failures:
        console.print(f"{failure.child} FAILED: it {failure.reason}", style="bold red")
        for line in failure.last_lines:
            console.print(f"    {line}")
