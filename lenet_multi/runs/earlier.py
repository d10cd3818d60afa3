"""The finished runs that a run goes on from, as records keep them, oldest first.

Each is a dictionary: the `run` (its folder), how many `epochs` were trained at its end, the hash of
its model's file (`model_sha256`), and fields of its `Result`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lenet_multi.errors import UserError
from lenet_multi.runs.record import MODEL, Result, read_run
from lenet_multi.runs.schema import fits

Earlier = dict[str, Any]

_HINTS = {
    "run": str,
    "epochs": int,
    "starts": list[dict[str, Any]],
    "start_from": dict[str, str],
    "initial_weights_sha256": str,
    "model_sha256": str,
}


def of_run(run: Path, result: Result) -> Earlier:
    """Return what a record keeps of a finished `run`."""
    return {
        "run": str(run),
        "epochs": len(result.epochs),
        "backend": result.backend,
        "versions": result.versions,
        "config": result.config,
        "starts": result.starts,
        "start_from": result.start_from,
        "initial_weights_sha256": result.initial_weights_sha256,
        "final_weights_sha256": result.final_weights_sha256,
        "model_sha256": result.files_sha256[MODEL],
    }


def epochs_of(earlier: Sequence[Earlier]) -> int:
    """Return how many epochs the finished runs trained together."""
    return int(earlier[-1]["epochs"]) if earlier else 0


def read_last(earlier: Sequence[Earlier]) -> tuple[Path, Result]:
    """Return the folder and the record of the last finished run.

    Raises `UserError` when the folder holds no run now, or another one.
    """
    folder = Path(earlier[-1]["run"])
    result = read_run(folder).result
    if result.files_sha256[MODEL] != earlier[-1]["model_sha256"]:
        raise UserError(f"{folder} is not the run that this one goes on from; put that run back")
    return folder, result


def refuse_other_split(config: Mapping[str, Any], source: object) -> None:
    """Raise `UserError` for a run at `source` that an older program began on a set of `hf:`.

    Such a program split the set as it is stored, and this one in an order drawn from the seed.
    """
    if str(config.get("data")).startswith("hf:") and "shuffle_split" not in config:
        raise UserError(
            f"{source} is of an older program, which split {config['data']} otherwise into "
            "training and validation; train again"
        )


def is_sound(earlier: Any) -> bool:
    """Return whether `earlier`, read from a record, is a list of finished runs."""
    return fits(earlier, list[dict[str, Any]]) and all(
        fits(one.get(name), hint) for one in earlier for name, hint in _HINTS.items()
    )
