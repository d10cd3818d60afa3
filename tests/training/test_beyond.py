import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from lenet_multi.config import TrainConfig
from lenet_multi.data.examples import Dataset, Examples
from lenet_multi.errors import UserError
from lenet_multi.runs import checkpoint
from lenet_multi.runs.earlier import Earlier, of_run
from lenet_multi.runs.folder import new_run_folder, unfinished
from lenet_multi.runs.journal import Journal
from lenet_multi.runs.record import Run, file_sha256, read_run, write_run
from lenet_multi.train import TrainedRun, train
from tests.conftest import Lenet, train_quietly
from tests.training.test_resume import assert_same, figures

pytestmark = pytest.mark.backend

CONFIG = TrainConfig(
    architecture="softmax-regression", epochs=2, batch_size=10, save_every="7"
)  # 95 steps an epoch


def finished(config: TrainConfig, dataset: Dataset, backend: str, folder: Path) -> list[Earlier]:
    """Train a run into `folder`; return it as what another goes on from."""
    with new_run_folder(folder) as draft:
        run = train_quietly(config, dataset, backend, draft)
        write_run(Run(draft, run.result, run.evaluation.outputs, dataset.test.y), run.model.save)
    return [of_run(folder, read_run(folder).result)]


def go_on(
    config: TrainConfig,
    dataset: Dataset,
    backend: str,
    earlier: list[Earlier],
    folder: Path,
) -> TrainedRun:
    """Train on after finished runs, from the newest checkpoint in `folder` if there is one."""
    folder.mkdir(exist_ok=True)
    return train(
        config,
        lambda: dataset,
        backend=backend,
        folder=folder,
        state=checkpoint.read(folder / "resume", pytest.fail),
        earlier=earlier,
        announce=lambda line: None,
        quiet=True,
    )


@pytest.mark.parametrize("architecture", ["lenet", "softmax-regression"])
def test_without_a_schedule_it_ends_as_if_trained_at_once(
    architecture: str, small: Dataset, backend: str, tmp_path: Path
) -> None:
    """At a constant rate, two epochs and two more equal four epochs, to the bit."""
    config = dataclasses.replace(CONFIG, architecture=architecture, lr_schedule="constant")
    earlier = finished(config, small, backend, tmp_path / "run")
    config = dataclasses.replace(config, epochs=4)
    longer = go_on(config, small, backend, earlier, tmp_path / "longer")
    assert_same(longer, train_quietly(config, small, backend))
    assert longer.result.earlier == earlier
    assert longer.result.schema_version == 6
    seconds = read_run(tmp_path / "run").result.seconds["train"]
    assert longer.result.seconds["train"] > seconds


def test_the_schedule_begins_again(small: Dataset, backend: str, tmp_path: Path) -> None:
    """The rate falls along a whole cosine over the added epochs, from 0.001."""
    earlier = finished(CONFIG, small, backend, tmp_path / "run")
    config = dataclasses.replace(CONFIG, epochs=5)
    longer = go_on(config, small, backend, earlier, tmp_path / "longer")
    import keras

    rate = longer.model.optimizer._learning_rate
    steps = 95  # of an epoch
    rates = [float(keras.ops.convert_to_numpy(rate(at * steps))) for at in (2, 3, 5)]
    np.testing.assert_allclose(rates, [0.001, 0.00075, 0], atol=1e-9)
    assert len(longer.result.epochs) == 5
    at_once = train_quietly(config, small, backend).result
    assert longer.result.final_weights_sha256 != at_once.final_weights_sha256
    assert longer.result.initial_weights_sha256 == at_once.initial_weights_sha256


def test_a_kill_in_the_middle_loses_nothing(small: Dataset, backend: str, tmp_path: Path) -> None:
    """From each checkpoint of the added epochs, the first included, it ends with the same bits."""
    earlier = finished(CONFIG, small, backend, tmp_path / "run")
    config, folder = dataclasses.replace(CONFIG, epochs=4), tmp_path / "draft"
    kept: list[Path] = []
    write = checkpoint.write

    def keep(where: Path, state: checkpoint.State) -> None:
        write(where, state)
        kept.append(tmp_path / f"{len(kept)}")
        write(kept[-1], state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "write", keep)
        whole = go_on(config, small, backend, earlier, folder)
    states = [checkpoint.read(path, pytest.fail) for path in kept]
    places = [(state.epoch, state.steps) for state in states if state]
    assert places[0] == (2, 0)
    assert len(places) > 3
    for index in (0, 2):
        again = tmp_path / f"again-{index}"
        again.mkdir()
        kept[index].rename(again / "resume")
        assert_same(go_on(config, small, backend, earlier, again), whole)


def test_a_run_goes_on_from_what_went_on(small: Dataset, backend: str, tmp_path: Path) -> None:
    """A run goes on from one that went on, and its record names both."""
    config = dataclasses.replace(CONFIG, epochs=1, lr_schedule="constant")
    earlier = finished(config, small, backend, tmp_path / "one")
    config = dataclasses.replace(config, epochs=2)
    with new_run_folder(tmp_path / "two") as draft:
        run = go_on(config, small, backend, earlier, draft)
        write_run(Run(draft, run.result, run.evaluation.outputs, small.test.y), run.model.save)
    earlier += [of_run(tmp_path / "two", read_run(tmp_path / "two").result)]
    config = dataclasses.replace(config, epochs=3)
    longest = go_on(config, small, backend, earlier, tmp_path / "longer")
    assert [one["epochs"] for one in longest.result.earlier] == [1, 2]
    assert_same(longest, train_quietly(config, small, backend))


