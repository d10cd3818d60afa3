"""What is measured, in which order: backends in turn, so that a slow spell meets all of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from benchmarks.epoch import LOOPS, OURS, STOCK, ways

BATCH = 128
PRECISIONS = ("float32", "bfloat16")
STAGES = {
    STOCK: ("conv1", "pool1", "conv2", "pool2", "dense", "optimizer"),
    OURS: ("block1", "block2"),  # convolution and pooling are one; the rest is the same
}
PASSES = ("forward", "forward and backward")
ANSWERS = ("evaluation", "prediction", "one image")


@dataclass(frozen=True)
class Request:
    """One sample to take: which kind of process takes it, on which backend, with what arguments.

    `process` is "worker", which is kept for the next request, or a fresh one: "startup", "target".
    `processors` is how many it may use; 0 means all.
    """

    process: str
    backend: str
    arguments: dict[str, Any] = field(default_factory=dict)
    processors: int = 0


@dataclass(frozen=True)
class Scale:
    """How much is measured: images in an epoch, rounds, and how far the growth goes."""

    images: int
    rounds: int
    starts: int
    targets: int
    batch_sizes: tuple[int, ...]
    set_sizes: tuple[int, ...]
    quick: bool


FULL = Scale(12_800, 7, 3, 2, (32, 64, 256, 512, 1024), (6_000, 60_000, 600_000), quick=False)
QUICK = Scale(6_400, 3, 1, 0, (), (), quick=True)
TINY = Scale(256, 2, 1, 1, (64,), (600,), quick=False)  # for the tests


def requests(backends: tuple[str, ...], scale: Scale) -> Iterator[Request]:
    """Yield every sample to take, in order."""
    for _ in range(scale.rounds):
        yield from _round(backends, scale)
    for _ in range(scale.starts):
        for way, backend in product((OURS, STOCK), backends):
            sizes = {"way": way, "images": 20 * BATCH if scale.quick else 60_000}
            yield Request(
                "startup", backend, sizes if scale is not TINY else {**sizes, "images": 600}
            )
    for size, backend in product(scale.set_sizes, backends):
        yield Request("startup", backend, {"way": OURS, "images": size})
    for _ in range(min(scale.rounds, 3)):
        for size, backend in product(scale.batch_sizes, backends):
            yield _epoch(backend, OURS, scale.images, size)
        if not scale.quick:
            for backend in backends:
                yield Request(
                    "worker", backend, _epoch(backend, OURS, scale.images).arguments, processors=1
                )
    for _ in range(scale.targets):
        for way, backend in product((OURS, STOCK), backends):
            yield Request("target", backend, {"way": way, "tiny": scale is TINY})


def _round(backends: tuple[str, ...], scale: Scale) -> Iterator[Request]:
    """Yield one sample of each measure that a kept worker takes."""
    longest = max(len(LOOPS[backend]) for backend in backends) + 3
    for index, backend in product(range(longest), backends):
        of_backend = ways(backend, quick=scale.quick)
        if index < len(of_backend):
            yield _epoch(backend, of_backend[index], scale.images)
    for precision, backend in product(PRECISIONS, backends):
        yield Request("worker", backend, {"measure": "matrix product", "precision": precision})
    for what, way, backend in product(ANSWERS, (OURS, STOCK), backends):
        images = 10_000 if scale is not TINY else 500
        arguments = {"what": what, "way": way, "images": images}
        yield Request("worker", backend, {"measure": "inference", **arguments})
    for way, stages in STAGES.items():
        for stage, pass_, backend in product(stages, PASSES, backends):
            if (stage, pass_) != ("optimizer", PASSES[1]):
                arguments = {"way": way, "stage": stage, "pass_": pass_}
                yield Request("worker", backend, {"measure": "stage", **arguments})


def _epoch(backend: str, way: str, images: int, batch_size: int = BATCH) -> Request:
    arguments = {"measure": "epoch", "way": way, "images": images, "batch_size": batch_size}
    return Request("worker", backend, arguments)
