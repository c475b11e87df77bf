"""A WebSocket server on loopback that follows a script: it serves, drops, stalls and repeats."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

Scene = Callable[["Peer"], Awaitable[None]]
"""What the server does with one connection; when it returns, the connection is closed."""


class Peer:
    """One client's connection, as a scene sees it."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection
        self.path = connection.request.path if connection.request else ""

    async def heard(self) -> Any:  # noqa: ANN401 - whatever the client sent
        """Return the client's next frame, decoded."""
        return json.loads(await self._connection.recv())

    async def says(self, *frames: str | dict[str, Any]) -> None:
        """Send frames as text."""
        for frame in frames:
            text = frame if isinstance(frame, str) else json.dumps(frame)
            await self._connection.send(text)

    async def acks(self, *, result: object = None) -> Any:  # noqa: ANN401 - likewise
        """Wait for a request, accept it as Binance does, return it."""
        request = await self.heard()
        await self.says({"result": result, "id": request["id"]})
        return request

    async def stays(self) -> None:
        """Stay silent until the client goes."""
        await self._connection.wait_closed()

    async def drops(self) -> None:
        """Cut the connection without a goodbye."""
        self._connection.transport.abort()
        await self._connection.wait_closed()


class ScriptedSocket:
    """The server: connection n plays scene n, the last scene is played again for ever."""

    def __init__(self, *scenes: Scene) -> None:
        self._scenes = scenes
        self.connections = 0
        self.open = 0
        self.url = ""

    async def _serve(self, connection: ServerConnection) -> None:
        scene = self._scenes[min(self.connections, len(self._scenes) - 1)]
        self.connections += 1
        self.open += 1
        try:
            await scene(Peer(connection))
        except ConnectionClosed:
            pass  # the client left in the middle of the scene
        finally:
            self.open -= 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator["ScriptedSocket"]:
        """Serve on a free port until the block ends."""
        async with serve(self._serve, "127.0.0.1", 0, ping_interval=None) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            self.url = f"ws://127.0.0.1:{port}"
            yield self


async def until(condition: Callable[[], bool], *, timeout_s: float = 5.0) -> None:
    """Wait until something is true, looking again whenever the loop turns."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.002)
