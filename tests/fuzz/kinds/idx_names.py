"""IDX files of other names, types and axes than MNIST's, in the folders of other programs."""

import gzip
from random import Random

import numpy as np

from tests.fuzz.inputs import Input
from tests.fuzz.kinds.idx import few, gzipped, headed, idx
from tests.fuzz.mutations import damaged
from tests.fuzz.placed import ELSEWHERE, FOLDER, kind, training_on

_SETS = (
    "{part}-{side}-idx{axes}-ubyte",
    "{part}-{side}.idx{axes}-ubyte",
    "emnist-letters-{part}-{side}-idx{axes}-ubyte",
    "qmnist-{part}-{side}-idx{axes}-int",
    "{part}_{side}.idx{axes}.ubyte",
    "{part}-{side}-idx9-ubyte",
    "\udcff{part}-{side}-idx{axes}-ubyte",
)
_PLACES = ("", "", "raw/", "MNIST/raw/", "gzip/", "a/b/")
_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_VALUES = (np.nan, np.inf, -1.0, 0.5, 300.0, 1e308)


def _typed(array: np.ndarray, chance: Random) -> bytes:
    """Return an array as IDX of any type, with any value."""
    number = chance.choice([*_TYPES])
    with np.errstate(all="ignore"):
        changed = array.astype(_TYPES[number])
        if chance.random() < 0.3:
            changed.flat[0] = np.float64(chance.choice(_VALUES)).astype(_TYPES[number])
    return idx(changed, kind=number)


def _content(array: np.ndarray, chance: Random) -> bytes:
    harm = chance.random()
    if harm < 0.6:
        return idx(array)
    if harm < 0.8:
        return _typed(array, chance)
    if harm < 0.85:
        return idx(array.reshape(-1)[: chance.choice((0, 1, 5))])
    return headed(array, chance) if harm < 0.92 else damaged(idx(array), chance)


def _make(chance: Random) -> Input:
    count, name, place = chance.choice((1, 2, 20)), chance.choice(_SETS), chance.choice(_PLACES)
    files: dict[str, bytes | None] = {}
    for array, part, side in zip(
        few(), ("train", "train", "test", "test"), ("images", "labels") * 2, strict=True
    ):
        array = array[:count]
        if name.startswith("qmnist") and side == "labels":
            array = np.repeat(array[:, np.newaxis], 8, axis=1)
        path = f"{FOLDER}/{place}{name.format(part=part, side=side, axes=array.ndim)}"
        content = _content(array, chance)
        if chance.random() < 0.2:
            files[f"{path}.gz"] = gzipped(content, chance)
        elif chance.random() < 0.05:  # in a folder of its name
            files[f"{path}/{path.rpartition('/')[2]}"] = content
        else:
            files[path] = content
    links: dict[str, str] = {}
    wrong, harm = chance.choice([*files]), chance.random()
    if harm < 0.05:
        files[f"{wrong}.gz"] = gzip.compress(b"x", mtime=0)
    elif harm < 0.1:
        files[wrong.replace("test", "t10k", 1)] = files.pop(wrong)
    elif harm < 0.15:
        files[wrong.replace(f"{FOLDER}/", f"{FOLDER}/other-", 1)] = files[wrong]
    elif harm < 0.2:
        del files[wrong]
        links[wrong] = chance.choice(ELSEWHERE)
    source = FOLDER if chance.random() < 0.8 else f"{FOLDER}/{place}emnist-letters"
    return training_on(source, files, links)


KIND = kind("IDX by other names", _make, share=6, mebibytes=128)
