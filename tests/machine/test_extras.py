import tomllib

import pytest

from lenet_multi.errors import UserError
from lenet_multi.machine import extras
from tests.conftest import PROJECT

EXTRAS = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
GROUPS = tomllib.loads((PROJECT / "pyproject.toml").read_text())["dependency-groups"]


def test_extras_are_those_of_the_project() -> None:
    """Extras come from the installed package, each with the line that installs it."""
    found = {extra.name: extra.install for extra in extras.every()}
    assert found == {name: f"pip install 'lenet-multi[{name}]'" for name in EXTRAS}


def test_every_extra_is_pinned() -> None:
    """Each extra has a dependency group of the same name with the versions that tests use."""
    assert set(EXTRAS) <= set(GROUPS)


@pytest.mark.parametrize(
    ("required", "lack"),
    [
        ("numpy>=2.0", []),
        ("numpy>=99", ["numpy>=99 (installed: "]),
        ("no-such-package>=1", ["no-such-package>=1"]),
        ("no-such-package>=1; python_version < '3'", []),
    ],
    ids=["met", "too-old", "missing", "not-here"],
)
def test_what_an_extra_lacks(
    monkeypatch: pytest.MonkeyPatch, required: str, lack: list[str]
) -> None:
    """A missing or too old package is named, with the installed version."""
    name, _, marker = required.partition("; ")
    condition = f"extra == 'export' and {marker}" if marker else "extra == 'export'"
    monkeypatch.setattr(extras, "requires", lambda _: ["rich>=14", f"{name}; {condition}"])
    found = extras.lacks("export")
    assert len(found) == len(lack)
    assert all(one.startswith(start) for one, start in zip(found, lack, strict=True))
    assert extras.lacks() == []


def test_another_distribution_may_provide_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """pytest-xdist provides the module xdist, as tensorflow-cpu provides tensorflow."""
    monkeypatch.setattr(extras, "requires", lambda _: ["xdist>=1"])
    assert extras.lacks() == []


def test_a_missing_module_is_told_with_its_remedy() -> None:
    """The error shows the line that installs the extra."""
    with pytest.raises(UserError, match=r"pip install 'lenet-multi\[tfds\]'"):
        extras.require("no_such_module", "tfds")
