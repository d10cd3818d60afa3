"""Turn the samples of a run into tables: `python -m benchmarks.speed_report FILE...`.

Every ratio compares two measurements in one file: one machine, one run, one set of versions.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.epoch import (
    BY_HAND,
    OURS,
    OURS_AGAIN,
    OURS_BFLOAT16,
    SAVED,
    STOCK,
    WATCHED,
    is_bfloat16,
)
from benchmarks.record import UNSTABLE, Record, pairs, ratios
from benchmarks.report import markdown, read
from benchmarks.study import BATCH, PASSES
from lenet_multi.config import TrainConfig

EPOCH = 60_000  # images

# FLOP to train on one image: 13.18 MFLOP, two per multiply-add. This network's layers take
# 6,591,000 multiply-adds: 2,293,000 forward, the rest backward (the first layer's pixels need no
# gradient).
FLOP_PER_IMAGE = 2 * 6_591_000

MARK = "~"  # unstable


@dataclass(frozen=True)
class Results:
    """The records of one run, by what they measure."""

    content: dict[str, Any]
    records: list[Record]

    @classmethod
    def of(cls, content: dict[str, Any]) -> "Results":
        """Return the results in a result file's content."""
        return cls(content, [Record(**record) for record in content["records"]])

    @property
    def backends(self) -> list[str]:
        """The backends that were measured, in order."""
        return list(dict.fromkeys(record.backend for record in self.records))

    def all(self, measure: str, backend: str | None = None) -> list[Record]:
        """Return all records of a measure, or only those of `backend`."""
        return [r for r in self.records if r.measure == measure and backend in (None, r.backend)]

    def find(self, measure: str, backend: str, way: str, **context: Any) -> Record | None:
        """Return the record with these fields and this context, or None."""
        for record in self.all(measure, backend):
            if record.way == way and context.items() <= record.context.items():
                return record
        return None

    @property
    def compared(self) -> list[int]:
        """The batch sizes in which ours was, or should be, compared with stock, in order."""
        found = {r.context["batch_size"] for r in self.all("epoch") if r.way == STOCK}
        return sorted(found or {BATCH})

    def epochs(self, backend: str, batch: int) -> list[Record]:
        """Return the epochs of all ways in this batch size, on all processors."""
        found = self.all("epoch", backend)
        return [r for r in found if "threads" not in r.context and r.context["batch_size"] == batch]

    def epoch(self, backend: str, way: str, batch: int = BATCH) -> Record | None:
        """Return the epochs of one way in this batch size, on all processors."""
        return next((r for r in self.epochs(backend, batch) if r.way == way), None)

    def best_by_hand(
        self, backend: str, batch: int = BATCH, *, bfloat16: bool = False
    ) -> Record | None:
        """Return the fastest hand-written loop in float32, or in bfloat16."""
        loops = [
            record
            for record in self.epochs(backend, batch)
            if record.way.startswith(BY_HAND) and is_bfloat16(record.way) == bfloat16
        ]
        return min(loops, key=lambda record: record.median, default=None)

    def peak(self, precision: str) -> float:
        """Return the fastest matrix product of any backend in this run, in GFLOP/s."""
        rates = [r.median for r in self.all("matrix product") if r.way == precision]
        return max(rates, default=float("nan"))


def seconds_per_epoch(record: Record) -> float:
    """Return seconds per 60,000 images."""
    return record.median * EPOCH / float(record.context["images"])


def headline_table(results: Results, batch: int = BATCH) -> str:
    """Return ours against stock and against the best loop by hand, for each backend."""
    rows = []
    for backend in results.backends:
        ours, stock = (results.epoch(backend, way, batch) for way in (OURS, STOCK))
        by_hand = results.best_by_hand(backend, batch)
        if not (ours and stock and by_hand):
            continue
        share = FLOP_PER_IMAGE * EPOCH / 1e9 / seconds_per_epoch(ours) / results.peak("float32")
        rows.append(
            [
                backend,
                _seconds(ours),
                _seconds(stock),
                _seconds(by_hand),
                f"{median(ratios(stock, ours)):.2f}",
                f"{median(ratios(ours, by_hand)):.2f}",
                f"{share:.0%}",
            ]
        )
    header = ["backend", "ours", "stock `fit`", "best by hand", "stock / ours", "ours / by hand"]
    return markdown([*header, "of the machine's peak"], rows)


def _seconds(record: Record) -> str:
    seconds = seconds_per_epoch(record)
    return f"{seconds:.{2 if seconds >= 1 else 3}f}{MARK if record.unstable else ''}"


def epoch_table(results: Results, batch: int = BATCH) -> str:
    """Return every timed way of training, with its form, precision and compiler."""
    rows = []
    for backend in results.backends:
        ours = results.epoch(backend, OURS, batch)
        for record in results.epochs(backend, batch):
            rows.append(
                [
                    backend,
                    record.way,
                    str(record.context.get("form", "")),
                    str(record.context["precision"]),
                    _by_xla(record),
                    _seconds(record),
                    f"{record.spread:.0%}",
                    f"{median(ratios(ours, record)):.2f}" if ours else "",
                ]
            )
    header = ["backend", "way", "form", "precision", "XLA", "seconds", "spread", "ours / this"]
    return markdown(header, rows)


