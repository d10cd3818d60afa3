"""Run children on the workers of a Dask cluster; each worker sends back what its child leaves.

A task is a command of this package in a child process, as `children` runs it on this machine.
"""

import io
import os
import sys
import tarfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.progress import Progress

from lenet_multi.errors import UserError, named_reason
from lenet_multi.machine import children, environment, extras, signals
from lenet_multi.machine.children import Child, Failure

EXTRA = "cluster"
ANSWERS_WITHIN = 10  # seconds, for the scheduler and for the first worker
COMES_BACK_WITHIN = 60  # seconds for a new worker, after the last one is gone
_TRIES = 2
_LOOK_EVERY = 1.0  # seconds
_AT_WORK = ("running", "paused")  # a worker's states; in others it leaves the cluster


@dataclass(frozen=True)
class Errand:
    """A child as a worker runs it, in a folder of its own.

    `words` is its command without the interpreter; `held` packs the folders that it finds.
    """

    name: str
    words: tuple[str, ...]
    folders: Mapping[str, str]  # each as `words` has it, and its name
    environ: Mapping[str, str]
    held: bytes
    beside: str  # the folder in which the command was given, for relative paths
    first: Mapping[str, int]  # by a worker's address, the first processors that are its own
    timeout: float
    threads: int | None


@dataclass(frozen=True)
class Delivery:
    """What a worker sends back: why the child failed if it did, its log and its folders."""

    failure: Failure | None
    log: str
    left: bytes


def run(
    wanted: Sequence[Child],
    address: str,
    backends: Sequence[str],
    *,
    timeout: float,
    threads: int | None = 1,
) -> list[Failure]:
    """Run the children on the workers of the scheduler at `address`, and return the failures.

    Each child gets `threads` processors of a worker's machine and at most `timeout` seconds. With
    None for `threads` it gets the machine, on which no other child of this call runs meanwhile.
    What a child leaves comes back into its `folders`. A child that fails is tried once more, unless
    it refuses its input. When a worker is lost, Dask gives its children to others.

    Raises `UserError` when no scheduler or no worker answers, when a worker has other versions for
    `backends`, and when all workers are gone for good; `StoppedError` on SIGINT and SIGTERM. The
    workers then end their children.
    """
    assert not any(child.after for child in wanted), "a cluster keeps no order"
    if not wanted:
        return []
    failures = []
    with signals.obeying(signals.stop), _connected(address) as client, children.bars() as progress:
        _refuse_unlike(client, backends, address)
        first = _places_of(client.nthreads())
        bar = progress.add_task("processes finished on the cluster", total=len(wanted))

        alone = {"workers": _one_of_each_machine(first), "allow_other_workers": True}
        where = {} if threads else alone

        def submit(child: Child) -> Any:
            errand = _errand(child, first, timeout, threads)
            return client.submit(carry_out, errand, pure=False, **where)

        running = {submit(child): (child, 1) for child in wanted}
        for done in _completed(client, running, address):
            child, tries = running.pop(done)
            delivery = _delivery(done, child)
            failure = delivery.failure
            if failure and not failure.is_refusal and tries < _TRIES:
                running[submit(child)] = (child, tries + 1)
                continue
            _keep(delivery, child)
            progress.advance(bar)
            failures += [failure] if failure else []
    return failures


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Yield a client of the scheduler at `address`; its tasks end with the block."""
    distributed = extras.require("distributed", EXTRA)
    import logging

    for name in ("distributed", "distributed.client"):  # we say it in our own words
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        client = distributed.Client(address, timeout=ANSWERS_WITHIN)
    except (OSError, ValueError, TypeError) as error:  # nobody answers, or the address is none
        raise UserError(
            f"--cluster {address}: no scheduler answered within {ANSWERS_WITHIN} seconds; start "
            "one with `dask scheduler` and give the address that it prints, or drop --cluster"
        ) from error
    with client:
        yield client


def _refuse_unlike(client: Any, backends: Sequence[str], address: str) -> None:
    """Raise `UserError` unless there are workers, and all have the versions of this process."""
    try:
        client.wait_for_workers(1, timeout=ANSWERS_WITHIN)
    except TimeoutError as error:
        raise UserError(
            f"--cluster {address}: the scheduler has no worker; start some with "
            f"`dask worker {address}`"
        ) from error
    own = versions(backends)
    found = client.run(versions, backends, on_error="return")
    for worker, theirs in found.items():
        if isinstance(theirs, BaseException):
            raise UserError(
                f"worker {worker} cannot run this package: {named_reason(theirs)}; install "
                f"there what is installed here"
            )
        for name, version in own.items():
            if theirs[name] != version:
                raise UserError(
                    f"worker {worker} has {name} {theirs[name]}, not {version} as here; install "
                    "the same versions on both"
                )


def versions(backends: Sequence[str]) -> dict[str, str]:
    """Return the versions of this process that the results with `backends` depend on."""
    return {k: v for backend in backends for k, v in environment.versions(backend).items()}


def _places_of(workers: Mapping[str, int]) -> dict[str, int]:
    """Return each worker's first place among the processors, given the number of its threads.

    So workers of one machine take different processors while there are some.
    """
    taken: dict[str, int] = {}
    first = {}
    for worker in sorted(workers):
        machine = worker.rpartition(":")[0]
        first[worker] = taken.get(machine, 0)
        taken[machine] = first[worker] + workers[worker]
    return first


def _one_of_each_machine(first: Mapping[str, int]) -> list[str]:
    return [worker for worker, place in first.items() if place == 0]


def _errand(child: Child, first: Mapping[str, int], timeout: float, threads: int | None) -> Errand:
    return Errand(
        name=child.name,
        words=child.command[1:],
        folders={str(folder): folder.name for folder in child.folders},
        environ=child.environ,
        held=_packed(child.folders),
        beside=os.getcwd(),
        first=first,
        timeout=timeout,
        threads=threads,
    )


def _completed(client: Any, running: Mapping[Any, Any], address: str) -> Iterator[Any]:
    """Yield each of the `running` futures when it is done, also those added meanwhile."""
    from distributed import CancelledError, wait

    without = 0.0  # seconds
    while running:
        try:
            done, _ = wait([*running], timeout=_LOOK_EVERY, return_when="FIRST_COMPLETED")
        except TimeoutError:
            without = 0.0 if client.scheduler_info()["workers"] else without + _LOOK_EVERY
            if without < COMES_BACK_WITHIN:
                continue
            raise UserError(
                f"--cluster {address}: no worker is left for {COMES_BACK_WITHIN} seconds; start "
                "some, and give the same command again to go on"
            ) from None
        except CancelledError as error:
            raise UserError(
                f"--cluster {address}: the scheduler is gone; start it and its workers, and give "
                "the same command again to go on"
            ) from error
        yield from done


def _delivery(done: Any, child: Child) -> Delivery:
    """Return what a finished future holds."""
    from distributed import KilledWorker

    error = done.exception()
    if error is None:
        delivery: Delivery = done.result()
        return delivery
    if isinstance(error, KilledWorker):
        reason = "lost its worker again and again; the system may lack memory there"
    else:  # such as a full disk
        reason = f"failed on its worker: {named_reason(error)}"
    return Delivery(Failure(child.name, reason, []), "", b"")


def _keep(delivery: Delivery, child: Child) -> None:
    """Put a child's log and folders in their places; one that it no longer has is deleted."""
    child.log.parent.mkdir(parents=True, exist_ok=True)
    child.log.write_text(delivery.log)
    for folder in child.folders:
        with TemporaryDirectory(dir=folder.parent, prefix=".") as name:
            _unpack(delivery.left, Path(name))
            came = Path(name, folder.name)
            if folder.exists() and (came.exists() or not delivery.failure):
                folder.rename(Path(name, ".older"))
            if came.exists():
                came.rename(folder)


