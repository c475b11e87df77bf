"""The only reader of the wall clock; an accelerated one for simulations."""

import asyncio
import threading
import time
from typing import Protocol


class Clock(Protocol):
    """What everything that needs the time takes as an argument."""

    def now_ms(self) -> int:
        """Return the time in UTC epoch milliseconds."""

    async def sleep(self, delay_s: float) -> None:
        """Wait by this clock without blocking the event loop."""

    def wait(self, delay_s: float, stop: threading.Event | None = None) -> bool:
        """Block this thread by this clock.

        Returns:
            True when `stop` was set before the delay was over.
        """


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """Return the time in UTC epoch milliseconds."""
        return time.time_ns() // 1_000_000

    async def sleep(self, delay_s: float) -> None:
        """Wait without blocking the event loop."""
        await asyncio.sleep(delay_s)

    def wait(self, delay_s: float, stop: threading.Event | None = None) -> bool:
        """Block this thread; True when `stop` was set before the delay was over."""
        return (stop or threading.Event()).wait(max(0.0, delay_s))


class AcceleratedClock:
    """A clock that runs `speed` times as fast from a common start.

    Two processes built from the same three numbers agree on the time: a simulator and the runner
    that reads from it.

    Args:
        speed: Simulated seconds per real second.
        real_ms: Real UTC epoch milliseconds of the common start.
        simulated_ms: Simulated UTC epoch milliseconds of the common start.
    """

    def __init__(self, speed: float, *, real_ms: int, simulated_ms: int) -> None:
        self.speed = speed
        self.real_ms = real_ms
        self.simulated_ms = simulated_ms
        self._system = SystemClock()

    def now_ms(self) -> int:
        """Return the simulated time in UTC epoch milliseconds."""
        return self.simulated_ms + int((self._system.now_ms() - self.real_ms) * self.speed)

    async def sleep(self, delay_s: float) -> None:
        """Wait simulated seconds without blocking the event loop."""
        await self._system.sleep(delay_s / self.speed)

    def wait(self, delay_s: float, stop: threading.Event | None = None) -> bool:
        """Block this thread for simulated seconds; True when `stop` was set before."""
        return self._system.wait(delay_s / self.speed, stop)

    def __str__(self) -> str:
        return f"{self.speed:g}@{self.real_ms}/{self.simulated_ms}"


def clock_from(text: str | None) -> Clock:
    """Return the clock a text describes: "60@<real ms>/<simulated ms>", or the machine's.

    The simulator prints this text; `STREAMFORGE_CLOCK` carries it to the runners.

    Raises:
        ValueError: It is no such text.
    """
    if not text:
        return SystemClock()
    try:
        speed, _, start = text.partition("@")
        real_ms, _, simulated_ms = start.partition("/")
        return AcceleratedClock(float(speed), real_ms=int(real_ms), simulated_ms=int(simulated_ms))
    except ValueError:
        raise ValueError(
            f"{text!r} is not a clock. Write it as speed@real_ms/simulated_ms."
        ) from None
