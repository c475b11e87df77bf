"""What a connection's streams have to say at an instant: candles that ended, candles that run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from streamforge_core.simulator.binance_frames import closing_event, running_event, stream_of
from streamforge_core.simulator.boundaries import next_open, open_of
from streamforge_core.simulator.feeds import Feed

SECOND_PERIOD_MS: Final = 1000
PERIOD_MS: Final = 2000


@dataclass(slots=True)
class StreamTroubles:
    """Misbehaviour of all streams of the exchange, switched by a test at any time.

    Attributes:
        muted: Streams that are accepted and send nothing.
        repeats_closings: Whether each candle is announced as final twice.
    """

    muted: set[str] = field(default_factory=set)
    repeats_closings: bool = False


@dataclass(slots=True)
class _Stream:
    feed: Feed
    interval: str
    cursor_ms: int
    """Open of the first candle not yet announced as final."""


class Subscriptions:
    """The streams of one connection, in the order they were asked for.

    Args:
        feeds: Symbol -> its candles.
        troubles: Shared by all connections.
        microseconds: Whether times are stated in microseconds.
    """

    def __init__(
        self, feeds: Mapping[str, Feed], troubles: StreamTroubles, *, microseconds: bool
    ) -> None:
        self._feeds = feeds
        self._troubles = troubles
        self._microseconds = microseconds
        self._streams: dict[str, _Stream | None] = {}

    @property
    def names(self) -> list[str]:
        """Every accepted stream, also those that never send."""
        return list(self._streams)

    def add(self, name: str, now_ms: int) -> None:
        """Accept a stream; it begins with the candle that runs now."""
        if name in self._streams:
            return
        known = stream_of(name)
        feed = self._feeds.get(known[0]) if known else None
        if known is None or feed is None:
            self._streams[name] = None
            return
        self._streams[name] = _Stream(feed, known[1], open_of(now_ms, known[1]))

    def remove(self, name: str) -> None:
        """Forget a stream; a name that is not there is no error."""
        self._streams.pop(name, None)

    def period_ms(self) -> int:
        """Return how often something is to be sent."""
        by_second = any(stream and stream.interval == "1s" for stream in self._streams.values())
        return SECOND_PERIOD_MS if by_second else PERIOD_MS

    def events(self, now_ms: int, due_ms: int | None = None) -> list[tuple[str, dict[str, Any]]]:
        """Return what is to be sent now: every ended candle in order of its end, then the running.

        A candle that an outage cut short is never announced as final: the engine that would have
        done so was down. During an outage no candle runs.

        Args:
            now_ms: What time it is.
            due_ms: What time it should be: a late call still is the push of that second.
        """
        second = (now_ms if due_ms is None else due_ms) // SECOND_PERIOD_MS
        ended: list[tuple[int, str, dict[str, Any]]] = []
        running: list[tuple[str, dict[str, Any]]] = []
        for name, stream in self._streams.items():
            if stream is None:
                continue
            closings, updates = self._of_stream(stream, now_ms, second)
            if name not in self._troubles.muted:
                ended += [(event["k"]["T"], name, event) for event in closings]
                running += [(name, event) for event in updates]
        ended.sort(key=lambda closing: closing[0])
        copies = 2 if self._troubles.repeats_closings else 1
        return [(name, event) for _, name, event in ended for _ in range(copies)] + running

    def _of_stream(
        self, stream: _Stream, now_ms: int, second: int
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        feed, interval, unit = stream.feed, stream.interval, self._microseconds
        closings, updates = [], []
        for row in feed.rows(interval, stream.cursor_ms, now_ms + 1, now_ms):
            end_ms = next_open(row.open_ms, interval)
            if end_ms <= now_ms:
                stream.cursor_ms = end_ms
                if not row.is_cut(interval):
                    closings.append(closing_event(feed.symbol, interval, row, microseconds=unit))
            elif feed.is_up(now_ms) and _is_due(interval, second):
                event = running_event(feed.symbol, interval, row, now_ms, microseconds=unit)
                updates.append(event)
        return closings, updates


def _is_due(interval: str, second: int) -> bool:
    """Tell whether a running candle is pushed in this second: every one, or the even ones."""
    return interval == "1s" or second % 2 == 0
