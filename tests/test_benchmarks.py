import dataclasses
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import lenet_multi
from benchmarks import coverage, epoch, exports, models
from benchmarks.__main__ import Bench
from benchmarks.epoch import (
    BY_HAND,
    LOOPS,
    NEVER,
    OURS,
    OURS_BFLOAT16,
    SAVED,
    SAVED_EVERY,
    STOCK,
    WATCHED,
    is_bfloat16,
)
from benchmarks.growth import held, repeated
from benchmarks.peers import BETA_1, BETA_2, RATE, SEED, SHAPES, initial_weights
from benchmarks.record import Record, ratios
from benchmarks.report import RESULTS, exports_table, read
from benchmarks.speed_figures import FIGURES
from benchmarks.speed_report import MARK, Results, bench_report, checkpoint_table, headline_table
from benchmarks.study import BATCH, SCALES, STAGES, Request, Scale, on_gpu, requests
from lenet_multi.bench import ways
from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Dataset, epoch_order
from lenet_multi.lenet.initial_weights import draw_initial_weights
from lenet_multi.lenet.tasks import LENET
from lenet_multi.machine.frameworks import BACKENDS
from lenet_multi.machine.keras_start import GPU
from lenet_multi.runs.tolerances import EXPORTED
from tests import models as tests_models
from tests.conftest import COUNT_SUBNORMALS, PROJECT, Lenet

SCRIPTS = {
    ".".join(path.relative_to(PROJECT).with_suffix("").parts)
    for path in (PROJECT / "benchmarks").rglob("*.py")
    if path.stem != "__init__"
}
# `python -m benchmarks` runs `worker`, `startup`, `growth` and `target`; `test_recipes`,
# `test_recipe_figures`, `test_trials`, `test_photographs` and `test_robustness` run theirs; these
# run the rest.
TRIED = {
    f"benchmarks.{name}"
    for name in (
        *("__main__", "worker", "startup", "growth", "target", "epoch", "inference", "matmul"),
        *("stages", "coverage", "exports", "recipes", "trials", "robustness", "climbs", "scaling"),
        "recipe_figures",
        *("distorted", "overhead", "models"),
        *(f"photographs.{name}" for name in ("__main__", "conditions", "paper", "recipes")),
        *(
            "study",
            "record",
            "report",
            "speed_report",
            "speed_figures",
            "peers.malloc",
            "peers.stock",
            "peers.winograd",
        ),
        *(f"peers.{backend}_loop" for backend in BACKENDS),
    )
}

ANY = "torch"  # for tests where the backend does not matter

# For two epochs of eleven steps from the same weights on the same batches. Measured: loss differs
# by 1.1e-3 and 7e-3, and 3 of 1,308 images differ.
LOSS_FLOAT32, LOSS_BFLOAT16, ACCURACY = 4e-3, 3e-2, 8e-3


def test_every_benchmark_script_is_tried_here() -> None:
    """Every benchmark script has a test here."""
    assert SCRIPTS == TRIED


def test_images_held_twice_are_counted_twice(mnist: Dataset) -> None:
    """Using part of the images takes no memory; using more than all of them counts as a copy."""
    loaded = mnist.train.x.nbytes + mnist.test.x.nbytes
    for count in (600, len(mnist.train)):
        assert held(mnist, repeated(mnist.train, count)) == loaded
    more = repeated(mnist.train, 60_001)
    assert np.array_equal(more.x[-1], more.x[0])
    assert held(mnist, more) == loaded + more.x.nbytes


