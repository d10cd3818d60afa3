"""Show training live on stderr: a bar while it runs, and a line per finished epoch."""

import keras
from rich import progress
from rich.console import Console
from rich.text import Text

from lenet_multi.machine.keras_start import GPU, device


class ImageRate(progress.ProgressColumn):
    """Images per second of training, over the last steps."""

    def __init__(self, batch_size: int) -> None:
        super().__init__()
        self.batch_size = batch_size

    def render(self, task: progress.Task) -> Text:
        """Return the rate; a dash while there is none."""
        rate = f"{task.speed * self.batch_size:,.0f}" if task.speed else "-"
        return Text(f"{rate} images/s")


class ProgressBar(keras.callbacks.Callback):  # type: ignore[misc]  # Keras carries no types
    """A bar over all steps, on a terminal, and a line per epoch; `quiet` shows neither."""

    def __init__(self, *, epochs: int, steps: int, batch_size: int, quiet: bool = False) -> None:
        super().__init__()
        # `async_safe` lets callbacks wait in Keras's thread for steps that return uncomputed.
        # PyTorch's steps on a CPU are computed, and that thread would slow down its kernels.
        self.async_safe = keras.backend.backend() != "torch" or device() == GPU
        self.epochs, self.steps = epochs, steps
        self.steps_before = 0  # of earlier epochs
        self.skipped = 0  # steps of this epoch that were done before it was resumed
        self.console = Console(stderr=True, highlight=False, soft_wrap=True, quiet=quiet)
        self.progress = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("steps"),
            ImageRate(batch_size),
            progress.TimeElapsedColumn(),
            progress.TextColumn("left"),
            progress.TimeRemainingColumn(),
            console=self.console,
            disable=quiet or not self.console.is_terminal,
            transient=True,
        )
        self.task = self.progress.add_task("epoch 1", total=epochs * steps)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Show the epoch's number beside the bar."""
        self.steps_before = epoch * self.steps
        self.progress.update(self.task, description=f"epoch {epoch + 1}/{self.epochs}")

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Move the bar to the end of step `batch`, from 0; Keras counts beyond the epoch's end."""
        done = self.steps_before + min(self.skipped + batch + 1, self.steps)
        self.progress.update(self.task, completed=done)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Print a line with the epoch's metrics."""
        self.skipped = 0
        figures = "  ".join(f"{name} {value:.4f}" for name, value in (logs or {}).items())
        self.console.print(f"epoch {epoch + 1}/{self.epochs}  {figures}")
