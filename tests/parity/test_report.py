import dataclasses
import math
import re
from collections.abc import Callable
from functools import partial
from io import StringIO
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from lenet_multi.machine.children import Failure
from lenet_multi.parity import report
from lenet_multi.parity.ascent import Ascent
from lenet_multi.parity.equivalence import two_one_sided_tests
from lenet_multi.parity.evidence import Evidence
from lenet_multi.parity.known import Known
from lenet_multi.parity.ladder import FORWARD, STRUCTURE, TRAJECTORY, Finding, Ladder
from lenet_multi.parity.plan import Plan
from lenet_multi.parity.seeds import Outcome, Study
from tests.examples import example_run, example_values_run

PAIR = ("jax", "torch")


def finding(rung: str, gap: float, *, allowed: float = 1.0, precision: str = "float32") -> Finding:
    """Return a finding on a rung."""
    return Finding(
        rung=rung,
        what="losses",
        precision=precision,
        pair=PAIR,
        gap=gap,
        allowed=allowed,
        where="step 3",
    )


def ladder() -> Ladder:
    """Return the evidence of two backends whose losses differ by 1 in 10^5 from step 2 on."""
    losses = np.array([2.0, 1.0, 0.5])
    return Ladder(
        backends=PAIR,
        climbed={
            (who, precision): Evidence(
                who,
                "",
                arrays={"L4/losses": losses * [1, scale, scale]},
                record={"lacking": ["keras.src:name"]} if precision == "float64" else {},
            )
            for who, scale in zip(PAIR, (1, 1 + 1e-5), strict=True)
            for precision in ("float32", "float64")
        },
        gone_on={},
        plan=Plan(),
    )


def printed(findings: list[Finding], failures: list[Failure]) -> str:
    """Return the text printed for a climb."""
    console = Console(record=True, width=140, file=StringIO())
    report.print_ascent(Ascent(ladder(), findings, failures, 1.0), console)
    return console.export_text()


def test_success_shows_the_largest_share_of_each_rung() -> None:
    """Of two findings on a rung, the one nearer to its limit is shown."""
    text = printed(
        [finding(STRUCTURE, 0, allowed=0), finding(FORWARD, 0.2), finding(FORWARD, 0.7)], []
    )
    assert "70.0%" in text
    assert "20.0%" not in text
    assert text.splitlines()[-1] == "The same at every rung: jax, torch."


def test_a_private_name_that_keras_lacks_is_said() -> None:
    """A version without a name that the climb needs is not silent about it."""
    text = printed([finding(STRUCTURE, 0, allowed=0)], [])
    assert "Note: this Keras has no keras.src:name" in text


@pytest.mark.parametrize("order", [1, -1], ids=["first", "last"])
def test_a_gap_that_is_no_number_is_shown(order: int) -> None:
    """A gap of NaN is the worst of its rung, whatever the order."""
    gaps = [math.nan, 0.3, 0.7][::order]
    (shown,) = report.worst([finding(FORWARD, gap) for gap in gaps])
    assert math.isnan(shown.gap)


def test_failure_names_the_first_difference() -> None:
    """The last line names rung, pair, step, gap and limit."""
    text = printed([finding(FORWARD, 0.2), finding(TRAJECTORY, 7.0)], [])
    assert text.splitlines()[-1] == (
        "They DIFFER, first at L4 trajectory, losses, float32, jax and torch: step 3: 7, allowed 1"
    )


def test_a_failed_climber_leaves_no_verdict() -> None:
    """The other climbers' findings are shown, with the last lines of the failed one."""
    text = printed([finding(FORWARD, 0.2)], [Failure("jax float64", "crashed", ["no memory left"])])
    assert "jax float64 FAILED: it crashed" in text
    assert "no memory left" in text
    assert "20.0%" in text
    assert "No verdict" in text.splitlines()[-1]


@pytest.mark.parametrize(("gap", "words"), [(0.0, "Equivalent"), (0.5, "NOT shown")])
def test_the_outcome_is_shown(gap: float, words: str) -> None:
    """The report shows the accuracies of all seeds, and the interval of each pair."""
    noise = np.array([-0.01, 0.01, 0.0]) + gap
    outcome = Outcome(PAIR, two_one_sided_tests(noise, margin=0.1), 0.998)
    study = Study({(0, "jax"): example_run(), (1, "torch"): example_run()}, [outcome], [], 0.1)
    console = Console(record=True, width=140, file=StringIO())
    report.print_study(study, console)
    text = console.export_text()
    assert words in text.splitlines()[-1]
    assert f"{gap:+.3f}" in text
    assert "99.80%" in text
    assert "failed" in text  # seed 0 has no torch


