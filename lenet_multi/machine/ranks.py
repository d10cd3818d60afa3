"""The processes of one training: rank 0 leads, and the others follow it.

PyTorch has one for each device, started by `torchrun`; JAX and TensorFlow have one for each
machine. The variables of each engine tell a process its rank. Rank 0 reads and writes the run
folder and prints; it sends the others what only the folder says.
"""

import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from lenet_multi.errors import LostError, UserError, reason
from lenet_multi.machine import aborts, deadline, parent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LOST = 3  # exit status of a rank that lost another one
_LAUNCHED = "LENET_MULTI_LAUNCHED"  # variable of ranks whose end `launch` reports
_PATIENCE = 8  # seconds for the other ranks to end
_COMES_WITHIN = 120  # seconds for all ranks to join
_SIGNALS = 65  # numbers of signals are smaller
_KERAS = "KERAS_DISTRIBUTION_"  # begins the variables that `keras.distribution` reads


@dataclass(frozen=True)
class Place:
    """The rank of a process, and the number of all that train together."""

    rank: int = 0
    count: int = 1


ALONE = Place()
_joined, _backend = ALONE, ""
_strategy: Any = None  # TensorFlow's, which has to be made before the first tensor


def told(backend: str) -> Place:
    """Return this process's place, as variables tell the engine of `backend`.

    Raises `UserError` where they are damaged.
    """
    try:
        match backend:
            case "torch":
                return _of_variables("RANK", "WORLD_SIZE", "MASTER_ADDR")
            case "jax":
                names = ("PROCESS_ID", "NUM_PROCESSES", "JOB_ADDRESSES")
                return _of_variables(*(_KERAS + name for name in names))
            case _:
                content = json.loads(os.environ.get("TF_CONFIG") or "{}")
                if "chief" in content.get("cluster", {}):
                    raise ValueError("a chief is no worker; name it as the first worker")
                workers = len(content.get("cluster", {}).get("worker", []))
                return Place(int(content["task"]["index"]), workers) if workers > 1 else ALONE
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise UserError(
            f"the variables that tell {backend} its processes are damaged ({error!r}); give them "
            "as in lenet_multi/backends/devices/README.md"
        ) from error


def _of_variables(rank: str, count: str, address: str) -> Place:
    if not all(name in os.environ for name in (rank, count, address)):
        return ALONE
    return Place(int(os.environ[rank]), int(os.environ[count]))


def launched() -> bool:
    """Return whether `launch` started this process, on PyTorch."""
    return _LAUNCHED in os.environ


def rank() -> int:
    """Return the rank of this process among those that it joined; 0 if it joined none."""
    return _joined.rank


def count() -> int:
    """Return the number of processes that train together with this one, itself included."""
    return _joined.count


def strategy() -> Any:
    """Return TensorFlow's strategy for several processes; None where there is one."""
    return _strategy


def refuse_devices(devices: int) -> None:
    """Raise `UserError` if PyTorch's processes are others than the `devices` asked for."""
    processes = told("torch").count
    if devices not in (1, processes):
        raise UserError(
            f"--devices {devices}: torchrun started {processes} processes, one for each device; "
            "drop --devices"
        )


@contextmanager
def awaited(backend: str) -> Iterator[None]:
    """End this process when the block, in which it joins the others, takes too long.

    TensorFlow waits for ever, and holds Python's lock meanwhile.
    """
    place = told(backend)
    if place.count == 1 or count() > 1:
        yield
        return
    line = (
        f"lenet-multi: rank {place.rank} waited {_COMES_WITHIN} seconds for all {place.count} "
        "ranks; start each of them, with the same addresses"
    )
    with deadline.ended_after(_COMES_WITHIN, line):
        yield


def join(backend: str) -> None:
    """Join the other processes that variables tell of; `backend` and Keras are imported.

    Raises `UserError` when the engine cannot.
    """
    global _joined, _backend
    place = told(backend)
    if place.count == 1 or count() > 1:
        return
    try:
        _connect(backend)
    except Exception as error:  # each engine has its own
        raise UserError(
            f"rank {place.rank} of {place.count} cannot join the others: {reason(error)}; check "
            "the addresses, take a free port, and start all ranks again"
        ) from error
    _joined, _backend = place, backend


def _connect(backend: str) -> None:
    global _strategy
    match backend:
        case "torch":
            import torch

            if "TORCHELASTIC_RUN_ID" in os.environ:  # torchrun's processes should end with it
                parent.end_with(os.getppid(), status=LOST)
            if torch.cuda.is_available():
                torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
            torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        case "jax":
            import jax
            import keras

            jax.config.update("jax_cpu_collectives_implementation", "gloo")
            keras.distribution.initialize()
        case _:
            import tensorflow as tf

            _strategy = tf.distribute.MultiWorkerMirroredStrategy()


