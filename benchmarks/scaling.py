"""Compute up to how many devices data-parallel training pays; arithmetic, not a measurement.

A step of one device is cut into n parts. Then each device sends and gets 2 (n - 1) / n times the
gradient's bytes (a ring: Patarasuk and Yuan, 2009, "Bandwidth optimal all-reduce algorithms").
Sending does not overlap computing here, and latency counts nothing.
"""

from dataclasses import dataclass

from benchmarks.epoch import OURS
from benchmarks.report import markdown
from benchmarks.speed_report import EPOCH, Results, seconds_per_epoch
from benchmarks.study import BATCH

BYTES = 4  # of a gradient's number, float32
LARGE = 100_000_000  # parameters

# A transformer computes 6 operations for each parameter and token (Kaplan and others, 2020).
TOKENS = 16_384  # in a batch
FLOPS = 0.4 * 989e12  # a second: a share of the peak in bfloat16 that NVIDIA states for an H200

LINKS = {  # bytes a second, each way
    "1 Gbit/s": 1e9 / 8,
    "10 Gbit/s": 1e10 / 8,
    "100 Gbit/s": 1e11 / 8,
    "NVLink": 450e9,  # as NVIDIA states for an H200
}
EFFICIENT = 0.5  # of n times the speed of one device


@dataclass(frozen=True)
class Training:
    """A model on a device: its parameters, and the seconds of a step of one device."""

    name: str
    parameters: int
    step: float

    def speedup(self, devices: int, rate: float) -> float:
        """Return how much sooner so many devices end a step, over a link of `rate` bytes/s."""
        sent = 2 * (devices - 1) / devices * self.parameters * BYTES
        return self.step / (self.step / devices + sent / rate)

    def most(self, rate: float) -> int:
        """Return the most devices, a power of two, that give half of their number or more."""
        most = 1
        while most < 4096 and self.speedup(2 * most, rate) >= EFFICIENT * 2 * most:
            most *= 2
        return most


def trainings(lenet: int, processor: Results, gpu: Results) -> list[Training]:
    """Return the LeNet, of so many parameters, on two machines, and a large model on the GPU.

    The LeNet's steps are those of the machines' benchmarks.
    """

    def step(results: Results) -> float:
        records = [results.epoch(backend, OURS) for backend in results.backends]
        seconds = [seconds_per_epoch(record) for record in records if record]
        return min(seconds) * BATCH / EPOCH

    return [
        Training("LeNet, two cores", lenet, step(processor)),
        Training("LeNet, H200", lenet, step(gpu)),
        Training("100 million parameters, H200", LARGE, 6 * LARGE * TOKENS / FLOPS),
    ]


def scaling_table(of: list[Training]) -> str:
    """Return for each training its step, its gradient, and over each link how far it pays."""
    rows = [
        [
            one.name,
            f"{1000 * one.step:.2g} ms",
            f"{one.parameters * BYTES / 1e6:.3g} MB",
            *(f"{one.speedup(2, rate):.2f}x, {one.most(rate)}" for rate in LINKS.values()),
        ]
        for one in of
    ]
    return markdown(["training", "step", "gradient", *LINKS], rows)
