"""The ladder of any model catches a harmed layer, and names it."""

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.parity.again import in_this_process
from tests.parity.layers import HARMS, Harm
from tests.parity.sabotage import Modules
from tests.parity.small import HARMED, Small, Trial, model

pytestmark = pytest.mark.all_backends

OUTPUTS = "outputs and loss"  # a finding of L1 that names no layer

Trials = Callable[[str, str], Trial]


@pytest.fixture(scope="module")
def torch() -> Iterator[Modules]:
    """Keras on torch in this process, put back to float32 afterwards."""
    with in_this_process() as of:
        yield of


@pytest.fixture(scope="module")
def trials(torch: Modules, tmp_path_factory: pytest.TempPathFactory) -> Trials:
    """The trial of a harm and a precision, with its unharmed climb, made once."""
    made: dict[tuple[str, str], Trial] = {}

    def trial(name: str, precision: str) -> Trial:
        if (name, precision) not in made:
            harm = HARMS[name]
            small = Small(partial(built, harm), harm.inputs)
            made[name, precision] = Trial(torch, small, precision, tmp_path_factory.mktemp("trial"))
        return made[name, precision]

    return trial


def built(harm: Harm, keras: object, harmed: bool) -> object:
    """Return the harm's model."""
    return model(keras, harm.inputs, harm.part(keras, harmed))


def test_twenty_kinds_of_layers_are_harmed() -> None:
    """The cases cover at least twenty kinds of layers."""
    assert len({harm.kind for harm in HARMS.values()}) >= 20


@pytest.mark.parametrize("precision", ["float64", pytest.param("float32", marks=pytest.mark.study)])
@pytest.mark.parametrize("name", HARMS)
def test_a_harmed_layer_is_named(name: str, precision: str, trials: Trials) -> None:
    """The first failed finding that names a place names the layer, on the right rung."""
    harm = HARMS[name]
    findings = trials(name, precision).findings(HARMED, harmed=True, rung=harm.rung)
    failed = [finding for finding in findings if not finding.passed]
    first = next((finding for finding in failed if finding.what != OUTPUTS), None)
    assert first is not None, "not caught"
    assert (first.rung, first.what) == (harm.rung, harm.what), str(first)
    assert first.where.startswith(harm.where), str(first)


@pytest.mark.parametrize("name", HARMS)
def test_an_unharmed_layer_passes(name: str, trials: Trials) -> None:
    """Two unharmed climbs of the same model, with other twins, agree on each rung."""
    findings = trials(name, "float64").findings("again", harmed=False)
    assert [str(finding) for finding in findings if not finding.passed] == []
    assert {finding.what for finding in findings} >= {"layers", "gradients", "losses"}
