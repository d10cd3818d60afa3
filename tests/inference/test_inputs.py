from typing import Any

import pytest

from lenet_multi.inference.inputs import Inputs, inputs_of

LENETS = {"prepared": "digit", "range": "0,1"}


def of(recorded: dict[str, str] | None = None, from_layers: Any = None, **asked: Any) -> Inputs:
    """Return the inputs of a model with this record, these layers and these flags."""
    given = {"asked_range": None, "asked_prepared": None, **asked}
    return inputs_of(recorded or {}, from_layers, "resize", **given)


@pytest.mark.parametrize(
    ("found", "prepared", "range_"),
    [
        (of(), "resize", "0,1"),
        (of(from_layers=("0,255", "Rescaling")), "resize", "0,255"),
        (of(LENETS), "digit", "0,1"),
        (of(LENETS, from_layers=("0,255", "Rescaling")), "digit", "0,1"),
        (of(LENETS, asked_range="-1,1", asked_prepared="resize"), "resize", "-1,1"),
        (of(from_layers=("0,255", "Rescaling"), asked_range="0,1"), "resize", "0,1"),
    ],
    ids=["unknown", "layers", "record", "record before layers", "asked", "asked before layers"],
)
def test_the_best_source_decides(found: Inputs, prepared: str, range_: str) -> None:
    """The flags decide first, then the record, then the layers, then an assumption."""
    assert (found.prepared, found.range) == (prepared, range_)


def test_an_assumption_names_the_flag() -> None:
    """A line says what is assumed, and names the flag that changes it."""
    assert of().is_assumed
    assert of().recorded is None
    assert of().range_words() == (
        "Fed: pixels in [0, 1], assumed, as its layers do not tell: see --input-range"
    )
    assert of().prepared_words() == (
        "Images: each is resized as a whole, and stretched if its aspect ratio is another, "
        "assumed, as no run records it: see --prepare"
    )


def test_a_contradiction_is_said() -> None:
    """If the user asks for another range than the layers tell, the line says both."""
    found = of(from_layers=("0,255", "Rescaling"), asked_range="0,1")
    assert not found.is_assumed
    assert found.range_words() == (
        "Fed: pixels in [0, 1], as asked, not [0, 255] as its first layers tell (Rescaling)"
    )


def test_recorded_digits_need_no_line() -> None:
    """Only inputs that a run records as digits in [0, 1] need no line."""
    assert of(LENETS).is_usual
    assert not of(LENETS, asked_range="0,1").is_usual
    assert not of({**LENETS, "prepared": "resize"}).is_usual
    assert not of().is_usual


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({"recorded": LENETS}, "[0, 1], as its run records"),
        ({"from_layers": ("0,255", "Rescaling")}, "[0, 255], as its first layers tell (Rescaling)"),
        ({"asked_range": "0,255"}, "[0, 255], as asked"),
        ({"recorded": LENETS, "asked_range": "0,1"}, "[0, 1], as asked"),
        (
            {"recorded": LENETS, "asked_range": "-1,1"},
            "[-1, 1], as asked, not [0, 1] as its run records",
        ),
    ],
    ids=["recorded", "from layers", "asked", "asked as recorded", "asked otherwise"],
)
def test_what_is_fed_is_said_with_its_source(known: dict[str, Any], words: str) -> None:
    """A range that was asked for is set against another only where one is known."""
    assert of(**known).range_words() == f"Fed: pixels in {words}"


def test_how_images_are_prepared_is_said_with_its_source() -> None:
    """A digit is placed, anything else is resized; what is known is no guess."""
    assert of(LENETS).prepared_words() == (
        "Images: the digit on each is placed as in MNIST, light on black, as its run records"
    )
    assert of(asked_prepared="resize").prepared_words().endswith("ratio is another, as asked")
    assert of(LENETS).recorded == "digit"
    assert of(asked_prepared="resize").recorded == "resize"
