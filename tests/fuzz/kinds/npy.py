"""Folders of single NumPy arrays, images and labels by name."""

import pickle
from random import Random

from tests.fuzz.inputs import Input
from tests.fuzz.kinds.idx import few
from tests.fuzz.kinds.npz import Payload, lying, npy, other
from tests.fuzz.mutations import damaged
from tests.fuzz.placed import ELSEWHERE, FOLDER, kind, training_on

_NAMES = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "val_images", "val_labels"),
    ("trainX", "trainY", "testX", "testY"),
    ("X", "y"),
)
_ODD = ("x", "y", "x_val", "X_train", "x-train", "é", "a\n", "x_train.x", "\udcff", "~", "-")


def _make(chance: Random) -> Input:
    some = chance.sample(range(20), chance.randint(1, 20))
    names, arrays = chance.choice(_NAMES), [array[some] for array in few()]
    contents = {name: npy(array) for name, array in zip(names, arrays, strict=False)}
    links: dict[str, str] = {}
    wrong = chance.choice(names)
    array, harm = arrays[names.index(wrong)], chance.random()
    if harm < 0.2:
        contents[wrong] = npy(other(array, chance))
    elif harm < 0.4:
        contents[wrong] = lying(array, chance)
    elif harm < 0.6:
        contents[wrong] = damaged(contents[wrong], chance)
    elif harm < 0.65:
        del contents[wrong]
    elif harm < 0.75:
        contents[chance.choice(_ODD)] = npy(array)
    elif harm < 0.8:
        contents[wrong] = pickle.dumps(Payload(), protocol=chance.randrange(6))
    elif harm < 0.85:
        del contents[wrong]
        links[f"{FOLDER}/{wrong}.npy"] = chance.choice(ELSEWHERE)
    files: dict[str, bytes | None] = {
        f"{FOLDER}/{name}.npy": content for name, content in contents.items()
    }
    if harm > 0.97:
        files[f"{FOLDER}/{wrong}.npy"] = None  # a folder of that name
    alone = f"{FOLDER}/{wrong}.npy"
    return training_on(alone if chance.random() < 0.03 else FOLDER, files, links)


KIND = kind("npy", _make, share=6, mebibytes=128)
