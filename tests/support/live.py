"""What tests of the live path share: a runner on a scripted server, scenes that speak Binance."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

from streamforge_core.model.data_input import DataInput
from streamforge_core.runners.bindings import BinanceRunner
from streamforge_core.transport.clock import AcceleratedClock, SystemClock
from tests.support.binance_frames import NEW_YEAR_2025, kline_frame
from tests.support.scripted_socket import Peer, Scene, ScriptedSocket

MINUTE = 60_000


def fast_clock(speed: float = 100.0) -> AcceleratedClock:
    """Return a clock that starts now and makes short work of delays."""
    now_ms = SystemClock().now_ms()
    return AcceleratedClock(speed, real_ms=now_ms, simulated_ms=now_ms)


def minute(index: int, **fields: Any) -> str:  # noqa: ANN401 - any field of the wire
    """Return the frame of the closed minute that opens `index` minutes after `NEW_YEAR_2025`."""
    return kline_frame(NEW_YEAR_2025 + index * MINUTE, **fields)


def minutes(indices: Iterable[int], **fields: Any) -> list[str]:  # noqa: ANN401 - likewise
    """Return the frames of several closed minutes."""
    return [minute(index, **fields) for index in indices]


def serves(*frames: str, then_drops: bool = False) -> Scene:
    """Take one request, accept it, send frames; then stay, or drop the connection."""

    async def scene(peer: Peer) -> None:
        await peer.acks()
        await peer.says(*frames)
        await (peer.drops() if then_drops else peer.stays())

    return scene


def an_input(*symbols: str, timeframe: str = "1m", aggregate: Iterable[str] = ()) -> DataInput:
    """Return what to stream, BTCUSDT minutes by default."""
    return DataInput("kline", list(symbols or ("BTCUSDT",)), timeframe, "DEFAULT", list(aggregate))


def a_runner(
    server: ScriptedSocket,
    *inputs: DataInput,
    **options: Any,  # noqa: ANN401 - any option of a runner
) -> BinanceRunner:
    """Return a runner that talks to a scripted server."""
    defaults: dict[str, Any] = {
        "clock": fast_clock(),
        "endpoints": {"WEBSOCKET": server.url},
    }
    return BinanceRunner(list(inputs or [an_input()]), **(defaults | options))


@asynccontextmanager
async def running(runner: BinanceRunner) -> AsyncIterator["asyncio.Task[None]"]:
    """Let a runner run in the background; it is stopped at the end of the block."""
    task = asyncio.create_task(runner.run())
    try:
        yield task
        await runner.stop()
        await task
    finally:
        task.cancel()
        with suppress(BaseException):
            await task
