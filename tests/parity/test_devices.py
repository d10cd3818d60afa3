"""L7 compares several devices with one, and names what went wrong."""

import dataclasses
import json
import secrets
from pathlib import Path

import numpy as np
import pytest

from lenet_multi.config import CLIMB_BATCH_SIZE, QUICK_STEPS, TrainConfig, with_settings
from lenet_multi.machine import children
from lenet_multi.parity import devices, ladder
from lenet_multi.parity.climber import SHARE, Job
from lenet_multi.parity.evidence import Evidence, read
from lenet_multi.parity.ladder import Finding, Ladder
from lenet_multi.parity.plan import Plan
from lenet_multi.parity.prepare import prepare
from lenet_multi.parity.start import FOLDER
from lenet_multi.runs import tolerances

STEPS = 4


def test_the_last_batch_has_no_equal_parts() -> None:
    """L7 trains at most a hundred steps, and the last batch divides for no number of devices."""
    for images, size in [(57_000, 128), (3_193, 32), (312, 16), (40, 16)]:
        found = devices.images_of(images, size)
        assert found <= images
        assert -(-found // size) <= 100
        assert all(found % size % count for count in (2, 4, 8))


def filed(*, loss: float = 1.0, accuracy: float = 0.5, weight: float = 1.0) -> Evidence:
    """Return the evidence of four steps, the last with these figures."""
    arrays = {
        "L7/losses": np.array([1.0, 1.0, 1.0, loss]),
        "L7/metrics/accuracy": np.array([0.5, 0.5, 0.5, accuracy]),
        "L7/start/dense/kernel": np.zeros(3),
        "L7/weights/4/dense/kernel": np.full(3, weight),
        "twins/L7/losses": np.full((2, STEPS), 1e-6),
        "twins/L7/weights/4/dense/kernel": np.full(2, 1e-6),
    }
    return Evidence("torch", "", arrays=arrays)


def findings(precision: str, several: Evidence) -> list[Finding]:
    """Return the findings on two devices that filed `several`."""
    shared = {("torch", precision, 1): filed(), ("torch", precision, 2): several}
    plan = dataclasses.replace(Plan(), devices=(2,))
    return devices.compare(Ladder(("torch",), {}, {}, plan, shared))


@pytest.mark.parametrize(
    ("what", "figures"),
    [
        ("losses", {"loss": 1 + 1e-11}),
        ("accuracy", {"accuracy": 0.51}),
        ("weights", {"weight": 1 + 1e-11}),
    ],
    ids=["loss", "metric", "weight"],
)
def test_a_gap_beyond_rounding_fails_in_float64(what: str, figures: dict[str, float]) -> None:
    """A gap of 1e-11 is no rounding of float64; the finding names the step and the pair."""
    assert all(finding.passed for finding in findings("float64", filed()))
    (failed,) = [one for one in findings("float64", filed(**figures)) if not one.passed]
    assert (failed.rung, failed.what) == (ladder.DEVICES, what)
    assert failed.where.startswith("step 4")
    assert failed.pair == ("torch on 2 devices", "torch on 1")


def test_twins_limit_float32() -> None:
    """In float32 a gap passes up to the limit that one device's twins set."""
    limit = tolerances.TWINS.value * 1e-6
    for gap, passes in ((0.9 * limit, True), (1.1 * limit, False)):
        found = findings("float32", filed(loss=1 + gap, weight=1 + gap))
        assert [one.passed for one in found] == [passes, passes]


def test_a_training_that_ended_early_fails() -> None:
    """Where several devices filed fewer steps than one, the gap is infinite."""
    short = filed()
    short.arrays["L7/losses"] = short.arrays["L7/losses"][:2]
    first = ladder.first_failure(findings("float64", short))
    assert first
    assert (first.what, first.where, first.gap) == ("losses", "step 3", np.inf)


# What is harmed, on which backend, and the finding that must fail first.
HARMS = [
    ("parts count alike", "torch", "weights", "step 20"),
    ("a rank sees anothers images", "torch", "losses", "step 1"),
    ("a rank draws out of step", "torch", "losses", "step 1"),
    ("metrics of rank 0 alone", "torch", "losses", "step 1"),
    ("parts count alike", "tensorflow", "weights", "step 20"),
    ("a rank draws out of step", "tensorflow", "losses", "step 1"),
]

GATE, STUDY = "torch", pytest.mark.study  # the gate runs one backend, `nox -s models` both

MODEL = "tests/models/convnet.py"  # has dropout


class Climbs:
    """Trains the model on one device, and on two with something harmed, in float64."""

    def __init__(self, folder: Path) -> None:
        settings = {"architecture": f"{MODEL}:build", "data": f"{MODEL}:data"}
        config = with_settings(TrainConfig(epochs=1), settings)
        config = dataclasses.replace(config, batch_size=CLIMB_BATCH_SIZE)
        self.plan = Plan.for_own(config, steps=QUICK_STEPS, quick=True, devices=(2,))
        self.folder, self.climb = folder, secrets.token_hex(4)
        self.of_one: dict[str, Evidence] = {}
        prepare(self.plan, ["torch", "tensorflow"], folder / FOLDER)

    def on(self, backend: str, count: int, harm: str) -> Evidence:
        """Return what so many devices filed."""
        plan = dataclasses.asdict(self.plan)
        job = Job(SHARE, "float64", backend, str(self.folder), self.climb, plan, devices=count)
        child = job.child()
        content = json.dumps(dataclasses.asdict(job))
        start = child.command[: child.command.index("lenet_multi.parity.climber")]
        harmed = dataclasses.replace(
            child, command=(*start, "tests.parity.harmed_devices", harm, content)
        )
        assert children.run([harmed], timeout=300) == []
        return read(job.folder, climb=self.climb)

    def findings(self, backend: str, harm: str) -> list[Finding]:
        """Return the findings on two harmed devices."""
        if backend not in self.of_one:
            self.of_one[backend] = self.on(backend, 1, "nothing")
        shared = {
            (backend, "float64", 1): self.of_one[backend],
            (backend, "float64", 2): self.on(backend, 2, harm),
        }
        return devices.compare(Ladder((backend,), {}, {}, self.plan, shared))


@pytest.fixture(scope="module")
def climbs(tmp_path_factory: pytest.TempPathFactory) -> Climbs:
    """The model, its data and weights."""
    return Climbs(tmp_path_factory.mktemp("climbs"))


@pytest.mark.all_backends
@pytest.mark.parametrize(
    ("harm", "backend", "what", "where"),
    [
        pytest.param(*one, id=f"{one[0]}, {one[1]}", marks=[] if one[1] == GATE else STUDY)
        for one in HARMS
    ],
)
def test_a_sabotage_of_devices_is_caught(
    climbs: Climbs, harm: str, backend: str, what: str, where: str
) -> None:
    """What is wrong on several devices fails L7, which names the step."""
    first = ladder.first_failure(climbs.findings(backend, harm))
    assert first is not None, "not caught"
    assert (first.rung, first.what) == (ladder.DEVICES, what), str(first)
    assert first.where.startswith(where), str(first)


@pytest.mark.all_backends
@pytest.mark.parametrize("backend", [GATE, pytest.param("tensorflow", marks=STUDY)])
def test_unharmed_devices_pass(climbs: Climbs, backend: str) -> None:
    """Two devices that nothing harms come to what one comes to, so the harm is what fails."""
    assert [str(one) for one in climbs.findings(backend, "nothing") if not one.passed] == []
