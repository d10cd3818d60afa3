import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest

from lenet_multi.config import PRECISIONS, TrainConfig
from lenet_multi.parity import twins
from lenet_multi.parity.evidence import Evidence
from lenet_multi.parity.ladder import (
    FORWARD,
    RUNGS,
    Finding,
    Ladder,
    _optimizer,
    _Two,
    compare,
    first_failure,
    loss_gaps,
)
from lenet_multi.parity.plan import CONFIDENCE, OPTIMIZERS, ORACLE, Plan
from lenet_multi.runs import tolerances

PAIR = ("jax", "torch")


def judged(gaps: dict[str, float]) -> Finding:
    """Return the finding on gaps by place, with 1.0 allowed."""
    ladder = Ladder(backends=PAIR, climbed={}, gone_on={}, plan=Plan())
    return _Two(ladder, "float32", PAIR).judge(FORWARD, "losses", gaps, 1.0)


def test_the_first_place_over_the_limit_is_named() -> None:
    """A failed finding names the first step and tensor over the limit, not the largest gap."""
    finding = judged({"1/conv1/kernel": 0.5, "2/conv1/bias": 1.1, "3/conv1/kernel": 99.0})
    assert not finding.passed
    assert finding.where == "step 2, conv1/bias"
    assert str(finding) == (
        "L1 forward, losses, float32, jax and torch: step 2, conv1/bias: 1.1, allowed 1"
    )


def test_the_largest_gap_within_the_limit_is_named() -> None:
    """A passed finding names the place nearest to its limit."""
    finding = judged({"1": 0.25, "2": 1.0, "3": 0.5})
    assert finding.passed
    assert (finding.where, finding.share) == ("step 2", 1.0)


@pytest.mark.parametrize("gap", [math.nan, math.inf])
def test_what_is_no_number_fails(gap: float) -> None:
    """A gap of NaN or infinity always fails."""
    assert not judged({"1": 0.0, "2": gap, "3": 0.0}).passed


def test_the_lowest_rung_to_fail_comes_first() -> None:
    """The verdict names the lowest rung's failed finding."""
    findings = [judged({"1": 0.1}), judged({"1": 5.0}), judged({"1": 7.0})]
    assert first_failure(findings) is findings[1]
    assert first_failure(findings[:1]) is None


def trained(*, torch_moves: float, twin_moves: float) -> Finding:
    """Return the finding on SGD when torch and one of its twins moved differently at step 5.

    JAX, and every other tensor, moves by 1 at each step.
    """
    steps = {1: 1.0, 2: 2.0, 5: 5.0, 10: 10.0}

    def trains(backend: str, of_step_5: float) -> Evidence:
        arrays = {"L0/conv1/kernel": np.zeros(4, np.float32)}
        for step, moved in steps.items():
            weights = np.full(4, of_step_5 if step == 5 else moved, np.float32)
            arrays[f"L3/SGD/{step}/conv1/kernel"] = weights
            gaps = [0.0, twin_moves if step == 5 and backend == "torch" else 0.0]
            arrays[f"twins/L3/SGD/{step}/conv1/kernel"] = np.array(gaps)
        return Evidence(backend, "", arrays=arrays)

    climbed = {
        ("jax", "float32"): trains("jax", 5.0),
        ("torch", "float32"): trains("torch", torch_moves),
    }
    ladder = Ladder(backends=PAIR, climbed=climbed, gone_on={}, plan=Plan())
    return next(_optimizer(ladder, "float32"))  # the finding on SGD


def test_a_decision_that_rounding_turns_is_allowed() -> None:
    """A pair may differ as far as a twin of either backend differs."""
    assert trained(torch_moves=5.02, twin_moves=4e-3).passed


def test_what_no_twin_shows_is_a_difference() -> None:
    """The same gap fails if every twin stays close, and the step and tensor are named."""
    found = trained(torch_moves=5.02, twin_moves=1e-6)
    assert not found.passed
    assert found.where == "step 5, conv1/kernel"
    assert found.allowed == pytest.approx(tolerances.TWINS.value * 1e-6)


def test_weights_that_do_not_move_are_a_difference() -> None:
    """A layer that is frozen on one backend fails: rounding excuses it in neither direction."""
    assert not trained(torch_moves=0.0, twin_moves=1e-6).passed
    assert not trained(torch_moves=0.0, twin_moves=math.inf).passed
    assert not trained(torch_moves=5.02, twin_moves=math.inf).passed


