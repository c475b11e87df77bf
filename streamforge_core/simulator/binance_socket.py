"""Binance's WebSocket connections: requests, pushes, keepalive, limits and lifetime.

Source: binance-spot-api-docs `web-socket-streams.md`, text of 2026-07.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from aiohttp import WSMsgType, web

from streamforge_core.simulator.binance_frames import (
    ClientRequest,
    FrameError,
    check_property,
    check_streams,
    client_request,
    shutdown_event,
)
from streamforge_core.simulator.binance_push import StreamTroubles, Subscriptions
from streamforge_core.simulator.boundaries import DAY_MS, MINUTE_MS
from streamforge_core.simulator.feeds import Feed
from streamforge_core.transport.clock import AcceleratedClock, Clock

MAX_STREAMS: Final = 1024
MAX_MESSAGES_PER_SECOND: Final = 5
MAX_CONNECTIONS: Final = 300
_CONNECTIONS_WITHIN_MS: Final = 5 * MINUTE_MS
_LIFETIME_MS: Final = DAY_MS
_PING_S: Final = 20.0
_PONG_WITHIN_MS: Final = 60_000
# Real time that keepalive takes however fast the clock runs: a computer needs it to answer.
_SHORTEST_PING_S: Final = 0.25
_SHORTEST_PONG_MS: Final = 5_000
_PUSH_DELAY_MS: Final = 3
# From a thousandfold speed on several candles may end between two pushes: all of them are told.
_SHORTEST_PUSH_MS: Final = 2
_MICROSECONDS: Final = {"MICROSECOND", "microsecond"}
_GOING_AWAY: Final = 1001
_POLICY: Final = 1008

_log = logging.getLogger(__name__)


class StreamServer:
    """All WebSocket connections of the exchange.

    Args:
        feeds: Symbol -> its candles.
        clock: What time it is on the exchange.

    Attributes:
        troubles: Switches for tests.
    """

    def __init__(self, feeds: Mapping[str, Feed], clock: Clock) -> None:
        self.troubles = StreamTroubles()
        self._feeds = feeds
        self._clock = clock
        self._connections: set[Connection] = set()
        self._attempts: deque[int] = deque()

    def routes(self) -> list[web.AbstractRouteDef]:
        """Return its routes."""
        return [
            web.get("/ws", self._accept),
            web.get("/ws/{streams:.*}", self._accept),
            web.get("/stream", self._accept),
        ]

    @property
    def open_connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    async def announce_shutdown(self) -> None:
        """Tell every client that a maintenance comes; the connections stay open."""
        for connection in list(self._connections):
            await connection.announce_shutdown()

    async def drop(self) -> None:
        """Cut every connection without a word."""
        for connection in list(self._connections):
            connection.cut()

    async def close(self) -> None:
        """Close every connection."""
        for connection in list(self._connections):
            await connection.close(_GOING_AWAY, "")

    async def _accept(self, request: web.Request) -> web.StreamResponse:
        if self._too_many_attempts():
            return web.Response(status=429, headers={"Retry-After": "300"})
        combined = request.path == "/stream"
        text = request.query.get("streams", "") if combined else request.match_info.get("streams")
        connection = Connection(
            request,
            Subscriptions(
                self._feeds,
                self.troubles,
                microseconds=request.query.get("timeUnit") in _MICROSECONDS,
            ),
            self._clock,
            combined=combined,
            microseconds=request.query.get("timeUnit") in _MICROSECONDS,
        )
        self._connections.add(connection)
        try:
            return await connection.run([name for name in (text or "").split("/") if name])
        finally:
            self._connections.discard(connection)

    def _too_many_attempts(self) -> bool:
        now_ms = self._clock.now_ms()
        self._attempts.append(now_ms)
        while self._attempts[0] <= now_ms - _CONNECTIONS_WITHIN_MS:
            self._attempts.popleft()
        return len(self._attempts) > MAX_CONNECTIONS


class Connection:
    """One client.

    Args:
        request: The handshake.
        subscriptions: Its streams.
        clock: What time it is on the exchange.
        combined: Whether events are wrapped with their stream's name.
        microseconds: Whether times are stated in microseconds.
    """

    def __init__(
        self,
        request: web.Request,
        subscriptions: Subscriptions,
        clock: Clock,
        *,
        combined: bool,
        microseconds: bool,
    ) -> None:
        # Binance does not compress; its own pings are sent here, with the payload to be copied.
        self._socket = web.WebSocketResponse(autoping=False, compress=False)
        self._request = request
        self._subscriptions = subscriptions
        self._clock = clock
        self._speed = clock.speed if isinstance(clock, AcceleratedClock) else 1.0
        self._combined = combined
        self._microseconds = microseconds
        self._received_ms: deque[int] = deque(maxlen=MAX_MESSAGES_PER_SECOND + 1)
        self._unanswered: dict[bytes, int] = {}

    async def run(self, streams: list[str]) -> web.StreamResponse:
        """Serve the client until one side ends it."""
        await self._socket.prepare(self._request)
        self._subscribe(streams)
        tasks = [asyncio.create_task(self._push()), asyncio.create_task(self._keep_alive())]
        for task in tasks:
            task.add_done_callback(_report)
        try:
            if len(streams) > MAX_STREAMS:
                await self.close(_POLICY, "Too many streams")
            async for message in self._socket:
                await self._receive(message.type, message.data)
        finally:
            for task in tasks:
                task.cancel()
        return self._socket

    async def announce_shutdown(self) -> None:
        """Send the announcement of a maintenance."""
        event = shutdown_event(self._clock.now_ms(), microseconds=self._microseconds)
        await self._send("!serverShutdown", event)

    def cut(self) -> None:
        """End the connection without a closing handshake."""
        if self._request.transport is not None:
            self._request.transport.abort()

    async def close(self, code: int, reason: str) -> None:
        """End the connection with a closing handshake."""
        await self._socket.close(code=code, message=reason.encode())

    async def _receive(self, kind: WSMsgType, data: Any) -> None:  # noqa: ANN401 - of the frame's kind
        now_ms = self._clock.now_ms()
        self._received_ms.append(now_ms)
        if self._is_flooded(now_ms):
            await self.close(_POLICY, "Too many requests")
        elif kind is WSMsgType.PING:
            await self._socket.pong(data)
        elif kind is WSMsgType.PONG:
            # A pong that copies no ping is allowed and proves nothing.
            if bytes(data) in self._unanswered:
                self._unanswered.clear()
        elif kind is WSMsgType.TEXT:
            await self._reply(data)

    def _is_flooded(self, now_ms: int) -> bool:
        full = len(self._received_ms) > MAX_MESSAGES_PER_SECOND
        return full and now_ms - self._received_ms[0] < 1000

    async def _reply(self, text: str) -> None:
        try:
            request = client_request(text)
            result = self._result(request)
        except FrameError as error:
            await self._send_value(error.answer)
            return
        if len(self._subscriptions.names) > MAX_STREAMS:
            await self.close(_POLICY, "Too many streams")
            return
        await self._send_value({"result": result, "id": request.id})

    def _result(self, request: ClientRequest) -> object:
        if request.method == "LIST_SUBSCRIPTIONS":
            return self._subscriptions.names
        if request.method == "GET_PROPERTY":
            check_property(request)
            return self._combined
        if request.method == "SET_PROPERTY":
            self._combined = bool(check_property(request))
        elif request.method == "SUBSCRIBE":
            self._subscribe(check_streams(request))
        else:
            for name in check_streams(request):
                self._subscriptions.remove(name)
        return None

    def _subscribe(self, names: list[str]) -> None:
        for name in names:
            self._subscriptions.add(name, self._clock.now_ms())

    async def _push(self) -> None:
        while not self._socket.closed:
            now_ms, period_ms = self._clock.now_ms(), self._subscriptions.period_ms()
            period_ms *= max(1, round(_SHORTEST_PUSH_MS * self._speed / period_ms))
            due_ms = (now_ms // period_ms + 1) * period_ms + _PUSH_DELAY_MS
            await self._clock.sleep((due_ms - now_ms) / 1000)
            for name, event in self._subscriptions.events(self._clock.now_ms(), due_ms):
                await self._send(name, event)

    async def _keep_alive(self) -> None:
        opened_ms = self._clock.now_ms()
        patience_ms = max(_PONG_WITHIN_MS, _SHORTEST_PONG_MS * self._speed)
        while not self._socket.closed:
            await self._clock.sleep(max(_PING_S, _SHORTEST_PING_S * self._speed))
            now_ms = self._clock.now_ms()
            if any(now_ms - sent_ms >= patience_ms for sent_ms in self._unanswered.values()):
                self.cut()
                return
            if now_ms - opened_ms >= _LIFETIME_MS:
                await self.close(_GOING_AWAY, "")
                return
            self._unanswered[str(now_ms).encode()] = now_ms
            await self._socket.ping(str(now_ms).encode())

    async def _send(self, stream: str, event: dict[str, Any]) -> None:
        await self._send_value({"stream": stream, "data": event} if self._combined else event)

    async def _send_value(self, value: object) -> None:
        # The client may be gone; the reader notices and ends the connection.
        with contextlib.suppress(ConnectionError):
            await self._socket.send_str(msgspec.json.encode(value).decode())


def _report(task: asyncio.Task[None]) -> None:
    """Log why a task ended if nobody asked for it."""
    if task.cancelled() or task.exception() is None:
        return
    if not isinstance(task.exception(), ConnectionError):
        _log.error("a stream connection failed", exc_info=task.exception())
