import gc
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from lenet_multi.errors import UserError
from lenet_multi.machine import keras_start
from lenet_multi.machine.frameworks import BACKENDS
from lenet_multi.machine.keras_start import CPU, GPU, stderr_held_back
from tests.conftest import COUNT_SUBNORMALS

SHOW = (
    "import sys; from lenet_multi.machine.keras_start import start; start(sys.argv[1]);"
    "import keras;"
    "print(keras.backend.backend(), keras.config.floatx(), keras.config.epsilon(),"
    " keras.config.image_data_format())"
)


# The first two come to each backend. From the third on, plain Keras stops with a traceback.
KERAS_JSON: dict[str, object] = {
    "other": {"floatx": "float64", "epsilon": 1e-3, "image_data_format": "channels_first"},
    "nnx": {"nnx_enabled": True},
    "backend": {"backend": "mxnet"},
    "floatx": {"floatx": "float8"},
    "list": ["floatx"],
    "word": "float32",
    "types": {"floatx": ["float32"], "epsilon": "small", "image_data_format": 1},
    "layout": {"image_data_format": "channels_middle"},
    "epsilon": {"epsilon": 1},
}
CONTENTS = {
    **{name: json.dumps(content) for name, content in KERAS_JSON.items()},
    "cut": "{",
    "deep": "[" * 10**5,
    "folder": None,
}


@pytest.mark.backend
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(content, id=name, marks=[] if place < 2 else pytest.mark.any_backend)
        for place, (name, content) in enumerate(CONTENTS.items())
    ],
)
def test_a_users_keras_json_changes_nothing(
    backend: str, content: str | None, tmp_path: Path
) -> None:
    """Precision, epsilon and layout are Keras's defaults, whatever is in ~/.keras/keras.json."""
    if content is None:
        (tmp_path / "keras.json").mkdir()
    else:
        (tmp_path / "keras.json").write_text(content)
    done = subprocess.run(
        [sys.executable, "-c", SHOW, backend],
        env={**os.environ, "KERAS_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [backend, "float32", "1e-07", "channels_last"]
    assert done.stderr == ""  # the backend's own messages are held back


@pytest.mark.backend
def test_numbers_too_small_to_be_normal_are_zero(backend: str) -> None:
    """On a CPU every backend treats subnormal numbers as zero, in both threads, to stay fast."""
    if keras_start.device() != CPU:
        return
    code = f"from lenet_multi.machine import keras_start; keras_start.start({backend!r});"
    done = subprocess.run(
        [sys.executable, "-c", code + COUNT_SUBNORMALS],
        env={**os.environ, "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["0"]


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
def test_garbage_is_collected_again() -> None:
    """Garbage collection is off only during the import."""
    assert gc.isenabled()


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("cpu", CPU),
        ("cpu:0", CPU),
        ("TFRT_CPU_0", CPU),
        ("/job:localhost/replica:0/task:0/device:CPU:0", CPU),
        ("cuda:0", GPU),
        ("rocm:0", GPU),
        ("mps:0", GPU),
        ("xpu:0", GPU),
        ("TPU_0(process=0,(0,0,0,0))", GPU),
        ("METAL(id=0)", GPU),
        ("/job:localhost/replica:0/task:0/device:GPU:0", GPU),
    ],
)
def test_a_gpu_is_told_by_its_name(name: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU is recognized in the device names of JAX, PyTorch and TensorFlow."""
    import keras

    monkeypatch.setattr(keras.ops, "zeros", lambda shape: SimpleNamespace(device=name))
    assert keras_start.device() == kind


def test_a_gpu_is_shared_and_multiplies_in_full() -> None:
    """Variables that GPU libraries read are set before the start, unless the user set them."""
    code = (
        "import os; from lenet_multi.machine import keras_start;"
        "keras_start.device = lambda: keras_start.GPU; keras_start._multiply_in_full = print;"
        "keras_start.start('numpy'); print(*map(os.environ.get, keras_start.FOR_A_GPU))"
    )
    environ = {
        name: value for name, value in os.environ.items() if name not in keras_start.FOR_A_GPU
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environ, "NVIDIA_TF32_OVERRIDE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["numpy", "false", "true", "1"]


@pytest.mark.backend
def test_another_backend_is_refused(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second backend in one process is refused, because Keras fixes its backend at import."""
    monkeypatch.setattr(os, "environ", dict(os.environ))
    other = next(name for name in BACKENDS if name != backend)
    with pytest.raises(RuntimeError, match=f"Keras was imported before, on {backend}"):
        keras_start.start(other)


def test_stderr_is_shown_when_the_block_fails(capfd: pytest.CaptureFixture[str]) -> None:
    """A backend's messages on stderr are shown only if its start fails."""
    with pytest.raises(ImportError), stderr_held_back():
        os.write(2, b"libcuda is missing")
        raise ImportError
    assert capfd.readouterr().err == "libcuda is missing"
    with pytest.raises(UserError), stderr_held_back():  # which needs no more explanation
        os.write(2, b"tempfile.tif: Using code not yet in table.")
        raise UserError("seven.tif is damaged")
    with stderr_held_back():
        os.write(2, b"oneDNN custom operations are on")
    os.write(2, b"heard again")
    assert capfd.readouterr().err == "heard again"
