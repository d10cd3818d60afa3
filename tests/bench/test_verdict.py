import dataclasses
from typing import Any

import pytest

from lenet_multi.bench import verdict
from lenet_multi.bench.ways import JIT_ON, OURS, STOCK
from tests.bench.material import THREE, bench, row, stages

LAYERS: list[dict[str, Any]] = [
    {"name": name, "kind": "Dense", "ms": 1.5} for name in ("dense", "dense_1")
]
MIXED = [*LAYERS, {"name": "flatten", "kind": "Flatten", "ms": 1.0}]


def test_the_sentence_names_the_fastest_and_how_far_the_others_are_behind() -> None:
    """The fastest way of all comes first, then each other backend's fastest with its factor."""
    assert bench(THREE).sentence == (
        "Take torch (ours): a step takes 2.1 ms; jax (stock), the next, takes 2.4 times as long "
        "and tensorflow (ours) takes 3.9 times as long."
    )


def test_two_ways_without_a_clear_order_are_both_named() -> None:
    """If each of the two fastest wins a round, the sentence takes both."""
    close = (row("jax", STOCK, 2.0, 2.2, 2.0), row("torch", OURS, 2.1, 2.1, 2.1))
    found = bench(close).sentence
    assert found == (
        "Take jax (stock) or torch (ours): a step takes 2.0 ms and 2.1 ms, and neither is faster "
        "in every round."
    )


@pytest.mark.parametrize(
    ("slow", "fast", "words"),
    [
        (
            stages(9, 4, 7, LSTM=3, Dense=1),
            stages(4, 0.6, 1.0, LSTM=0.5, Dense=0.5),
            "the LSTM layer takes 75% of the forward pass, 3.0 ms, and 0.5 ms on torch.",
        ),
        (
            stages(9, 1, 2, LSTM=0.5, Dense=0.5),
            stages(4, 1, 2, LSTM=0.5, Dense=0.5),
            "what is not the model (optimizer, metrics, batches, Keras's loop) takes 78% of its "
            "step, 7.0 ms, and 2.0 ms on torch.",
        ),
        (
            stages(9, 1, 8, LSTM=4, Dense=4),
            stages(4, 1, 2, LSTM=0.5, Dense=0.5),
            "the gradient takes 78% of its step, 7.0 ms, and 1.0 ms on torch.",
        ),
        (
            stages(9, 4, 7, LSTM=3, Dense=1),
            None,
            "the LSTM layer takes 75% of the forward pass.",
        ),
        (
            stages(9, 4, 7, LSTM=3, GRU=2),
            stages(4, 0.6, 1.0, LSTM=1.5, Dense=0.5),
            "the GRU layer takes 40% of the forward pass.",
        ),
        (stages(9, 5, 7, LSTM=4, GRU=3.5), None, "the LSTM layer takes 53% of the forward pass."),
        (stages(4, 4, 4, Dense=4), None, "the forward pass takes 100% of its step."),
        (
            dataclasses.replace(stages(9, 4, 7), way=JIT_ON, layers=MIXED),
            None,
            "jit on, the 2 Dense layers take 75% of the forward pass.",
        ),
    ],
    ids=[
        *("layer", "not-the-model", "calls-only", "nothing-to-compare", "only-here", "few-calls"),
        *("all", "jit-and-layers"),
    ],
)
def test_the_reason_is_where_the_slowest_loses_most(slow: object, fast: object, words: str) -> None:
    """It is a layer, if the model's own time differs and layers can be timed; else a stage."""
    found = bench(THREE, stages={"tensorflow": slow, **({"torch": fast} if fast else {})})
    assert found.sentence.endswith(f" long; on tensorflow with stock Keras, {words}")


def test_the_parts_of_a_step_are_not_negative() -> None:
    """A stage that was timed in a busy moment may be longer than the next one with it."""
    assert [*verdict._parts(stages(2, 0.6, 1.3)).values()] == pytest.approx([0.6, 0.7, 0.7])
    assert [*verdict._parts(stages(1, 2, 1.5)).values()] == [2, 0, 0]


