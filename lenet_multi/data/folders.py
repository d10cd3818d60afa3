"""Read folders of pictures: a folder for each class, or a table of files and labels beside them."""

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lenet_multi.data import pictures
from lenet_multi.data.csv import reading
from lenet_multi.data.found import LABEL_COLUMNS, TRAIN, WHOLE, Found, part_of, texts
from lenet_multi.errors import UserError, cannot_read, listed, reason

LABELS = "labels.csv"
_FILES = ("file", "filename", "file_name", "image", "image_name", "img", "name", "path", "filepath")
_NUMBERS = ("id", "image_id", "imageid")  # a file's name, mostly without its ending
_CLASSES = (*LABEL_COLUMNS, "class_name", "category")
_PARTS = ("split", "part", "set", "subset", "usage")

Labelled = list[tuple[Path, str]]  # files of pictures and the names of their classes


@dataclass(frozen=True)
class Columns:
    """Which columns of a table have the files, the classes and, if any, the parts."""

    file: int
    label: int
    part: int | None


def read(folder: Path) -> Found | None:
    """Return the pictures in a folder, labelled by their classes' names; None if it has none.

    It may have folders such as `train` and `test`. In it or in each of these is either a folder of
    pictures for each class, or pictures and labels.csv. Raises `UserError` when something cannot
    be read or pictures do not fit together.
    """
    labelled: dict[str, Labelled] = {}
    try:
        for part, files in _labelled(folder):
            labelled.setdefault(part, []).extend(files)
        notes = _on_unused(folder, labelled)
    except OSError as error:
        raise UserError(cannot_read(error.filename or folder, error)) from error
    parts = {
        part: (
            pictures.read(folder, [path for path, _ in files]),
            texts(folder, [label for _, label in files]),
        )
        for part, files in labelled.items()
        if files
    }
    return Found(parts, notes, is_sorted=True) if parts else None


def refuse_unlabelled(folder: Path) -> None:
    """Raise `UserError` when a folder where `read` finds nothing has pictures, with the reason."""
    found = [*_all_pictures(folder)]
    if foreign := next(filter(_is_foreign, found), None):
        raise UserError(
            f"{folder} has pictures such as {foreign}, whose format is not read; save them as PNG"
        )
    if found:
        raise UserError(
            f"{folder} has pictures such as {found[0]}, but nothing tells their classes; give a "
            "folder for each class, or labels.csv with the columns file and label"
        )


def _on_unused(folder: Path, labelled: dict[str, Labelled]) -> tuple[str, ...]:
    """Return what to say of pictures in a folder that are not among those `labelled`."""
    used = {path for files in labelled.values() for path, _ in files}
    unused = [path for path in _all_pictures(folder) if path not in used] if used else []
    without_class = [path for path in unused if not _is_foreign(path)]
    unread = [path for path in unused if _is_foreign(path)]
    reasons = (
        (without_class, "no folder or table gives their class"),
        (unread, "their format is not read; save them as PNG to use them"),
    )
    return tuple(
        f"pictures that are not used: {len(paths):,}, such as {paths[0]}: {why}"
        for paths, why in reasons
        if paths
    )


def _is_foreign(path: Path) -> bool:
    return path.suffix.lower() in pictures.FOREIGN


def columns(names: list[str]) -> Columns | None:
    """Return the columns of a table of files and labels; None if it is no such table."""

    def first(known: tuple[str, ...]) -> int | None:
        lower = [name.strip().lower() for name in names]
        return next((lower.index(name) for name in known if name in lower), None)

    file, label = first(_FILES), first(_CLASSES)
    file = first(_NUMBERS) if file is None else file
    is_table = file is not None and label is not None and len(names) < _OF_PIXELS
    return Columns(file, label, first(_PARTS)) if is_table else None  # type: ignore[arg-type]


_OF_PIXELS = 16  # columns or more: a table of pixels, not of files


def _labelled(folder: Path) -> Iterator[tuple[str, Labelled]]:
    """Yield the parts of a folder, each with its labelled files."""
    inside = _folders(folder)
    of_parts = {path: part for path in inside if (part := part_of(path.name))}
    if TRAIN in of_parts.values() or len(of_parts) == len(inside):
        found = [(part, _in_part(path, folder)) for path, part in of_parts.items()]
        if any(files for _, files in found):
            yield from found
            return
    if table := _table(folder):
        yield from _of_table(table, folder).items()
    elif files := _of_classes(folder):
        yield WHOLE, files


