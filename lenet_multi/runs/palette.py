"""The colours of all pages and figures by name, on light and dark ground, and the runs' marks."""

# Backends have Okabe and Ito's colours for the colour-blind, lighter on dark ground.
_COLORS = {  # on light ground, on dark ground
    "ground": ("#ffffff", "#0f1318"),
    "panel": ("#f5f6f8", "#171c23"),
    "rule": ("#d9dde3", "#2e3641"),
    "faint": ("#e7eaef", "#222932"),
    "quiet": ("#5a6472", "#a3adba"),
    "ink": ("#161b22", "#e8ebef"),
    "good": ("#1d6b3a", "#7fd39c"),
    "unsure": ("#8a5a00", "#e8b44c"),
    "bad": ("#b3261e", "#ff9a90"),
    "tensorflow": ("#d55e00", "#ff8b3d"),
    "jax": ("#0072b2", "#56b4e9"),
    "torch": ("#009e73", "#35c99b"),
    "other": ("#8e4a8c", "#cf8fcc"),
}
LIGHT = {name: light for name, (light, _) in _COLORS.items()}
DARK = {name: dark for name, (_, dark) in _COLORS.items()}
OTHER = "other"

# Each mark in text, and the same shape as Matplotlib's marker.
MARKS = dict(zip("●■▲◆▼✖★✚", "os^DvX*P", strict=True))


def style() -> str:
    """Return the CSS that defines each colour as a variable, such as `--jax`."""
    light, dark = (
        " ".join(f"--{name}: {color};" for name, color in colors.items())
        for colors in (LIGHT, DARK)
    )
    return (
        f":root {{ color-scheme: light; {light} }}\n"
        "@media screen and (prefers-color-scheme: dark) {\n"
        f"  :root {{ color-scheme: dark; {dark} }}\n"
        "}\n"
    )