TENSORS = ("conv/kernel", "out/bias")
STEPS, KEPT, SAVED_AFTER = 4, (1, 2, 4), 2
TERMS = {"L1": 100, "L2": 400}
TWIN, NEAR = 1e-5, 1e-8  # the gap of each twin, and of the nearest two


def evidence(climber: str, precision: str) -> Evidence:
    """Return what a climber files that trains as all others do; the oracle files less."""
    numbers = np.random.default_rng(0)
    found = Evidence(climber, "", record={"terms": TERMS})
    start = {name: numbers.random(6) for name in TENSORS}
    places = {
        **{f"L1/{point}/logits": numbers.random((3, 2)) for point in CONFIDENCE},
        **{f"L1/{point}/loss": numbers.random() for point in CONFIDENCE},
        **{f"L2/{point}/{name}": numbers.random(6) for point in CONFIDENCE for name in TENSORS},
        **{
            f"{place}/{step}/{name}": start[name] + step * numbers.random(6)
            for place in (*(f"L3/{optimizer}" for optimizer in OPTIMIZERS), "L4/weights")
            for step in KEPT
            for name in TENSORS
        },
        "L4/losses": numbers.random(STEPS),
    }
    if climber != ORACLE:
        names = ("settings", "tensors", "parameters", "initial weights", "batch", "order", "steps")
        found.facts |= {name: {"one": 1, "two": 2} for name in names}
        places |= {f"L0/{name}": start[name] for name in TENSORS}
        for place in [*places]:
            if place.startswith(("L2", "L3", "L4")):
                gaps = np.full((2, STEPS), TWIN) if place == "L4/losses" else np.full(2, TWIN)
                found.arrays[f"twins/{place}"] = gaps
        near = {place: np.array(NEAR) for place in places if place.startswith("L2")}
        found.arrays |= {f"nearest/{place}": gap for place, gap in near.items()}
        found.arrays["differences/conv/kernel"] = np.array([2.0, 1.5, 2.5, 1.9, 2.1])
    dtype = "float64" if climber == ORACLE else precision
    found.arrays |= {place: np.asarray(array, dtype) for place, array in places.items()}
    return found


def gone_on(reader: str, precision: str) -> Evidence:
    """Return what a climber files that loads each backend's model and trains on."""
    found = Evidence(reader, "")
    for writer in PAIR:
        wrote = evidence(writer, precision)
        for name in TENSORS:
            saved = wrote.arrays[f"L4/weights/{SAVED_AFTER}/{name}"]
            found.arrays[f"L6/{writer}/loaded/{name}"] = saved
        losses = wrote.arrays["L4/losses"][SAVED_AFTER:]
        found.arrays[f"L6/{writer}/losses"] = losses
        found.arrays[f"twins/L6/{writer}/losses"] = np.full((1, len(losses)), TWIN)
    return found


def whole() -> Ladder:
    """Return a climb in which nothing differs."""
    runs = [(who, precision) for who in PAIR for precision in PRECISIONS]
    return Ladder(
        backends=PAIR,
        climbed={run: evidence(*run) for run in [*runs, (ORACLE, "float64")]},
        gone_on={run: gone_on(*run) for run in runs},
        plan=Plan(saved_after=SAVED_AFTER),
    )


BOTH = [PAIR]
WITH_ORACLE = [("jax", ORACLE), ("torch", ORACLE), PAIR]
ALONE = [("jax", "jax"), ("torch", "torch")]
MOVES = [(one, other) for one in PAIR for other in PAIR]


def test_each_rung_compares_each_pair_once() -> None:
    """Where nothing differs every finding passes; the oracle takes part where it can judge."""
    findings = compare(whole())
    assert [finding for finding in findings if not finding.passed] == []
    compared = [(one.rung[:2], one.what, one.precision, one.pair) for one in findings]
    facts = ("settings", "tensors", "parameters", "initial weights", "batch")
    both = ("float32", "float64")
    assert compared == [
        *(("L0", what, precision, PAIR) for precision in both for what in facts),
        *(("L1", "logits and loss", precision, two) for precision in both for two in WITH_ORACLE),
        *(("L2", "twins", "float32", two) for two in ALONE),
        *(("L2", "finite differences", precision, two) for precision in both for two in ALONE),
        *(("L2", "gradients", precision, two) for precision in both for two in WITH_ORACLE),
        *(
            ("L3", optimizer, precision, two)
            for precision in both
            for optimizer in OPTIMIZERS
            for two in WITH_ORACLE
        ),
        *(
            ("L4", what, precision, two)
            for precision, pairs in (("float32", BOTH), ("float64", WITH_ORACLE))
            for what, two in [
                *(("order", PAIR), ("steps", PAIR)),
                *((what, two) for two in pairs for what in ("losses", "weights")),
            ]
        ),
        *(
            ("L6", f"{writer} to {reader}", precision, (writer, reader))
            for precision in both
            for writer, reader in MOVES
        ),
    ]


