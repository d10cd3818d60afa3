"""The extras (optional packages): what is missing for each, and the line that installs it."""

import importlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distributions, metadata, requires
from typing import Any

from packaging.requirements import Requirement

from lenet_multi.errors import UserError
from lenet_multi.machine.frameworks import installed_version

DISTRIBUTION = "lenet-multi"


@dataclass(frozen=True)
class Extra:
    """An extra, its requirements that are not met, and the line that installs it."""

    name: str
    lacks: list[str]
    install: str


def require(module: str, extra: str = "") -> Any:
    """Return a module that `extra` installs, or else the package itself.

    Raises `UserError` when it cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"{module} cannot be imported ({error}); install it with: {install_line(extra)}"
        ) from error


def install_line(extra: str = "") -> str:
    """Return the line that installs this package, with `extra` if given."""
    return f"pip install '{DISTRIBUTION}[{extra}]'" if extra else f"pip install {DISTRIBUTION}"


def is_installed() -> bool:
    """Return whether this package is installed; only then are its requirements known."""
    return any(distributions(name=DISTRIBUTION))


def every() -> list[Extra]:
    """Return all extras of this package; none if it is imported but not installed."""
    names = (metadata(DISTRIBUTION).get_all("Provides-Extra") or []) if is_installed() else []
    return [Extra(name, lacks(name), install_line(name)) for name in names]


def lacks(extra: str = "") -> list[str]:
    """Return the requirements of an extra, or of the package itself, that are not met."""
    texts = (requires(DISTRIBUTION) or []) if is_installed() else []
    wanted = [requirement for text in texts if _belongs(requirement := Requirement(text), extra)]
    return [lack for requirement in wanted if (lack := _lack(requirement))]


def _belongs(requirement: Requirement, extra: str) -> bool:
    marker = requirement.marker
    if marker is None or marker.evaluate():  # the package itself requires it
        return not extra
    return marker.evaluate({"extra": extra})


def _lack(requirement: Requirement) -> str:
    """Return what is wanted, and the version installed instead; empty if it is met."""
    wanted = f"{requirement.name}{requirement.specifier}"
    try:
        found = installed_version(requirement.name)
    except PackageNotFoundError:
        return wanted
    met = requirement.specifier.contains(found, prereleases=True)
    return "" if met else f"{wanted} (installed: {found})"
