from types import SimpleNamespace

import pytest

from lenet_multi.backends import choice
from lenet_multi.backends.choice import (
    FASTEST_FORM,
    FASTEST_FORM_IN_BFLOAT16,
    FASTEST_FORM_TO_ANSWER,
    FORMS,
    execution,
    forms_of,
)
from lenet_multi.machine import measured
from lenet_multi.machine.frameworks import BACKENDS
from lenet_multi.machine.keras_start import CPU, GPU

TABLES = (FASTEST_FORM, FASTEST_FORM_IN_BFLOAT16, FASTEST_FORM_TO_ANSWER)


@pytest.mark.parametrize("device", [CPU, GPU])
@pytest.mark.parametrize("table", TABLES, ids=["float32", "bfloat16", "answers"])
def test_each_backend_has_a_fastest_form(table: dict[str, dict[str, str]], device: str) -> None:
    """Each table names every backend once, with a form that the backend can compute."""
    assert tuple(table[device]) == BACKENDS
    assert all(form in forms_of(backend) for backend, form in table[device].items())


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_gpu_has_forms_of_its_own(backend: str) -> None:
    """A GPU gets another form: what saves a CPU multiplications only adds operations there."""
    forms = {device: execution(backend, device=device).form for device in (CPU, GPU)}
    assert forms[CPU] != forms[GPU]
    assert execution(backend).form == forms[CPU]
    assert execution(backend, "stock", device=GPU).form == "stock"


@pytest.mark.parametrize("backend", BACKENDS)
def test_float16_takes_the_forms_of_float32(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In float16 a CPU computes blocks in float32's form, in training and in answers."""
    monkeypatch.setattr(measured, "bfloat16_pays", lambda backend: True)
    how = execution(backend, dtype_policy="mixed_float16")
    assert how.form == how.answer_form == FASTEST_FORM[CPU][backend]


@pytest.mark.parametrize("backend", BACKENDS)
def test_bfloat16_is_convolved_where_it_pays(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """bfloat16 has its own form where it is faster; elsewhere it takes float32's fastest form."""
    for pays, fastest in ((True, FASTEST_FORM_IN_BFLOAT16), (False, FASTEST_FORM)):
        monkeypatch.setattr(measured, "bfloat16_pays", {backend: pays}.get)
        how = execution(backend, dtype_policy="mixed_bfloat16")
        assert how.form == how.answer_form == fastest[CPU][backend]


@pytest.mark.parametrize(
    ("batch_size", "steps"), [(1, 25), (128, 25), (256, 12), (1024, 3), (60_000, 1)]
)
def test_an_execution_keeps_nobody_waiting(batch_size: int, steps: int) -> None:
    """Larger batches give fewer steps per execution: signals, bar and checkpoints wait for it."""
    for backend in ("tensorflow", "jax"):
        assert execution(backend, batch_size=batch_size).steps_per_execution == steps


def test_torch_takes_one_step_at_a_time() -> None:
    """On PyTorch an execution has one step, because Keras refuses more there."""
    assert {execution("torch", form).steps_per_execution for form in FORMS} == {1}


@pytest.mark.backend
@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("name", ["mps:0", "xpu:0", "TPU_0"])
def test_stock_keras_trains_where_nothing_was_tried(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An accelerator that is neither a CPU nor a known GPU gets stock Keras, with the reason."""
    import keras

    monkeypatch.setattr(keras.ops, "zeros", lambda shape: SimpleNamespace(device=name))
    how = choice.here()
    assert how.form == how.answer_form == choice.STOCK
    assert not how.xla_loops
    assert how.why_stock == f"nothing faster was tried on {name.lower()}"