ROUNDING = {  # of the float32 and the float64 that is added up
    (rung, precision): twins.rounding_limit(precision, terms)
    for rung, terms in TERMS.items()
    for precision in PRECISIONS
}


@pytest.mark.parametrize(
    ("rung", "what", "precision", "allowed"),
    [
        ("L0", "batch", "float64", 0),
        ("L1", "logits and loss", "float32", ROUNDING["L1", "float32"]),
        ("L1", "logits and loss", "float64", ROUNDING["L1", "float64"]),
        ("L2", "twins", "float32", ROUNDING["L2", "float32"]),
        ("L2", "finite differences", "float64", tolerances.FINITE_DIFFERENCES.value),
        ("L2", "gradients", "float32", tolerances.TWINS.value * TWIN),
        ("L2", "gradients", "float64", ROUNDING["L2", "float64"]),
        ("L3", "Adam", "float32", tolerances.TWINS.value * TWIN),
        ("L3", "SGD", "float64", tolerances.TRAINED_FLOAT64.value),
        ("L4", "losses", "float32", tolerances.TWINS.value * TWIN),
        ("L4", "losses", "float64", tolerances.TRAINED_FLOAT64.value),
        ("L4", "weights", "float32", tolerances.TWINS.value * TWIN),
        ("L4", "weights", "float64", tolerances.TRAINED_FLOAT64.value),
    ],
)
def test_each_rung_has_its_limit(rung: str, what: str, precision: str, allowed: float) -> None:
    """Facts must be equal, float64 but for rounding; twins set the limits in float32."""
    found = [
        one.allowed
        for one in compare(whole())
        if (one.rung[:2], one.what, one.precision) == (rung, what, precision)
    ]
    assert found == pytest.approx([allowed] * len(found))


@pytest.mark.parametrize(
    ("precision", "allowed"),
    [
        ("float32", tolerances.TWINS.value * TWIN),
        ("float64", tolerances.PORTABILITY_FLOAT64.value),
    ],
)
def test_a_move_has_its_limit(precision: str, allowed: float) -> None:
    """The losses after a move are held to the twins', or in float64 to rounding."""
    ladder = whole()
    losses = ladder.gone_on["torch", precision].arrays["L6/jax/losses"]
    losses[1] *= 1.5
    found = first_failure(compare(ladder))
    assert found is not None
    assert (found.what, found.where) == ("jax to torch", "step 4")
    assert found.allowed == pytest.approx(allowed)
    assert found.gap == pytest.approx(0.5)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    ("place", "rung", "what", "where"),
    [
        ("L1/initial/logits", "L1", "logits and loss", "initial, logits"),
        ("L1/confident/loss", "L1", "logits and loss", "confident, loss"),
        ("L2/initial/out/bias", "L2", "gradients", "initial, out/bias"),
        ("L2/confident/conv/kernel", "L2", "gradients", "confident, conv/kernel"),
        ("L3/SGD/1/out/bias", "L3", "SGD", "step 1, out/bias"),
        ("L3/momentum/2/conv/kernel", "L3", "momentum", "step 2, conv/kernel"),
        ("L3/Adam/4/out/bias", "L3", "Adam", "step 4, out/bias"),
        ("L4/losses", "L4", "losses", "step 1"),
        ("L4/weights/4/out/bias", "L4", "weights", "step 4, out/bias"),
    ],
)
def test_a_change_is_found_on_its_rung(
    place: str, rung: str, what: str, where: str, precision: str
) -> None:
    """A tensor that is a thousandth larger on one backend fails there, by step and name."""
    ladder = whole()
    ladder.climbed["torch", precision].arrays[place] *= 1.001
    found = first_failure(compare(ladder))
    assert found is not None
    assert (found.rung[:2], found.what, found.precision, found.where) == (
        *(rung, what, precision, where),
    )
    assert "torch" in found.pair
    ladder = whole()
    ladder.climbed["torch", precision].arrays[place] = np.zeros(5)
    if place != "L4/losses":  # of other lengths, those that both have are compared
        found = first_failure(compare(ladder))
        assert found is not None
        assert (found.rung[:2], found.what, found.gap) == (rung, what, math.inf)