@pytest.mark.backend
@pytest.mark.any_backend
def test_a_tiny_benchmark_measures_everything(backend: str, tmp_path: Path) -> None:
    """As a user runs it, it takes every sample, prints every table and draws the figures."""
    out = tmp_path / "results" / "tiny.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--tiny", "--out", str(out)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    content = json.loads(out.read_text())
    assert content["failures"] == {}
    results = Results.of(content)
    assert results.backends == [backend]
    assert backend in content["versions"][backend]
    assert all(value > 0 for record in results.records for value in record.values)
    assert {record.way for record in results.all("epoch")} >= {OURS, OURS_BFLOAT16, STOCK}
    stages = {(record.way, record.context["stage"]) for record in results.all("stage")}
    assert stages == {(way, stage) for way, of_way in STAGES.items() for stage in of_way}
    for title in (
        "Every way",
        "bfloat16",
        "Before",
        "one image",
        "stage",
        "grow",
        "typed command",
        "distorted",
    ):
        assert title in done.stdout
    assert done.stdout.startswith(bench_report(content))
    for figure in FIGURES:
        assert out.with_name(f"tiny-{figure}.png").stat().st_size > 10_000


@pytest.mark.backend
@pytest.mark.parametrize("stock", [False, True], ids=["ours", "stock"])
def test_stock_is_measured_as_its_user_finds_it(backend: str, stock: bool) -> None:
    """Only the stock process lets PyTorch compute with subnormal numbers, which is its default."""
    code = f"from benchmarks import worker; worker.start({backend!r}, stock={stock});"
    done = subprocess.run(
        [sys.executable, "-c", code + COUNT_SUBNORMALS],
        cwd=PROJECT,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) == (1_000_000 if stock and backend == "torch" else 0)


def test_the_peers_start_where_we_start() -> None:
    """The peers' hyperparameters and initial weights equal our defaults."""
    ours = TrainConfig()
    assert (ours.learning_rate, ours.beta_1, ours.beta_2, ours.seed) == (RATE, BETA_1, BETA_2, SEED)
    drawn = draw_initial_weights(SHAPES, seed=ours.seed)
    for theirs, weight in zip(initial_weights(), drawn, strict=True):
        assert np.array_equal(theirs, weight)


@pytest.mark.backend
def test_each_peer_does_the_same_work(backend: str, mnist: Dataset) -> None:
    """From the same start, the loops by hand show our model's loss and accuracy for two epochs."""
    from lenet_multi.backends import choice
    from lenet_multi.training.fit import fit
    from lenet_multi.training.setup import build, compile_model

    training = mnist.train[: 10 * 128 + 28]
    config = TrainConfig(lr_schedule="constant", epochs=2)
    model = build(LENET, config, mnist)
    compile_model(model, LENET, config, choice.here(), examples=len(training))
    ours = fit(model, LENET, training, mnist.test[:500], config, quiet=True).epochs
    loops = importlib.import_module(f"benchmarks.peers.{backend}_loop").LOOPS
    assert set(loops) == {name for device in LOOPS for name in LOOPS[device][backend]}
    for name, loop in loops.items():
        train = loop(training.x, training.y, 128)
        for number, epoch_of_ours in enumerate(ours):
            theirs = train(epoch_order(len(training), seed=config.seed, epoch=number))
            allowed = LOSS_BFLOAT16 if is_bfloat16(name) else LOSS_FLOAT32
            assert theirs.loss == pytest.approx(epoch_of_ours["loss"], abs=allowed), name
            assert theirs.accuracy == pytest.approx(epoch_of_ours["accuracy"], abs=ACCURACY), name
    assert ours[1]["loss"] < ours[0]["loss"] - LOSS_BFLOAT16  # it has learned


