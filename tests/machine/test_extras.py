import tomllib

import pytest

from lenet_multi.errors import UserError
from lenet_multi.machine import extras
from tests.conftest import PROJECT

EXTRAS = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
GROUPS = tomllib.loads((PROJECT / "pyproject.toml").read_text())["dependency-groups"]


def test_extras_are_those_of_the_project() -> None:
    """The extras come from the installed package, each with the command that installs it."""
    found = {extra.name: extra.install for extra in extras.every()}
    assert found == {name: f"pip install 'lenet-multi[{name}]'" for name in EXTRAS}


def test_each_extra_has_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not what another one lacks, nor the package itself."""
    wanted = ["no-such-a>=1", 'no-such-b>=2; extra == "tfds"', 'no-such-c; extra == "demo"']
    monkeypatch.setattr(extras, "requires", lambda name: wanted)
    found = {extra.name: extra.lacks for extra in extras.every() if extra.lacks}
    assert found == {"tfds": ["no-such-b>=2"], "demo": ["no-such-c"]}
    assert extras.lacks() == ["no-such-a>=1"]


def test_every_extra_is_pinned() -> None:
    """Every extra has a dependency group of its name, with the versions for the tests."""
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
    """A missing or too old package is named, with its installed version."""
    name, _, marker = required.partition("; ")
    condition = f"extra == 'export' and {marker}" if marker else "extra == 'export'"
    monkeypatch.setattr(extras, "requires", lambda _: ["rich>=14", f"{name}; {condition}"])
    found = extras.lacks("export")
    assert len(found) == len(lack)
    assert all(one.startswith(start) for one, start in zip(found, lack, strict=True))
    assert extras.lacks() == []


def test_another_distribution_may_provide_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another distribution counts: xdist comes from pytest-xdist, like tensorflow-cpu's module."""
    monkeypatch.setattr(extras, "requires", lambda _: ["xdist>=1"])
    assert extras.lacks() == []


def test_a_missing_module_is_told_with_its_remedy() -> None:
    """The error has the command that installs the extra."""
    with pytest.raises(UserError, match=r"pip install 'lenet-multi\[tfds\]'"):
        extras.require("no_such_module", "tfds")


def test_a_missing_module_is_one_whole_line() -> None:
    """The reason is Python's, and the package itself has a line too."""
    with pytest.raises(UserError) as refused:
        extras.require("no_such_module", "tfds")
    assert str(refused.value) == (
        "no_such_module cannot be imported (No module named 'no_such_module'); install it with: "
        "pip install 'lenet-multi[tfds]'"
    )
    with pytest.raises(UserError, match=r"with: pip install lenet-multi$"):
        extras.require("no_such_module")
    assert extras.install_line() == "pip install lenet-multi"
    assert extras.require("math", "tfds").pi > 3


def test_without_an_installation_nothing_is_lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requirements are known of an installed package only."""
    assert extras.is_installed()
    monkeypatch.setattr(extras, "distributions", lambda name: {"lenet-multi": []}.get(name, ["a"]))
    monkeypatch.setattr(extras, "requires", lambda name: ["no-such-package"])
    assert not extras.is_installed()
    assert extras.every() == []
    assert extras.lacks() == []


def test_a_package_without_requirements_lacks_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor has it extras."""
    monkeypatch.setattr(extras, "requires", lambda name: None)
    assert extras.lacks() == []


def test_what_is_installed_instead_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version before a release counts; an older one is shown beside what is wanted."""
    monkeypatch.setattr(extras, "installed_version", lambda name: "2.0rc1")
    wanted = ["a>=1", "b>=3,<4", 'c>=9; extra == "export"']
    monkeypatch.setattr(extras, "requires", lambda name: wanted)
    assert extras.lacks() == ["b<4,>=3 (installed: 2.0rc1)"]
    assert extras.lacks("export") == ["c>=9 (installed: 2.0rc1)"]
