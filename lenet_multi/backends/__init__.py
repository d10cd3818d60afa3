"""How each backend trains the same model fast: `README.md` in this folder is the page to read."""

from importlib import import_module
from typing import Any


def module(backend: str) -> Any:
    """Return the file that tells how `backend` is made fast; Keras must be started."""
    return import_module(f"lenet_multi.backends.{backend}")