@pytest.mark.parametrize("rung", ["L1", "L2"])
def test_what_one_backend_lacks_is_a_difference(rung: str) -> None:
    """A tensor that only one backend files fails."""
    for who in PAIR:
        ladder = whole()
        del ladder.climbed[who, "float64"].arrays[
            f"{rung}/initial/" + ("logits" if rung == "L1" else "out/bias")
        ]
        found = first_failure(compare(ladder))
        assert found is not None
        assert (found.rung[:2], found.gap) == (rung, math.inf)


@pytest.mark.parametrize(
    ("fact", "rung"), [("settings", "L0"), ("batch", "L0"), ("order", "L4"), ("steps", "L4")]
)
def test_a_fact_that_differs_is_named_with_both_values(fact: str, rung: str) -> None:
    """The gap counts the facts that differ, and the place is the first one's name."""
    ladder = whole()
    ladder.climbed["torch", "float32"].facts[fact] = {"one": 1, "two": 3, "three": 4}
    found = first_failure(compare(ladder))
    assert found is not None
    assert (found.rung[:2], found.what, found.gap) == (rung, fact, 2)
    assert found.where == "two (2 and 3)"
    passed = next(one for one in compare(whole()) if one.what == fact)
    assert (passed.where, passed.gap, passed.allowed) == ("all equal", 0, 0)


def test_a_noisy_backend_is_found_before_its_twins_excuse_it() -> None:
    """A backend whose nearest twins are far apart fails by itself."""
    ladder = whole()
    ladder.climbed["torch", "float32"].arrays["nearest/L2/initial/out/bias"] = np.array(1e-3)
    found = first_failure(compare(ladder))
    assert found is not None
    assert (found.what, found.pair, found.where) == (
        "twins",
        ("torch", "torch"),
        "initial, out/bias",
    )


def test_a_gradient_that_is_no_slope_is_found() -> None:
    """A gradient's length that no finite difference shows fails on its backend."""
    ladder = whole()
    wrong = np.array([3.0, 1.5, 2.5, 1.9, 2.1])
    ladder.climbed["jax", "float64"].arrays["differences/conv/kernel"] = wrong
    found = first_failure(compare(ladder))
    assert found is not None
    assert (found.what, found.pair, found.where) == (
        *("finite differences", ("jax", "jax"), "conv/kernel"),
    )
    assert found.gap == pytest.approx(0.3)


def test_a_weight_that_is_not_loaded_is_found() -> None:
    """The weights that a backend loads are the saved ones to the bit, and as many."""
    for change, where in (
        (np.full(6, 0.5, np.float32), "loaded out/bias"),
        (np.zeros(3, np.float32), "loaded weights"),
    ):
        ladder = whole()
        ladder.gone_on["torch", "float32"].arrays["L6/jax/loaded/out/bias"] = change
        found = first_failure(compare(ladder))
        assert found is not None
        assert (found.rung, found.what, found.where) == ("L6 portability", "jax to torch", where)
        assert found.allowed == 0


def test_an_error_on_the_way_is_the_finding() -> None:
    """What a backend said when it loaded another's model stands in the place."""
    ladder = whole()
    ladder.gone_on["torch", "float64"].facts["errors"] = {"jax": "no such layer"}
    found = first_failure(compare(ladder))
    assert found is not None
    assert (found.what, found.where, found.gap) == ("jax to torch", "no such layer", math.inf)


def test_a_climb_without_portability_compares_none() -> None:
    """Nothing is compared that was not climbed: L6, a failed backend, rungs above the last."""
    ladder = dataclasses.replace(whole(), plan=Plan(saved_after=0))
    assert {one.rung[:2] for one in compare(ladder)} == {"L0", "L1", "L2", "L3", "L4"}
    ladder = dataclasses.replace(whole(), gone_on={})
    assert {one.rung[:2] for one in compare(ladder)} == {"L0", "L1", "L2", "L3", "L4"}
    ladder = whole()
    ladder.climbed["torch", "float32"].record["rungs"] = RUNGS[:2]
    pairs = {(one.rung[:2], one.precision) for one in compare(ladder) if one.pair == PAIR}
    assert ("L1", "float32") in pairs
    assert ("L2", "float32") not in pairs
    assert ("L2", "float64") in pairs


def test_the_oracle_judges_one_step_in_float32() -> None:
    """Later steps may differ by a tie in max pooling, which float64 decides otherwise."""
    for step, passes in ((1, False), (2, True)):
        ladder = whole()
        ladder.climbed[ORACLE, "float64"].arrays[f"L3/SGD/{step}/out/bias"] *= 1.1
        found = [one for one in compare(ladder) if (one.what, one.precision) == ("SGD", "float32")]
        assert [one.passed for one in found] == [passes, passes, True]


