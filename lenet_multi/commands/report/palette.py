"""The page's colours by name, on light and on dark ground, and the marks that go with them."""

from dataclasses import dataclass

# The backends' are Okabe and Ito's, told apart by the colour-blind; lighter on dark ground.
LIGHT = {
    "ground": "#ffffff",
    "panel": "#f5f6f8",
    "rule": "#d9dde3",
    "faint": "#e7eaef",
    "quiet": "#5a6472",
    "ink": "#161b22",
    "good": "#1d6b3a",
    "bad": "#b3261e",
    "tensorflow": "#d55e00",
    "jax": "#0072b2",
    "torch": "#009e73",
    "other": "#8e4a8c",
}
DARK = {
    "ground": "#0f1318",
    "panel": "#171c23",
    "rule": "#2e3641",
    "faint": "#222932",
    "quiet": "#a3adba",
    "ink": "#e8ebef",
    "good": "#7fd39c",
    "bad": "#ff9a90",
    "tensorflow": "#ff8b3d",
    "jax": "#56b4e9",
    "torch": "#35c99b",
    "other": "#cf8fcc",
}
OTHER = "other"


@dataclass(frozen=True)
class Mark:
    """A shape, as a character in text and as Matplotlib's marker in charts."""

    character: str
    marker: str


MARKS = (
    Mark("\u25cf", "o"),
    Mark("\u25a0", "s"),
    Mark("\u25b2", "^"),
    Mark("\u25c6", "D"),
    Mark("\u25bc", "v"),
    Mark("\u2716", "X"),
    Mark("\u2605", "*"),
    Mark("\u271a", "P"),
)
