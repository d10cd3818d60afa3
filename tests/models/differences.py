"""Where the backends really differ on the models of this folder, by Keras's own doing.

Every other finding of a climb must pass. `lenet_multi/parity/FINDINGS.md` explains each cause.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lenet_multi.config import PRECISIONS
from lenet_multi.parity.ladder import FORWARD, OPTIMIZER, RUNGS, Finding


@dataclass(frozen=True)
class Difference:
    """A backend that differs from the others from a rung on, in some precisions."""

    backend: str
    rung: str
    precisions: Sequence[str]
    finding: str  # the anchor in FINDINGS.md

    def explains(self, found: Finding) -> bool:
        """Return whether it can be the cause of `found`."""
        later = RUNGS.index(found.rung) >= RUNGS.index(self.rung)
        return self.backend in found.pair and later and found.precision in self.precisions


# Adaptive optimizers on TensorFlow square the gradient of each row of an Embedding by itself.
_EMBEDDING = Difference("tensorflow", OPTIMIZER, PRECISIONS, "embedding")

DIFFERENCES: dict[str, Difference] = {
    "transformer": _EMBEDDING,
    "transformer_masked": _EMBEDDING,
    "bilstm": _EMBEDDING,
    "gru_masked": _EMBEDDING,
    "two_inputs": _EMBEDDING,
    # Resizing, and the slope of LeakyReLU, are float32 on TensorFlow.
    "unet": Difference("tensorflow", FORWARD, ("float64",), "resizing"),
    "regression": Difference("tensorflow", FORWARD, ("float64",), "leaky-relu"),
}


def unexplained(model: str, findings: Sequence[Finding]) -> list[Finding]:
    """Return the failed findings that no known difference explains."""
    known = DIFFERENCES.get(model)
    failed = [found for found in findings if not found.passed]
    return [found for found in failed if not (known and known.explains(found))]
