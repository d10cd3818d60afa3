"""The server of the page: what it answers, and what it refuses."""

import asyncio
import io
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
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

from lenet_multi.commands.demo.agreement import agreement
from lenet_multi.commands.demo.process import BackendProcess
from lenet_multi.errors import UserError
from lenet_multi.lenet import photographs

MOST_BYTES = 2**20  # of a drawing; the page's takes 2,000
MOST_PIXELS = 2**22  # of a drawing, 12 MB once decoded; the page's has 19,600

PAGE = Path(__file__).parent / "page"

HEADERS = {  # the page is all here, and belongs in no other
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def make_app(backends: Sequence[BackendProcess], hosts: Sequence[str]) -> Starlette:
    """Return the server that asks `backends`, for browsers that call it one of `hosts`.

    It starts the processes with itself and ends them with itself. It answers:

    - GET / and what the page consists of
    - GET /backends: how each fares
    - POST /predict, a PNG: the image as the networks saw it, what each backend answers, and
      whether they agree

    Anything else gets a status of 4xx and one line of JSON, {"error": WORDS}; a wrong name of the
    host gets less.
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
        return JSONResponse(
            {"seen": image.tolist(), "backends": answers, "agreement": agreement(found)}
        )

    return Starlette(
        routes=[
            Route("/backends", states),
            Route("/predict", predict, methods=["POST"]),
            Mount("/", StaticFiles(directory=PAGE, html=True)),
        ],
        middleware=[
            Middleware(BaseHTTPMiddleware, dispatch=_with_headers),
            # A site that has its name point here, DNS rebinding, is known by that name.
            Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False),
        ],
        exception_handlers={HTTPException: _refusal},
        lifespan=processes,
    )


async def _body(request: Request) -> bytes:
    """Return the body, read no further than `MOST_BYTES`."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise HTTPException(413, f"the drawing is larger than {MOST_BYTES} bytes")
    return body


def _prepare(drawing: bytes) -> NDArray[np.uint8]:
    try:
        picture = photographs.read(
            io.BytesIO(drawing), name="the drawing", formats=("PNG",), most_pixels=MOST_PIXELS
        )
        return photographs.prepare(picture)
    except UserError as error:
        raise HTTPException(422, str(error)) from error


async def _with_headers(request: Request, answer: RequestResponseEndpoint) -> Response:
    response = await answer(request)
    response.headers.update(HEADERS)
    return response


async def _refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)
