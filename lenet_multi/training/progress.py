"""Show training live on stderr: a bar while it runs, and a line per finished epoch."""

import keras
from rich import progress
from rich.console import Console
from rich.text import Text

from lenet_multi.machine.keras_start import CPU, GPU, device
from lenet_multi.machine.threads import Waiting, used

_LOOKS_AFTER = 5.0  # seconds
_MUCH = 0.25  # of the time; where each thread has a processor, they wait for a hundredth of it


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
    """A bar over all steps, on a terminal, and a line per epoch; `quiet` shows neither.

    It prints one line when PyTorch's threads wait for a processor, and so for each other.
    """

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
        self.threads = used("torch") if keras.backend.backend() == "torch" else 1
        self.waiting = Waiting() if self.threads > 1 and device() == CPU else None
        self.task = self.progress.add_task("epoch 1", total=epochs * steps)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Show the epoch's number beside the bar."""
        self.steps_before = epoch * self.steps
        self.progress.update(self.task, description=f"epoch {epoch + 1}/{self.epochs}")

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Move the bar to the end of step `batch`, from 0; Keras counts beyond the epoch's end."""
        done = self.steps_before + min(self.skipped + batch + 1, self.steps)
        self.progress.update(self.task, completed=done)
        if self.waiting and self.waiting.seconds > _LOOKS_AFTER:
            self._report_waiting(self.waiting.share())

    def _report_waiting(self, share: float) -> None:
        """Print a line, once, if a thread waited for much of the time; else look again later."""
        if share <= _MUCH:
            self.waiting = Waiting()
            return
        self.waiting = None
        self.console.print(
            f"a thread waited {share:.0%} of the time for a processor that other programs use, and "
            f"torch's {self.threads} threads wait for each other; OMP_NUM_THREADS=1 may be faster, "
            "but rounds differently"
        )

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Print a line with the epoch's metrics."""
        self.skipped = 0
        figures = "  ".join(f"{name} {value:.4f}" for name, value in (logs or {}).items())
        self.console.print(f"epoch {epoch + 1}/{self.epochs}  {figures}")