def test_weights_move_from_the_start() -> None:
    """A gap of weights is their distance over how far the second moved; the place has the step."""
    ladder = whole()
    jax, torch = (ladder.climbed[who, "float64"].arrays for who in PAIR)
    moved = torch["L3/SGD/2/out/bias"] - torch["L0/out/bias"]
    jax["L3/SGD/2/out/bias"] += moved / 4
    found = first_failure(compare(ladder))
    assert found is not None
    assert found.gap == pytest.approx(0.25)


def test_losses_are_compared_as_far_as_both_go() -> None:
    """One climber may have trained longer than the other."""
    ladder = whole()
    short = ladder.climbed["torch", "float32"].arrays
    short["L4/losses"] = short["L4/losses"][:3] * np.float32(2)
    assert list(loss_gaps(ladder, "float32", PAIR)) == pytest.approx([0.5] * 3)


def test_a_finding_reads_back_from_its_json() -> None:
    """A page is made from what a comparison recorded."""
    finding = Finding(FORWARD, "losses", "float32", PAIR, 0.5, 0.25, "step 1", "2 of 6 differ")
    assert Finding.of(dataclasses.asdict(finding)) == finding
    content = {**dataclasses.asdict(finding), "pair": ["jax", "torch"]}
    del content["entries"]
    assert Finding.of(content).entries == ""
    assert finding.share == 2
    assert str(finding).endswith("step 1: 0.5, allowed 0.25 (2 of 6 differ)")


OWN = TrainConfig(architecture="my_model.py:build")
LIMIT_OF_LAYER = twins.rounding_limit("float64", 9)


def own() -> Ladder:
    """Return a climb of a user's model in which nothing differs; it has no oracle."""
    ladder = whole()
    climbed = {run: found for run, found in ladder.climbed.items() if run[0] != ORACLE}
    for found in climbed.values():
        found.record["layers"] = {"conv": 9}
        found.arrays |= {
            f"twins/{place}": np.full(2, TWIN) for place in found.arrays if place.startswith("L1")
        }
    for seen in ladder.gone_on.values():
        seen.arrays |= {f"layers/{writer}/conv": np.array(0.0) for writer in PAIR}
        seen.facts["entries"] = {f"{writer}/conv": "2 of 6 differ" for writer in PAIR}
    plan = Plan(config=OWN, saved_after=SAVED_AFTER)
    return dataclasses.replace(ladder, climbed=climbed, plan=plan)


def test_a_users_model_is_compared_without_an_oracle() -> None:
    """Layers are compared one by one, and twins set limits in both precisions."""
    findings = compare(own())
    assert [finding for finding in findings if not finding.passed] == []
    compared = [(one.rung[:2], one.what, one.precision, one.pair) for one in findings]
    both = ("float32", "float64")
    wanted = [
        *(("L1", "layers", precision, PAIR) for precision in both),
        *(("L1", "outputs and loss", precision, PAIR) for precision in both),
        *(("L2", "twins", precision, two) for precision in both for two in ALONE),
    ]
    assert [one for one in compared if one[1] in ("layers", "outputs and loss", "twins")] == wanted
    limits = {(one.what, one.precision): one.allowed for one in findings}
    of_twins = tolerances.TWINS.value * TWIN
    for what in ("outputs and loss", "gradients", "twins"):
        assert limits[what, "float32"] == limits[what, "float64"] == pytest.approx(of_twins)
    assert limits["Adam", "float64"] == tolerances.TRAINED_FLOAT64.value
    assert limits["layers", "float64"] == pytest.approx(LIMIT_OF_LAYER)


def test_rounding_limits_a_users_model_where_no_twin_moves() -> None:
    """The limit is at least what rounding explains, of outputs, gradients, weights and losses."""
    ladder = own()
    for found in ladder.climbed.values():
        for place in found.arrays:
            if place.startswith("twins"):
                found.arrays[place] = np.zeros_like(found.arrays[place])
    limits = {(one.what, one.precision): one.allowed for one in compare(ladder)}
    for precision in PRECISIONS:
        assert limits["outputs and loss", precision] == ROUNDING["L1", precision]
        assert limits["gradients", precision] == limits["twins", precision]
        assert limits["twins", precision] == ROUNDING["L2", precision]
    assert limits["losses", "float32"] == pytest.approx(
        max(tolerances.TWINS.value * np.finfo(np.float32).eps, ROUNDING["L1", "float32"])
    )
    assert limits["SGD", "float32"] == pytest.approx(
        tolerances.TWINS.value * ROUNDING["L2", "float32"]
    )