def test_the_outcome_of_any_metric_is_shown() -> None:
    """A regression's table names its metric, and has a dash for the answers."""
    outcome = Outcome(PAIR, two_one_sided_tests(np.array([1e-7, 3e-7]), margin=0.02), None)
    runs = {(0, "jax"): example_values_run(), (0, "torch"): example_values_run()}
    console = Console(record=True, width=140, file=StringIO())
    report.print_study(Study(runs, [outcome], [], 0.02), console)
    text = console.export_text()
    assert "mean_absolute_error" in text
    assert "+2e-07" in text
    assert re.search(r"│ +0\.02 │", text)
    assert re.search(r"│ +- │", text)


def shown(draw: Callable[[Console], None]) -> list[str]:
    """Return the lines that are printed, without what colours them."""
    console = Console(record=True, width=140, file=StringIO())
    draw(console)
    return [line.rstrip() for line in console.export_text().splitlines()]


CLIMB = """\
Parity: the gap nearest to its limit on each rung
┏━━━━━━━━━━━━━━━┳━━━━━━━━━━━┳━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━┳━━━━━━━━━┳━━━━━━━━━┳━━━━━━━━┳━━━━━━━━━┓
┃ rung          ┃ precision ┃ where          ┃ between       ┃     gap ┃ allowed ┃  share ┃ verdict ┃
┡━━━━━━━━━━━━━━━╇━━━━━━━━━━━╇━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━╇━━━━━━━━━╇━━━━━━━━━╇━━━━━━━━╇━━━━━━━━━┩
│ L0 structure  │ float32   │ all            │ all           │    none │    none │   0.0% │ pass    │
│ L1 forward    │ float64   │ losses: step 3 │ jax and torch │ 2.5e-01 │       1 │  25.0% │ pass    │
│ L4 trajectory │ float32   │ losses: step 3 │ jax and torch │ 7.0e+00 │       1 │ 700.0% │ FAIL    │
└───────────────┴───────────┴────────────────┴───────────────┴─────────┴─────────┴────────┴─────────┘
"""  # noqa: E501

STUDY = """\
seed 1 torch FAILED: it crashed
    last
Test accuracy
┏━━━━━━┳━━━━━━━━┳━━━━━━━━┓
┃ seed ┃    jax ┃  torch ┃
┡━━━━━━╇━━━━━━━━╇━━━━━━━━┩
│    0 │ 99.00% │ 98.00% │
│    1 │ 97.00% │ failed │
└──────┴────────┴────────┘
L5 outcome: two one-sided tests over paired seeds
┏━━━━━━━━━━━━━━━━━━━━┳━━━━━━━┳━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━┳━━━━━━━━━━━━━━┳━━━━━━━━━━━━┓
┃            between ┃ seeds ┃ mean gap ┃    90 % interval ┃                margin ┃       p ┃ answer alike ┃ verdict    ┃
┡━━━━━━━━━━━━━━━━━━━━╇━━━━━━━╇━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━╇━━━━━━━━━━━━━━╇━━━━━━━━━━━━┩
│      jax and torch │     3 │   +0.020 │ +0.003 to +0.037 │ 0.1 percentage points │ 2.6e-03 │       99.80% │ equivalent │
│ jax and tensorflow │     2 │     +1.5 │   -1.66 to +4.66 │                   0.1 │ 8.9e-01 │            - │ NOT SHOWN  │
└────────────────────┴───────┴──────────┴──────────────────┴───────────────────────┴─────────┴──────────────┴────────────┘
NOT shown to be equivalent.
"""  # noqa: E501


def test_a_climb_is_shown_so() -> None:
    """A gap of nothing is in all places; numbers stand on the right."""
    findings = [
        finding(STRUCTURE, 0, allowed=0),
        finding(FORWARD, 0.25, precision="float64"),
        finding(TRAJECTORY, 7.0),
    ]
    lines = shown(lambda console: console.print(report.rungs_table(findings)))
    assert lines == CLIMB.splitlines()


def test_a_study_is_shown_so() -> None:
    """Each seed has a row, and each pair its interval, margin and verdict."""
    runs = {
        (seed, who): example_run(right=right)
        for seed, who, right in ((0, "jax", 990), (0, "torch", 980), (1, "jax", 970))
    }
    outcomes = [
        Outcome(PAIR, two_one_sided_tests(np.array([0.01, 0.02, 0.03]), margin=0.1), 0.998),
        Outcome(("jax", "tensorflow"), two_one_sided_tests(np.array([1.0, 2.0]), margin=0.1), None),
    ]
    study = Study(runs, outcomes, [Failure("seed 1 torch", "crashed", ["last"])], 0.1)
    assert shown(lambda console: report.print_study(study, console)) == STUDY.splitlines()


