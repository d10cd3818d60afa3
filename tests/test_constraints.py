"""The pinned versions of everything that the dependency groups need."""

import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import PROJECT

TEXT = (PROJECT / "constraints.txt").read_text()
CONSTRAINTS = [Requirement(line) for line in TEXT.splitlines() if not line.startswith("#")]
GROUPS = tomllib.loads((PROJECT / "pyproject.toml").read_text())["dependency-groups"]
PINS = {
    requirement
    for group in GROUPS.values()
    for requirement in map(Requirement, (entry for entry in group if isinstance(entry, str)))
}


def needs(name: str, extras: set[str]) -> Iterator[Requirement]:
    """Yield what an installed distribution needs here; nothing if it is not installed."""
    try:
        found = requires(name) or []
    except PackageNotFoundError:
        return
    for requirement in map(Requirement, found):
        marker = requirement.marker
        if not marker or any(marker.evaluate({"extra": extra}) for extra in {"", *extras}):
            yield requirement


def test_every_version_is_exact() -> None:
    """Each line pins one name to one version, maybe with a marker, and without an address.

    Addresses differ between systems.
    """
    for requirement in CONSTRAINTS:
        (version,) = requirement.specifier
        assert version.operator == "=="
        assert "*" not in version.version
        assert not requirement.extras  # pip refuses a constraint with extras
    assert "//" not in TEXT


def test_the_groups_are_pinned_alike() -> None:
    """Each package that a group pins is in the constraints once, at the same version."""
    for pin in PINS:
        name = canonicalize_name(pin.name)
        found = [one for one in CONSTRAINTS if canonicalize_name(one.name) == name]
        assert [one.specifier for one in found] == [pin.specifier], f"run `nox -s pin`: {pin}"


def test_everything_that_is_needed_is_pinned() -> None:
    """Everything that the pinned packages need here, directly or indirectly, is pinned."""
    left = [(canonicalize_name(pin.name), frozenset(pin.extras)) for pin in PINS]
    seen = set()
    while left:
        name, extras = entry = left.pop()
        if entry not in seen:
            seen.add(entry)
            found = needs(name, set(extras))
            left += [(canonicalize_name(one.name), frozenset(one.extras)) for one in found]
    pinned = {
        canonicalize_name(one.name)
        for one in CONSTRAINTS
        if not one.marker or one.marker.evaluate()
    }
    assert {name for name, _ in seen} - pinned == set(), "run `nox -s pin`"
