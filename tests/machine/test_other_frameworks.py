import importlib
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from lenet_multi.machine import other_frameworks
from lenet_multi.machine.other_frameworks import left_out


def test_other_frameworks_are_left_out_and_come_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In the block other frameworks cannot be imported; afterwards they can."""
    monkeypatch.setattr(other_frameworks, "BACKENDS", ("chosen", "other"))
    for name in ("chosen", "other"):
        (tmp_path / f"{name}.py").touch()
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with left_out("chosen"):
        importlib.import_module("chosen")
        spec = find_spec("other")  # some only check whether and where it is installed
        assert spec
        assert spec.origin == str(tmp_path / "other.py")
        with pytest.raises(ImportError, match="other is left out"):
            importlib.import_module("other")
        assert "other" not in sys.modules  # a None there breaks SciPy
    importlib.import_module("other")
    with left_out("chosen"):  # an imported one stays
        importlib.import_module("other")