def led(value: Any) -> Any:
    """Return rank 0's `value` on every rank."""
    if count() == 1:
        return value
    import pickle

    import numpy as np

    content = pickle.dumps(value) if rank() == 0 else b""
    length = int(_summed(np.array([len(content)], np.int32))[0])
    words = np.zeros(-(-length // 4), np.int32)
    words.view(np.uint8)[: len(content)] = np.frombuffer(content, np.uint8)
    return pickle.loads(_summed(words).tobytes()[:length])


def refuse_others(facts: Mapping[str, object]) -> None:
    """Raise `UserError` on each rank that has other `facts` than rank 0, and name the first."""
    of_rank_0 = led(dict(facts))
    for name, fact in facts.items():
        if fact != of_rank_0[name]:
            raise UserError(
                f"rank {rank()} has another {name} ({fact}) than rank 0 ({of_rank_0[name]}); give "
                "all ranks the same"
            )


def agreed(number: int, *, due: bool = False) -> tuple[int, bool]:
    """Return the largest signal `number` of any rank, and what rank 0 has `due`, on every rank."""
    if count() == 1:
        return number, due
    import numpy as np

    seen = np.zeros(_SIGNALS + 1, np.int32)
    seen[number], seen[-1] = 1, due and rank() == 0
    *signals, is_due = _summed(seen)
    return int(np.flatnonzero(signals)[-1]), bool(is_due)


def _summed(numbers: "NDArray[np.int32]") -> "NDArray[np.int32]":
    """Return the sums of the ranks' numbers (N,), on every rank."""
    import numpy as np

    found: NDArray[np.int32]
    match _backend:
        case "torch":
            import torch

            place = "cuda" if torch.cuda.is_available() else "cpu"
            tensor = torch.from_numpy(numbers.copy()).to(place)
            torch.distributed.all_reduce(tensor)
            found = tensor.cpu().numpy()
        case "jax":
            from jax.experimental import multihost_utils

            found = np.asarray(multihost_utils.process_allgather(numbers)).sum(0, np.int32)
        case _:
            import tensorflow as tf

            of_each = _strategy.num_replicas_in_sync // count()  # of these replicas, one counts

            def mine(context: Any) -> Any:
                counts = context.replica_id_in_sync_group % of_each == 0
                return tf.constant(numbers if counts else np.zeros_like(numbers))

            values = _strategy.experimental_distribute_values_from_function(mine)
            found = _strategy.reduce("SUM", values, axis=None).numpy()
    return found


@contextmanager
def ending_together() -> Iterator[None]:
    """End this process when another rank is gone, which the block's communication shows.

    One line on stderr names the rank, unless `launch` does.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # each engine has its own
        if count() == 1 or not any(word in str(error).lower() for word in _OF_A_LOSS):
            raise
        if not launched():
            print(_loss(_gone(str(error))), file=sys.stderr)
        raise LostError from error


def _loss(gone: str) -> str:
    return f"lenet-multi: rank {rank()} ends: {gone} is gone; start all ranks again, with --resume"


def name_rank_0_in_an_abort() -> None:
    """Let an abort by JAX, which a rank suffers when rank 0 is gone, give the line of a loss."""
    if _backend == "jax":
        aborts.replace_the_page(_loss("rank 0"))


# In the errors of engines whose processes lost each other.
_OF_A_LOSS = (
    *("gloo", "nccl", "connection closed by peer", "connection reset by peer", "socket closed"),
    *("collective ops", "coordination service", "coordinationservice"),
)


def _gone(error: str) -> str:
    """Return the ranks that are gone, as words: PyTorch's are asked, others' `error` names them.

    Of two ranks it is the other one.
    """
    if count() == 2:
        return f"rank {1 - rank()}"
    if _backend != "torch":
        named = re.findall(r"task:(\d+)", error) or re.findall(r"peer \[([^]]+)\]", error)
        others = [one for one in dict.fromkeys(named) if one != str(rank())]
    else:
        others = list(map(str, _silent()))
    return f"rank {', '.join(others)}" if others else "another rank"


def _silent() -> list[int]:
    """Return the ranks that do not answer within seconds; rank 0 is where they would answer."""
    import datetime

    import torch

    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    patience = datetime.timedelta(seconds=_PATIENCE)
    try:
        store = torch.distributed.TCPStore(address, port, timeout=patience, wait_for_workers=False)
        store.set(f"lenet-multi/{rank()}", "here")
        time.sleep(_PATIENCE / 4)
        return [number for number in range(count()) if not store.check([f"lenet-multi/{number}"])]
    except (RuntimeError, torch.distributed.DistStoreError):
        return [0]


def torchrun(processes: int) -> tuple[str, ...]:
    """Return the words of `torchrun` for so many processes of this machine."""
    alone = ("--standalone", "--nproc-per-node", str(processes))
    return (sys.executable, "-m", "torch.distributed.run", *alone)


def launch(processes: int, arguments: Sequence[str]) -> NoReturn:
    """Run `lenet-multi ARGUMENTS` in so many processes, and exit with the status of the training.

    When one ends early, the others end within seconds, and one line names it.
    """
    import logging

    os.environ[_LAUNCHED] = "1"
    logging.disable()  # PyTorch reports an end in twenty lines
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        run_id=str(os.getpid()),
        logs_specs=DefaultLogsSpecs(os.devnull),
        max_restarts=0,
        shutdown_timeout=_PATIENCE,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "lenet_multi", *arguments)
    except ChildFailedError as error:
        sys.exit(_status(error.failures))
    except SignalException as stopped:
        sys.exit(128 + stopped.sigval)
    sys.exit(0)


def _status(failures: Mapping[int, Any]) -> int:
    """Return the exit status of a training whose ranks failed; name the first one, if killed."""
    at_fault = {number: one for number, one in failures.items() if one.exitcode != LOST}
    if not at_fault:
        return LOST if 0 in failures else 0  # else rank 0 had no more to do
    first = min(at_fault, key=lambda number: at_fault[number].timestamp)
    status = int(at_fault[first].exitcode)
    if status > 0:  # it said why
        return status
    name = signal.Signals(-status).name
    print(
        f"lenet-multi: rank {first} was ended by {name}, so the others ended too; "
        "go on with --resume",
        file=sys.stderr,
    )
    return 1
