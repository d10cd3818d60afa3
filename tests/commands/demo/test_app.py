import asyncio
import http.client
import io
import json
import os
import re
import signal
import socket
import struct
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import uvicorn
from PIL import Image, ImageDraw

from lenet_multi.commands.demo import app
from lenet_multi.commands.demo.app import (
    HEADERS,
    MOST_BYTES,
    MOST_CONNECTIONS,
    PAGE,
    agreement,
    listen,
    serve,
)
from lenet_multi.errors import UserError
from lenet_multi.lenet.photographs.digit import prepare
from lenet_multi.runs.palette import LIGHT, style
from tests.commands.demo.stand_in import SEVEN, served
from tests.stand_ins import Calls

BACKENDS = ("tensorflow", "jax", "torch")
SURE, ALMOST, ONE = np.eye(10)[7], np.eye(10)[7] + 3e-7, np.eye(10)[1]  # probabilities
DOUBT = 0.6 * SURE + 0.4 * ONE


def seven() -> Image.Image:
    """Return a drawing of a 7."""
    image = Image.new("L", (280, 280))
    ImageDraw.Draw(image).line([(70, 60), (210, 60), (120, 230)], fill=255, width=24)
    return image


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    """Return the image encoded as a file."""
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def bomb() -> bytes:
    """Return about 130 bytes of a PNG whose header promises 30,000 x 30,000 pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(10_000)))
        + chunk(b"IEND", b"")
    )


def ask(
    address: str,
    path: str,
    body: bytes | Iterable[bytes] | None = None,
    *,
    method: str | None = None,
    host: str | None = None,
) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of the response."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    headers = {"Host": host} if host else {}
    connection.request(
        method or ("GET" if body is None else "POST"),
        path,
        body,
        headers,
        encode_chunked=body is not None and not isinstance(body, bytes),
    )
    answer = connection.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read()


def predict(address: str, drawing: bytes) -> Any:
    """Return the server's answer to a drawing."""
    status, _, content = ask(address, "/predict", drawing)
    assert status == 200, content
    return json.loads(content)


def wait_for_backends(address: str) -> list[dict[str, Any]]:
    """Return the backends' states once all have started or failed."""
    until = time.monotonic() + 300  # three frameworks are imported at once, beside other tests
    while time.monotonic() < until:
        states: list[dict[str, Any]] = json.loads(ask(address, "/backends")[2])
        if all(state["version"] or state["failure"] for state in states):
            return states
        time.sleep(0.02)
    raise AssertionError(f"still starting: {states}")


@pytest.fixture(scope="module")
def demo() -> Iterator[str]:
    """The address of a demo with three stand-ins that answer."""
    with served(**dict.fromkeys(BACKENDS, "answers")) as running:
        wait_for_backends(running.address)
        yield running.address


def test_a_drawing_is_answered(demo: str) -> None:
    """The answer holds the image as the networks saw it, each one's answer, and their agreement."""
    found = predict(demo, encoded(seven()))
    assert found["seen"] == prepare(seven()).tolist()
    assert [each["backend"] for each in found["backends"]] == list(BACKENDS)
    assert all(each.items() >= SEVEN.items() for each in found["backends"])
    assert found["agreement"] == "All three agree: 7; largest difference 0"


def test_the_page_is_whole_and_closed(demo: str) -> None:
    """The server serves each file that the page names; the page loads nothing from elsewhere."""
    status, headers, content = ask(demo, "/")
    assert status == 200
    assert headers["content-security-policy"].startswith("default-src 'none'")
    named = re.findall(r'(?:href|src)="(.*?)"', content.decode())
    assert {"index.html", *named} == {"palette.css", *(path.name for path in PAGE.iterdir())}
    for name in named:
        status, _, content = ask(demo, f"/{name}")
        wanted = style().encode() if name == "palette.css" else (PAGE / name).read_bytes()
        assert (status, content) == (200, wanted)


def test_the_page_has_no_colours_of_its_own() -> None:
    """The demo uses the colours of the report, and each variable that it uses exists."""
    sheet = (PAGE / "page.css").read_text()
    assert not re.search(r"#[0-9a-f]{6}|rgb|hsl", sheet)
    assert set(re.findall(r"var\(--(\w+)\)", sheet)) <= {*LIGHT, "accent"}


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/../app.py",
        "/%2e%2e/app.py",
        "/..%2fapp.py",
        "/..%5capp.py",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/page.js%00",
    ],
)
def test_what_is_not_of_the_page_is_not_there(demo: str, path: str) -> None:
    """No address leads out of the page's folder."""
    status, _, content = ask(demo, path)
    assert (status, json.loads(content)) == (404, {"error": "Not Found"})