@pytest.mark.parametrize(
    ("change", "findings", "last"),
    [
        ({}, [], "The same at every rung: jax, torch."),
        ({"stopped": True}, [], "No verdict: the climb was stopped; it reached no rung."),
        (
            {"stopped": True},
            [finding(STRUCTURE, 0, allowed=0)],
            "No verdict: the climb was stopped; what it reached agrees.",
        ),
        ({"failures": [Failure("jax", "crashed", [])]}, [], "No verdict: a climber failed."),
    ],
)
def test_the_verdict_is_the_last_line(
    change: dict[str, Any], findings: list[Finding], last: str
) -> None:
    """A climb that was stopped, or whose climber failed, has none."""
    ascent = dataclasses.replace(Ascent(ladder(), findings, [], 1.0), **change)
    assert shown(lambda console: report.print_ascent(ascent, console))[-1] == last


def test_what_keras_lacks_and_what_failed_are_whole_lines() -> None:
    """All names that any climber did not find, once each; a child's last lines are indented."""
    rungs = ladder()
    for seen, lacking in zip(rungs.climbed.values(), (["b", "a"], ["a"], [], ["c"]), strict=True):
        seen.record["lacking"] = lacking
    ascent = Ascent(rungs, [], [Failure("jax float32", "crashed", ["one", "two"])], 1.0)
    lines = shown(lambda console: report.print_ascent(ascent, console))
    assert lines[:3] == ["jax float32 FAILED: it crashed", "    one", "    two"]
    assert (
        "Note: this Keras has no a, b, c; float64 and random numbers may differ for that." in lines
    )


BOLD_RED, BOLD_GREEN, GREEN, YELLOW, DIM = "1;31", "1;32", "32", "33", "2"


def styled(draw: Callable[[Console], None]) -> dict[str, str]:
    """Return the pieces that are printed in a style, and the terminal's code for it."""
    console = Console(record=True, width=140, file=StringIO(), highlight=False)
    draw(console)
    text = console.export_text(styles=True)
    found = re.findall(r"\x1b\[([0-9;]+)m(.*?)\x1b\[0m", text)
    return {piece.strip(): code for code, piece in found}


def styled_ascent(findings: list[Finding], **change: Any) -> dict[str, str]:
    """Return the styled pieces of a climb's report."""
    ascent = dataclasses.replace(Ascent(ladder(), findings, [], 1.0), **change)
    return styled(lambda console: report.print_ascent(ascent, console))


def known(what: str, *backends: str) -> Known:
    """Return a known divergence of backends."""
    return Known(anchor="a", what=what, backends=backends, size="1", cause="c", way_round="w")


def test_a_climb_has_its_colours() -> None:
    """Green is the same, red differs, yellow is to be known; what is dim may be skipped."""
    rungs = ladder()
    vars(rungs)["null_tensors"] = frozenset({"b/bias", "a/bias"})
    passed = styled_ascent([finding(FORWARD, 0.2)], ladder=rungs)
    assert passed["The same at every rung: jax, torch."] == BOLD_GREEN
    assert passed["pass"] == GREEN
    assert passed["Null tensors, which only rounding moves: a/bias, b/bias."] == DIM
    lacking = (
        "Note: this Keras has no keras.src:name; float64 and random numbers may differ for that."
    )
    assert passed[lacking] == YELLOW
    differs = finding(FORWARD, 7.0)
    both = [known("cubic", "torch"), known("linear", "tensorflow")]
    failed = styled_ascent([differs], known=both)
    assert failed["FAIL"] == BOLD_RED
    assert failed[f"They DIFFER, first at {differs}"] == BOLD_RED
    assert failed[f"A known difference of this model: {both[0]}"] == YELLOW
    assert not any("linear" in piece for piece in failed)
    stopped = styled_ascent([], stopped=True)
    assert stopped["No verdict: the climb was stopped; it reached no rung."] == YELLOW
    crashed = styled_ascent([], failures=[Failure("jax", "crashed", [])])
    assert crashed["jax FAILED: it crashed"] == BOLD_RED
    assert crashed["No verdict: a climber failed."] == BOLD_RED


def test_a_study_has_its_colours() -> None:
    """Green is equivalent, red is not shown."""
    runs = {(0, "jax"): example_run()}
    for gap, passed in ((0.0, True), (0.5, False)):
        outcome = Outcome(PAIR, two_one_sided_tests(np.full(3, gap), margin=0.1), 0.998)
        study = Study(runs, [outcome], [], 0.1)
        found = styled(partial(report.print_study, study))
        if passed:
            assert found["Equivalent: every pair, within the preset margin."] == BOLD_GREEN
            assert found["equivalent"] == GREEN
        else:
            assert found["NOT shown to be equivalent."] == BOLD_RED
            assert found["NOT SHOWN"] == BOLD_RED
