"""Which known divergences a model will meet."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Known:
    """A known divergence."""

    what: str


def known_divergences(
    model: Any, *, precisions: Sequence[str], backends: Sequence[str]
) -> list[Known]:
    """Return those that `model` will meet."""
    return []
