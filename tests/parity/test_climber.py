from types import SimpleNamespace

import pytest

from lenet_multi.backends.choice import STOCK, WINOGRAD
from lenet_multi.errors import UserError
from lenet_multi.machine.instruction_sets import SSE41, held_to
from lenet_multi.parity.climber import Climber


def test_a_climber_may_name_its_form() -> None:
    """A backend alone climbs in its fastest form, as the training command computes."""
    assert Climber.of("jax") == Climber("jax")
    assert Climber.of("jax").execution().form == WINOGRAD
    assert Climber.of("torch:stock").execution().form == STOCK
    with pytest.raises(UserError, match="tensorflow cannot compute it"):
        Climber.of("tensorflow:channels-first").execution()
    with pytest.raises(UserError, match="unknown --form 'tile'; did you mean 'tiles'"):
        Climber.of("jax:tile").execution()


def test_a_climber_may_name_its_instruction_set() -> None:
    """Its process is held to it; one that names none gets no variable."""
    assert Climber.of("torch:stock@sse4.1") == Climber("torch", "stock", SSE41)
    assert Climber.of("torch@sse4.1").environment() == held_to(SSE41)
    assert Climber.of("torch").environment() == {}
    with pytest.raises(UserError, match="unknown instruction set 'axv2'; did you mean 'avx2'"):
        Climber.of("torch@axv2").environment()


@pytest.mark.parametrize("name", ["jax:", "jax@", "jax:@avx2", "jax:stock@"])
def test_an_empty_name_is_refused(name: str) -> None:
    """What is announced is given."""
    with pytest.raises(UserError, match="a name is missing; give BACKEND"):
        Climber.of(name)


@pytest.mark.backend
@pytest.mark.parametrize("name", ["mps:0", "xpu:0"])
def test_stock_keras_climbs_where_nothing_faster_was_tried(
    name: str, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On such a device the climb is one of what trains there; a form that is asked for is not."""
    import keras

    monkeypatch.setattr(keras.ops, "zeros", lambda shape: SimpleNamespace(device=name))
    how = Climber.of(backend).here()
    assert how.form == how.answer_form == STOCK
    assert how.why_stock == f"nothing faster was tried on {name}"
    assert Climber.of(f"{backend}:stock").here(own=True).form == STOCK
    with pytest.raises(UserError, match=f"pool-first: nothing faster .* give --backend {backend}$"):
        Climber.of(f"{backend}:pool-first").here()


@pytest.mark.backend
def test_a_users_model_climbs_as_keras_trains_it(backend: str) -> None:
    """It has no form by default, and the climber's own reason for that."""
    how = Climber.of(backend).here(own=True)
    assert (how.form, how.xla_loops) == (STOCK, False)
    assert how.why_stock == "a climb with a user's model tests stock Keras"
    how = Climber.of(backend).here()
    assert (how.answer_form, how.xla_loops, how.why_stock) == (how.form, False, None)