@pytest.mark.any_backend
def test_a_run_with_normalisation_does_not_go_on(small: Dataset, backend: str) -> None:
    """A run keeps its network folded; the refusal names the way to go on."""
    config = TrainConfig(batch_norm=True)
    with pytest.raises(UserError, match="cannot go on; give --start-from with the run instead"):
        train(config, lambda: small, backend=backend, earlier=[{"epochs": 1}], folder=Path())


@pytest.mark.any_backend
def test_the_best_of_all_epochs_is_kept(small: Dataset, backend: str, tmp_path: Path) -> None:
    """If more training makes the loss worse, the finished run's weights and best model stay."""
    labels = np.random.default_rng(0).permutation(small.train.y)  # nothing to learn
    astray = Dataset(Examples(small.train.x, labels), small.test)
    config = TrainConfig(
        lr_schedule="constant", validation_split=0.2, epochs=20, early_stopping=2, checkpoint="best"
    )
    earlier = finished(config, astray, backend, tmp_path / "run")
    before = read_run(tmp_path / "run").result
    assert len(before.epochs) < 20
    config = dataclasses.replace(config, epochs=20 + len(before.epochs))
    folder = tmp_path / "draft"
    longer = go_on(config, astray, backend, earlier, folder).result
    assert len(longer.epochs) == len(before.epochs) + 2  # the patience begins anew
    assert longer.final_weights_sha256 == before.final_weights_sha256
    best = "checkpoints/best.keras"
    assert file_sha256(folder / best) == file_sha256(tmp_path / "run" / best)


def test_other_data_and_other_runs_are_refused(
    small: Dataset, backend: str, tmp_path: Path
) -> None:
    """Other data, or no run in the named folder, are refused."""
    earlier = finished(CONFIG, small, backend, tmp_path / "run")
    config = dataclasses.replace(CONFIG, epochs=3)
    with pytest.raises(UserError, match="is not the data that the run was trained on"):
        go_on(config, Dataset(small.test, small.train), backend, earlier, tmp_path / "longer")
    (tmp_path / "run").rename(tmp_path / "away")
    with pytest.raises(UserError, match="run is no run folder"):
        go_on(config, small, backend, earlier, tmp_path / "longer")


@pytest.mark.any_backend
def test_the_command_trains_on_in_another_folder(
    small_npz: Path, backend: str, lenet: Lenet, tmp_path: Path
) -> None:
    """The command leaves every byte of the finished run, and records it in the longer one.

    The longer run keeps the form that the user asked for in the finished one. A longer run that was
    killed before its first checkpoint ends the same.
    """
    made = lenet(
        *("train", "--epochs", 1, "--data", small_npz, "--out", "a-run", "--form", "stock"),
        *("--checkpoint", "every-epoch", "--tensorboard"),
    )
    assert made.returncode == 0, made.stderr
    before = {path: path.read_bytes() for path in (tmp_path / "a-run").rglob("*") if path.is_file()}
    done = lenet("train", "--resume", "a-run", "--epochs", 2)
    assert done.returncode == 0, done.stderr
    assert "Going on from a-run: epochs 2 to 2" in done.stdout
    assert "Run folder: a-run-2-epochs" in done.stdout
    after = {path: path.read_bytes() for path in (tmp_path / "a-run").rglob("*") if path.is_file()}
    assert after == before
    first, longer = (read_run(tmp_path / name) for name in ("a-run", "a-run-2-epochs"))
    result = longer.result
    assert (result.earlier[0]["run"], result.earlier[0]["config"]) == ("a-run", first.result.config)
    assert result.config == first.result.config | {"epochs": 2}
    assert result.epochs[:1] == first.result.epochs
    assert result.execution["form"] == "stock"
    assert result.starts[0]["epoch"] == 1
    assert len((longer.folder / "history.csv").read_text().splitlines()) == 3
    names = sorted(path.name for path in (longer.folder / "checkpoints").iterdir())
    assert names == ["epoch-001.keras", "epoch-002.keras"]

    draft = unfinished(tmp_path / "again")
    draft.mkdir()
    config = TrainConfig(**result.config)
    with Journal(draft, config, earlier=result.earlier).started(backend=backend, at=(1, 0)):
        pass
    again = lenet("train", "--resume", "again")
    assert again.returncode == 0, again.stderr
    other = read_run(tmp_path / "again").result
    assert other.final_weights_sha256 == result.final_weights_sha256
    assert [*map(len, (other.earlier, other.starts))] == [1, 2]
    assert json.loads((tmp_path / "again" / "result.json").read_text())["schema_version"] == 6


def test_what_the_first_weights_came_from_is_not_needed_again(
    small: Dataset, backend: str, tmp_path: Path
) -> None:
    """A run that started from a model goes on without it, and still records it."""
    config = dataclasses.replace(CONFIG, epochs=1)
    finished(config, small, backend, tmp_path / "model")
    config = dataclasses.replace(config, start_from=str(tmp_path / "model"))
    earlier = finished(config, small, backend, tmp_path / "run")
    (tmp_path / "model").rename(tmp_path / "away")
    config = dataclasses.replace(config, epochs=2)
    longer = go_on(config, small, backend, earlier, tmp_path / "longer").result
    before = read_run(tmp_path / "run").result
    assert longer.start_from == before.start_from
    assert longer.initial_weights_sha256 == before.initial_weights_sha256


def test_the_history_has_the_figures_of_all_epochs(
    small: Dataset, backend: str, tmp_path: Path
) -> None:
    """The history begins with the rows of the finished run, unchanged."""
    earlier = finished(CONFIG, small, backend, tmp_path / "run")
    before = read_run(tmp_path / "run").result.epochs
    longer = go_on(
        dataclasses.replace(CONFIG, epochs=3), small, backend, earlier, tmp_path / "longer"
    )
    assert longer.result.epochs[:2] == before
    assert [epoch["epoch"] for epoch in figures(longer)] == [1, 2, 3]
