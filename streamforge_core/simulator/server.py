"""The simulator as a command: run until told to stop."""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from streamforge_core.errors import ConfigError
from streamforge_core.simulator.binance import SimulatedBinance
from streamforge_core.simulator.boundaries import instant
from streamforge_core.transport.clock import AcceleratedClock, Clock, SystemClock

DEFAULT_PORT: Final = 8900
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def serve(
    *,
    announce: Callable[[str], None],
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    speed: float = 1.0,
    start: str | None = None,
    archive_dir: Path | str | None = None,
    symbols: Iterable[str] = (),
    seed: int = 0,
    stop: threading.Event | None = None,
) -> None:
    """Run Binance on loopback until SIGINT or SIGTERM; blocks.

    Args:
        announce: Takes each line for the user: the environment to set first.
        host: Address to listen on.
        port: Port to listen on, 0 for any free one.
        speed: Simulated seconds per real second.
        start: UTC date or time at which it begins, "2024-01-01"; None is now.
        archive_dir: Folder with archive files; their symbols answer from them alone.
        symbols: Symbols beside the default ones.
        seed: Another number gives another market.
        stop: Ends it as a signal does.

    Raises:
        ConfigError: An argument is malformed, or the port cannot be had.
    """
    stop, clock = stop or threading.Event(), clock_of(speed, start)
    exchange = SimulatedBinance(
        symbols=symbols, archive_dir=archive_dir, seed=seed, clock=clock, host=host, port=port
    )
    with _stopped_by_signals(stop), exchange:
        for name, value in exchange.environment().items():
            announce(f"export {name}={value}")
        announce(f"Simulated Binance on {exchange.url}: {', '.join(exchange.feeds)}.")
        stop.wait()
    announce("Stopped.")


def clock_of(speed: float, start: str | None) -> Clock:
    """Return the clock that begins at `start` now and runs `speed` times as fast.

    Raises:
        ConfigError: The speed is not positive, or the start is no date.
    """
    if speed <= 0:
        raise ConfigError(
            f"speed={speed:g} does not move. Use 1 for real time, 60 for a minute a second."
        )
    real_ms = SystemClock().now_ms()
    try:
        simulated_ms = real_ms if start is None else instant(start)
    except ValueError:
        raise ConfigError(f"start={start!r} is no date. Write it as 2024-01-01.") from None
    if speed == 1 and start is None:
        return SystemClock()
    return AcceleratedClock(speed, real_ms=real_ms, simulated_ms=simulated_ms)


@contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """Let signals set an event; only the main thread may ask for them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
