"""Why mutants survive that change nothing a test could notice."""

# Reasons for the surviving mutants, with the lines that they change to.
REASONS = {
    "Two runs or more are equal to the first where they are equal to the second.": {
        "equal = all(value == values[1] for value in values)",
    },
    "A digit less or more: both are finer than one image and coarser than rounding.": {
        "gap = round(100 * (high - low), 10)  # drops noise, keeps one image's share",
    },
    "Rich reads styles in upper case too.": {
        'console.print(f"Warning: {warning}.", style="YELLOW")',
        'style="BOLD GREEN" if not failed else "bold red",',
        'style="bold green" if not failed else "BOLD RED",',
        'verdict = Text("pass", "GREEN") if check.passed else Text("FAIL", "bold red")',
        'verdict = Text("pass", "green") if check.passed else Text("FAIL", "BOLD RED")',
    },
    "Rich aligns to the left where it does not know the word.": {
        f"return Table(first, *backends, *last, title=title, title_justify={word})"
        for word in ("None", '"XXleftXX"', '"LEFT"')
    },
    "Python translates line ends on Windows alone, where folders cannot be locked as here.": {
        'with (draft / HISTORY).open("w", newline=None) as file:',
        'with (draft / HISTORY).open("w", ) as file:',
    },
    "Only the nearest name is used, and it comes first.": {
        "if near := get_close_matches(name.lower(), known, ):",
        "if near := get_close_matches(name.lower(), known, n=2):",
    },
    "A draft's folder can be deleted; where it cannot, what was written is in its place.": {
        f'prefix=f".{{target.name}}-", dir=target.parent, {word}'
        for word in ("ignore_cleanup_errors=None", ")", "ignore_cleanup_errors=False")
    },
    "hashlib takes the name in upper case too.": {
        'return hashlib.file_digest(file, "SHA256").hexdigest()',
    },
}

# Reasons for all survivors of a function, where none of it can run in the tests of its module.
FUNCTIONS: dict[str, set[str]] = {}


def reason(function: str, became: str) -> str:
    """Return why a mutant of `function` survives with the line `became`, or "" if none is known."""
    for why, known in (*REASONS.items(), *FUNCTIONS.items()):
        if became in known or function in known:
            return why
    return ""
