import os
import signal
import socket
import time
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest

from lenet_multi.commands.demo.serve import MOST_CONNECTIONS, listen, serve
from lenet_multi.errors import UserError
from tests.commands.demo.stand_in import served
from tests.commands.demo.test_app import ask, wait_for_backends


@pytest.mark.parametrize(
    ("blow", "status"),
    [(signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGKILL, -signal.SIGKILL)],
    ids=["Ctrl-C", "terminated", "killed"],
)
def test_backends_end_with_the_demo(blow: signal.Signals, status: int) -> None:
    """However the demo ends, its backend processes end too."""
    with served(jax="answers", torch="answers") as demo:
        children = [int(state["version"]) for state in wait_for_backends(demo.address)]
        demo.process.send_signal(blow)
        assert demo.process.wait(timeout=60) == status
        assert gone(children)


def gone(processes: list[int]) -> bool:
    """Return whether the processes end within a minute."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if not any(os.path.exists(f"/proc/{each}") for each in processes):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize(
    ("host", "warned", "stranger"),
    [("localhost", False, 400), ("::1", False, 400), ("0.0.0.0", True, 200)],
)
def test_other_machines_are_let_in_only_when_told(host: str, warned: bool, stranger: int) -> None:
    """A demo open to other machines accepts any host name, and warns that it is open."""
    with served(host=host, jax="answers") as demo:
        assert ask(demo.address, "/")[0] == 200
        assert ask(demo.address, "/", host="stranger.example")[0] == stranger
        assert any("over the network" in line for line in demo.warnings) == warned


def test_the_browser_is_sent_to_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """The browser opens the printed address, whatever port was free."""
    told: list[str] = []
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("uvicorn.Server.run", lambda server, sockets: None)
    serve([], host="127.0.0.1", port=0, open_browser=True, say=told.append, warn=pytest.fail)
    assert [told[0].split()[1]] == opened


def test_a_flood_is_turned_away() -> None:
    """Connections beyond the limit get status 503; once the others close, requests work again."""
    with served(jax="answers") as demo, ExitStack() as flood:
        url = urlsplit(demo.address)
        for _ in range(MOST_CONNECTIONS):
            flood.enter_context(socket.create_connection((url.hostname, url.port)))
        assert ask(demo.address, "/")[0] == 503
        flood.close()
        until = time.monotonic() + 60
        while ask(demo.address, "/")[0] != 200:
            assert time.monotonic() < until


def test_a_port_in_use_is_told() -> None:
    """If the port is in use, the error names it and says what to do."""
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"--port {port}: Address already in use; choose"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["nowhere.invalid", "256.1.1.1", "", "x" * 300])
def test_a_host_that_is_not_here_is_told(host: str) -> None:
    """If the host is not on this machine, the error names it."""
    with pytest.raises(UserError, match=f"cannot listen on --host {host}"):
        listen(host, 0)