@pytest.mark.all_backends
@pytest.mark.study
def test_a_peer_that_fails_is_named(tmp_path: Path) -> None:
    """The report names a failed measurement, and the following measurements still run."""
    backend = ANY
    sizes = {"measure": "epoch", "images": 128, "batch_size": 128}
    with Bench({backend: sys.executable}, tmp_path / "bench.json", "tiny") as bench:
        bench.take(Request("worker", backend, {**sizes, "way": BY_HAND + "nobody"}))
        product = {"measure": "matrix product", "precision": "float32"}
        bench.take(Request("worker", backend, product, processors=1, round=2))
    [(name, reason)] = bench.failures.items()
    assert BY_HAND + "nobody" in name
    assert "nobody" in reason
    content = json.loads((tmp_path / "bench.json").read_text())
    (record,) = content["records"]
    assert record["measure"] == "matrix product"
    assert record["context"]["threads"] == 1
    assert record["rounds"] == [2]
    assert content["failures"] == bench.failures


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            ["--tiny", "--python", "jux=python"],
            "unknown backend 'jux'; choose from tensorflow, jax, torch",
        ),
        (
            ["--tiny", "--python", "jax=/no/python"],
            "there is no interpreter at /no/python; name one that is there",
        ),
        (["--tiny", "--target"], "unrecognized arguments: --target"),
    ],
    ids=["no such backend", "no such interpreter", "half a word"],
)
def test_a_wrong_argument_is_refused(wrong: list[str], message: str) -> None:
    """A wrong argument ends the command, before it measures, with one line naming the argument."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *wrong],
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(message)


@pytest.mark.parametrize(
    "arguments",
    [
        ("growth", "--backend", "jux", "128"),
        ("startup", "--backend", "jux", "--way", "ours", "--images", "60"),
        ("target", "jux"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_backend_that_nobody_knows_is_refused(arguments: tuple[str, ...]) -> None:
    """Each script refuses an unknown backend and lists the known ones."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{arguments[0]}", *arguments[1:]],
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "invalid choice: 'jux'" in done.stderr
    assert all(backend in done.stderr.splitlines()[-1] for backend in BACKENDS)


@pytest.mark.all_backends
@pytest.mark.study
def test_a_worker_that_retires_is_followed_by_another(tmp_path: Path) -> None:
    """After a worker retires, the next sample comes from a new process into the same record."""
    product = Request("worker", ANY, {"measure": "matrix product", "precision": "float32"})
    with Bench({ANY: sys.executable}, tmp_path / "bench.json", "tiny") as bench:
        bench.take(product)
        (first,) = bench.workers.values()
        bench.take(Request("retire", ANY))
        assert first.process.poll() is not None
        bench.take(dataclasses.replace(product, round=1))
        (second,) = bench.workers.values()
        assert second.process.pid != first.process.pid
    (record,) = bench.records.values()
    assert len(record.values) == 2
    assert not bench.failures


def test_workers_retire_between_rounds() -> None:
    """In four rounds, workers retire once: after the second round, and never within a round."""
    asked = list(requests((ANY,), SCALES["full"]))
    rounds: list[set[int]] = [set()]
    for request in asked:
        if request.process == "retire":
            rounds.append(set())
        elif request.arguments.get("measure") == "matrix product":
            rounds[-1].add(request.round)
    assert rounds == [{0, 1}, {2, 3}]


@pytest.mark.all_backends
def test_ctrl_c_keeps_what_was_measured(tmp_path: Path) -> None:
    """After Ctrl-C the benchmark prints its results and their file, and exits with 130."""
    out = tmp_path / "bench.json"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "benchmarks", "--tiny"),
            *("--python", f"{ANY}={sys.executable}", "--out", str(out)),
        ],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until = time.monotonic() + 120
    while not out.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert stderr.splitlines()[-1] == f"benchmarks: interrupted; what was measured is in {out}"
    assert "Traceback" not in stderr
    assert OURS in stdout
    assert json.loads(out.read_text())["records"]