def _by_xla(record: Record) -> str:
    asked = [
        record.context[name] for name in ("jit_compile", "xla_loops") if name in record.context
    ]
    return ("yes" if any(asked) else "no") if asked else ""


def bill_table(results: Results) -> str:
    """Return the seconds before the first epoch, and the peak memory."""
    parts = ("import", "build and compile", "first step", "peak memory")
    rows = []
    for backend in results.backends:
        for way in (OURS, STOCK):
            found = [_largest_start(results, part, backend, way) for part in parts]
            if all(found):
                cells = (
                    f"{r.median:.2f}" if r.unit == "s" else f"{r.median:.0f}" for r in found if r
                )
                rows.append([backend, way, *cells])
    return markdown(["backend", "way", *parts[:-1], "peak memory, MiB"], rows)


def _largest_start(results: Results, part: str, backend: str, way: str) -> Record | None:
    """Return the record of a fresh process, for the training set that both ways used."""
    sizes = [
        record.context["images"] for record in results.all(part, backend) if record.way == STOCK
    ]
    return results.find(part, backend, way, images=sizes[0]) if sizes else None


def inference_table(results: Results) -> str:
    """Return evaluation and prediction in images a second, and one image's latency."""
    rows = []
    for backend in results.backends:
        for way in (OURS, STOCK):
            found = [
                next((r for r in results.all(what, backend) if r.way == way), None)
                for what in ("evaluation", "prediction", "one image")
            ]
            if all(found):
                evaluation, prediction, one = (record.median for record in found if record)
                rows.append(
                    [backend, way, f"{evaluation:,.0f}", f"{prediction:,.0f}", f"{one:.2f}"]
                )
    header = ["backend", "way", "evaluation, images/s", "prediction, images/s", "one image, ms"]
    return markdown(header, rows)


def stage_table(results: Results) -> str:
    """Return milliseconds of a batch in each stage: "forward / forward and backward"."""
    stages = dict.fromkeys((r.way, r.context["stage"]) for r in results.all("stage"))
    rows = []
    for way, stage in stages:
        cells = []
        for backend in results.backends:
            found = (
                results.find("stage", backend, way, stage=stage, **{"pass": p}) for p in PASSES
            )
            cells.append(" / ".join(f"{record.median:.2f}" for record in found if record))
        rows.append([way, stage, *cells])
    return markdown(["way", "stage", *results.backends], rows)


def growth_table(results: Results) -> str:
    """Return how time per 60,000 images and memory grow with batch, images and processors."""
    rows = list(_growth(results))
    # A single size shows no growth.
    return markdown(["what", "of", *results.backends], rows if len(rows) > 1 else [])


def _growth(results: Results) -> Iterator[list[str]]:
    epochs = [r for r in results.all("epoch") if r.way == OURS and "threads" not in r.context]
    for size in sorted({record.context["batch_size"] for record in epochs}):
        yield [
            "seconds, batch size",
            f"{size:,}",
            *(
                _cell(
                    next(
                        (r for r in epochs if (r.backend, r.context["batch_size"]) == (b, size)),
                        None,
                    )
                )
                for b in results.backends
            ),
        ]
    one = {r.backend: r for r in results.all("epoch") if "threads" in r.context}
    if one:
        yield ["seconds, processors", "1", *(_cell(one.get(b)) for b in results.backends)]
    sizes = sorted({record.context["images"] for record in results.all("epoch of a set")})
    for size in sizes:
        found = [results.find("epoch of a set", b, OURS, images=size) for b in results.backends]
        yield ["seconds, training images", f"{size:,}", *map(_cell, found)]
    for size in sizes:
        cells = (
            results.find("memory beyond the data", b, OURS, images=size) for b in results.backends
        )
        yield [
            "MiB beyond the data, training images",
            f"{size:,}",
            # Take the least: that process found JAX's program already compiled.
            *(f"{min(record.values):.0f}" if record else "" for record in cells),
        ]


def _cell(record: Record | None) -> str:
    return _seconds(record) if record else ""


def target_table(results: Results) -> str:
    """Return the median seconds, over seeds, from the typed command to the target."""
    rows = []
    for backend in results.backends:
        ours, again, stock = (
            next((r for r in results.all("time to target", backend) if r.way == way), None)
            for way in (OURS, OURS_AGAIN, STOCK)
        )
        if not (ours and stock):
            continue
        epochs, accuracy = (
            next((r for r in results.all(what, backend) if r.way == way), None)
            for what, way in (("epochs to target", STOCK), ("accuracy reached", OURS))
        )
        rows.append(
            [
                backend,
                f"{ours.median:.1f}",
                f"{again.median:.1f}" if again else "",
                f"{stock.median:.1f}",
                _times(stock, ours),
                _times(stock, again) if again else "",
                _range(epochs) if epochs else "",
                f"{accuracy.median:.2%}" if accuracy else "",
            ]
        )
    header = ["backend", "one-epoch, s", "again, s", "stock `fit`, s", "stock / ours"]
    header += ["stock / again", "epochs of stock", "one-epoch's accuracy"]
    return markdown(header, rows)


