import gzip
import io
import os
import pickle
import struct
import subprocess
import sys
import tarfile
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lenet_multi.data.examples import Dataset
from lenet_multi.data.sources import keras
from lenet_multi.errors import UserError
from lenet_multi.lenet import image_sets
from tests.conftest import Lenet, child_environment

NO_NETWORK = {"https_proxy": "http://127.0.0.1:9"}  # the discard port: nobody listens


def idx(array: NDArray[np.uint8]) -> bytes:
    """Return an array as the bytes of an IDX file."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def fashion(small: Dataset, tmp_path: Path) -> Path:
    """A Keras home whose Fashion-MNIST files hold 100 and 50 images of MNIST."""
    arrays = {
        "train-images": small.train.x[:100, ..., 0],
        "train-labels": small.train.y[:100],
        "t10k-images": small.test.x[:50, ..., 0],
        "t10k-labels": small.test.y[:50],
    }
    for file in keras.FILES["fashion_mnist"]:
        path = tmp_path / "keras" / "datasets" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        name = path.name.partition("-idx")[0]
        path.write_bytes(gzip.compress(idx(np.ascontiguousarray(arrays[name]))))
    return tmp_path / "keras"


@pytest.mark.backend
@pytest.mark.any_backend
def test_training_reads_the_files_at_hand(lenet: Lenet, fashion: Path) -> None:
    """Keras finds its local files, and the run trains on them, on the chosen backend."""
    arguments = ["--recipe", "baseline", "--epochs", "1", "--data", "keras:fashion_mnist"]
    done = lenet("train", *arguments, KERAS_HOME=str(fashion), **NO_NETWORK)
    assert done.returncode == 0, done.stderr
    assert f"on {os.environ['KERAS_BACKEND']}" in done.stdout
    assert "95 training, 5 validation, 50 test images" in done.stdout
    assert "Classes: T-shirt/top, Trouser, Pullover, Dress, Coat, ..." in done.stdout


@pytest.mark.backend
@pytest.mark.any_backend
def test_without_a_network_the_wanted_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """One error names the file that Keras wants and where to put it; nothing else is printed."""
    for name, value in {"KERAS_HOME": str(tmp_path), **NO_NETWORK}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r"cifar-10-python\.tar\.gz") as refused:
        image_sets.load("keras:cifar10")
    assert f"put that file at {tmp_path}/datasets/{keras.FILES['cifar10'][0]}" in str(refused.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.all_backends
def test_the_files_named_are_those_that_keras_looks_for(tmp_path: Path) -> None:
    """With its download replaced, Keras asks for exactly the files in FILES."""
    code = (
        "import contextlib, sys, keras, keras.src.utils.file_utils as files\n"
        "def told(origin, path, bar):\n"
        "    print(path); open(path, 'wb').close()\n"
        "files.urlretrieve, files.validate_file = told, lambda *a, **k: True\n"
        "keras.config.disable_interactive_logging()\n"
        "for name in sys.argv[1:]:\n"
        "    with contextlib.suppress(Exception):\n"  # the files are empty
        "        getattr(keras.datasets, name).load_data()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *keras.FILES],
        env=child_environment(KERAS_BACKEND="jax", KERAS_HOME=str(tmp_path)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    wanted = [str(tmp_path / "datasets" / file) for file in chain(*keras.FILES.values())]
    assert done.stdout.splitlines() == wanted


@pytest.mark.all_backends
def test_a_users_own_file_is_refused_and_kept(
    small_npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keras deletes an mnist.npz with a wrong hash if it has no network; here the file stays."""
    own = tmp_path / "datasets" / "mnist.npz"
    own.parent.mkdir()
    own.write_bytes(small_npz.read_bytes())
    for name, value in {"KERAS_BACKEND": "jax", "KERAS_HOME": str(tmp_path), **NO_NETWORK}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r"its hash is wrong.*--data FILE\.npz"):
        image_sets.load("keras:mnist")
    assert own.read_bytes() == small_npz.read_bytes()
    assert list(own.parent.iterdir()) == [own]


def test_every_class_has_a_name() -> None:
    """Each set has a different name for each class, and CIFAR's are sorted."""
    counts = {name: len({*names}) for name, names in keras.CLASS_NAMES.items()}
    assert counts == {"mnist": 10, "fashion_mnist": 10, "cifar10": 10, "cifar100": 100}
    assert keras.FILES.keys() == counts.keys()
    for name in ("cifar10", "cifar100"):
        assert sorted(keras.CLASS_NAMES[name]) == keras.CLASS_NAMES[name]


def batch(images: NDArray[np.uint8], labels: list[int]) -> bytes:
    """Return a batch in the format of CIFAR-100's archive."""
    content = {
        b"data": images.transpose(0, 3, 1, 2).reshape(len(images), -1),
        b"fine_labels": labels,
    }
    return pickle.dumps(content, protocol=4)


@pytest.mark.all_backends
def test_cifar_loads(tmp_path: Path) -> None:
    """Colour images load channels last, whatever keras.json says, and labels (N, 1) become (N,)."""
    images = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), np.uint8)
    archive = tmp_path / "datasets" / keras.FILES["cifar100"][0]
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        for name in ("train", "test"):
            member = tarfile.TarInfo(f"cifar-100-python/{name}")
            content = batch(images, [0, 99, 1, 2, 3, 4])
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    (tmp_path / "keras.json").write_text('{"image_data_format": "channels_first"}')
    code = (  # only the original archive has the hash that Keras demands
        "import sys, keras.src.utils.file_utils as files\n"
        "files.validate_file = lambda *a, **k: True\n"
        "from lenet_multi.data.sources import reader; reader.main('keras', 'cifar100', sys.argv[1])"
    )
    path = tmp_path / "arrays.npz"
    subprocess.run(
        [sys.executable, "-c", code, str(path)],
        env=child_environment(KERAS_BACKEND="jax", KERAS_HOME=str(tmp_path)),
        check=True,
    )
    dataset = image_sets.load(str(path), classes=100)
    np.testing.assert_array_equal(dataset.train.x, images)
    assert list(dataset.test.y) == [0, 99, 1, 2, 3, 4]
    with pytest.raises(UserError, match="give --classes 100"):
        image_sets.load(str(path))


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    """An unknown name is refused before Keras starts, with the nearest name."""
    with pytest.raises(UserError, match="did you mean 'cifar10'"):
        keras.read("cifra10")
    with pytest.raises(UserError, match="choose from mnist, fashion_mnist, cifar10, cifar100"):
        keras.read("imdb")
