import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lenet_multi.inference.formats import FORMATS
from lenet_multi.inference.runtimes import ExportError, run

IMAGES = np.zeros((3, 28, 28, 1), np.float32)


def test_the_process_that_runs_a_file_has_no_keras() -> None:
    """The process that runs an exported file imports no Keras, so a file that needs it fails."""
    code = "import sys, lenet_multi.inference.runtimes; print(*sys.modules)"
    modules = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert not {"keras", "tensorflow", "jax", "torch", "lenet_multi.lenet.networks"} & set(modules)


@pytest.mark.backend
@pytest.mark.parametrize("name", ["onnx", "openvino", "litert"])
def test_what_is_no_model_fails_with_the_runtimes_word(tmp_path: Path, name: str) -> None:
    """A damaged file fails with the runtime's own last line."""
    path = tmp_path / f"model{FORMATS[name].suffix}"
    damaged = path
    if name == "openvino":
        path.mkdir()
        damaged = path / "model.xml"
    damaged.write_bytes(b"no model")
    with pytest.raises(ExportError, match=r"its runtime fails on it: .+"):
        run(name, path, IMAGES)