def _times(first: Record, second: Record) -> str:
    found = ratios(first, second)
    return f"{median(found):.1f}" if found else ""


def _range(record: Record) -> str:
    least, most = min(record.values), max(record.values)
    return f"{least:g}" if least == most else f"{least:g} to {most:g}"


def bfloat16_table(results: Results, batch: int = BATCH) -> str:
    """Return bfloat16 beside float32, for ours and for the loops by hand."""
    rows = []
    for backend in results.backends:
        full, half = (results.epoch(backend, way, batch) for way in (OURS, OURS_BFLOAT16))
        hand, hand_half = (
            results.best_by_hand(backend, batch, bfloat16=bfloat16) for bfloat16 in (False, True)
        )
        if full and half and hand and hand_half:
            rows.append(
                [
                    backend,
                    _seconds(full),
                    _seconds(half),
                    f"{median(ratios(full, half)):.2f}",
                    f"{median(ratios(hand, hand_half)):.2f}",
                ]
            )
    header = ["backend", "float32, s", "bfloat16, s", "float32 / bfloat16", "the same by hand"]
    return markdown(header, rows)


def checkpoint_table(results: Results) -> str:
    """Return the cost of resumable runs: as a share of time, at the default interval.

    "Watching" is the extra training time when no checkpoint is due.
    """
    _, interval = TrainConfig().save_interval()  # in seconds
    rows = []
    for backend in results.backends:
        ours, watched, saved = (results.epoch(backend, way) for way in (OURS, WATCHED, SAVED))
        if not (ours and watched and saved):
            continue
        watching = median(ratios(watched, ours)) - 1
        steps = saved.context["images"] // saved.context["batch_size"]
        checkpoints = (steps - 1) // saved.context["save_every"]  # between two steps
        seconds = median(one - other for one, other in pairs(saved, watched)) / checkpoints
        rows.append(
            [
                backend,
                f"{watching:.1%}",
                f"{round(1000 * seconds)}",
                f"{watching + seconds / interval:.1%}",
            ]
        )
    header = ["backend", "watching", "a checkpoint, ms", f"both, a checkpoint each {interval:g} s"]
    return markdown(header, rows)


def distorted_table(results: Results) -> str:
    """Return by backend how long an epoch of distorted images takes, as a share of a plain one."""
    records = results.all("distorted epoch")
    rows = [
        [one.backend, f"{one.median:.2f}", f"{min(one.values):.2f} to {max(one.values):.2f}"]
        for one in records
    ]
    return markdown(["backend", "median", "range"], rows) if rows else ""


TABLES_OF_A_BATCH = {
    f"Seconds per {EPOCH:,} images, float32, batch": headline_table,
    "Every way of training, batch": epoch_table,
    f"bfloat16, seconds per {EPOCH:,} images, batch": bfloat16_table,
}

TABLES = {
    "Before the first epoch, seconds; memory": bill_table,
    "The cost of runs that can resume after a kill": checkpoint_table,
    "Evaluation, prediction, one image": inference_table,
    "Each stage alone, ms: forward / forward and backward": stage_table,
    "How time and memory grow": growth_table,
    "An epoch of distorted images, of a plain one": distorted_table,
    "From the typed command to 99 % test accuracy": target_table,
}


def bench_report(content: dict[str, Any]) -> str:
    """Return all tables of a result file's content, as Markdown."""
    results = Results.of(content)
    parts = [f"{_machine(content)}, {content['began']}, revision {content['revision']}"]
    for precision in dict.fromkeys(record.way for record in results.all("matrix product")):
        parts.append(f"Fastest matrix product, {precision}: {results.peak(precision):.0f} GFLOP/s")
    tables = [
        (f"{title} {batch:,}", table(results, batch))
        for batch in results.compared
        for title, table in TABLES_OF_A_BATCH.items()
    ]
    tables += [(title, table(results)) for title, table in TABLES.items()]
    parts += [f"\n{title}\n\n{text}" for title, text in tables if text]
    unstable = [record for record in results.records if record.unstable]
    if unstable:
        parts.append(
            f"\n{MARK} unstable: {len(unstable)} of {len(results.records)} measurements spread "
            f"over {UNSTABLE:.0%}; was the machine doing something else?"
        )
    return "\n".join(parts)


def _machine(content: dict[str, Any]) -> str:
    machine = content["machine"]
    named = f"{machine['processor']}, {machine['cores']} cores"
    if "instruction_set" in machine:
        named += f", {machine['instruction_set']}"
    if "gpu" not in machine:
        return named
    computed_on = ", ".join(
        f"{name} on the {device}" for name, device in content["devices"].items()
    )
    return f"{machine['gpu']} beside {named} ({computed_on})"


def main(files: Sequence[str]) -> None:
    """Print the tables of each file."""
    print("\n\n".join(bench_report(read(Path(name))) for name in files))


if __name__ == "__main__":
    main(sys.argv[1:])
