"""The Keras backends: their names, which are installed, and how one is chosen."""

import os
from collections.abc import Mapping
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec

from lenet_multi.errors import UserError, unknown

BACKENDS = ("tensorflow", "jax", "torch")


def installed() -> tuple[str, ...]:
    """Return the names of the installed backends, without importing one."""
    return tuple(name for name in BACKENDS if find_spec(name) is not None)


def installed_version(backend: str) -> str:
    """Return the version of an installed backend, whichever distribution provides it."""
    return version(packages_distributions()[backend][0])


def choose(asked: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """Return the backend that `--backend` or `KERAS_BACKEND` asks for.

    Where neither speaks, it is the first installed one in the order of `BACKENDS`.

    Raises `UserError` when the two conflict, or the backend is unknown or not installed.
    """
    from_environment = environ.get("KERAS_BACKEND") or None
    if asked and from_environment and asked != from_environment:
        raise UserError(
            f"--backend {asked} conflicts with KERAS_BACKEND={from_environment}; drop one of them"
        )
    present = installed()
    name = asked or from_environment or next(iter(present), None)
    if name is None:
        raise UserError("no Keras backend is installed; " + _remedy("jax"))
    if name not in BACKENDS:
        raise UserError(unknown("backend", name, BACKENDS))
    if name not in present:
        others = f" (installed: {', '.join(present)})" if present else ""
        raise UserError(f"backend {name!r} is not installed{others}; {_remedy(name)}")
    return name


def _remedy(backend: str) -> str:
    return f"install it with: pip install {backend}"
