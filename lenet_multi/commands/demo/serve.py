"""Serve the page until Ctrl-C."""

import ipaddress
import socket
import webbrowser
from collections.abc import Sequence
from contextlib import suppress

import click
import uvicorn

from lenet_multi.commands.demo.app import make_app
from lenet_multi.commands.demo.process import BackendProcess
from lenet_multi.errors import UserError

MOST_CONNECTIONS = 64  # a browser opens six
_LAST_SECONDS = 1  # for answers under way, after Ctrl-C


def serve(
    backends: Sequence[BackendProcess], *, host: str, port: int, open_browser: bool = False
) -> None:
    """Serve the page that asks `backends`, on `host` and `port` (0: any free one).

    Raises `UserError` when the port cannot be had.
    """
    with listen(host, port) as listener:
        address, taken = listener.getsockname()[:2]
        named = f"[{address}]" if ":" in address else address
        page, known_as = f"http://{named}:{taken}/", [host, named, "localhost"]
        if not ipaddress.ip_address(address).is_loopback:
            known_as = ["*"]
            warning = f"lenet-multi: whoever reaches {host} over the network can use the demo"
            click.echo(warning, err=True)
        config = uvicorn.Config(
            make_app(backends, known_as),
            log_level="warning",
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=_LAST_SECONDS,
        )
        click.echo(f"Demo: {page}  (Ctrl-C ends it)")
        if open_browser:
            webbrowser.open(page)
        with suppress(KeyboardInterrupt):  # raised once uvicorn has ended in order
            uvicorn.Server(config).run([listener])


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there.

    Raises `UserError` when the host is unknown or the port cannot be had.
    """
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(place[:2], family=family)
    except (OSError, UnicodeError) as error:  # the latter for what no name can be
        reason = str(getattr(error, "strerror", "") or "no name of a host").partition(" (")[0]
        raise UserError(
            f"cannot listen on --host {host} --port {port}: {reason}; "
            "choose another --port, or 0 for any that is free"
        ) from error