@pytest.mark.parametrize("writer", PAIR)
def test_a_layer_that_differs_is_named_with_its_entries(writer: str) -> None:
    """The layer is found in either direction; a layer within its limit has no entries."""
    ladder = own()
    reader = PAIR[1 - PAIR.index(writer)]
    ladder.gone_on[reader, "float64"].arrays[f"layers/{writer}/conv"] = np.array(2 * LIMIT_OF_LAYER)
    if writer == "torch":  # it went first: the other direction compares the same two
        del ladder.gone_on["torch", "float64"].arrays["layers/jax/conv"]
    found = first_failure(compare(ladder))
    assert found is not None
    assert (found.what, found.pair, found.where) == ("layers", (writer, reader), "conv")
    assert (found.gap, found.entries) == (2 * LIMIT_OF_LAYER, "2 of 6 differ")
    passed = next(one for one in compare(own()) if one.what == "layers")
    assert (passed.where, passed.entries) == ("conv", "")


def test_a_climb_that_did_not_go_on_compares_no_layers() -> None:
    """Nothing is made up where no climber called another's layers."""
    ladder = dataclasses.replace(own(), gone_on={})
    assert "layers" not in {one.what for one in compare(ladder)}


def rounded() -> Ladder:
    """Return a climb of a user's model in which one bias has no gradient but rounding."""
    ladder = own()
    for run, found in ladder.climbed.items():
        for point in CONFIDENCE:
            gradient = found.arrays[f"L2/{point}/out/bias"] * 1e-16
            found.arrays[f"L2/{point}/out/bias"] = -gradient if run[0] == "jax" else gradient
            found.arrays[f"nearest/L2/{point}/out/bias"] = np.array(1.0)
    return ladder


def test_a_null_tensor_is_judged_by_the_models_gradient() -> None:
    """Its gradients have nothing in common, and its twins' movements limit it in float64 too."""
    ladder = rounded()
    assert ladder.null_tensors == {"out/bias"}
    assert ladder.is_null("initial/out/bias")
    assert not ladder.is_null("initial/conv/kernel")
    assert [one for one in compare(ladder) if not one.passed] == []
    arrays = ladder.climbed["torch", "float64"].arrays
    start = arrays["L0/out/bias"]
    arrays["L3/SGD/4/out/bias"] = start + (arrays["L3/SGD/4/out/bias"] - start) * (1 + TWIN)
    assert first_failure(compare(ladder)) is None
    arrays["L3/SGD/4/out/bias"] = start * 3
    found = first_failure(compare(ladder))
    assert found is not None
    assert (found.what, found.where) == ("SGD", "step 4, out/bias")


def test_only_a_users_model_has_null_tensors() -> None:
    """The LeNet has none, and neither has a tensor that moves on one backend."""
    ladder = rounded()
    lenet = dataclasses.replace(ladder, plan=Plan(saved_after=SAVED_AFTER))
    assert lenet.null_tensors == frozenset()
    whole_gradient = own().climbed["torch", "float64"].arrays["L2/initial/out/bias"]
    ladder.climbed["torch", "float64"].arrays["L2/initial/out/bias"] = whole_gradient
    assert ladder.null_tensors == frozenset()
    nobody = dataclasses.replace(own(), climbed={})
    assert nobody.null_tensors == frozenset()


def test_noise_is_what_no_other_backends_twins_show() -> None:
    """A noisy backend cannot excuse itself, only another one's twins can."""
    for who, passes in (("torch", False), ("jax", True)):
        ladder = own()
        ladder.climbed["torch", "float32"].arrays["nearest/L2/initial/out/bias"] = np.array(1e-3)
        ladder.climbed[who, "float32"].arrays["twins/L2/initial/out/bias"] = np.full(2, 1e-3)
        noise = [
            one for one in compare(ladder) if (one.what, one.precision) == ("twins", "float32")
        ]
        assert [one.passed for one in noise] == [True, passes]


def with_a_third(ladder: Ladder) -> Ladder:
    """Return the climb without L6 and with a backend more, whose twins differ widely."""
    third = "tensorflow"
    climbed = dict(ladder.climbed)
    for precision in PRECISIONS:
        found = evidence(third, precision)
        for place in found.arrays:
            if place.startswith("twins"):
                found.arrays[place] = found.arrays[place] * 1000
        found.record |= ladder.climbed["jax", precision].record
        climbed[third, precision] = found
    plan = dataclasses.replace(ladder.plan, saved_after=0)
    return dataclasses.replace(ladder, backends=(*PAIR, third), climbed=climbed, plan=plan)


