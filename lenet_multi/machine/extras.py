"""The optional packages: what each extra of this package lacks, and the line that installs it."""

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
    """An extra, what it needs and does not find, and the line that installs it."""

    name: str
    lacks: list[str]
    install: str


def require(module: str, extra: str) -> Any:
    """Return the module of an optional package, which the extra `extra` installs.

    Raises `UserError` when it cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"{module} cannot be imported ({error}); install it with: {install_line(extra)}"
        ) from error


def install_line(extra: str = "") -> str:
    """Return the line that installs this package with an extra."""
    return f"pip install '{DISTRIBUTION}[{extra}]'" if extra else f"pip install {DISTRIBUTION}"


def is_installed() -> bool:
    """Tell whether this package is installed, so that its needs are known."""
    return any(distributions(name=DISTRIBUTION))


def every() -> list[Extra]:
    """Return all extras of this package; none where it is imported but not installed."""
    names = (metadata(DISTRIBUTION).get_all("Provides-Extra") or []) if is_installed() else []
    return [Extra(name, lacks(name), install_line(name)) for name in names]


def lacks(extra: str = "") -> list[str]:
    """Return what an extra needs and does not find, or what the package itself needs."""
    texts = (requires(DISTRIBUTION) or []) if is_installed() else []
    wanted = [requirement for text in texts if _belongs(requirement := Requirement(text), extra)]
    return [lack for requirement in wanted if (lack := _lack(requirement))]


def _belongs(requirement: Requirement, extra: str) -> bool:
    """Tell whether `requirement` is of `extra`, or, of none, of the package itself."""
    if requirement.marker is None:
        return not extra
    if extra and requirement.marker.evaluate({"extra": ""}):  # of the package itself
        return False
    return requirement.marker.evaluate({"extra": extra})


def _lack(requirement: Requirement) -> str:
    """Return what is wanted and, where another is installed, its version; empty where it is met."""
    wanted = f"{requirement.name}{requirement.specifier}"
    try:
        found = installed_version(requirement.name)
    except PackageNotFoundError:
        return wanted
    met = requirement.specifier.contains(found, prereleases=True)
    return "" if met else f"{wanted} (installed: {found})"
