import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lenet_multi.backends import BACKENDS, installed
from lenet_multi.commands.demo import assign
from lenet_multi.errors import UserError
from tests.browser import Open
from tests.conftest import Lenet, child_environment
from tests.demo.test_app import wait_for_backends
from tests.demo.test_page import answers, assert_quiet, draw
from tests.examples import example_run, keep


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the demo of a LeNet that JAX trained, on all three backends."""
    folder = tmp_path_factory.mktemp("demo")
    train = ("train", "--backend", "jax", "--recipe", "one-epoch", "--validation-split", "0.9")
    lenet = (sys.executable, "-m", "lenet_multi")
    subprocess.run([*lenet, *train], cwd=folder, env=child_environment(), check=True)
    with subprocess.Popen(
        [*lenet, "demo", "--port", "0"],
        cwd=folder,
        env=child_environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout
            address = process.stdout.readline().split()[1]
            states = wait_for_backends(address)
            assert [state["failure"] for state in states] == [None, None, None]
            yield address
        finally:
            process.terminate()


@pytest.mark.all_backends
def test_three_backends_see_a_seven(demo: str, open_page: Open) -> None:
    """A 7 drawn with the mouse is a 7 to all three, whose probabilities agree."""
    visit = open_page(demo)
    draw(visit.page)
    visit.page.wait_for_function(
        "document.querySelector('#agreement').textContent.startsWith('All three agree: 7;')"
    )
    assert answers(visit.page) == ["7", "7", "7"]
    assert visit.page.locator(".name").all_text_contents() == list(BACKENDS)
    assert_quiet(visit, demo)
