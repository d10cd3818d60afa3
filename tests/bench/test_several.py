import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from lenet_multi.bench import several
from lenet_multi.machine import children, cluster
from lenet_multi.machine.children import Child, Failure

MODELS = ("a/one.py:build", "b/one.py:build")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What ran where; each child prints its name, and the second is refused."""
    seen: list[tuple[str, ...]] = []

    def print_names(wanted: Sequence[Child]) -> list[Failure]:
        for child in wanted:
            child.log.parent.mkdir(parents=True, exist_ok=True)
            child.log.write_text(f"Figures: /a/worker's/place\nthe table of {child.name}\n")
            seen.append(child.command[1:])
        return [Failure(wanted[-1].name, "ended with status 2", ["lenet-multi: no such file"])]

    def here(wanted: Sequence[Child], *, timeout: float, threads: int) -> list[Failure]:
        seen.append(("here", str(threads)))
        return print_names(wanted)

    def there(
        wanted: Sequence[Child],
        address: str,
        backends: Sequence[str],
        *,
        timeout: float,
        threads: int | None,
    ) -> list[Failure]:
        seen.append(("there", address, *backends, str(threads)))
        return print_names(wanted)

    monkeypatch.setattr(children, "run", here)
    monkeypatch.setattr(cluster, "run", there)
    return seen


def test_each_model_has_a_command_and_a_folder(
    asked: list[tuple[str, ...]], tmp_path: Path
) -> None:
    """One after another on all processors; models of one name keep apart; one is refused."""
    found = several.run(MODELS, ["--quick"], tmp_path)
    assert asked[0] == ("here", str(len(os.sched_getaffinity(0))))
    assert found.folders == [tmp_path / "1-one.py-build", tmp_path / "2-one.py-build"]
    assert asked[1:] == [
        ("-m", "lenet_multi", "bench", model, "--quick", "--out", str(folder))
        for model, folder in zip(MODELS, found.folders, strict=True)
    ]
    assert found.printed == [f"the table of {MODELS[0]}"]
    (failure,) = found.failures
    assert (failure.child, failure.words) == (MODELS[1], "no such file")


def test_a_cluster_gives_each_model_a_machine(asked: list[tuple[str, ...]], tmp_path: Path) -> None:
    """The workers have the versions of the backends, and a model has no neighbour."""
    several.run(MODELS, [], tmp_path, scheduler="tcp://one:8786", backends=("jax", "torch"))
    assert asked[0] == ("there", "tcp://one:8786", "jax", "torch", "None")
