"""Record how much of the package the tests run, from the output of `coverage json`."""

import json
from pathlib import Path
from typing import Any

import click

from benchmarks.report import RESULTS, markdown, read
from lenet_multi.machine import environment
from lenet_multi.machine.frameworks import BACKENDS

LEAST = 95.0  # percent of lines


def percentages(summary: dict[str, Any]) -> dict[str, float]:
    """Return the share of lines and of branches that ran, in percent."""
    return {
        "lines": round(summary["percent_statements_covered"], 2),
        "branches": round(summary["percent_branches_covered"], 2),
    }


def record(found: dict[str, Any]) -> dict[str, Any]:
    """Return both shares in all and by module, with the versions and machine that gave them."""
    totals = found["totals"]
    installed = [environment.versions(backend) for backend in BACKENDS]
    return {
        "machine": environment.machine(),
        "versions": {"coverage": found["meta"]["version"]}
        | {name: number for versions in installed for name, number in versions.items()},
        "counted": {"lines": totals["num_statements"], "branches": totals["num_branches"]},
        "percent": percentages(totals),
        "modules": {
            ".".join(Path(path).with_suffix("").parts): percentages(file["summary"])
            for path, file in sorted(found["files"].items())
        },
    }


def coverage_table(content: dict[str, Any]) -> str:
    """Return the shares of each module that is not fully covered, and of all together."""
    rows = content["modules"] | {"all": content["percent"]}
    return markdown(
        ["module", "lines", "branches"],
        [
            [name, f"{shares['lines']:.2f}%", f"{shares['branches']:.2f}%"]
            for name, shares in rows.items()
            if name == "all" or min(shares.values()) < 100
        ],
    )


@click.command()
@click.argument("found", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=RESULTS / "coverage.json",
    show_default=True,
    help="JSON to write",
)
def main(found: Path, out: Path) -> None:
    """Record what `coverage json` wrote to FOUND; fail if the tests run too few lines."""
    content = record(read(found))
    out.write_text(json.dumps(content, indent=2) + "\n")
    click.echo(coverage_table(content))
    if content["percent"]["lines"] < LEAST:
        raise click.ClickException(f"the tests run less than {LEAST:g} % of the lines")


if __name__ == "__main__":
    main()
