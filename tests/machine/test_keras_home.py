import os
import subprocess
import sys
from pathlib import Path

import pytest

from lenet_multi.machine.keras_home import keras_home, settings_left_out

# Prints where Keras looks for a download, which is not made.
DOWNLOAD = (
    "import sys; from lenet_multi.machine.keras_start import start; start(sys.argv[1])\n"
    "import keras, keras.src.utils.file_utils as files\n"
    "def print_path(origin, path, bar): print(path); open(path, 'wb').close()\n"
    "files.urlretrieve = print_path\n"
    "keras.config.disable_interactive_logging()\n"
    "keras.utils.get_file('weights.h5', 'https://example.invalid/', cache_subdir='models')\n"
)


@pytest.mark.backend
@pytest.mark.any_backend
@pytest.mark.parametrize("named", [True, False], ids=["KERAS_HOME", "home"])
def test_downloads_keep_their_folder(backend: str, named: bool, tmp_path: Path) -> None:
    """Keras downloads to the user's folder, and neither reads nor writes settings there."""
    home = tmp_path / ".keras"
    environ = {"KERAS_HOME": str(home)} if named else {"HOME": str(tmp_path)}
    inherited = {name: value for name, value in os.environ.items() if name != "KERAS_HOME"}
    done = subprocess.run(
        [sys.executable, "-c", DOWNLOAD, backend],
        env={**inherited, **environ, "XDG_CACHE_HOME": str(tmp_path / "cache")},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(home / "models" / "weights.h5")
    assert list(home.iterdir()) == [home / "models"]


def test_a_user_without_a_home_downloads_to_the_folder_for_temporary_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without a home, as in some containers, downloads go to the folder for temporary files."""

    def none(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", none)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    assert keras_home({}) == tmp_path / ".keras"


@pytest.mark.parametrize("given", [None, "somewhere"])
def test_the_variable_is_as_before(given: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """KERAS_HOME is another, empty folder in the block, and as before after an error in it."""
    monkeypatch.delenv("KERAS_HOME", raising=False)
    if given:
        monkeypatch.setenv("KERAS_HOME", str(Path(given).resolve()))
    before = os.environ.get("KERAS_HOME")
    with pytest.raises(ValueError, match="at its import"), settings_left_out():
        assert list(Path(os.environ["KERAS_HOME"]).iterdir()) == []
        raise ValueError("at its import")
    assert os.environ.get("KERAS_HOME") == before
