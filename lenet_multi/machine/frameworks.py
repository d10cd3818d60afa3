"""The Keras backends: their names, which are installed, and how one is chosen."""

import os
from collections.abc import Mapping, Sequence
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec

from lenet_multi.errors import UserError, unknown

BACKENDS = ("tensorflow", "jax", "torch")
ANSWERING = (*BACKENDS, "numpy", "openvino")  # Keras's NumPy and OpenVINO cannot train

_FRAMEWORKS = {"numpy": "jax"}  # Keras's NumPy backend convolves with JAX


def installed(known: Sequence[str] = BACKENDS) -> tuple[str, ...]:
    """Return the names of those `known` backends that are installed, without importing one."""
    return tuple(name for name in known if find_spec(framework(name)) is not None)


def framework(backend: str) -> str:
    """Return the name of the package that computes what Keras does on `backend`."""
    return _FRAMEWORKS.get(backend, backend)


def installed_version(backend: str) -> str:
    """Return the version of an installed backend, whichever distribution provides it."""
    return version(packages_distributions()[backend][0])


def choose(
    asked: str | None,
    environ: Mapping[str, str] = os.environ,
    *,
    known: Sequence[str] = BACKENDS,
    preferred: str | None = None,
) -> str:
    """Return the backend, of the `known` ones, that `--backend` or `KERAS_BACKEND` asks for.

    Where neither speaks, it is the `preferred` one if installed, or else the first installed one.

    Raises `UserError` when the two conflict, or the backend is unknown or not installed.
    """
    from_environment = environ.get("KERAS_BACKEND") or None
    if asked and from_environment and asked != from_environment:
        raise UserError(
            f"--backend {asked} conflicts with KERAS_BACKEND={from_environment}; drop one of them"
        )
    present = installed(known)
    default = preferred if preferred in present else next(iter(present), None)
    name = asked or from_environment or default
    if name is None:
        raise UserError("no Keras backend is installed; " + _remedy("jax"))
    if name not in known and name in ANSWERING:
        raise UserError(
            f"backend {name!r} cannot train, only predict and evaluate; "
            f"choose from {', '.join(known)}"
        )
    if name not in known:
        raise UserError(unknown("backend", name, known))
    if name not in present:
        others = f" (installed: {', '.join(present)})" if present else ""
        raise UserError(f"backend {name!r} is not installed{others}; {_remedy(name)}")
    return name


def _remedy(backend: str) -> str:
    return f"install it with: pip install {_FRAMEWORKS.get(backend, backend)}"
