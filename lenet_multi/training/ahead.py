"""Make the examples of the next epoch in a thread, while this one trains."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

Made = TypeVar("Made")


class Ahead(Generic[Made]):
    """The examples of each epoch, from 0; `make` makes them for one epoch, in a thread.

    Whatever order they are asked for in, they are those that `make` returns. At most two epochs are
    in memory. What `make` raises, the caller gets.
    """

    def __init__(self, make: Callable[[int], Made], *, epochs: int) -> None:
        self.make, self.epochs = make, epochs
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="next-epoch")
        self.made: dict[int, Future[Made]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.thread.shutdown(wait=False)

    def __getitem__(self, epoch: int) -> Made:
        """Return the examples of `epoch`, and begin to make those of the next one."""
        for wanted in (epoch, epoch + 1):
            if wanted not in self.made and wanted < self.epochs:
                self.made[wanted] = self.thread.submit(self.make, wanted)
        found = self.made[epoch].result()
        for done in [one for one in self.made if one < epoch]:
            del self.made[done]
        return found
