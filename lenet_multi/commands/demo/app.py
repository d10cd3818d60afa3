"""The page's server: where it listens, what it answers and what it refuses."""

import asyncio
import io
import ipaddress
import socket
import webbrowser
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import click
import numpy as np
import uvicorn
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from lenet_multi.commands.demo.process import BackendProcess
from lenet_multi.data.class_names import shown
from lenet_multi.errors import UserError
from lenet_multi.inference.doubts import SURE
from lenet_multi.lenet.photographs import digit, files
from lenet_multi.runs.palette import style

MOST_CONNECTIONS = 64  # a browser opens six
_LAST_SECONDS = 1  # for unfinished answers, after Ctrl-C

MOST_BYTES = 2**20  # of a picture; the page sends 2,000 of a drawing, up to 920,000 of a photograph
MOST_PIXELS = 2**22  # of a picture, 12 MB when decoded; the page sends at most 262,144

PAGE = Path(__file__).parent / "page"

HEADERS = {  # the page loads nothing from elsewhere, and no other page may embed it
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def serve(
    backends: Sequence[BackendProcess], *, host: str, port: int, open_browser: bool = False
) -> None:
    """Serve the page for `backends` until Ctrl-C; `port` 0: any free one. Raises like `listen`."""
    with listen(host, port) as listener:
        address, taken = listener.getsockname()[:2]
        named = f"[{address}]" if ":" in address else address
        page, known_as = f"http://{named}:{taken}/", [host, named, "localhost"]
        if not ipaddress.ip_address(address).is_loopback:
            known_as = ["*"]
            warning = f"lenet-multi: anyone who reaches {host} over the network can use the demo"
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
        with suppress(KeyboardInterrupt):  # uvicorn raises it after its orderly end
            uvicorn.Server(config).run([listener])


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; raise `UserError` for an unknown host or a port in use."""
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(place[:2], family=family)
    except (OSError, UnicodeError) as error:  # `UnicodeError`: an impossible name
        reason = str(getattr(error, "strerror", "") or "not a host name").partition(" (")[0]
        raise UserError(
            f"cannot listen on --host {host} --port {port}: {reason}; "
            "choose another --host or --port (0: any free port)"
        ) from error


def make_app(backends: Sequence[BackendProcess], hosts: Sequence[str]) -> Starlette:
    """Return the server that asks `backends`, for browsers that address it as one of `hosts`.

    It starts and ends the processes together with itself. It answers:

    - GET /: the page's files
    - GET /backends: the state of each
    - POST /predict, a PNG: the image as the networks saw it, each backend's answer, the verdict
      ("agree", "unsure", "disagree" or "alone") and its words

    Other requests get status 4xx and the JSON {"error": WORDS}, wrong host names plain text.
    """

    @asynccontextmanager
    async def processes(app: Starlette) -> AsyncIterator[None]:
        running = [asyncio.create_task(backend.run()) for backend in backends]
        yield
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def states(request: Request) -> Response:
        return JSONResponse([backend.state for backend in backends])

    async def predict(request: Request) -> Response:
        image = await asyncio.to_thread(_prepare, await _body(request))
        answers = await asyncio.gather(*(backend.ask(image.tobytes()) for backend in backends))
        found = {
            each["backend"]: np.array(each["probabilities"])
            for each in answers
            if "probabilities" in each
        }
        verdict, words = agreement(found, backends[0].class_names)
        return JSONResponse(
            {"seen": image.tolist(), "backends": answers, "verdict": verdict, "agreement": words}
        )

    return Starlette(
        routes=[
            Route("/backends", states),
            Route("/predict", predict, methods=["POST"]),
            Route("/palette.css", lambda request: Response(style(), media_type="text/css")),
            Mount("/", StaticFiles(directory=PAGE, html=True)),
        ],
        middleware=[
            Middleware(BaseHTTPMiddleware, dispatch=_with_headers),
            # Stops DNS rebinding: a site whose name points here keeps its name in the header.
            Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False),
        ],
        exception_handlers={HTTPException: _refusal},
        lifespan=processes,
    )


_ALL = {2: "Both agree", 3: "All three agree"}


def agreement(
    answers: Mapping[str, NDArray[np.float64]], names: Sequence[str] | None = None
) -> tuple[str, str]:
    """Say whether all probabilities (10,) give one class, and the largest gap of a probability.

    First the verdict: "disagree"; "unsure" if a backend's highest probability is at most `SURE`;
    "alone" for fewer than two answers; or "agree".
    """
    digits = {backend: shown(names, int(each.argmax())) for backend, each in answers.items()}
    sure = min((float(each.max()) for each in answers.values()), default=1.0)
    doubt = "" if sure > SURE else f"; unsure, at {sure:.0%}"
    if len(answers) < 2:
        answered = (f"{backend} answers {digit}{doubt}" for backend, digit in digits.items())
        return "unsure" if doubt else "alone", next(answered, "No backend answers")
    gap = float(np.ptp(list(answers.values()), axis=0).max())
    if len(set(digits.values())) > 1:
        each = ", ".join(f"{backend} {digit}" for backend, digit in digits.items())
        return "disagree", f"They disagree: {each}; largest difference {gap:.2g}"
    words = f"{_ALL[len(answers)]}: {digits.popitem()[1]}{doubt}; largest difference {gap:.2g}"
    return "unsure" if doubt else "agree", words


async def _body(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise HTTPException(413, f"the picture is larger than {MOST_BYTES} bytes")
    return body


def _prepare(picture: bytes) -> NDArray[np.uint8]:
    try:
        image = files.read(
            io.BytesIO(picture), name="the picture", formats=("PNG",), most_pixels=MOST_PIXELS
        )
        return digit.prepare(image)
    except UserError as error:
        raise HTTPException(422, str(error)) from error


async def _with_headers(request: Request, answer: RequestResponseEndpoint) -> Response:
    response = await answer(request)
    response.headers.update(HEADERS)
    return response


async def _refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)
