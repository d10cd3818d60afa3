import dataclasses
import json
import re
import shlex
import shutil
import subprocess
import sys
from itertools import combinations, product
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from benchmarks import climbs, models, overhead, recipes, scaling, trials
from benchmarks.epoch import OURS, STOCK
from benchmarks.report import (
    RESULTS,
    accuracy_table,
    devices_table,
    exports_table,
    faults_table,
    fuzz_table,
    margins_table,
    options_table,
    outcome_table,
    parity_table,
    processors_table,
    read,
    recipes_table,
    robustness_table,
    seeds_table,
)
from benchmarks.speed_report import (
    Results,
    bill_table,
    checkpoint_table,
    headline_table,
    stage_table,
    target_table,
)
from lenet_multi.backends.choice import forms_of
from lenet_multi.config import PRECISIONS
from lenet_multi.data.examples import Dataset
from lenet_multi.inference.formats import FORMATS
from lenet_multi.lenet.recipes import RECIPES
from lenet_multi.machine.frameworks import BACKENDS
from lenet_multi.machine.instruction_sets import AVX2, INSTRUCTION_SETS, SSE41
from lenet_multi.parity.equivalence import two_one_sided_tests
from lenet_multi.parity.ladder import RUNGS, Finding
from lenet_multi.parity.plan import Plan
from lenet_multi.runs import tolerances
from tests import drawings
from tests.conftest import PROJECT, child_environment
from tests.examples import STANDARD_FLOOR
from tests.parity.sabotage import SABOTAGES

ON_A_GPU = "intel-r-xeon-r-processor-family-6-model-207-16-nvidia-h200-20261126"
ELSEWHERE = "amd-epyc-family-25-model-17-2-20261127.json"
HELD_TO_AVX2 = "amd-epyc-family-26-model-2-2-avx2-20261129.json"
TARGETS = "intel-r-xeon-r-processor-family-6-model-207-2-20261127-seeds.json"
BENCHMARK = "intel-r-xeon-r-processor-family-6-model-207-2-20261127.json"

EXACT = ("order", "steps")  # what L4 compares to the bit

ROOMS = PROJECT / "lenet_multi"
README = (PROJECT / "README.md").read_text()
CHINESE = (PROJECT / "README.zh-CN.md").read_text()
LADDER = (ROOMS / "parity" / "README.md").read_text()
LENET = (ROOMS / "lenet" / "README.md").read_text()
DEVICES = (ROOMS / "backends" / "devices" / "README.md").read_text()
RUNS = (ROOMS / "runs" / "README.md").read_text()
DATA = (ROOMS / "data" / "README.md").read_text()
INFERENCE = (ROOMS / "inference" / "README.md").read_text()
TESTS = (PROJECT / "tests" / "README.md").read_text()
TRAINING = (ROOMS / "training" / "README.md").read_text()
SPEED = (PROJECT / "benchmarks" / "README.md").read_text()
PAGES = (
    README,
    LENET,
    TRAINING,
    RUNS,
    INFERENCE,
    LADDER,
    SPEED,
    TESTS,
)  # in the order of their commands
PATHS = [
    *sorted(PROJECT.glob("README*.md")),
    *sorted(ROOMS.glob("**/README.md")),
    PROJECT / "benchmarks" / "README.md",
    PROJECT / "tests" / "README.md",
]
LINK = re.compile(r"\]\(([^)\s]+)\)")
MOST_LINES, MOST_LINES_OF_A_ROOM = 180, 150


def blocks(page: str) -> list[str]:
    """Return the shell blocks of a page."""
    return re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


BLOCKS = [block for page in PAGES for block in blocks(page)]
NEEDS_NO_TEST_HERE = {
    "python3 -m venv .venv",  # `.ci/run` runs these three as they stand
    ".venv/bin/pip install -q nox",
    ".venv/bin/nox",
}


def commands(block: str) -> list[str]:
    """Return the commands of a block, one by one, without comments."""
    lines = [line.partition("#")[0].strip() for line in block.splitlines()]
    return [part.strip() for line in lines if line for part in line.split("&&")]


climbed: list[list[str]] = []  # several pages show the same climb, which takes half a minute


