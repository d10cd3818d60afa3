"""Where the backends really differ on the models of this folder, by Keras's own doing.

Every other finding of a climb must pass. `lenet_multi/parity/FINDINGS.md` explains each cause.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lenet_multi.config import PRECISIONS
from lenet_multi.parity.ladder import FORWARD, GRADIENT, OPTIMIZER, RUNGS, Finding


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

# PyTorch counts the padding of an uneven "same".
_AVERAGE_POOLING = Difference("torch", FORWARD, PRECISIONS, "average-pooling")

DIFFERENCES: dict[str, tuple[Difference, ...]] = {
    "resnet": (_AVERAGE_POOLING,),
    "subclassed": (_AVERAGE_POOLING,),
    "transformer": (_EMBEDDING,),
    # A sequence has padding alone before its first token.
    "transformer_masked": (
        _EMBEDDING,
        Difference("torch", GRADIENT, PRECISIONS, "masked-attention"),
    ),
    "bilstm": (_EMBEDDING,),
    "gru_masked": (_EMBEDDING,),
    "two_inputs": (_EMBEDDING,),
    # Resizing, and the slope of LeakyReLU, are float32 on TensorFlow.
    "unet": (Difference("tensorflow", FORWARD, ("float64",), "float64-resizing"),),
    "regression": (Difference("tensorflow", FORWARD, ("float64",), "float64-cast"),),
}


def unexplained(model: str, findings: Sequence[Finding]) -> list[Finding]:
    """Return the failed findings that no known difference explains."""
    known = DIFFERENCES.get(model, ())
    failed = [found for found in findings if not found.passed]
    return [found for found in failed if not any(one.explains(found) for one in known)]


def unseen(model: str, findings: Sequence[Finding]) -> list[Difference]:
    """Return the known differences that explain no failed finding, so that nobody keeps them."""
    failed = [found for found in findings if not found.passed]
    return [one for one in DIFFERENCES.get(model, ()) if not any(map(one.explains, failed))]
