"""A WebSocket that comes back for ever: connect, watch, reconnect. Knows no market."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from streamforge_core.errors import ConnectionLost
from streamforge_core.transport.backoff import Backoff
from streamforge_core.transport.clock import Clock

_log = logging.getLogger(__name__)

OnConnect = Callable[[], Iterable[str]]
"""Called on every connection; returns the frames to send on it, in order."""

OnFrame = Callable[[bytes, int], Awaitable[None] | None]
"""Called with each frame and its receive time; what it returns is awaited before the next one."""

OnLost = Callable[[str], None]
"""Called with the reason each time a connection is lost or could not be made."""

_STALE_CHECKS: Final = 4


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """How a connection is kept.

    Attributes:
        stale_after_s: Without any frame for this long it is given up. Pings and pongs are no
            frames: a peer that answers pings and sends nothing is stale.
        healthy_after_s: A connection that lived this long starts the back-off afresh; one that is
            dropped right after its handshake does not.
        open_timeout_s: For the handshake.
        close_timeout_s: For the goodbye.
        ping_interval_s: Between our own pings, which find a dead peer; the library answers theirs.
        max_frame_bytes: A longer frame ends the connection.
        max_queued_frames: Frames read ahead of the handler.
    """

    stale_after_s: float = 60.0
    healthy_after_s: float = 30.0
    open_timeout_s: float = 10.0
    close_timeout_s: float = 1.0
    ping_interval_s: float = 20.0
    max_frame_bytes: int = 1024 * 1024
    max_queued_frames: int = 256


class WebSocket:
    """One connection after another to one URL.

    `run` returns only by being cancelled, or raises what a callback raised: an error in a callback
    is a bug and never looks like a lost connection.

    Args:
        url: With scheme, host, port and path.
        clock: For receive times, delays and the stale watch.
        on_connect: See `OnConnect`.
        on_frame: See `OnFrame`.
        on_lost: See `OnLost`.
        send_interval_s: Least time between two frames that we send.
        limits: How a connection is kept.
        backoff: Delays between attempts; at most 45 s, each shortened at random.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        on_connect: OnConnect,
        on_frame: OnFrame,
        on_lost: OnLost,
        send_interval_s: float = 0.0,
        limits: SocketLimits = SocketLimits(),
        backoff: Backoff | None = None,
    ) -> None:
        self._url = url
        self._host = urlsplit(url).hostname or ""  # never the URL: it may hold a password
        self._clock = clock
        self._on_connect = on_connect
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._send_interval_s = send_interval_s
        self._limits = limits
        self._backoff = backoff or Backoff(first_s=1.5, cap_s=45.0, draw=random.random)
        self._to_send: asyncio.Queue[str] = asyncio.Queue()
        self._received = 0
        self._is_stale = False
        self.connections = 0
        """Connections made so far."""

    def send(self, frames: Iterable[str]) -> None:
        """Queue frames for the running connection; what it cannot take any more is dropped."""
        for frame in frames:
            self._to_send.put_nowait(frame)

    async def run(self) -> None:
        """Connect, deliver frames, and connect again whenever that ends."""
        failures = 0
        while True:
            started, before = self._clock.now_ms(), self.connections
            try:
                await self._connect_once()
            except ConnectionLost as error:
                lived_s = (self._clock.now_ms() - started) / 1_000
                if self.connections > before and lived_s >= self._limits.healthy_after_s:
                    failures = 0
                failures += 1
                await self._pause(str(error), self._backoff.delay_s(failures))

    async def _pause(self, reason: str, delay_s: float) -> None:
        _log.warning("%s: lost (%s); connecting again in %.1f s", self._host, reason, delay_s)
        self._on_lost(reason)
        await self._clock.sleep(delay_s)

    async def _connect_once(self) -> None:
        """Serve one connection to its end.

        Raises:
            ConnectionLost: Always, with the reason.
        """
        limits = self._limits
        connecting = connect(
            self._url,
            compression=None,
            open_timeout=limits.open_timeout_s,
            close_timeout=limits.close_timeout_s,
            ping_interval=limits.ping_interval_s,
            ping_timeout=limits.ping_interval_s,
            max_size=limits.max_frame_bytes,
            max_queue=limits.max_queued_frames,
        )
        try:
            connection = await connecting
        except (OSError, WebSocketException) as error:
            raise ConnectionLost(_reason(error)) from error
        try:
            await self._serve(connection)
        finally:
            await connection.close()

    async def _serve(self, connection: ClientConnection) -> None:
        self.connections += 1
        _log.info("%s: connected", self._host)
        self._is_stale = False
        self._to_send = asyncio.Queue()
        self.send(self._on_connect())
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(connection))
                group.create_task(self._send_queued(connection, self._to_send))
                group.create_task(self._watch(connection))
        except ExceptionGroup as errors:
            raise _gravest(errors) from None

    async def _read(self, connection: ClientConnection) -> None:
        now_ms, on_frame = self._clock.now_ms, self._on_frame
        while True:
            try:
                frame = await connection.recv(decode=False)
            except ConnectionClosed as error:
                limit = self._limits.stale_after_s
                stale = f"nothing received for {limit:g} s" if self._is_stale else None
                raise ConnectionLost(stale or _reason(error)) from error
            self._received += 1
            waiting = on_frame(frame, now_ms())
            if waiting is not None:
                await waiting

    async def _send_queued(self, connection: ClientConnection, queue: asyncio.Queue[str]) -> None:
        try:
            while True:
                await connection.send(await queue.get())
                await self._clock.sleep(self._send_interval_s)
        except ConnectionClosed:
            return  # the reader sees the same end, and tells it

    async def _watch(self, connection: ClientConnection) -> None:
        """Cut a connection that brings nothing.

        Silent checks are counted, not seconds: a loop that was blocked for long wakes up to one
        silent check, not to a verdict on a peer that it did not listen to.
        """
        silent, before = 0, self._received
        while silent < _STALE_CHECKS:
            await self._clock.sleep(self._limits.stale_after_s / _STALE_CHECKS)
            silent = silent + 1 if self._received == before else 0
            before = self._received
        self._is_stale = True
        connection.transport.abort()


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _gravest(errors: ExceptionGroup[Exception]) -> Exception:
    """Choose what to raise: a bug before the lost connection that came with it."""
    bugs = [error for error in errors.exceptions if not isinstance(error, ConnectionLost)]
    return (bugs or errors.exceptions)[0]
