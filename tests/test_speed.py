from lenet_multi.backends import BACKENDS
from lenet_multi.speed import FASTEST_FORM, FORMS, execution


def test_each_backend_has_a_fastest_form() -> None:
    """Every backend is named once, and its form is one that it can compute."""
    assert tuple(FASTEST_FORM) == BACKENDS
    assert {execution(backend).form for backend in BACKENDS} < set(FORMS)


def test_torch_takes_one_step_at_a_time() -> None:
    """Keras refuses more steps per execution than one on PyTorch."""
    assert {execution("torch", form).steps_per_execution for form in FORMS} == {1}
