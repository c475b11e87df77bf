"""Run a simulated exchange on a loopback port: in a thread, or in the running loop."""

import asyncio
import threading
from collections.abc import Coroutine, Iterable
from types import TracebackType
from typing import Final, Self

from aiohttp import web

from streamforge_core.errors import ConfigError
from streamforge_core.simulator.faults import Fault, Faults, RequestLog
from streamforge_core.simulator.web_faults import control_routes, recording, spoiling
from streamforge_core.transport.clock import AcceleratedClock, Clock, SystemClock

_START_TIMEOUT_S: Final = 30.0
_CLOSING_S: Final = 0.5


class SimulatedExchange:
    """An exchange on a loopback port; `with` runs it in a thread, `async with` in this loop.

    Attributes:
        clock: What time it is there.
        requests: What it was asked, oldest first.
        faults: What goes wrong next; append to it at any time.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        faults: Iterable[Fault] = (),
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self.faults = Faults(faults)
        self.requests = RequestLog()
        self._host = host
        self._port = port
        self._runner: web.AppRunner | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopping: asyncio.Event | None = None
        self._failure: BaseException | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def routes(self) -> list[web.AbstractRouteDef]:
        """Return the exchange's own routes.

        Raises:
            NotImplementedError: The subclass defines none, which every exchange must.
        """
        raise NotImplementedError(f"{type(self).__name__} must define routes(self)")

    async def closing(self) -> None:
        """Say goodbye before the port is closed."""

    def run(self, action: Coroutine[None, None, None]) -> None:
        """Run a coroutine in the server's loop and wait for it; called in that loop, start it."""
        try:
            loop = self._running_loop()
        except ConfigError:
            action.close()
            raise
        if _current_loop() is loop:
            task = loop.create_task(action)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        asyncio.run_coroutine_threadsafe(action, loop).result(_START_TIMEOUT_S)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise ConfigError("The simulator does not run. Enter its `with` first.")
        return self._loop

    @property
    def port(self) -> int:
        """The port it listens on, known once it runs."""
        return self._port

    @property
    def url(self) -> str:
        """Where its REST interface and archive are."""
        return f"http://{self._host}:{self._port}"

    @property
    def websocket_url(self) -> str:
        """Where its streams are."""
        return f"ws://{self._host}:{self._port}"

    def environment(self) -> dict[str, str]:
        """Return the environment variables that make the library use it and its clock."""
        accelerated = isinstance(self.clock, AcceleratedClock)
        return {"STREAMFORGE_CLOCK": str(self.clock)} if accelerated else {}

    def start(self) -> Self:
        """Run it in a thread of its own until `stop`.

        Raises:
            ConfigError: The port cannot be had.
        """
        ready = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(ready)), name="simulator", daemon=True
        )
        self._thread.start()
        ready.wait(_START_TIMEOUT_S)
        if self._failure is not None:
            raise ConfigError(
                f"The simulator cannot listen on {self._host}:{self._port} ({self._failure}). "
                "Give it another port."
            ) from self._failure
        return self

    def stop(self) -> None:
        """Close all connections and end the thread; a second call does nothing."""
        if self._loop is not None and self._stopping is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
        if self._thread is not None:
            self._thread.join()
        self._thread = self._loop = self._stopping = None

    async def _serve(self, ready: threading.Event) -> None:
        try:
            await self._open()
        except OSError as error:
            self._failure = error
            return
        finally:
            self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
            ready.set()
        await self._stopping.wait()
        await self._close()

    async def _open(self) -> None:
        middlewares = [recording(self.requests), spoiling(self.faults, self.clock)]
        application = web.Application(middlewares=middlewares)
        application.add_routes(control_routes(self.requests, self.faults))
        application.add_routes(self.routes())
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=_CLOSING_S)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        self._port = self._runner.addresses[0][1]

    async def _close(self) -> None:
        await self.closing()
        if self._runner is not None:
            await self._runner.cleanup()
        self._loop = self._runner = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await self._open()
        self._loop = asyncio.get_running_loop()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._close()


def _current_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