def test_a_part_longer_than_its_whole_is_no_reason() -> None:
    """Stages that were timed in a busy moment are not reported."""
    found = bench(THREE, stages={"tensorflow": stages(9, 10, 10, Dense=9)})
    assert found.sentence == bench(THREE).sentence


def test_layers_of_a_kind_are_counted_together() -> None:
    """Several layers of one kind are one part, and a name of the user's stays."""
    assert verdict._words("Dense", ["dense", "dense_1"]) == "the 2 Dense layers"
    assert verdict._words("Conv2D", ["conv2d_7"]) == "the Conv2D layer"
    assert verdict._words("MaxPooling2D", ["max_pooling2d_3"]) == "the MaxPooling2D layer"
    assert verdict._words("GRU", ["encoder_2"]) == "the layer encoder_2 (GRU)"


def test_one_backend_alone_compares_its_ways() -> None:
    """With one backend the next way is the other way there, and its own stages are the reason."""
    words = (
        "Take torch (ours): a step takes 2.1 ms; torch (stock), the next, takes 1.95 times as long"
    )
    assert bench(THREE[4:]).sentence == f"{words}."
    found = bench(THREE[4:], stages={"torch": stages(9, 4, 7, LSTM=3, Dense=1)}).sentence
    assert found == (
        f"{words}; on torch with stock Keras, the LSTM layer takes 75% of the forward pass."
    )
    assert bench(THREE[5:]).sentence == "Take torch (ours): a step takes 2.1 ms."


def test_nothing_timed_is_said() -> None:
    """A bench that was stopped at once has no way to recommend."""
    assert bench(()).sentence == "Nothing was timed."


def test_what_failed_or_is_slower_has_a_line() -> None:
    """A failure, ours on stock Keras and ours slower than stock are said in one line each."""
    rows = (
        row("torch", STOCK, 2.0, 2.0, 2.0),
        row("torch", JIT_ON, failure="no compiler"),
        row("torch", OURS, 2.2, 2.2, 2.2, why_stock="it has a state"),
        row("jax", STOCK, 2.0, 2.0, 2.0),
        row("jax", OURS, 2.04, 2.04, 2.04),
        row("tensorflow", STOCK, 1.0, 1.0, 1.0),
        row("tensorflow", OURS, 1.03, 1.03, 1.03),
    )
    assert verdict.remarks(bench(rows)) == [
        "torch, jit on: cannot: no compiler",
        "torch, ours: trains through stock Keras: it has a state",
        "torch: ours is SLOWER than stock Keras here: it takes 1.10 times as long",
    ]


def test_a_backend_without_any_figure_failed() -> None:
    """A backend fails if no way was timed on it."""
    rows = (row("jax", STOCK, failure="no layer"), *THREE[4:])
    assert verdict.failed(bench(rows)) == ["jax"]


def test_another_number_of_threads_is_reported() -> None:
    """A remark names a backend that computes with other threads than the bench."""
    rows = (row("jax", OURS, 1.0, threads=2), row("torch", STOCK, 2.0, threads=1))
    assert verdict.remarks(bench(rows, threads=2)) == [
        "torch: computes with 1 thread, not 2; variables such as OMP_NUM_THREADS change it"
    ]
    assert verdict.remarks(bench(rows)) == [
        "jax: computes with 2 threads, not 1; variables such as OMP_NUM_THREADS change it"
    ]


@pytest.mark.parametrize(
    ("value", "words"), [(0.123, "0.12"), (1, "1.0"), (99.9, "99.9"), (100, "100"), (100.4, "100")]
)
def test_milliseconds_have_two_digits_or_more(value: float, words: str) -> None:
    """From 100 on, the point and what comes after it are left out."""
    assert verdict.milliseconds(value) == f"{words} ms"


@pytest.mark.parametrize(
    ("value", "words"),
    [(1.234, "1.23"), (2, "2.0"), (99.9, "99.9"), (100, "100"), (100.4, "100")],
)
def test_a_factor_near_1_has_two_digits_after_the_point(value: float, words: str) -> None:
    """From 2 on it has one, and from 100 on none."""
    assert verdict.factor(value) == words