def carry_out(errand: Errand) -> Delivery:
    """Run a child on this worker, in a folder of its own, and return what it leaves."""
    import distributed

    worker = distributed.get_worker()
    key = worker.get_current_task()
    stopped, ended = threading.Event(), threading.Event()

    def watch() -> None:
        """End the child when nobody waits for it any more."""
        while not ended.wait(_LOOK_EVERY):
            task = worker.state.tasks.get(key)
            waits = task is not None and task.state == "executing"
            if not waits or worker.status.name not in _AT_WORK:
                stopped.set()
                break

    with TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        _unpack(errand.held, folder)
        here = {word: str(folder / own) for word, own in errand.folders.items()}
        child = Child(
            name=errand.name,
            command=(sys.executable, *(here.get(word, word) for word in errand.words)),
            log=folder / "log.txt",
            environ=errand.environ,
            beside=Path(errand.beside) if Path(errand.beside).is_dir() else folder,
        )
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            with _bound(errand.first.get(worker.address, os.getpid()), errand.threads):
                silent = Progress(disable=True)
                failure = children.run_one(child, errand.timeout, silent, stopped)
        finally:
            ended.set()
            watcher.join()
        if stopped.is_set():
            raise distributed.Reschedule
        log = child.log.read_text(errors="replace")
        left = _packed([folder / own for own in errand.folders.values()])
    return Delivery(failure, log, left)


_alone = threading.Lock()
_taken: set[int] = set()  # of the places on this worker's machine, by this process
_taking = threading.Lock()


@contextmanager
def _bound(first: int, threads: int | None) -> Iterator[None]:
    """Bind this thread, and the processes that it starts, to `threads` processors or to none."""
    if threads is None:
        with _alone:
            yield
        return
    with _taking:
        place = next(number for number in range(len(_taken) + 1) if number not in _taken)
        _taken.add(place)
    try:
        with children.bound(first + place, threads):
            yield
    finally:
        with _taking:
            _taken.remove(place)


def _packed(folders: Sequence[Path]) -> bytes:
    """Return those of the folders that exist, as a tar file."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for folder in folders:
            if folder.exists():
                archive.add(folder, arcname=folder.name)
    return content.getvalue()


def _unpack(content: bytes, folder: Path) -> None:
    if content:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            archive.extractall(folder, filter="data")