@pytest.mark.parametrize(
    ("drawing", "status", "words"),
    [
        (b"", 422, "the picture is empty"),
        (b"<svg/>", 422, "the picture is in the format SVG"),
        (encoded(seven(), "GIF"), 422, "the picture is no image; give one of PNG"),
        (encoded(seven())[:200], 422, "the picture is a damaged or truncated image"),
        (encoded(Image.new("L", (280, 280))), 422, "nothing is drawn on it"),
        (bomb(), 422, "the picture has more than 4 megapixels"),
        (bytes(MOST_BYTES + 1), 413, f"the picture is larger than {MOST_BYTES} bytes"),
        ([bytes(2**16)] * 64, 413, f"the picture is larger than {MOST_BYTES} bytes"),
    ],
    ids=["empty", "SVG", "GIF", "truncated", "blank", "bomb", "large", "large in parts"],
)
def test_what_is_no_drawing_is_refused(
    demo: str, drawing: bytes | list[bytes], status: int, words: str
) -> None:
    """A bad drawing gets one line of JSON that names the fault, and the next one is answered."""
    found, _, content = ask(demo, "/predict", drawing)
    assert found == status
    assert json.loads(content)["error"].startswith(words)
    predict(demo, encoded(seven()))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/predict", 404), ("PUT", "/predict", 405), ("POST", "/", 405)],
)
def test_another_method_is_refused(demo: str, method: str, path: str, status: int) -> None:
    """Each address accepts one method."""
    found, _, content = ask(demo, path, b"", method=method)
    assert found == status
    assert "error" in json.loads(content)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("localhost:1234", 200),
        ("rebound.example", 400),
        ("127.0.0.1.rebound.example", 400),
        ("localhost@rebound.example", 400),
        ("[::1", 400),
    ],
)
def test_a_name_that_points_here_is_refused(demo: str, host: str, status: int) -> None:
    """A site whose name is bound to this machine's address gets no answer."""
    assert ask(demo, "/backends", host=host)[0] == status


def test_a_backend_that_fails_leaves_the_others() -> None:
    """One never starts and one dies: the demo names each reason, and the third answers."""
    with served(tensorflow="never starts", jax="dies when asked", torch="answers") as running:
        states = wait_for_backends(running.address)
        assert states[0]["failure"] == "RuntimeError: out of luck (status 1)"
        for _ in range(2):
            found = predict(running.address, encoded(seven()))
            assert [each["failure"] for each in found["backends"]] == [
                "RuntimeError: out of luck (status 1)",
                "it printed nothing (SIGKILL)",
                None,
            ]
            assert found["agreement"] == "torch answers 7"


@pytest.mark.parametrize(
    ("blow", "status"),
    [(signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGKILL, -signal.SIGKILL)],
    ids=["Ctrl-C", "terminated", "killed"],
)
def test_backends_end_with_the_demo(blow: signal.Signals, status: int) -> None:
    """However the demo ends, its processes end with it."""
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
    """On another address the server accepts any host name, and warns that others can use it."""
    with served(host=host, jax="answers") as demo:
        assert ask(demo.address, "/")[0] == 200
        assert ask(demo.address, "/", host="stranger.example")[0] == stranger
        assert any("over the network" in line for line in demo.warnings) == warned


