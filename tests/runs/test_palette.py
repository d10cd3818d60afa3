from lenet_multi.runs import palette


def test_each_colour_is_a_variable_on_light_and_dark_ground() -> None:
    """The sheet has all colours twice, the dark ones for a dark screen alone."""
    light, media, dark, *ends = palette.style().splitlines()
    names = [
        *("ground", "panel", "rule", "faint", "quiet", "ink", "good", "unsure", "bad"),
        *("tensorflow", "jax", "torch", "other"),
    ]
    assert list(palette.LIGHT) == list(palette.DARK) == names
    assert light.startswith(":root { color-scheme: light; --ground: #ffffff; --panel: #f5f6f8; ")
    assert light.endswith(" --torch: #009e73; --other: #8e4a8c; }")
    assert media == "@media screen and (prefers-color-scheme: dark) {"
    assert dark.startswith("  :root { color-scheme: dark; --ground: #0f1318; --panel: #171c23; ")
    assert dark.endswith(" --torch: #35c99b; --other: #cf8fcc; }")
    assert ends == ["}"]
    assert palette.style().endswith("}\n")
