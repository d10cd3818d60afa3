"""Files and lists of the names of classes."""

from random import Random

from tests.fuzz import stand_ins
from tests.fuzz.inputs import Input, Kind
from tests.fuzz.kinds import models
from tests.fuzz.mutations import WORDS, damaged
from tests.fuzz.placed import ELSEWHERE

FILE = "fuzzed-names.txt"
_ODD = (
    *WORDS,
    "9" * 50,
    "٣",
    "007",
    "-1",
    "a,b",
    "a\tb",
    "\u2028",
    "\x85",
    "a\r",
    "\ufeff",
    "x" * 10**6,
)


def _names(chance: Random) -> list[str]:
    count = chance.choice((10, 10, 10, 10, 0, 1, 9, 11, 256, 50_000))
    names = [f"{chance.choice(('', 'class ', '0', 'é'))}{number}" for number in range(count)]
    for _ in range(chance.choice((0, 1, 1, 3)) if names else 0):
        names[chance.randrange(count)] = chance.choice((*_ODD, names[0]))
    return names


def _make(chance: Random) -> Input:
    names, links = _names(chance), {}
    end = chance.choice(("\n", "\n", "\n", "\r\n", "\r", "\n\n", "\0", ","))
    code = chance.choice(("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32"))
    content = (end.join(names) + chance.choice(("", end, "\n" * 1000))).encode(
        code, "surrogatepass"
    )
    content = damaged(content, chance) if chance.random() < 0.2 else content
    files: dict[str, bytes | None] = {
        "model.keras": models.valid(),
        "images.npz": models.images(),
        "seven.png": models.seven(),
        FILE: content,
    }
    given, way = FILE, chance.random()
    if way < 0.05:
        links = {FILE: chance.choice(ELSEWHERE)}
        del files[FILE]
    elif way < 0.07:
        files[FILE] = None
    elif way < 0.3:
        typed = ",".join(names).encode("utf-8", "surrogatepass").replace(b"\0", b"")[:20_000]
        given = typed.decode("utf-8", "surrogateescape") or FILE
    arguments = chance.choice(
        (
            ("predict", "seven.png", "--model", "model.keras"),
            ("predict", "seven.png", "--model", "model.keras", "--json"),
            ("train", "--data", "images.npz", "--validation-split", "0.5", "--quiet"),
        )
    )
    return Input(
        arguments=(*arguments, "--class-names", given),
        files=files,
        links=links,
        culprit="names",  # the flag, or its file
    )


KIND = Kind(
    name="class names",
    make=_make,
    share=4,
    mebibytes=256,
    prepare=stand_ins.install,
    told=r"What was kept so far: .*|Pictures: .*",
)