def is_climbed(words: list[str]) -> bool:
    """Whether an earlier page showed this climb, perhaps into another folder."""
    if "parity" not in words or "--seeds" in words:
        return False
    climb = words[: words.index("--out")] if "--out" in words else words
    known = climb in climbed
    climbed.append(climb)
    return known


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, mnist: Dataset) -> Path:
    """A copy of the project to run commands in, with a photograph and drawings to read."""
    hidden = shutil.ignore_patterns(".*", "__pycache__")
    place = tmp_path_factory.mktemp("readme") / "checkout"
    folder = Path(shutil.copytree(PROJECT, place, ignore=hidden))
    shutil.rmtree(folder / "runs", ignore_errors=True)  # those of whoever works here
    (folder / "drawings").mkdir()
    drawn = drawings.write(mnist.test[:5], folder / "drawings", seed=0)
    shutil.copy(next(path for path in drawn if path.suffix == ".jpg"), folder / "photo.jpg")
    shutil.copy(ROOMS / "own" / "examples" / "my_model.py", folder)
    return folder


def tiny(command: str, small_npz: Path) -> tuple[list[str], dict[str, str]]:
    """Return the command made small, run by this environment's programs, and its variables.

    A command that is not known here fails the test: each must be run.
    """
    words = shlex.split(command)
    environ = {}
    while re.fullmatch(r"[A-Z_]+=.*", words[0]):
        name, _, environ[name] = words.pop(0).partition("=")
    python, data = sys.executable, ["--data", str(small_npz), "--epochs", "1"]
    two = ["parity", "--backend", "jax", "--backend", "torch"]  # test_controls climbs all
    match [Path(words[0]).name, *words[1:]]:
        case ["pip", "install", target]:
            return [python, "-m", "pip", "install", "-q", "--dry-run", target], environ
        case ["nox", "-s", "package(jax)" | "audit" | "coverage" | "pin" as session, *_]:
            return [python, "-m", "nox", "-s", session, "--list"], environ  # long, or for a network
        case ["nox", "-s", "minimums" as session, other]:
            return [python, "-m", "nox", "-s", session, other, "--list"], environ  # likewise
        case ["nox", "-s", session, "--", "--fast"]:
            return [
                python,
                "-m",
                "nox",
                "--no-venv",
                "--no-install",
                "-s",
                session,
                "--",
                "--fast",
                "--collect-only",
            ], environ
        case ["nox", "-s", "bench", *_]:
            nox = [python, "-m", "nox", "--no-venv", "--no-install", "-s", "bench", "--"]
            return [*nox, "--help"], environ  # test_benchmarks measures
        case ["nox", "-s", session]:
            nox = [python, "-m", "nox", "--no-venv", "--no-install", "-s", session, "--"]
            small = {
                "train": data,
                "parity": ["--help"],  # the next commands climb
                "exports": ["--help"],  # test_benchmarks exports
                # These have their own tests.
                **{name: ["--help"] for name in ("faults", "fuzz", "mutants", "keras-tests")},
            }
            return [*nox, *small[session]], environ
        case ["nox", "-s", "train", "--", *rest]:  # the first command trains on all three
            nox = [python, "-m", "nox", "--no-venv", "--no-install", "-s", "train(torch)", "--"]
            return [*nox, *rest, *data], environ
        case ["lenet-multi", "train", "--resume", run, "--epochs", _]:  # after one epoch
            return [python, "-m", "lenet_multi", "train", "--resume", run, "--epochs", "2"], environ
        case ["lenet-multi", "train", "--resume", _]:  # test_resume interrupts and resumes
            return [python, "-m", "lenet_multi", "train", "--help"], environ
        case ["lenet-multi", "parity", "my_model.py:build", *rest] if "--seeds" in rest:
            seeds = ["--seeds", "2", "--margin", "1", "--epochs", "1"]
            own = ["my_model.py:build", "--data", "my_model.py:data", *seeds]
            return [python, "-m", "lenet_multi", *two, *own], environ
        case ["lenet-multi", "parity", "lenet_multi.lenet.options:batch_norm", *_]:
            return [python, "-m", "lenet_multi", "parity", "--help"], environ  # test_options climbs
        case ["lenet-multi", "parity", "my_model.py:build", *_]:  # test_own climbs in other ways
            own = ["my_model.py:build", "--data", "my_model.py:data", "--precision", "float32"]
            return [python, "-m", "lenet_multi", *two, *own, "--quick"], environ
        case ["lenet-multi", "bench", model, *rest]:
            quick = ["--quick", "--backend", "torch", "--rounds", "2"]
            return [python, "-m", "lenet_multi", "bench", model, *rest, *quick], environ
        case ["lenet-multi", "teach" | "train" as verb, *rest] if "runs/teacher" in rest:
            return [python, "-m", "lenet_multi", verb, "--help"], environ  # test_teach teaches
        case ["lenet-multi", "train", "my_model.py:build", *rest]:
            return [python, "-m", "lenet_multi", *words[1:], "--epochs", "1"], environ
        case ["lenet-multi", "train", *rest]:
            return [python, "-m", "lenet_multi", "train", *rest, *data], environ
        case ["lenet-multi", "parity", "--seeds", _]:
            return [python, "-m", "lenet_multi", *two, "--seeds", "2", *data], environ
        case ["lenet-multi", "parity", *rest]:
            climbers = ["parity"] if "--backend" in rest else two
            network = ["--architecture", "softmax-regression"]  # test_controls climbs the LeNet
            few = [*network, "--images", "2560", *(word for word in rest if word not in network)]
            return [python, "-m", "lenet_multi", *climbers, *few], environ
        case ["lenet-multi", "predict", "cat.png", *_]:  # test_class_names names a file's classes
            return [python, "-m", "lenet_multi", "predict", "--help"], environ
        case ["lenet-multi", "demo", *_]:
            return [python, "-m", "lenet_multi", "demo", "--help"], environ  # test_demo serves
        case ["lenet-multi", *rest]:
            return [python, "-m", "lenet_multi", *rest], environ
        case ["python", "-m", "lenet_multi.train", *rest]:
            return [python, "-m", "lenet_multi.train", *rest, *data], environ
    raise AssertionError(f"a page shows a command that no test runs: {command}")


