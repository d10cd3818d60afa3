import subprocess
import sys

import pytest

LINE = "lenet-multi: rank 1 ends: rank 0 is gone"
PAGE = "E1201 agent.cc:1] Polled an error from Coordination Service\\n  @ 0x7f\\n"
ABORT = "os.abort()"


@pytest.mark.parametrize(
    ("writes", "wanted"),
    [
        (["a warning\\n"], "a warning\n"),
        (["a warning\\n", PAGE], f"a warning\n{LINE}\n"),
        ([f"{LINE}\\n", PAGE], f"{LINE}\n"),
        ([PAGE, f"{LINE}\\n", "more\\n"], f"{LINE}\n"),
    ],
    ids=["no page", "a page", "a line before", "a line within"],
)
@pytest.mark.parametrize("end", ["pass", ABORT], ids=["ends", "aborts"])
def test_a_page_becomes_a_line(writes: list[str], wanted: str, end: str) -> None:
    """What comes before the page stays; the line comes once, also when the process aborts."""
    code = (
        "import os; from lenet_multi.machine import aborts\n"
        f"aborts.replace_the_page({LINE!r})\n"
        + "".join(f"os.write(2, b'{text}')\n" for text in writes)
        + end
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stderr == wanted
    assert (done.returncode == 0) == (end != ABORT)
