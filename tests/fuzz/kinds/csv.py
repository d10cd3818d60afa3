"""Tables of pixels as text."""

from random import Random

from tests.fuzz.inputs import Input
from tests.fuzz.kinds.idx import few
from tests.fuzz.mutations import WORDS, damaged
from tests.fuzz.placed import kind, placed

_CELLS = (
    *(
        "256",
        "-1",
        "0.5",
        "1e999",
        "nan",
        "inf",
        "1j",
        "0x1f",
        "1_0",
        "٣",
        "²",
        "9" * 5000,
        "1e-400",
    ),
    *('"', '""', '"1"', "'1'", '"1\n"', "True", "1 2", "1;2", "#", "0" * 100_000, "x" * 200_000),
)
_HEADERS = ("", "label", "y", "id,label", ",label", "pixel0", "file,label", "label,label")


def table(chance: Random) -> bytes:
    """Return a table of pixels, mostly an odd one."""
    count, side = chance.choice((2, 3, 20)), chance.choice((3, 28))
    images, labels = (array[:count] for array in few()[:2])
    pixels = images[:, 4 : 4 + side, 4 : 4 + side].reshape(count, -1).tolist()
    names = labels.tolist() if chance.random() < 0.8 else [chance.choice("abc") for _ in labels]
    is_last = chance.random() < 0.2
    rows = [
        [*row, name] if is_last else [name, *row] for row, name in zip(pixels, names, strict=True)
    ]
    titles = ["label", *(f"pixel{index}" for index in range(side**2))]
    titles = titles[1:] + titles[:1] if is_last else titles
    lines: list[list[object]] = [[*titles], *rows] if chance.random() < 0.7 else [*rows]
    if chance.random() < 0.7:
        _harm(lines, chance)
    separator = chance.choice((*",,,,", ";", "\t", " ", "|", ", "))
    end = chance.choice(("\n", "\n", "\n", "\r\n", "\r", "\n\n", "\0", "\u2028"))
    text = end.join(separator.join(map(str, line)) for line in lines) + end
    way = chance.random()
    if way < 0.1:
        return text.encode(chance.choice(("utf-16", "utf-32", "utf-8-sig")), "surrogatepass")
    content = text.encode("utf-8", "surrogatepass")
    return damaged(content, chance) if way < 0.25 else content


def _harm(lines: list[list[object]], chance: Random) -> None:
    """Change cells, rows or columns of a table in place."""
    line = chance.choice(lines)
    match chance.randrange(10):
        case 0:
            lines[:] = [[word] for word in chance.choice(_HEADERS).split(",")]
        case 1:
            lines[0] = [*chance.choice(_HEADERS).split(","), *lines[0][1:]]
        case 2:
            line[:] = line[: chance.randrange(len(line) + 1)]
        case 3:
            line.extend(chance.choice((["1"], ["1"] * 1000, [""] * 100_000)))
        case 4:
            odd: tuple[list[object], ...] = ([], [""], ["1"], lines[0])
            lines.extend([chance.choice(odd)] * chance.choice((1, 100)))
        case 5:
            for row in lines:
                row[-1:] = []
        case 6:  # one long name, and many short ones
            line[0] = "x" * 10**6
            lines.extend([["a", *lines[-1][1:]]] * 200)
        case _:
            for _ in range(chance.choice((1, 1, 5))):
                line = chance.choice(lines)
                line[chance.randrange(len(line)) if line else 0 :][:1] = [chance.choice(_CELLS)]
                if line:
                    line[chance.randrange(len(line))] = chance.choice((*_CELLS, *WORDS))


def _make(chance: Random) -> Input:
    return placed(chance.choice((".csv", ".csv", ".csv", ".tsv", ".CSV")), table, chance)


KIND = kind("CSV", _make, share=8, mebibytes=128)