@pytest.mark.all_backends
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0][-45:])
def test_the_commands_work(block: str, checkout: Path, small_npz: Path) -> None:
    """Each block of commands, typed in order in a checkout, succeeds; so do all in their order."""
    for command in commands(block):
        if command in NEEDS_NO_TEST_HERE:
            continue
        words, environ = tiny(command, small_npz)
        if is_climbed(words):
            continue
        done = subprocess.run(
            words, cwd=checkout, env=child_environment(**environ), capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def test_the_gate_runs_the_readmes_test_command() -> None:
    """`.ci/run` takes exactly one command from the README: the one that passes the tests."""
    marked = [line for line in README.splitlines() if line.endswith("# pass the tests")]
    assert [commands(line) for line in marked] == [
        ["python3 -m venv .venv", ".venv/bin/pip install -q nox", ".venv/bin/nox"]
    ]
    assert "# pass the tests" in (PROJECT / ".ci" / "run").read_text()


def test_the_pages_are_short() -> None:
    """A newcomer finishes the README; each room's page is about one thing."""
    for page in (README, CHINESE):
        assert len(page.splitlines()) <= MOST_LINES
    for path in ROOMS.glob("**/README.md"):
        assert len(path.read_text().splitlines()) <= MOST_LINES_OF_A_ROOM, path


def test_what_the_first_command_prints_is_what_it_printed() -> None:
    """The README shows lines of the committed comparison of the recipe that it trains."""
    comparison = read(RESULTS / "standard.json")
    shown = " ".join(README.split())
    rows = [" ".join([c["name"], *c["shown"], c["allowed"], "pass"]) for c in comparison["checks"]]
    assert sum(row in shown for row in rows) == 3
    lowest = min(run["test_accuracy"] for run in comparison["runs"])
    assert f"reaches {100 * lowest:.1f} %" in README


def test_the_chinese_readme_says_the_same() -> None:
    """It has the commands, the tables, the figures and the links of the English one."""
    assert [commands(block) for block in blocks(CHINESE)] == list(map(commands, blocks(README)))
    figure = r"\d+[.,][\d.,]*\d|\d+(?= ?%)"
    assert set(re.findall(figure, README)) == set(re.findall(figure, CHINESE))
    for line in README.splitlines():
        if line.startswith("|") and re.search(r"\d\.\d", line):
            assert line in CHINESE
    assert set(LINK.findall(README)) - set(LINK.findall(CHINESE)) == {"README.zh-CN.md"}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_links_lead_somewhere(path: Path) -> None:
    """Every file that a page shows or names exists."""
    for target in LINK.findall(path.read_text()):
        if not target.startswith("http"):
            assert (path.parent / target.partition("#")[0]).exists(), target


def test_accuracies_are_those_of_the_committed_runs() -> None:
    """The table of recipes is made from benchmarks/results, figure by figure."""
    comparisons = [read(RESULTS / f"{recipe}.json") for recipe in RECIPES]
    for comparison in comparisons:
        assert comparison["passed"]
        assert [run["backend"] for run in comparison["runs"]] == list(BACKENDS)
    assert accuracy_table(comparisons) in LENET


def test_committed_runs_are_of_todays_recipes() -> None:
    """A recipe that changes asks for new results."""
    for name, recipe in RECIPES.items():
        for run in read(RESULTS / f"{name}.json")["runs"]:
            recorded = {field: getattr(recipe, field) for field in run["config"]}
            assert run["config"] == recorded


def test_times_are_those_of_the_committed_benchmark() -> None:
    """The README's tables of times are made from one file of benchmarks/results."""
    results = Results.of(read(RESULTS / BENCHMARK))
    assert results.content["failures"] == {}
    for table, page in (
        (headline_table, README),
        (headline_table, SPEED),
        (bill_table, SPEED),
        (stage_table, SPEED),
        (checkpoint_table, RUNS),
    ):
        assert (made := table(results))
        assert made in page
    unstable = sum(record.unstable for record in results.records)
    assert f"({unstable} of {len(results.records)} measurements spread over 10 %)" in SPEED
    assert results.content["machine"]["processor"] in README
    assert results.content["machine"]["processor"] in SPEED
    seconds = [median(epoch.values) for b in BACKENDS if (epoch := results.epoch(b, OURS))]
    factor = np.ceil(10 * max(seconds) / min(seconds)) / 10
    assert f"the slowest takes at most {factor:.1f} times as long" in README


def test_times_on_another_machine_are_those_of_its_benchmark() -> None:
    """They are beside the others, in no ratio with them."""
    results = Results.of(read(RESULTS / ELSEWHERE))
    assert headline_table(results) in SPEED
    assert results.content["machine"]["processor"] in SPEED
    assert results.content["revision"][:7] in SPEED


def test_times_with_avx2_alone_are_those_of_its_benchmark() -> None:
    """The libraries were held to AVX2, and the log of trials has the same figures."""
    results = Results.of(read(RESULTS / HELD_TO_AVX2))
    assert results.content["machine"]["instruction_set"] == AVX2
    assert headline_table(results) in SPEED
    rows = (line.split("|") for line in headline_table(results).splitlines()[2:])
    cells = [" / ".join(cell.strip() for cell in row[2:5]) for row in rows]
    assert f"held to AVX2 | {' | '.join(cells)} |" in SPEED


def test_the_way_to_the_target_is_that_of_the_committed_study() -> None:
    """Five seeds on each backend, all of which reached it; stock's luck is told."""
    results = Results.of(read(RESULTS / TARGETS))
    assert results.content["failures"] == {}
    assert results.content["revision"][:7] in SPEED
    assert target_table(results) in SPEED
    assert {len(record.values) for record in results.records} == {5}
    assert all(min(record.values) >= 0.99 for record in results.all("accuracy reached"))
    found = [r.values for r in results.all("epochs to target") if r.way == STOCK]
    epochs = [value for values in found for value in values]
    assert f"between {min(epochs):g} and {max(epochs):g} epochs" in SPEED
    seconds: dict[tuple[str, ...], list[float]] = {}
    for record in results.all("time to target"):
        key = (STOCK, record.backend) if record.way == STOCK else (OURS,)
        seconds.setdefault(key, []).extend(record.values)
    ours, tensorflow, jax, torch = (f"{min(s):.0f} to {max(s):.0f}" for s in seconds.values())
    drawn = f"{ours} s on all three, the second time included, stock Keras"
    drawn += f" {tensorflow} on TensorFlow, {jax} on JAX and {torch} on PyTorch"
    assert drawn in " ".join(SPEED.split())
    medians = [median(r.values) for r in results.all("time to target") if r.way == "ours"]
    fastest, slowest = f"{min(medians):.0f}", f"{max(medians):.0f}"
    assert f"{fastest} to {slowest} seconds after the typed command" in README


def test_times_on_a_gpu_are_those_of_the_committed_benchmark() -> None:
    """So are these; what failed there is told, and which rungs of the ladder did."""
    results = Results.of(read(RESULTS / f"{ON_A_GPU}.json"))
    assert set(results.content["devices"].values()) == {"gpu"}
    assert results.content["machine"]["gpu"] in SPEED
    for batch in (128, 4096):
        assert headline_table(results, batch) in SPEED
    ours = [results.epoch("torch", OURS, batch) for batch in (128, 4096)]
    assert all(record and len(record.values) == 1 for record in ours)
    assert "of PyTorch ours and by hand are of one\nsample" in SPEED
    assert results.content["revision"][:7] in SPEED
    ladder = read(RESULTS / "parity-nvidia-h200.json")
    findings = list(map(Finding.of, ladder["findings"]))
    assert {finding.precision for finding in findings} == {"float32", "float64"}
    failed = {(f.rung[:2], f.precision) for f in findings if not f.passed}
    assert failed == {("L2", "float32"), ("L3", "float32")}
    gradients = max(f.gap for f in findings if f.rung.startswith("L2"))
    assert f"whose gradients differ by {gradients:.0e}".replace("e-0", "e-") in LADDER


def test_every_form_has_climbed() -> None:
    """The committed ladder of forms compared each form of each backend with each other."""
    comparison = read(RESULTS / "forms.json")
    assert comparison["passed"]
    forms = [f"{backend}:{form}" for backend in BACKENDS for form in forms_of(backend)]
    pairs = {tuple(finding["pair"]) for finding in comparison["findings"]}
    assert set(combinations(forms, 2)) <= pairs
    assert f"{len(forms) * (len(forms) - 1) // 2} pairs" in LADDER


def test_the_ladder_is_the_committed_one() -> None:
    """The README's table of rungs is made from benchmarks/results, and every rung passed."""
    comparison = read(RESULTS / "parity.json")
    assert comparison["passed"]
    assert parity_table(comparison) in README
    assert (RESULTS / "parity.png").exists()


def test_the_time_of_a_climb_is_the_committed_one() -> None:
    """Its low end, on the machine that is named; the high end was seen elsewhere."""
    comparison = read(RESULTS / "parity.json")
    minutes = {1: "one", 2: "two", 3: "three"}[round(comparison["seconds"] / 60)]
    assert f"the ladder, in {minutes} to seven minutes" in README
    words = " ".join(LADDER.split())
    processor = str(comparison["machine"]["processor"]).replace(")", "; `parity.json`)")
    assert f"A climb takes {comparison['seconds']:.0f} seconds on an {processor}" in words


def test_the_proof_held_on_every_processor() -> None:
    """Two hundred climbs and more without a false alarm; the tables are made from the record."""
    content = read(RESULTS / "processors.json")
    climbs = content["climbs"]
    assert processors_table(content) in LADDER
    assert margins_table(content) in LADDER
    assert climbs["false_alarms"] == {}
    assert climbs["climbs"] >= 200
    assert f"in {climbs['climbs']} climbs from {climbs['seeds']} seeds" in " ".join(LADDER.split())
    assert {row["instruction_sets"] for row in climbs["shares"]} == {*INSTRUCTION_SETS, "mixed"}
    assert {row["threads"] for row in climbs["shares"]} == {1, 2}
    # A test of imports failed on each, and did so without any setting; it is mended since.
    failed = {name.partition("::")[0] for one in content["tests"] for name in one["failed"]}
    assert failed <= {"tests/test_across.py"}
    assert all(one["passed"] for one in content["tests"])
    for name in (AVX2, SSE41):  # the gate takes the newest one
        across = {one["tests"]: one for one in content["tests"] if one["instruction_set"] == name}
        assert set(across) == {"across", *BACKENDS}
        number, of = across["across"]["sabotages"]
        assert number == of > len(SABOTAGES)


def test_the_committed_ladder_is_todays() -> None:
    """It climbed as far as `parity` climbs, and its findings are judged as they would be now."""
    comparison = read(RESULTS / "parity.json")
    plan, today = comparison["plan"], json.loads(json.dumps(dataclasses.asdict(Plan())))
    assert plan["config"].items() <= today["config"].items()  # settings came since
    assert {"devices": [], **plan, "config": today["config"]} == today  # and L7
    assert {tuple(pair) for pair in combinations(BACKENDS, 2)} <= {
        tuple(finding["pair"]) for finding in comparison["findings"]
    }
    trained = [f for f in map(Finding.of, comparison["findings"]) if f.rung[:2] in ("L3", "L4")]
    weights = max(f.gap for f in trained if f.precision == "float64" and f.what not in EXACT)
    assert f"agree to {int(-np.log10(weights))} digits" in README
    limits = {f.allowed for f in trained if f.precision == "float64" and f.what not in EXACT}
    assert limits == {tolerances.TRAINED_FLOAT64.value}


def test_several_devices_train_the_same_as_the_committed_climbs_show() -> None:
    """The LeNet and three models climbed L7 on two and four devices, and every finding passed."""
    models = read(RESULTS / "devices.json")["models"]
    assert [one["model"] for one in models] == [*climbs.STUDIES["devices"]]
    assert devices_table(models) in DEVICES
    for one in models:
        assert one["failures"] == []
        found = [Finding.of(finding) for finding in one["findings"]]
        assert all(finding.passed for finding in found)
        wanted = product(BACKENDS, climbs.COUNTS, PRECISIONS)
        pairs = {(f"{b} on {count} devices", f"{b} on 1", p) for b, count, p in wanted}
        assert {(*finding.pair, finding.precision) for finding in found} == pairs
        limits = {f.allowed for f in found if f.precision == "float64"}
        assert limits == {tolerances.DEVICES_FLOAT64.value}


def test_the_page_of_speed_has_the_table_of_twelve_models() -> None:
    """It is made from the committed record, which has all of them."""
    record = read(RESULTS / "models-speed.json")["models"]
    assert [one["model"] for one in record] == [*models.MODELS]
    assert models.models_table(record) in SPEED


def test_how_far_several_devices_pay_follows_from_the_benchmarks() -> None:
    """The table is computed from the committed times of a step; half of n times is its bound."""
    processor, gpu = (Results.of(read(RESULTS / name)) for name in (BENCHMARK, f"{ON_A_GPU}.json"))
    (lenet,) = {run["parameters"] for run in read(RESULTS / "standard.json")["runs"]}
    found = scaling.trainings(lenet, processor, gpu)
    assert scaling.scaling_table(found) in DEVICES
    for one in found:
        assert one.speedup(1, 1.0) == 1
        assert one.speedup(2, 1e30) == pytest.approx(2)
        most = one.most(scaling.LINKS["NVLink"])
        assert one.speedup(most, scaling.LINKS["NVLink"]) >= most / 2


def test_an_engine_that_starts_one_process_costs_at_most_5_percent() -> None:
    """On each backend, in the committed record; the page shows its table."""
    record = read(RESULTS / "overhead.json")
    assert overhead.overhead_table(record) in DEVICES
    for backend in BACKENDS:
        assert overhead.ratio(record["trainings"], backend, overhead.STARTED) <= 1.05


def test_each_option_of_the_lenet_climbed_the_ladder() -> None:
    """With each option all backends passed every rung of the quick climb, in both precisions."""
    models = read(RESULTS / "options.json")["models"]
    assert [one["model"] for one in models] == [*climbs.STUDIES["options"]]
    for one in models:
        assert one["failures"] == []
        found = [Finding.of(finding) for finding in one["findings"]]
        assert [str(finding) for finding in found if not finding.passed] == []
        wanted = product(RUNGS[:-1], PRECISIONS)  # a quick climb leaves L6 out
        assert {(finding.rung, finding.precision) for finding in found} == {*wanted}


def test_the_outcome_is_that_of_the_committed_runs() -> None:
    """The table of pairs follows from the wrong answers of thirty runs."""
    study = read(RESULTS / "seeds.json")
    assert outcome_table(study) in LADDER
    apart = max(abs(outcome["accuracy"]["mean"]) for outcome in study["outcomes"])
    assert f"differ by {apart:.2f} percentage points" in " ".join(README.split())
    right = {(run["seed"], run["backend"]): 10_000 - len(run["wrong"]) for run in study["runs"]}
    assert set(right) == set(product(range(10), BACKENDS))
    assert min(right.values()) >= 10_000 * STANDARD_FLOOR
    for outcome in study["outcomes"]:
        first, second = outcome["pair"]
        gaps = np.array([right[seed, first] - right[seed, second] for seed in range(10)]) / 100
        judged = two_one_sided_tests(gaps, margin=tolerances.EQUIVALENCE.value)
        assert judged.passed
        assert dataclasses.asdict(judged) == pytest.approx(outcome["accuracy"])
        wrong = {(run["seed"], run["backend"]): run["wrong"] for run in study["runs"]}
        unlike = [
            sum(a.get(image) != b.get(image) for image in a.keys() | b.keys())
            for a, b in ((wrong[seed, first], wrong[seed, second]) for seed in range(10))
        ]
        assert outcome["agreement"] == pytest.approx(1 - np.mean(unlike) / 10_000)


def test_means_over_seeds_are_those_of_the_committed_runs() -> None:
    """bfloat16 stays within 0.05 points of float32, and one epoch reaches 99 %, on each backend."""
    studies = {
        "standard": read(RESULTS / "seeds.json"),
        "standard, bfloat16": read(RESULTS / "bfloat16-seeds.json"),
        "one-epoch": read(RESULTS / "one-epoch-seeds.json"),
    }
    assert seeds_table(studies, 5) in LADDER
    full, half, one_epoch = (
        {
            backend: np.mean(
                [
                    run["test_correct"] / 100
                    for run in study["runs"]
                    if run["backend"] == backend and run["seed"] < 5
                ]
            )
            for backend in BACKENDS
        }
        for study in studies.values()
    )
    assert all(abs(full[backend] - half[backend]) <= 0.05 for backend in BACKENDS)
    assert min(one_epoch.values()) >= 99


# The mean test accuracy on each backend, percent.
FLOORS = {"one-epoch": 99.15, "one-cycle": 99.30, "best": 99.60}


def test_recipes_over_many_seeds_are_those_of_the_committed_studies() -> None:
    """The table and the curves follow from all seeds of each backend, which are equivalent."""
    studies = {recipe: read(recipes.record_of(recipe)) for recipe in recipes.SEEDS}
    assert recipes_table(studies) in LENET
    for recipe, study in studies.items():
        asked = dataclasses.asdict(RECIPES[recipe])
        assert study["config"] == {name: asked[name] for name in study["config"]}
        right = {(run["seed"], run["backend"]): run["test_correct"] for run in study["runs"]}
        assert set(right) == set(product(range(recipes.SEEDS[recipe]), BACKENDS))
        for backend in BACKENDS:
            of_backend = [count / 100 for (_, other), count in right.items() if other == backend]
            assert np.mean(of_backend) >= FLOORS[recipe]
        assert {len(curve) for curve in study["curves"].values()} == {RECIPES[recipe].epochs}
        assert len(study["outcomes"]) == 3
        assert all(outcome["passed"] for outcome in study["outcomes"])
        assert {outcome["gap"]["margin"] for outcome in study["outcomes"]} == {0.1}
    ends = [100 * (1 - np.mean([c[-1] for c in s["curves"].values()])) for s in studies.values()]
    words = " ".join(LENET.split())
    one, twelve, thirty = (f"near {end:.1f} %" for end in ends)
    assert f"one pass ends {one}, twelve {twelve}, thirty {thirty}" in words
    for recipe, epochs in (("one-cycle", "twelve"), ("best", "thirty")):
        lowest = min(
            np.mean([run["test_correct"] for run in studies[recipe]["runs"] if run["backend"] == b])
            for b in BACKENDS
        )
        reached = f"`{recipe}` {np.floor(lowest / 10) / 10:.1f} % in {epochs}"
        assert reached in " ".join(README.split())


def test_effects_and_robustness_are_those_of_the_committed_records() -> None:
    """Options are judged by five seeds on validation images, recipes by one run of each backend."""
    on_file = read(RESULTS / "trials.json")["trials"]
    options = [trial for trial in on_file if trial["recipe"] == trials.OPTIONS]
    assert len(options) == len(trials.TRIALS[trials.OPTIONS]) * trials.SEEDS[trials.OPTIONS]
    assert options_table(options) in LENET
    runs = read(RESULTS / "robustness.json")["runs"]
    assert {(run["recipe"], run["backend"]) for run in runs} == set(
        product(recipes.SEEDS, BACKENDS)
    )
    assert {run["seed"] for run in runs} == {0}
    assert robustness_table(runs) in LENET


def test_the_cost_of_distorted_images_is_that_of_the_committed_benchmark() -> None:
    """An epoch of distorted images takes at most 1.3 times as long as a plain one."""
    (path,) = RESULTS.glob("*-distorted.json")
    results = Results.of(read(path))
    ratios = [results.all("distorted epoch", backend)[0].median for backend in BACKENDS]
    assert max(ratios) <= 1.3
    words = ", ".join(f"{ratio:.2f}" for ratio in ratios[:2]) + f" and {ratios[2]:.2f}"
    assert f"An epoch takes {words} times as long as a plain one" in " ".join(LENET.split())


def test_the_exports_are_those_of_the_committed_record() -> None:
    """Every format was written from a run of each backend, and answers as Keras does."""
    content = read(RESULTS / "exports.json")
    assert exports_table(content) in INFERENCE
    exports = {(found["format"], found["trained_on"]): found for found in content["exports"]}
    assert set(exports) == set(product(FORMATS, BACKENDS))
    for (name, _), found in exports.items():
        assert found["backend"] in FORMATS[name].routes
        assert found["deviation"] <= tolerances.EXPORTED.value


def test_nothing_was_lost() -> None:
    """Two hundred kills, fifty of ranks, and a hundred flipped bits are among the harm done."""
    content = read(RESULTS / "faults.json")
    assert faults_table(content) in RUNS
    assert not any(fault["lost"] for fault in content["faults"])
    done = {fault["name"]: fault["injected"] for fault in content["faults"]}
    assert done["SIGKILL at a random moment"] >= 200
    assert done["SIGKILL of one rank or of all"] >= 50
    assert done["a worker of a cluster killed"] >= 3
    assert min(times for name, times in done.items() if "bit" in name) >= 100
    assert min(done.values()) > 0


def test_the_page_has_what_became_of_odd_inputs() -> None:
    """The table is that of ten thousand of them, of every kind."""
    content = read(RESULTS / "fuzz.json")
    assert fuzz_table(content) in DATA
    assert sum(kind["inputs"] for kind in content["kinds"]) >= 10_000


def test_the_tests_are_measured() -> None:
    """What they run, and what they notice, is at least what was asked for."""
    percent = read(RESULTS / "coverage.json")["percent"]
    assert f"{percent['lines']:.1f} % of the lines and {percent['branches']:.1f} % of the" in TESTS
    assert percent["lines"] >= 95
    modules = read(RESULTS / "mutants.json")["modules"].values()
    noticed, mutants = (
        sum(count[name] for count in modules for name in names)
        for names in (("killed", "timeout"), ("mutants",))
    )
    assert f"notice {noticed:,} of {mutants:,} small changes to {len(modules)} modules" in TESTS


def test_the_sabotages_are_counted() -> None:
    """The pages say how many there are."""
    for page in (README, LADDER):
        assert f"in {len(SABOTAGES)} ways" in " ".join(page.split())


def test_no_command_names_a_place_of_one_machine() -> None:
    """A stranger can type every command."""
    for page in (*PAGES, CHINESE, DATA):
        assert not re.search(r"[\s\"'`(]/(home|root|work|tmp|opt)/", page)
