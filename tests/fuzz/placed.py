"""A data file as people place it: alone, as a part in a folder, behind a link, under any name."""

from collections.abc import Callable
from random import Random
from typing import Any

from tests.fuzz import stand_ins
from tests.fuzz.inputs import Input, Kind

FOLDER = "fuzzed-data"
STEMS = (
    *("fuzzed", "fuzzed 七", "fuzzed \udcff", "fuzzed\n", "fuzzed[red]", "fuzzed\x1b[31m"),
    *("-fuzzed", "fuzzed.mat", "fuzzed-test", "~fuzzed", "fuzzed%s{0}", "x" * 200 + "fuzzed"),
)
_PARTS = (("train", "test"), ("train", "val", "test"), ("train-0", "train-1"), ("x", "y"))
ELSEWHERE = ("/dev/zero", "/dev/null", "/proc/self/mem", "nowhere", "..", "fuzzed-link", ".")


def training_on(
    source: str, files: dict[str, bytes | None], links: dict[str, str] | None = None
) -> Input:
    """Return the input of a training on the data at `source`; a refusal must name it."""
    return Input(
        arguments=("train", "--data", source, "--out", "out", "--quiet"),
        files=files,
        links=links or {},
        culprit="fuzzed",
    )


def placed(ending: str, content: Callable[[Random], bytes], chance: Random) -> Input:
    """Return the input of a training on files with this ending, each filled by `content`."""
    way = chance.random()
    if way < 0.03:
        source = f"fuzzed-link{ending}"
        return training_on(source, {}, {source: chance.choice(ELSEWHERE)})
    if way < 0.15:
        names = chance.choice(_PARTS)
        return training_on(FOLDER, {f"{FOLDER}/{name}{ending}": content(chance) for name in names})
    stem = chance.choice(STEMS) if way < 0.3 else STEMS[0]
    source = f"./{stem}{ending}"
    return training_on(source, {source: content(chance)})


def kind(
    name: str,
    make: Callable[[Random], Input],
    *,
    share: int,
    mebibytes: int,
    prepare: Callable[[], Any] = stand_ins.install,
) -> Kind:
    """Return a kind of data to train on."""
    return Kind(
        name=name,
        make=make,
        share=share,
        mebibytes=mebibytes,
        prepare=prepare,
        # All but the first are libtiff's.
        told=r"What was kept so far: .*|(tempfile\.tif|\w+Decode\w*): .*",
    )
