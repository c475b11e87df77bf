"""A simulated exchange for tests, and a clock that moves only when a test says so."""

import asyncio
import heapq
import itertools
import threading
from typing import Any

import numpy as np

from streamforge_core.simulator.binance import SimulatedBinance
from streamforge_core.simulator.outages import fixed_outages

NEVER_DOWN = fixed_outages([])


def at(text: str) -> int:
    """Return a UTC date or time such as "2024-01-03T10:00" in epoch milliseconds."""
    return int(np.datetime64(text, "ms").astype(np.int64))


class SteppedClock:
    """A clock that stands still until moved; those who sleep by it wake in their order."""

    def __init__(self, now: str | int) -> None:
        self._now_ms = at(now) if isinstance(now, str) else now
        self._order = itertools.count()
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []

    def now_ms(self) -> int:
        """Return the time at which the clock stands."""
        return self._now_ms

    def set(self, now: str) -> None:
        """Jump; who sleeps goes on sleeping."""
        self._now_ms = at(now)

    async def sleep(self, delay_s: float) -> None:
        """Wait until somebody moves the clock far enough."""
        future = asyncio.get_running_loop().create_future()
        wake_ms = self._now_ms + round(delay_s * 1000)
        heapq.heappush(self._sleepers, (wake_ms, next(self._order), future))
        await future

    def wait(self, delay_s: float, stop: threading.Event | None = None) -> bool:
        """Jump ahead: nobody blocks a thread by a clock that stands still."""
        self._now_ms += round(delay_s * 1000)
        return stop.is_set() if stop else False

    async def advance(self, seconds: float) -> None:
        """Move on, stopping wherever somebody wakes until he sleeps again."""
        target_ms = self._now_ms + round(seconds * 1000)
        await _settle()
        while self._sleepers and self._sleepers[0][0] <= target_ms:
            wake_ms, _, future = heapq.heappop(self._sleepers)
            self._now_ms = max(self._now_ms, wake_ms)
            if not future.done():
                future.set_result(None)
            await _settle()
        self._now_ms = target_ms


async def _settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def simulated_binance(now: str | int | None = None, **options: Any) -> SimulatedBinance:  # noqa: ANN401 - passed on as they are
    """Return Binance on a free port, to be entered by `with` (own thread) or `async with`.

    Args:
        now: Where its clock stands still; None takes `clock` of the options, else the machine's.
        options: Of `SimulatedBinance`.
    """
    if now is not None:
        options["clock"] = SteppedClock(now)
    return SimulatedBinance(**options)
