"""What to measure, in which order: backends take turns, so a slow spell affects all of them."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import product, zip_longest
from typing import Any

from benchmarks.epoch import OURS, OURS_AGAIN, STOCK, ways
from lenet_multi.lenet.recipes import RECIPES
from lenet_multi.machine.keras_start import CPU, GPU

BATCH = RECIPES["standard"].batch_size
LARGE_BATCH = 4096  # large enough to fill a GPU
PRECISIONS = ("float32", "bfloat16")
SMALL = 1_000  # with fewer images the target is out of reach
FEW_ROUNDS = 2  # for measures outside the first table
ROUNDS_OF_A_WORKER = 2  # then a new worker starts, because one process may be lucky with memory
FEW_BATCHES = 25  # in an epoch, at least

STAGES = {
    STOCK: ("conv1", "pool1", "conv2", "pool2", "dense", "optimizer"),
    OURS: ("block1", "block2"),  # our blocks fuse convolution and pooling; the rest is stock's
}
PASSES = ("forward", "forward and backward")
ANSWERS = ("evaluation", "prediction", "one image")


@dataclass(frozen=True)
class Request:
    """One sample to take: the kind of process, the backend, the arguments.

    `process` is "worker", which lives on for the next request, or a fresh process: "startup",
    "growth" or "target". "retire" takes no sample; it ends the worker. The process may use
    `processors` cores; 0 means all. Samples of one `round` are compared.
    """

    process: str
    backend: str
    arguments: dict[str, Any] = field(default_factory=dict)
    processors: int = 0
    round: int = 0


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much to measure.

    `device`: whose loops by hand. `compared`: the batch sizes of all ways of training. `images`:
    per epoch (an epoch's start and end take up to a fiftieth of a second). `answers`: images per
    inference sample. `rounds`: of a worker's measures. `pairs`: of ours and the best loop by hand
    in each round, because these two are closest. `starts`: fresh processes with `start_images`
    (only one for stock). `targets`: seeds for the time to 99 %. `batch_sizes`, `set_sizes`: sizes
    for the growth tables. `distorted`: rounds of an epoch of `distorted_images` beside a plain one.
    `one_processor`: measure on one core too. `beside`: measure bfloat16 and
    the slower loops too. `everything`: also measure the cost of checkpoints and, once, the slow
    ways.
    """

    device: str = CPU
    compared: tuple[int, ...] = (BATCH,)
    images: int
    answers: int = 10_000
    rounds: int
    pairs: int = 1
    starts: int = 0
    start_images: int = 0
    targets: int = 0
    batch_sizes: tuple[int, ...] = ()
    set_sizes: tuple[int, ...] = ()
    distorted: int = 0
    distorted_images: int = 60_000
    one_processor: bool = False
    beside: bool = True
    everything: bool = False


SCALES = {
    "full": Scale(
        images=12_800,
        rounds=4,
        pairs=4,
        starts=2,
        start_images=60_000,
        targets=1,
        batch_sizes=(32, 1024),
        set_sizes=(46 * BATCH, 468 * BATCH, 4_687 * BATCH),  # whole batches: 6,000 to 600,000
        distorted=1,
        one_processor=True,
        everything=True,
    ),
    "distorted": Scale(images=12_800, rounds=0, distorted=3),
    "targets": Scale(images=12_800, rounds=0, targets=5),
    "quick": Scale(images=12_800, rounds=2, beside=False),
    "tiny": Scale(  # for the tests
        images=128,
        answers=500,
        rounds=1,
        starts=1,
        start_images=256,  # whole batches, because XLA compiles for each batch size
        targets=1,
        set_sizes=(256,),
        distorted=1,
        distorted_images=256,
    ),
}


def on_gpu(scale: Scale) -> Scale:
    """Return `scale` for a GPU: also large batches, and enough whole batches of both sizes."""
    return dataclasses.replace(
        scale,
        device=GPU,
        compared=(BATCH, LARGE_BATCH),
        images=10 * LARGE_BATCH,
        starts=min(scale.starts, 1),  # each takes half a minute, in which XLA tries its kernels
        one_processor=False,
        everything=False,  # checkpoints cost the host's time, not the GPU's
    )