def test_a_pair_is_limited_by_its_own_twins() -> None:
    """A third backend's twins excuse no difference between two others."""
    for ladder in (with_a_third(whole()), with_a_third(own())):
        found = {
            (one.what, one.pair): one.allowed
            for one in compare(ladder)
            if one.precision == "float32" and one.rung[:2] in ("L2", "L3", "L4")
        }
        for what in ("gradients", "SGD", "losses", "weights"):
            assert found[what, PAIR] == pytest.approx(tolerances.TWINS.value * TWIN)
            third = found[what, ("torch", "tensorflow")]
            assert third == pytest.approx(1000 * tolerances.TWINS.value * TWIN)
    assert whole().band().limit_of_gap("L2/initial/out/bias") == tolerances.TWINS.value * TWIN
    assert whole().band(precision="float64").unit == np.finfo(np.float64).eps


def test_twins_limit_their_own_precision() -> None:
    """Those of float32 excuse nothing in float64."""
    ladder = rounded()
    for who in PAIR:
        arrays = ladder.climbed[who, "float64"].arrays
        for place in arrays:
            if place.startswith(("twins", "nearest")):
                arrays[place] = arrays[place] / 1e5
    found = {(one.what, one.precision): one.allowed for one in compare(ladder)}
    for what in ("outputs and loss", "twins"):
        allowed = pytest.approx(tolerances.TWINS.value * 1e-10, rel=1e-6, abs=0)
        assert found[what, "float64"] == allowed
    start = ladder.climbed["torch", "float64"].arrays["L0/out/bias"]
    moved = ladder.climbed["torch", "float64"].arrays["L3/SGD/1/out/bias"]
    ladder.climbed["torch", "float64"].arrays["L3/SGD/1/out/bias"] = start + (moved - start) * (
        1 + TWIN
    )
    first = first_failure(compare(ladder))
    assert first is not None
    assert (first.what, first.where) == ("SGD", "step 1, out/bias")


@pytest.mark.parametrize("climb", [whole, own])
def test_twins_limit_float64_where_nothing_else_can(climb: Callable[[], Ladder]) -> None:
    """A user's model without an oracle; the LeNet whose oracle failed is held to rounding."""
    ladder = climb()
    has_oracle = (ORACLE, "float64") in ladder.climbed
    assert ladder.has_twins_in_float64 is not has_oracle
    oracle = {(ORACLE, "float64"): evidence(ORACLE, "float64")}
    climbed = {run: found for run, found in ladder.climbed.items() if run[0] != ORACLE}
    with_oracle = dataclasses.replace(ladder, climbed=climbed | oracle)
    without = dataclasses.replace(ladder, climbed=climbed)
    assert not with_oracle.has_twins_in_float64
    assert without.has_twins_in_float64 is ladder.plan.config.is_own


def test_null_tensors_are_found_in_float32_alone() -> None:
    """Where float64 was not climbed, a coarser limit tells them."""
    ladder = rounded()
    climbed = {run: found for run, found in ladder.climbed.items() if run[1] == "float32"}
    assert dataclasses.replace(ladder, climbed=climbed).null_tensors == {"out/bias"}


def test_a_backend_alone_is_held_to_rounding() -> None:
    """Without another one, nothing else excuses its noise."""
    ladder = own()
    climbed = {run: found for run, found in ladder.climbed.items() if run[0] == "jax"}
    alone = dataclasses.replace(ladder, backends=("jax",), climbed=climbed, gone_on={})
    (noise,) = (one for one in compare(alone) if (one.what, one.precision) == ("twins", "float64"))
    assert noise.allowed == ROUNDING["L2", "float64"]


def test_losses_of_a_users_model_round_with_their_terms() -> None:
    """The limit is at least that of the sum; the LeNet's is its twins' alone."""
    for climb, allowed in ((own, twins.rounding_limit("float32", 10**6)), (whole, None)):
        ladder = climb()
        for found in ladder.climbed.values():
            found.record["terms"] = {**TERMS, "L1": 10**6}
            if "twins/L4/losses" in found.arrays:
                found.arrays["twins/L4/losses"] = np.zeros((2, STEPS))
        (losses,) = (
            one
            for one in compare(ladder)
            if (one.what, one.precision, one.pair) == ("losses", "float32", PAIR)
        )
        least = tolerances.TWINS.value * np.finfo(np.float32).eps
        assert losses.allowed == pytest.approx(allowed or least)


