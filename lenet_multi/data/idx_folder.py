"""Find the IDX files of a set by the names that people and programs give them."""

import re
from pathlib import Path

from lenet_multi.data.found import TEST, TRAIN, Found, Pair, part_of
from lenet_multi.data.idx import read_idx
from lenet_multi.errors import UserError, cannot_read

# train-images-idx3-ubyte.gz, t10k-labels.idx1-ubyte, emnist-letters-test-images-idx3-ubyte,
# qmnist-train-labels-idx2-int
_NAME = re.compile(
    r"(?P<set>.*?)[-_.]?(?P<part>train|test|t10k)[-_.]?(?P<side>images|labels)"
    r"[-_.]idx(?P<axes>[1-4])[-_.][a-z]+(?:\.gz)?"
)
_WORDS = {TRAIN: "train", TEST: "t10k"}

Files = dict[tuple[str, str], tuple[Path, int]]  # by part and side: a file and its axes


def sets_in(folder: Path) -> dict[tuple[Path, str], Files]:
    """Return the IDX files in a folder or its `raw`, by the folder and the set's name in front.

    Of a plain and a gzipped file, the plain one is taken. Raises `UserError` when the folder cannot
    be read.
    """
    found: dict[tuple[Path, str], Files] = {}
    try:
        for place in (folder, folder / "raw"):
            # The plain name comes before that with .gz.
            for path in sorted(place.iterdir()) if place.is_dir() else ():
                # Some unpackers put each file into a folder of its name.
                file = path / path.name if path.is_dir() else path
                if (match := _NAME.fullmatch(path.name)) and file.is_file():
                    part = part_of(match["part"]) or TRAIN
                    files = found.setdefault((place, match["set"]), {})
                    files.setdefault((part, match["side"]), (file, int(match["axes"])))
    except OSError as error:
        raise UserError(cannot_read(folder, error)) from error
    return found


def read(source: Path, sets: dict[tuple[Path, str], Files]) -> Found:
    """Return the images and labels of the only one of `sets`, which were found at `source`.

    Raises `UserError` when there are several, or a file of one is missing or damaged.
    """
    if len(sets) > 1:
        places = [str(folder / name) for folder, name in sets]
        raise UserError(f"{source} holds several sets; give one of them: {', '.join(places)}")
    (((folder, name), files),) = sets.items()
    parts = {part: _pair(folder, name, files, part) for part in dict.fromkeys(p for p, _ in files)}
    return Found(parts)


def _pair(folder: Path, name: str, files: Files, part: str) -> Pair:
    for side, axes in (("images", 3), ("labels", 1)):
        if (part, side) not in files:
            first = f"{name}-{part}" if name else _WORDS[part]
            lacks = f"{first}-{side}-idx{axes}-ubyte"
            raise UserError(f"{folder} holds neither {lacks} nor {lacks}.gz; put one of them there")
    images, labels = (
        read_idx(file, dimensions=axes)
        for file, axes in (files[part, side] for side in ("images", "labels"))
    )
    # QMNIST has eight numbers for each image. The first one is the digit.
    return images, labels[:, 0] if labels.ndim == 2 else labels