def requests(backends: tuple[str, ...], scale: Scale) -> Iterator[Request]:
    """Yield every sample to take, in order."""
    for turn in range(scale.rounds):
        if turn and turn % ROUNDS_OF_A_WORKER == 0:
            yield from (Request("retire", backend) for backend in backends)
        yield from _round(backends, scale, turn)
    for start in range(scale.starts):
        # Stock starts only once.
        for way, backend in product((OURS, STOCK)[: 1 if start else 2], backends):
            arguments = {"way": way, "images": scale.start_images}
            yield Request("startup", backend, arguments, round=start)
    yield from _growth(backends, scale.set_sizes)
    for number, backend in product(range(scale.distorted), backends):
        arguments = {"measure": "distorted epoch", "images": scale.distorted_images}
        yield Request("worker", backend, arguments, round=number)
    for number in range(min(scale.rounds, FEW_ROUNDS)):
        for size, backend in product(scale.batch_sizes, backends):
            arguments = _epoch(OURS, max(scale.images, FEW_BATCHES * size), size)
            yield Request("worker", backend, arguments, round=number)
        if scale.one_processor:
            for backend in backends:
                arguments = _epoch(OURS, scale.images)
                yield Request("worker", backend, arguments, processors=1, round=number)
    small = scale.images < SMALL
    wanted = (OURS, STOCK) if small else (OURS, OURS_AGAIN, STOCK)
    for seed in range(scale.targets):
        for backend, way in product(backends, wanted):
            arguments = {"way": way, "seed": seed, "small": small}
            yield Request("target", backend, arguments, round=seed)


def _growth(backends: tuple[str, ...], sizes: tuple[int, ...]) -> Iterator[Request]:
    """Yield growing sets, then the smaller ones again, one backend after another.

    The table compares sizes, so all samples of a backend are neighbours: a slow spell then affects
    more than one size. A small set is trained on until as many images have passed as the middle set
    has, because a process holds more memory after some hundred steps than at first.
    """
    way_up = sorted(sizes)
    way = [*way_up, *reversed(way_up[:-1])]
    middle = way_up[len(way_up) // 2] if way_up else 0
    for backend, (number, size) in product(backends, enumerate(way)):
        arguments = {"size": size, "times": max(1, middle // size)}
        yield Request("growth", backend, arguments, round=number)


def _round(backends: tuple[str, ...], scale: Scale, number: int) -> Iterator[Request]:
    """Yield one sample of each measure that a worker takes in round `number` (from 0)."""
    wanted = {
        "beside": scale.beside and number < FEW_ROUNDS,
        "slow": scale.everything and number == 0,
        "kept": scale.everything,
    }
    asked = partial(Request, "worker", round=number)
    of_each = (ways(name, scale.device, pairs=scale.pairs, **wanted) for name in backends)
    turns = list(zip_longest(*of_each))
    for size, turn in product(scale.compared, turns):
        for backend, way in zip(backends, turn, strict=True):
            if way:
                yield asked(backend, _epoch(way, scale.images, size))
    for precision, backend in product(PRECISIONS, backends):
        yield asked(backend, {"measure": "matrix product", "precision": precision})
    if number >= FEW_ROUNDS:
        return
    for what, way, backend in product(ANSWERS, (OURS, STOCK), backends):
        arguments = {"what": what, "way": way, "images": scale.answers}
        yield asked(backend, {"measure": "inference", **arguments})
    for way, stages in STAGES.items():
        for stage, pass_, backend in product(stages, PASSES, backends):
            if (stage, pass_) != ("optimizer", PASSES[1]):
                arguments = {"way": way, "stage": stage, "pass_": pass_}
                yield asked(backend, {"measure": "stage", **arguments})


def _epoch(way: str, images: int, batch_size: int = BATCH) -> dict[str, Any]:
    return {"measure": "epoch", "way": way, "images": images, "batch_size": batch_size}