def _in_part(folder: Path, beside: Path) -> Labelled:
    """Return the labelled files of a part, whose table may lie beside it with its name."""
    names = (f"{folder.name}.csv", f"{folder.name}_labels.csv", f"labels_{folder.name}.csv")
    for table in (_table(folder), *(beside / name for name in names)):
        if table and table.is_file() and _names_in(table) and any(_pictures(folder)):
            return [one for files in _of_table(table, folder).values() for one in files]
    return _of_classes(folder)


def _of_classes(folder: Path) -> Labelled:
    inside = _folders(folder)
    if len(inside) == 1 and not any(_pictures(inside[0])):
        inside = _folders(inside[0])  # an archive unpacked into a folder of the same name
    return [(path, one.name) for one in inside for path in sorted(_pictures(one))]


def _folders(folder: Path) -> list[Path]:
    """Return the folders in a folder, without hidden ones; a link to a folder counts."""
    with os.scandir(folder) as entries:
        return sorted(Path(one.path) for one in entries if one.is_dir() and one.name[0] not in "._")


def _pictures(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            ending = os.path.splitext(entry.name)[1].lower()
            if ending in pictures.SUFFIXES and entry.name[0] != "." and entry.is_file():
                yield Path(entry.path)


def _all_pictures(folder: Path) -> Iterator[Path]:
    """Yield the pictures in a folder and all folders in it, also those of formats not read."""
    for place, inside, names in os.walk(folder):
        inside[:] = sorted(name for name in inside if name[0] not in "._")
        for name in sorted(names):
            ending = os.path.splitext(name)[1].lower()
            if name[0] != "." and (ending in pictures.SUFFIXES or ending in pictures.FOREIGN):
                yield Path(place, name)


def _table(folder: Path) -> Path | None:
    """Return labels.csv of a folder, or else its only table of files and labels, if any."""
    if (folder / LABELS).is_file():
        return folder / LABELS
    if not any(any(_pictures(place)) for place in (folder, *_folders(folder))):
        return None  # Kaggle's sample_submission.csv looks like such a table
    found = [path for path in sorted(folder.glob("*.csv")) if path.is_file() and _names_in(path)]
    return found[0] if len(found) == 1 else None


def _names_in(table: Path) -> list[str]:
    """Return the columns of a table if it is one of files and labels, else none."""
    try:
        with reading(table) as rows:
            names: list[str] = next(rows, [])
    except (ValueError, csv.Error):
        return []
    return names if columns(names) else []


def _of_table(table: Path, folder: Path) -> dict[str, Labelled]:
    """Return the labelled files of a table by part; `folder` has them."""
    try:
        with reading(table) as lines:
            rows = [row for row in lines if row]
        names = rows.pop(0) if rows else []
    except (ValueError, csv.Error) as error:
        raise UserError(f"{table} is no table: {reason(error)}; give file and label") from error
    chosen = columns(names)
    if not chosen:
        raise UserError(
            f"{table} has columns {listed(names) or 'of no name'}; name two of them file and label"
        )
    known = _by_name(folder)
    parts: dict[str, Labelled] = {}
    for number, row in enumerate(rows, 2):
        if len(row) != len(names):
            raise UserError(f"{table} has {len(row)} values in line {number}; give {len(names)}")
        name = row[chosen.file].strip().replace("\\", "/")
        paths = known.get(name) or known.get(name.rpartition("/")[2])
        if not paths:
            raise UserError(f"{table} names {name} in line {number}, which is not there; add it")
        if len(paths) > 1:
            raise UserError(
                f"{table} names {name} in line {number}, which may be {paths[0]} or {paths[1]}; "
                "give the folder too"
            )
        (path,) = paths
        part = WHOLE if chosen.part is None else part_of(row[chosen.part]) or TRAIN
        parts.setdefault(part, []).append((path, row[chosen.label].strip()))
    return parts


def _by_name(folder: Path) -> dict[str, list[Path]]:
    """Return the pictures in a folder and one level deeper by path, name, and name without end.

    A name without a folder before it is first of all that of a picture in the folder itself.
    """
    found: dict[str, list[Path]] = {}
    for path in _pictures(folder):
        for name in (path.name, path.stem):
            found.setdefault(name, []).append(path)
    deeper: dict[str, list[Path]] = {}
    for path in (one for deep in _folders(folder) for one in _pictures(deep)):
        within = path.relative_to(folder)
        for name in (within.as_posix(), within.with_suffix("").as_posix(), path.name, path.stem):
            deeper.setdefault(name, []).append(path)
    return deeper | found
