import importlib
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from lenet_multi.machine import other_frameworks
from lenet_multi.machine.other_frameworks import LeftOut


def test_other_frameworks_are_left_out_and_come_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In the block they are not imported; after it whoever needs one imports it."""
    monkeypatch.setattr(other_frameworks, "BACKENDS", ("chosen", "other"))
    for name in ("chosen", "other"):
        (tmp_path / f"{name}.py").touch()
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with LeftOut("chosen"):
        importlib.import_module("chosen")
        spec = find_spec("other")  # some look whether it is installed, and where
        assert spec
        assert spec.origin == str(tmp_path / "other.py")
        with pytest.raises(ImportError, match="other is left out"):
            importlib.import_module("other")
        assert "other" not in sys.modules  # a None there breaks SciPy
    importlib.import_module("other")
    with LeftOut("chosen"):  # what is there already stays
        importlib.import_module("other")
