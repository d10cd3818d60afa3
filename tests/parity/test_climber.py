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
