"""Folders of pictures: a folder for each class, or a table of files and labels."""

from random import Random

from tests.fuzz.inputs import Input
from tests.fuzz.kinds import csv
from tests.fuzz.kinds import images as pictures
from tests.fuzz.mutations import WORDS, damaged
from tests.fuzz.placed import ELSEWHERE, FOLDER, kind, training_on

_CLASSES = (
    *(
        "0",
        "1",
        "9",
        "007",
        "10",
        "255",
        "9" * 50,
        "٣",
        "a",
        "B",
        "é",
        "train",
        "test",
        ".hidden",
        "a.png",
    ),
    *("_x", "a b", "\n", "\udcff", "x" * 200, "[red]", "\x1b[31m", "%s", "-", "~", "\u2028"),
)
_PARTS = ("", "", "train/", "test/", "val/", "train/train/", "a/")
_SUFFIXES = (".png", ".png", ".png", ".jpg", ".PNG", ".tif", ".txt", "")
_LABELS = ("labels.csv", "labels.csv", "train.csv", "test_labels.csv", "a.csv")


def _picture(chance: Random) -> bytes:
    return pictures.picture(0) if chance.random() < 0.95 else pictures.content(chance)


def _make(chance: Random) -> Input:
    files: dict[str, bytes | None] = {}
    links: dict[str, str] = {}
    is_flat = chance.random() < 0.4
    classes = [chance.choice(_CLASSES) for _ in range(3)] if chance.random() < 0.5 else ["0", "1"]
    for part in {chance.choice(_PARTS) for _ in range(2)}:
        names = [f"{number}{chance.choice(_SUFFIXES[:3])}" for number in range(4)]
        for number, name in enumerate(names):
            place = "" if is_flat else f"{classes[number % len(classes)]}/"
            files[f"{FOLDER}/{part}{place}{name}"] = _picture(chance)
        if is_flat:
            files[f"{FOLDER}/{part}{chance.choice(_LABELS)}"] = _labels(names, classes, chance)
    wrong, harm = chance.choice([*files]), chance.random()
    if harm < 0.05:
        files[wrong] = None
    elif harm < 0.1:
        files[f"{wrong}{chance.choice(_SUFFIXES)}"] = files.pop(wrong)
    elif harm < 0.2:
        del files[wrong]
        links[wrong] = chance.choice(ELSEWHERE)
    elif harm < 0.25:
        links[f"{FOLDER}/link"] = chance.choice(ELSEWHERE)
    elif harm < 0.3:  # an archive that unpacks into folders in folders
        deep = f"{FOLDER}/" + "a/" * chance.choice((2, 20, 300, 800))
        files = {name.replace(f"{FOLDER}/", deep, 1): content for name, content in files.items()}
    elif harm < 0.35:
        files[f"{FOLDER}/{chance.choice(_LABELS)}"] = csv.table(chance)
    elif harm < 0.4:
        files |= {f"{FOLDER}/c{number}/a.png": _picture(chance) for number in range(300)}
    return training_on(FOLDER, files, links)


def _labels(names: list[str], classes: list[str], chance: Random) -> bytes:
    """Return a table of files and labels, mostly an odd one."""
    separator = chance.choice((*",,,,", ";", "\t"))
    titles = chance.choice(
        (("file", "label"), ("file", "label"), ("id", "class", "split"), ("a", "b"))
    )
    rows = [[name, classes[number % len(classes)], "test"] for number, name in enumerate(names)]
    rows = [list(titles), *(row[: len(titles)] for row in rows)]
    for _ in range(chance.choice((0, 1, 2))):
        row = chance.choice(rows)
        if row and chance.random() < 0.7:
            odd = chance.choice((*WORDS, "../../canary", "/etc/passwd", '"', "x" * 200_000))
            row[chance.randrange(len(row))] = odd
        else:
            row.append("x")
    content = "\n".join(separator.join(row) for row in rows).encode("utf-8", "surrogatepass")
    return damaged(content, chance) if chance.random() < 0.1 else content


KIND = kind("folders of pictures", _make, share=8, mebibytes=512)