@pytest.mark.parametrize(
    ("host", "named", "others"),
    [("127.0.0.1", "127.0.0.1", False), ("::1", "[::1]", False), ("0.0.0.0", "0.0.0.0", True)],
)
def test_the_browser_is_sent_to_the_page(
    host: str,
    named: str,
    others: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The browser opens the printed address, on any free port; Ctrl-C ends the demo in order."""
    opened: list[str] = []
    calls, known_as = Calls(), ["*"] if others else [host, named, "localhost"]

    def run(server: uvicorn.Server, sockets: list[socket.socket]) -> None:
        (listener,) = sockets
        config = server.config
        assert opened == [f"http://{named}:{listener.getsockname()[1]}/"]
        assert (config.app, config.log_level) == ("an app", "warning")
        assert (config.limit_concurrency, config.timeout_graceful_shutdown) == (64, 1)
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "make_app", calls.of("make", "an app"))
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("uvicorn.Server.run", run)
    serve([], host=host, port=0, open_browser=True)
    told = capsys.readouterr()
    assert calls == [("make", [], known_as, {})]
    assert told.out == f"Demo: {opened[0]}  (Ctrl-C ends it)\n"
    warning = f"lenet-multi: anyone who reaches {host} over the network can use the demo\n"
    assert told.err == (warning if others else "")


def test_no_browser_is_opened_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A remote machine may have none."""
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("uvicorn.Server.run", lambda server, sockets: None)
    calls = Calls()
    monkeypatch.setattr(app, "listen", calls.of("listen", listen("127.0.0.1", 0)))
    serve([], host="127.0.0.1", port=8028)
    assert calls == [("listen", "127.0.0.1", 8028, {})]
    assert opened == []


class StandIn:
    """A backend in this process, which answers `found`."""

    class_names: tuple[str, ...] | None = None

    def __init__(self, name: str, **found: Any) -> None:
        self.state = {"backend": name}
        self.found = found
        self.asked: list[bytes] = []
        self.runs = ""

    async def run(self) -> None:
        """Wait for the end."""
        self.runs = "started"
        try:
            await asyncio.Event().wait()
        finally:
            self.runs = "ended"

    async def ask(self, image: bytes) -> dict[str, Any]:
        """Keep the image, and answer."""
        self.asked.append(image)
        return {**self.state, **self.found}


def here(
    path: str,
    *parts: bytes,
    backends: Sequence[StandIn] = (),
    method: str = "GET",
    host: str = "here",
    hosts: Sequence[str] = ("here",),
) -> tuple[int, dict[str, str], bytes]:
    """Return the status, the headers and the body that the server in this process answers."""
    address = ("127.0.0.1", 80)
    scope: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", host.encode())],
        "server": address,
        "client": address,
    }
    asked = [
        {"type": "http.request", "body": part, "more_body": index < len(parts)}
        for index, part in enumerate(parts or (b"",), 1)
    ]
    told: list[Any] = []

    async def receive() -> Any:
        return asked.pop(0) if asked else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        told.append(message)

    asyncio.run(app.make_app(backends, hosts)(scope, receive, send))  # type: ignore[arg-type]
    headers = {name.decode(): value.decode() for name, value in told[0]["headers"]}
    return told[0]["status"], headers, b"".join(one.get("body", b"") for one in told[1:])


def test_every_answer_forbids_what_the_page_does_not_need() -> None:
    """The page, an error and a refusal of a strange host have the same headers."""
    page = here("/")
    assert (page[0], page[2]) == (200, (PAGE / "index.html").read_bytes())
    for status, (found, headers, _) in (
        (200, page),
        (404, here("/nothing")),
        (400, here("/", host="stranger")),
    ):
        assert found == status
        assert headers.items() >= {name.lower(): value for name, value in HEADERS.items()}.items()


def test_a_host_of_another_name_is_sent_nowhere() -> None:
    """The server knows no name with www."""
    assert here("/", host="here", hosts=["www.here"])[0] == 400


def test_states_and_colours_are_served() -> None:
    """The page asks for both."""
    status, _, content = here("/backends", backends=[StandIn("jax"), StandIn("torch")])
    assert (status, json.loads(content)) == (200, [{"backend": "jax"}, {"backend": "torch"}])
    status, headers, content = here("/palette.css")
    assert (status, content) == (200, style().encode())
    assert headers["content-type"] == "text/css; charset=utf-8"


def test_each_backend_is_asked_for_the_prepared_image() -> None:
    """The answer names the classes; a backend that failed takes no part in the agreement."""
    backends = [
        StandIn("tensorflow", failure="it broke"),
        StandIn("jax", probabilities=SURE.tolist()),
        StandIn("torch", probabilities=ONE.tolist()),
    ]
    backends[0].class_names = tuple(f"class-{label}" for label in range(10))
    drawing = encoded(seven())
    status, _, content = here(
        "/predict", drawing[:99], drawing[99:], backends=backends, method="POST"
    )
    assert status == 200
    assert json.loads(content) == {
        "seen": prepare(seven()).tolist(),
        "backends": [{**one.state, **one.found} for one in backends],
        "verdict": "disagree",
        "agreement": "They disagree: jax class-7, torch class-1; largest difference 1",
    }
    assert [one.asked for one in backends] == [[prepare(seven()).tobytes()]] * 3


