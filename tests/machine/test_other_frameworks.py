import importlib
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from lenet_multi.machine import other_frameworks
from lenet_multi.machine.other_frameworks import left_out, tensorflow_left_out


def test_other_frameworks_are_left_out_and_come_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In the block they are not imported; after it whoever needs one imports it."""
    monkeypatch.setattr(other_frameworks, "BACKENDS", ("chosen", "other"))
    for name in ("chosen", "other"):
        (tmp_path / f"{name}.py").touch()
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with left_out("chosen"):
        importlib.import_module("chosen")
        spec = find_spec("other")  # some look whether it is installed, and where
        assert spec
        assert spec.origin == str(tmp_path / "other.py")
        with pytest.raises(ImportError, match="other is left out"):
            importlib.import_module("other")
        assert "other" not in sys.modules  # a None there breaks SciPy
    importlib.import_module("other")
    with left_out("chosen"):  # what is there already stays
        importlib.import_module("other")


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("imported", [True, False], ids=["imported", "not imported"])
def test_keras_asks_again_for_tensorflow(
    monkeypatch: pytest.MonkeyPatch, *, imported: bool
) -> None:
    """It is left out of what the block writes unless it is there; not of a later export."""
    from keras.src.utils import module_utils

    monkeypatch.setitem(sys.modules, "tensorflow", sys)
    if not imported:
        del sys.modules["tensorflow"]
    installed = module_utils.LazyModule("this_stands_for", "tensorflow")
    monkeypatch.setattr(installed, "initialize", lambda: None)
    monkeypatch.setattr(module_utils, "tensorflow", installed)
    with tensorflow_left_out():
        assert installed.available is imported
    assert installed.available