@pytest.mark.parametrize("scale", [SCALES["full"], on_gpu(SCALES["full"])], ids=["CPU", "GPU"])
def test_backends_are_measured_in_turn(scale: Scale) -> None:
    """No backend takes a second sample of a way before the others took their first."""
    asked = [
        request
        for request in requests(BACKENDS, scale)
        if request.arguments.get("way") == OURS and request.arguments.get("measure") == "epoch"
    ]
    assert [request.backend for request in asked] == list(BACKENDS) * (len(asked) // len(BACKENDS))


def test_on_a_gpu_every_way_is_measured_in_large_batches_too() -> None:
    """On a GPU, ours, stock and all loops by hand run whole batches of 128 and of 4,096."""
    scale = on_gpu(SCALES["full"])
    found = {
        (request.backend, request.arguments["way"], request.arguments["batch_size"])
        for request in requests(BACKENDS, scale)
        if request.arguments.get("measure") == "epoch"
    }
    for backend, loops in LOOPS[GPU].items():
        for way in (OURS, OURS_BFLOAT16, STOCK, *(BY_HAND + name for name in loops)):
            assert {(backend, way, size) for size in (128, 4096)} <= found
    assert scale.images % 128 == scale.images % 4096 == 0


def example(**samples: list[float]) -> dict[str, Any]:
    """Return a result file's content with the epochs of three ways on one backend."""
    names = {"ours": OURS, "stock": STOCK, "by_hand": BY_HAND + "tiles"}
    context = {"images": 30_000, "batch_size": 128, "precision": "float32"}
    records = [
        Record("epoch", "jax", names[name], "s", values, context)
        for name, values in samples.items()
    ]
    records.append(Record("matrix product", "jax", "float32", "GFLOP/s", [400.0]))
    return {"records": [vars(record) for record in records]}


def test_the_table_shows_medians_of_paired_ratios() -> None:
    """Each ratio compares samples of the same round, so a slow spell cancels out."""
    content = example(ours=[1.0, 2.0, 9.0], stock=[2.0, 4.0, 9.0], by_hand=[1.0, 1.0, 9.0])
    last = headline_table(Results.of(content)).splitlines()[-1]
    cells = [cell.strip() for cell in last.strip("|").split("|")]
    # 13.18 MFLOP an image, 60,000 images in 4 s, are 198 of 400 GFLOP/s.
    assert cells == ["jax", f"4.00{MARK}", f"8.00{MARK}", f"2.00{MARK}", "2.00", "1.00", "49%"]


def test_checkpoints_are_weighed_by_how_often_they_come() -> None:
    """Watching costs a share of time; a checkpoint's cost counts once per 10 s, the default."""
    content: dict[str, Any] = {"records": []}
    per_epoch = {OURS: 2.0, WATCHED: 2.02, SAVED: 2.37}  # 200 steps, 7 checkpoints between them
    for way, seconds in per_epoch.items():
        record = Record("epoch", "jax", way, "s", [seconds] * 3, {"images": 25_600})
        record.context |= {"batch_size": 128, "save_every": 25}
        content["records"].append(dataclasses.asdict(record))
    row = checkpoint_table(Results.of(content)).splitlines()[-1]
    assert [cell.strip() for cell in row.strip("|").split("|")] == ["jax", "1.0%", "50", "1.5%"]


@pytest.mark.backend
@pytest.mark.parametrize("way", [WATCHED, SAVED])
def test_a_kept_epoch_is_measured(backend: str, way: str) -> None:
    """An epoch with checkpoints is timed in the trainer's own loop, and records its interval."""
    record = epoch.measure(backend, way=way, images=26 * 8, batch_size=8)
    assert record.values[0] > 0
    assert record.context["save_every"] in (SAVED_EVERY, NEVER)


def test_a_sample_without_a_partner_is_left_out() -> None:
    """If a run ends within a round, the ratios use only complete rounds."""
    first = Record("epoch", "jax", "ours", "s", [1.0, 2.0, 3.0])
    assert ratios(first, Record("epoch", "jax", "stock fit", "s", [2.0, 2.0])) == [0.5, 1.0]


def test_samples_of_one_round_are_compared_together() -> None:
    """Samples of a round pair one by one, or by their medians if their numbers differ."""
    ours = Record("epoch", "jax", "ours", "s", [1.0, 9.0, 2.0, 4.0], rounds=[0, 0, 0, 2])
    stock = Record("epoch", "jax", "stock fit", "s", [4.0, 5.0, 6.0], rounds=[0, 1, 2])
    assert ratios(stock, ours) == [2.0, 1.5]
    by_hand = Record("epoch", "jax", "by hand", "s", [1.0, 3.0, 1.0, 1.0], rounds=[0, 0, 0, 1])
    assert ratios(ours, by_hand) == [1.0, 3.0, 2.0]


def test_ours_and_the_best_by_hand_are_measured_in_turn() -> None:
    """Each round has four pairs of ours and the best loop by hand, in turn, with its number."""
    scale = SCALES["full"]
    best = BY_HAND + LOOPS[scale.device][ANY][0]
    asked = [
        (request.round, request.arguments["way"])
        for request in requests((ANY,), scale)
        if request.arguments.get("way") in (OURS, best)
        and request.arguments.get("batch_size") == BATCH
        and not request.processors
    ]
    pairs = [(number, way) for number in range(scale.rounds) for way in (OURS, best) * scale.pairs]
    assert asked == pairs


@pytest.mark.parametrize("name", SCALES)
def test_every_scale_asks_for_something(name: str) -> None:
    """Every scale has samples to take, also `--quick` and `--targets`, which grow no sets."""
    assert list(requests(BACKENDS, SCALES[name]))


def test_sets_grow_and_shrink_again() -> None:
    """Each backend's set sizes grow and shrink again; small sets repeat; all batches are whole.

    A small set is trained on as often as it takes to see as many images as the middle set has.
    """
    scale = SCALES["full"]
    asked = [
        (request.backend, *request.arguments.values())
        for request in requests(BACKENDS, scale)
        if request.process == "growth"
    ]
    small, middle, large = scale.set_sizes
    way = ((small, 10), (middle, 1), (large, 1), (middle, 1), (small, 10))
    assert asked == [(backend, *size_and_times) for backend in BACKENDS for size_and_times in way]
    assert not any(size % BATCH for size in scale.set_sizes)
    assert (small, middle, large) == tuple(n // BATCH * BATCH for n in (6_000, 60_000, 600_000))


@pytest.mark.parametrize(
    ("values", "unstable"),
    [([1.0, 1.02, 1.04, 1.06], False), ([1.0, 1.0, 1.3, 1.3], True), ([5.0], False)],
    ids=["steady", "two speeds", "one sample"],
)
def test_a_wide_spread_is_marked(values: list[float], unstable: bool) -> None:
    """A measurement is unstable if its middle half spreads over more than 10 % of its median."""
    record = Record("epoch", "jax", "ours", "s", values)
    assert record.unstable is unstable
    assert record.median == np.median(values)


@pytest.mark.all_backends
def test_a_run_is_exported_by_a_backend_that_can(
    monkeypatch: pytest.MonkeyPatch, lenet: Lenet, small_npz: Path, tmp_path: Path
) -> None:
    """JAX cannot write PyTorch's format, so PyTorch exports JAX's run, and the record says so."""
    monkeypatch.delenv("KERAS_BACKEND", raising=False)  # left by earlier tests in this process
    trained = lenet("train", "--backend", "jax", "--data", small_npz, "--epochs", 1, "--out", "run")
    assert trained.returncode == 0, trained.stderr
    monkeypatch.setattr(exports, "train", lambda recipe, backend, folder: tmp_path / "run")
    content = exports.measure("one-epoch", ("jax",), ("torch",))
    (found,) = content["exports"]
    assert (found["trained_on"], found["backend"]) == ("jax", "torch")
    assert found["deviation"] <= EXPORTED.value
    assert {"keras", "jax", "torch"} <= content["versions"].keys()
    assert f"| torch  | torch, {found['deviation']:.1e} |" in exports_table(content)


def coverage_json(lines: float) -> dict[str, Any]:
    """Return the JSON that `coverage json` writes for two modules; `lines` is the total share."""

    def summary(lines: float, branches: float) -> dict[str, float]:
        return {"percent_statements_covered": lines, "percent_branches_covered": branches}

    return {
        "meta": {"version": "7.0"},
        "totals": {**summary(lines, 90.0), "num_statements": 200, "num_branches": 40},
        "files": {
            "lenet_multi/commands/demo/app.py": {"summary": summary(98.7654, 50.0)},
            "lenet_multi/backends/adam.py": {"summary": summary(100.0, 100.0)},
        },
    }


@pytest.mark.all_backends
@pytest.mark.parametrize(("lines", "status"), [(95.0, 0), (94.99, 1)])
def test_coverage_is_recorded_and_judged(tmp_path: Path, lines: float, status: int) -> None:
    """The record holds shares by module and in all; less than 95 % of lines fails the command."""
    (tmp_path / "found.json").write_text(json.dumps(coverage_json(lines)))
    arguments = [str(tmp_path / "found.json"), "--out", str(tmp_path / "coverage.json")]
    done = CliRunner().invoke(coverage.main, arguments)
    assert done.exit_code == status, done.output
    content = json.loads((tmp_path / "coverage.json").read_text())
    assert content["percent"] == {"lines": lines, "branches": 90.0}
    assert content["modules"]["lenet_multi.commands.demo.app"] == {"lines": 98.77, "branches": 50.0}
    assert set(BACKENDS) <= set(content["versions"])
    assert "lenet_multi.commands.demo.app" in done.output
    assert "lenet_multi.backends.adam" not in done.output  # fully covered


def test_the_recorded_coverage_is_enough() -> None:
    """The committed coverage record shows at least 95 % of the lines."""
    assert read(RESULTS / "coverage.json")["percent"]["lines"] >= coverage.LEAST


def test_the_study_of_models_has_the_twelve_models() -> None:
    """All that climb, in their order."""
    assert models.MODELS == tests_models.NAMES


def rows_of(stock: float, ours: float, why_stock: str | None = None) -> list[dict[str, Any]]:
    """Return a bench's rows with these milliseconds on each backend, the same in three rounds."""
    rows: list[dict[str, Any]] = []
    for backend in BACKENDS:
        rows.append({"backend": backend, "way": ways.STOCK, "step_ms": [stock] * 3})
        rows.append(
            {"backend": backend, "way": ways.OURS, "step_ms": [ours] * 3, "why_stock": why_stock}
        )
    return rows


def test_the_table_of_models_has_factors_and_their_mean() -> None:
    """The mean is geometric; a model that stock Keras trains is marked, a failed one is named."""
    of = [
        {"model": "a", "rows": rows_of(8, 1)},
        {"model": "b", "rows": rows_of(2, 1, "it cannot be")},
        {"model": "c", "rows": rows_of(2, 1)[1:]},
    ]
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in models.models_table(of).splitlines()[2:]
    ]
    assert lines == [
        ["a", "8.00", "8.00", "8.00"],
        ["b", "2.00=", "2.00=", "2.00="],
        ["c", "failed", "2.00", "2.00"],
        ["geometric mean", "**4.00**", "**3.17**", "**3.17**"],
    ]


def test_a_model_is_benched_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is on file is left out; the rest is written after each model."""
    asked = []

    def bench(model: str, **given: Any) -> SimpleNamespace:
        asked.append((model, given))
        return SimpleNamespace(rows=[{**row, "peak_mib": 7} for row in rows_of(4, 2)])

    monkeypatch.setattr(lenet_multi, "bench", bench)
    out = tmp_path / "speed.json"
    words = ["models", "--model", "bilstm", "--model", "unet", "--out", str(out)]
    for _ in range(2):
        monkeypatch.setattr(sys, "argv", words)
        assert models.main() == 0
    data = [f"tests/models/{name}.py:data" for name in ("bilstm", "unet")]
    assert [given["data"] for _, given in asked] == data
    found = read(out)["models"]
    assert [one["model"] for one in found] == ["bilstm", "unet"]
    assert "peak_mib" not in found[0]["rows"][0]
    assert models.factor(found[0]["rows"], "jax") == 2
