"""Keras's home: the folder of its downloads, and of keras.json, which Keras never reads here."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

SETTINGS = "keras.json"

_VARIABLE = "KERAS_HOME"


def keras_home(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of Keras's settings and downloads, as Keras finds it."""
    try:
        return Path(environ.get(_VARIABLE) or "~/.keras").expanduser()
    except RuntimeError:  # a user without a home, as in some containers
        return Path(tempfile.gettempdir(), ".keras")


@contextmanager
def settings_left_out() -> Iterator[None]:
    """Let the import of Keras in the block find no keras.json; downloads keep their folder.

    Keras reads keras.json at its import, and most of what may be wrong in the file is an error
    there: a layout that it does not know, an epsilon of 1, a list. It also writes the file anew.
    """
    home = keras_home()
    with suppress(OSError):  # Keras downloads to another folder where it cannot write
        home.mkdir(parents=True, exist_ok=True)
    given = os.environ.get(_VARIABLE)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as empty:
        os.environ[_VARIABLE] = empty
        try:
            yield
            _download_to(home, instead_of=empty)
        finally:
            if given is None:
                del os.environ[_VARIABLE]
            else:
                os.environ[_VARIABLE] = given


def _download_to(home: Path, *, instead_of: str) -> None:
    # Nothing public changes this folder. `backends.private`, above this room, cannot do it.
    with suppress(ImportError, AttributeError):
        from keras.src.backend import config

        if instead_of == config._KERAS_DIR:
            config._KERAS_DIR = str(home)
