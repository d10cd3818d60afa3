import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.backend


@pytest.mark.any_backend
def test_a_terminal_shows_a_bar_with_the_time_left(
    backend: str, small_npz: Path, tmp_path: Path
) -> None:
    """On a terminal stderr has a live bar with steps and time, and stdout only the results."""
    pty = pytest.importorskip("pty", reason="Windows has no such terminals")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "lenet_multi", "train", "--backend", backend),
            *("--epochs", "3", "--data", str(small_npz), "--out", "a-run"),
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        text=True,
    )
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(ours, 65536):
            seen += part
    except OSError:  # Linux reports a closed terminal this way
        pass
    stdout = process.communicate()[0]
    assert process.returncode == 0
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())  # without colours and cursor moves
    assert re.search(r"epoch 3/3 .*24/24 steps [\d,]+ images/s 0:00:\d\d left 0:00:00", shown)
    assert "steps" not in stdout
    assert stdout.splitlines()[-1].startswith("Test accuracy: ")


def test_a_thread_waits_where_figures_come_later(backend: str) -> None:
    """JAX's callbacks run in a thread, because its steps return early; the others need none."""
    import keras

    from lenet_multi.training.progress import ProgressBar

    called_in: list[threading.Thread] = []

    class Note(keras.callbacks.Callback):  # type: ignore[misc]  # Keras carries no types
        async_safe = True

        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            called_in.append(threading.current_thread())

    bar = ProgressBar(epochs=1, steps=1, batch_size=1, quiet=True)
    callbacks = keras.callbacks.CallbackList([bar, Note()])
    callbacks.on_train_begin()
    callbacks.on_train_batch_end(0)
    callbacks.on_train_end()
    assert (called_in == [threading.main_thread()]) == (backend != "jax")


@pytest.mark.parametrize(("share", "lines"), [(0.1, 0), (0.5, 1)], ids=["little", "much"])
def test_waiting_threads_are_reported_once(
    backend: str,
    share: float,
    lines: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The bar prints one line if a thread of PyTorch waited for much of the time."""
    from lenet_multi.training import progress

    waiting = SimpleNamespace(seconds=60.0, share=lambda: share)
    monkeypatch.setattr(progress, "used", lambda backend: 2)
    monkeypatch.setattr(progress, "Waiting", lambda: waiting)
    bar = progress.ProgressBar(epochs=1, steps=9, batch_size=1)
    for batch in range(9):
        bar.on_train_batch_end(batch)
    printed = capsys.readouterr().err
    wanted = lines if backend == "torch" else 0
    assert printed.count("\n") == printed.count(f"{share:.0%} of the time") == wanted
