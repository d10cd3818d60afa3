"""Estimate what the climb of a user's model takes, and refuse one that memory cannot hold."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lenet_multi.errors import UserError
from lenet_multi.machine import environment
from lenet_multi.parity.plan import OPTIMIZERS, Plan, is_kept

# Measured with thirteen small models on two cores (tests/models): a process starts and compiles for
# 8 to 20 s, and a compiled step takes about as long as a forward pass that is not compiled.
_SECONDS_TO_START = 14.0
_STEPS_PER_FORWARD = 1.0
_BASE_BYTES = 0.7e9  # of a process with its backend
_TENSORS = 6  # of the weights' size, in a step: weights, gradients, and the optimizer's


def announce(
    facts: Mapping[str, Any],
    plan: Plan,
    backends: Sequence[str],
    threads: int,
    say: Callable[[str], None],
) -> None:
    """Say how long the climb takes and how much memory; `facts` are those of the `Start`.

    Raises `UserError` when this machine has less memory.
    """
    at_once = max(environment.threads() // threads, 1)
    minutes = seconds(facts, plan, len(backends), at_once) / 60
    needed, has = at_once * memory_bytes(facts, plan), environment.memory_bytes()
    name = plan.config.architecture
    if has is not None and needed > has:
        raise UserError(
            f"{name}: {facts['parameters']:,} parameters need about {needed / 2**30:.0f} GiB of "
            f"memory for the climb; this machine has {has / 2**30:.0f} GiB: give fewer --steps, "
            "--precision float32, or a smaller model of the same layers"
        )
    shorter = "; --quick, --steps and --precision shorten it" if minutes > 1 else ""
    rounded = max(round(minutes), 1)
    say(
        f"{name} ({facts['parameters']:,} parameters): the climb takes about {rounded} "
        f"minute{'s' * (rounded > 1)} and {needed / 2**30:.1f} GiB of memory{shorter}"
    )


def seconds(facts: Mapping[str, Any], plan: Plan, backends: int, at_once: int) -> float:
    """Return the seconds of a climb of `backends` backends, `at_once` processes at a time."""
    runs = 1 + plan.one_ulp_runs
    steps = runs * (len(OPTIMIZERS) * plan.optimizer_steps + plan.one_ulp_steps)
    steps += runs * backends * plan.saved_after
    processes = len(plan.precisions) * backends * (2 if plan.saved_after else 1)
    each = _SECONDS_TO_START + steps * _STEPS_PER_FORWARD * float(facts["forward_seconds"]) / 2
    return processes * each / at_once


def memory_bytes(facts: Mapping[str, Any], plan: Plan) -> float:
    """Return the bytes that one process of the climb needs."""
    kept = sum(is_kept(step, last=plan.one_ulp_steps) for step in range(1, plan.one_ulp_steps + 1))
    copies = (1 + plan.one_ulp_runs) * (kept + 1) + _TENSORS
    size = 8 if "float64" in plan.precisions else 4
    return _BASE_BYTES + copies * size * float(facts["parameters"])
