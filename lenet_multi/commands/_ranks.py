"""What a process of `train` does that follows rank 0."""

import time

from lenet_multi.errors import LostError, StoppedError, UserError
from lenet_multi.machine import ranks

_PATIENCE = 2.0  # seconds


def follow(devices: int) -> None:
    """Train along with rank 0, which says what; write and print nothing, unless it fails."""
    from lenet_multi.machine import signals

    ranks.name_rank_0_in_an_abort()
    with ranks.ending_together(), signals.obeying(signals.stop):
        try:
            _train(devices)
        except StoppedError as stopped:  # as rank 0 says
            raise LostError from stopped


def _train(devices: int) -> None:
    from lenet_multi.train import train

    try:
        train(
            **ranks.led(None),
            devices=devices,
            announce=lambda line: None,
            warn=lambda line: None,
            quiet=True,
        )
    except UserError:
        time.sleep(_PATIENCE)  # if rank 0 refuses the same, it says so, and this process ends
        raise