@pytest.mark.parametrize(
    ("parts", "status", "words"),
    [
        ([b"<svg/>"], 422, "the picture is in the format SVG"),
        ([encoded(seven(), "GIF")], 422, "the picture is no image; give one of PNG"),
        ([bomb()], 422, "the picture has more than 4 megapixels"),
        ([bytes(MOST_BYTES)], 422, "the picture is no image; give one of PNG"),
        ([bytes(MOST_BYTES), b"0"], 413, f"the picture is larger than {MOST_BYTES} bytes"),
    ],
    ids=["SVG", "GIF", "bomb", "most", "more"],
)
def test_what_is_no_drawing_reaches_no_backend(parts: list[bytes], status: int, words: str) -> None:
    """The error is one line of JSON, and the largest drawing is just not too large."""
    backend = StandIn("jax")
    found, _, content = here("/predict", *parts, backends=[backend], method="POST")
    assert found == status
    assert json.loads(content)["error"].startswith(words)
    assert backend.asked == []


def test_another_method_is_told_what_is_allowed() -> None:
    """The header says it, as HTTP wants."""
    status, headers, content = here("/", method="PUT")
    assert (status, headers["allow"]) == (405, "GET, HEAD")
    assert json.loads(content) == {"error": "Method Not Allowed"}


def test_the_processes_run_while_the_server_does() -> None:
    """Each starts with it and ends with it."""
    backends = [StandIn("jax"), StandIn("torch")]

    async def live() -> None:
        server = app.make_app(backends, [])  # type: ignore[arg-type]
        async with server.router.lifespan_context(server):
            await asyncio.sleep(0)
            assert [one.runs for one in backends] == ["started"] * 2
        assert [one.runs for one in backends] == ["ended"] * 2

    asyncio.run(live())


def test_a_flood_is_turned_away() -> None:
    """Connections beyond the limit get status 503; once they close, the server answers again."""
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
    """The error names the port and what to do."""
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError) as raised:
            listen("127.0.0.1", port)
    assert str(raised.value) == (
        f"cannot listen on --host 127.0.0.1 --port {port}: Address already in use; choose another "
        "--host or --port (0: any free port)"
    )


@pytest.mark.parametrize(
    ("host", "why"),
    [("nowhere.invalid", ""), ("256.1.1.1", ""), ("", ""), ("x" * 300, "not a host name; choose")],
    ids=["unknown", "number", "empty", "long"],
)
def test_a_host_that_is_not_here_is_told(host: str, why: str) -> None:
    """The error names the host, and says why if the system does not."""
    with pytest.raises(UserError, match=f"^cannot listen on --host {host} --port 0: {why}"):
        listen(host, 0)


@pytest.mark.parametrize(
    ("answers", "verdict", "words"),
    [
        ({}, "alone", "No backend answers"),
        ({"jax": SURE}, "alone", "jax answers 7"),
        ({"jax": DOUBT}, "unsure", "jax answers 7; unsure, at 60%"),
        ({"jax": SURE, "torch": SURE}, "agree", "Both agree: 7; largest difference 0"),
        (
            {"jax": DOUBT, "torch": SURE},
            "unsure",
            "Both agree: 7; unsure, at 60%; largest difference 0.4",
        ),
        (
            {"tensorflow": SURE, "jax": ALMOST, "torch": SURE},
            "agree",
            "All three agree: 7; largest difference 3e-07",
        ),
        (
            {"tensorflow": SURE, "jax": SURE, "torch": ONE},
            "disagree",
            "They disagree: tensorflow 7, jax 7, torch 1; largest difference 1",
        ),
    ],
    ids=["none", "one", "one unsure", "two", "two unsure", "three", "disagreement"],
)
def test_agreement_is_told_in_words(
    answers: dict[str, np.ndarray], verdict: str, words: str
) -> None:
    """The line counts the backends, names the answer and the largest gap of a probability."""
    assert agreement(answers) == (verdict, words)


def test_agreement_has_the_names_of_classes() -> None:
    """The line has the names of the classes instead of their numbers."""
    names = [f"class-{label}" for label in range(10)]
    assert agreement({"jax": SURE, "torch": SURE}, names)[1].startswith("Both agree: class-7;")
    assert "jax class-7, torch class-1" in agreement({"jax": SURE, "torch": ONE}, names)[1]
