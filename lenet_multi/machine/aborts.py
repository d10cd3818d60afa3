"""Say in one line what JAX says in a page when it aborts a rank that lost rank 0.

Its library ends the process itself, so Python cannot catch it. (Its callback for such a loss fails
with a bad cast in jaxlib 0.10.2.)
"""

import os
import subprocess
import sys

_PAGE = "coordination service"  # is in the page's first line

# Reads what a rank writes on stderr, until the rank is gone.
_PASS_ON = """
import os, signal, sys
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
page, line = (word.encode() for word in sys.argv[1:])
lost = said = False
for text in sys.stdin.buffer:
    lost, said = lost or page in text.lower(), said or line in text
    if not lost or line in text:
        os.write(2, text)
if lost and not said:
    os.write(2, line + b"\\n")
"""


def replace_the_page(line: str) -> None:
    """Give `line` in place of JAX's page; all else that this process writes on stderr stays."""
    words = ("-c", _PASS_ON, _PAGE, line)
    sys.stderr.flush()
    reader = subprocess.Popen([sys.executable, "-S", "-E", "-u", *words], stdin=subprocess.PIPE)
    assert reader.stdin
    os.dup2(reader.stdin.fileno(), 2)
    reader.stdin.close()