def test_weights_are_held_to_their_own_rounding() -> None:
    """A weight that moves little is rounded by much of its movement."""
    ladder = whole()
    for who in PAIR:
        arrays = ladder.climbed[who, "float32"].arrays
        for place in arrays:
            if place.startswith("twins/L3"):
                arrays[place] = np.zeros(2)
        arrays["L3/SGD/1/out/bias"] = arrays["L0/out/bias"] + np.float32(1e-3)
    start = arrays["L0/out/bias"].astype(np.float64)
    second = (start + 2e-3).astype(np.float32)
    ladder.climbed["torch", "float32"].arrays["L3/SGD/1/out/bias"] = second
    found = next(
        one
        for one in compare(ladder)
        if (one.what, one.precision, one.pair) == ("SGD", "float32", PAIR)
    )
    once = np.finfo(np.float32).eps / 2 * np.linalg.norm(second.astype(np.float64))
    moved = np.linalg.norm(second - start)
    assert found.allowed == pytest.approx(tolerances.TWINS.value * once / moved, rel=1e-5)


def test_weights_without_a_start_are_a_difference() -> None:
    """The start is what movements are measured from."""
    ladder = whole()
    del ladder.climbed["jax", "float64"].arrays["L0/out/bias"]
    found = first_failure(compare(ladder))
    assert found is not None
    assert (found.what, found.gap) == ("SGD", math.inf)


def test_a_gap_of_gradients_is_a_share_of_its_own_largest_entry() -> None:
    """A null tensor's is a share of the model's, but for what is no gradient."""
    ladder = rounded()
    for found in ladder.climbed.values():
        found.record["state"] = ["mean"]
        found.arrays |= {f"L2/{point}/mean": np.full(2, 1e9) for point in CONFIDENCE}
        found.arrays |= {f"twins/L2/{point}/mean": np.full(2, 1.0) for point in CONFIDENCE}
    two = _Two(ladder, "float64", PAIR)
    gaps = two.entrywise("L2")
    arrays = ladder.climbed["torch", "float64"].arrays
    null, kernel = arrays["L2/initial/out/bias"], arrays["L2/initial/conv/kernel"]
    share = 2 * np.abs(null).max() / np.abs(kernel).max()
    assert gaps["initial/out/bias"] == pytest.approx(share, rel=1e-6, abs=0)
    arrays["L2/initial/conv/kernel"] = kernel * 1.5
    assert two.entrywise("L2")["initial/conv/kernel"] == pytest.approx(1 / 3)
    assert two._largest_gradient("initial/out/bias") == pytest.approx(np.abs(kernel).max())
    climbed = whole()
    climbed.climbed["torch", "float64"].arrays["L2/initial/out/bias"] *= 1.5
    assert _Two(climbed, "float64", PAIR).entrywise("L2")["initial/out/bias"] == pytest.approx(
        1 / 3
    )


def test_a_layer_may_be_called_like_a_step() -> None:
    """Its path stays as it is; an error on the way has no limit."""
    ladder = own()
    for found in ladder.climbed.values():
        found.record["layers"] = {"10/conv": 9}
    for run, seen in ladder.gone_on.items():
        for writer in PAIR:
            del seen.arrays[f"layers/{writer}/conv"]
            if run[0] != writer:
                seen.arrays[f"layers/{writer}/10/conv"] = np.array(1.0)
        seen.facts["entries"] = {f"{writer}/10/conv": "all differ" for writer in PAIR}
    first = first_failure(compare(ladder))
    assert first is not None
    assert first.where == "10/conv"
    ladder = whole()
    ladder.gone_on["torch", "float32"].facts["errors"] = {"jax": "no such layer"}
    first = first_failure(compare(ladder))
    assert first is not None
    assert first.allowed == 0


def test_layers_of_every_pair_are_compared() -> None:
    """Of three backends there are three pairs; one that did not go on leaves the others."""
    ladder = with_a_third(own())
    gone = dict(ladder.gone_on)
    for precision in PRECISIONS:
        gone["tensorflow", precision] = gone["torch", precision]
    pairs = [
        one.pair
        for one in compare(dataclasses.replace(ladder, gone_on=gone))
        if (one.what, one.precision) == ("layers", "float32")
    ]
    assert pairs == [PAIR, ("jax", "tensorflow"), ("torch", "tensorflow")]
    some = {run: seen for run, seen in whole().gone_on.items() if run[0] != "jax"}
    moves = [
        one.what
        for one in compare(dataclasses.replace(whole(), gone_on=some))
        if (one.rung[:2], one.precision) == ("L6", "float32")
    ]
    assert moves == ["jax to torch", "torch to torch"]
