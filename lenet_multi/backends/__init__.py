"""How each backend trains the same model fast; `README.md` in this folder explains it."""

from importlib import import_module
from typing import Any


def module(backend: str) -> Any:
    """Return the module that makes `backend` fast; Keras must be started."""
    return import_module(f"lenet_multi.backends.{backend}")
