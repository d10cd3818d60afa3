import pytest

from lenet_multi.bench.ways import JIT_ON, OURS, STOCK, Job
from lenet_multi.config import TrainConfig


def test_a_job_comes_through_a_command_line_unchanged() -> None:
    """The process of a job gets the same job."""
    job = Job("jax", OURS, TrainConfig(architecture="my_model.py:build"), [0, 1])
    assert Job.of_json(job.as_json()) == job


@pytest.mark.parametrize(("way", "is_stock"), [(STOCK, True), (JIT_ON, True), (OURS, False)])
def test_only_ours_is_not_stock(way: str, is_stock: bool) -> None:
    """Stock Keras with another jit is stock Keras."""
    assert Job("jax", way, TrainConfig()).is_stock == is_stock
