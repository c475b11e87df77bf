"""An HTTP server on loopback that follows a script, and a clock that never makes anyone wait."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class ScriptedClock:
    """Stands still until somebody waits, then is where they wanted to be.

    Attributes:
        waits: Every delay asked for, in seconds.
    """

    def __init__(self, now_ms: int = 1_800_000_000_000) -> None:
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self.waits: list[float] = []

    def now_ms(self) -> int:
        with self._lock:
            return self._now_ms

    async def sleep(self, delay_s: float) -> None:
        self.wait(delay_s)

    def wait(self, delay_s: float, stop: threading.Event | None = None) -> bool:
        with self._lock:
            self.waits.append(delay_s)
            self._now_ms += round(delay_s * 1_000)
        return stop.is_set() if stop else False


@dataclass(frozen=True)
class Reply:
    """What the server answers.

    Attributes:
        announced: Content-Length; None announces the true one.
        hang_up: Send nothing at all.
    """

    status: int = 200
    body: bytes = b"ok"
    headers: Mapping[str, str] = field(default_factory=dict)
    announced: int | None = None
    hang_up: bool = False


class ScriptedWeb:
    """The server: request n gets reply n, the last one is given again for ever.

    Attributes:
        paths: Path and query of every request, in order.
    """

    def __init__(self, *replies: Reply) -> None:
        self._replies = replies
        self._lock = threading.Lock()
        self.paths: list[str] = []
        self.agents: list[str] = []
        self.before_reply: Callable[[], object] = lambda: None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def _next(self, path: str, agent: str) -> Reply:
        with self._lock:
            self.paths.append(path)
            self.agents.append(agent)
            return self._replies[min(len(self.paths), len(self._replies)) - 1]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                reply = web._next(self.path, self.headers["User-Agent"])
                web.before_reply()
                if reply.hang_up:
                    return
                self.send_response(reply.status)
                length = len(reply.body) if reply.announced is None else reply.announced
                for name, value in {**reply.headers, "Content-Length": str(length)}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(reply.body)

            def log_message(self, *_: Any) -> None:  # noqa: ANN401 - silence, whatever it is
                pass

        return Handler

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def nobody_listens() -> Iterator[str]:
    """Yield a URL on loopback that refuses connections."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    port = server.server_address[1]
    server.server_close()
    yield f"http://127.0.0.1:{port}"
