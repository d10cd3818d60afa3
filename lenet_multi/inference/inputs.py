"""How the inputs of a saved model are made: as its run records, as its layers tell, or as asked."""

from collections.abc import Mapping
from dataclasses import dataclass

from lenet_multi.config import DIGIT, INPUT_RANGES

_ASSUMED = "assumed"


@dataclass(frozen=True)
class Inputs:
    """How an image file is `prepared` (one of `config.PREPARED`), and the `range` that is fed.

    `why_prepared` and `why_range` say how each is known, or that it is only assumed.
    """

    prepared: str
    range: str
    why_prepared: str
    why_range: str

    @property
    def is_assumed(self) -> bool:
        """Whether nobody knows the range."""
        return self.why_range.startswith(_ASSUMED)

    @property
    def recorded(self) -> str | None:
        """How image files are prepared, unless this is a guess."""
        return None if self.why_prepared.startswith(_ASSUMED) else self.prepared

    @property
    def is_usual(self) -> bool:
        """Whether they are those of the LeNet on MNIST, and a run says so."""
        return self == Inputs(DIGIT, INPUT_RANGES[0], _RECORDED, _RECORDED)

    def range_words(self) -> str:
        """Return the line that says what is fed, and why."""
        return f"Fed: pixels in {in_brackets(self.range)}, {self.why_range}"

    def prepared_words(self) -> str:
        """Return the line that says how image files are prepared, and why."""
        how = "the digit on each is placed as in MNIST, light on black"
        if self.prepared != DIGIT:
            how = "each is resized as a whole, and stretched if its aspect ratio is another"
        return f"Images: {how}, {self.why_prepared}"


_RECORDED = "as its run records"


def inputs_of(
    recorded: Mapping[str, str],
    from_layers: tuple[str, str] | None,
    guess: str,
    *,
    asked_range: str | None,
    asked_prepared: str | None,
) -> Inputs:
    """Return how inputs are made: as asked, else recorded, else told by the layers, else assumed.

    `from_layers` is a range and the layer that tells it, `guess` how image files would be prepared.
    """
    prepared, why_prepared = guess, f"{_ASSUMED}, as no run records it: see --prepare"
    range_, why_range = INPUT_RANGES[0], f"{_ASSUMED}, as its layers do not tell: see --input-range"
    if from_layers:
        range_, why_range = from_layers[0], f"as its first layers tell ({from_layers[1]})"
    if "range" in recorded:
        range_, why_range = recorded["range"], _RECORDED
    if "prepared" in recorded:
        prepared, why_prepared = recorded["prepared"], _RECORDED
    if asked_range:
        differs = asked_range != range_ and not why_range.startswith(_ASSUMED)
        known = f", not {in_brackets(range_)} {why_range}" if differs else ""
        range_, why_range = asked_range, f"as asked{known}"
    if asked_prepared:
        prepared, why_prepared = asked_prepared, "as asked"
    return Inputs(prepared, range_, why_prepared, why_range)


def in_brackets(range_: str) -> str:
    """Return a range as people write it, such as [0, 255]."""
    return f"[{range_.replace(',', ', ')}]"
