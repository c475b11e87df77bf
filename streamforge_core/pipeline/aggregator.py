"""Live: base candles -> candles of higher timeframes, one candle at a time.

Each level keeps the bucket that is running and folds it into the next level when it is complete,
so a candle costs one addition on most levels none. Sums are integers scaled by 10**d, which makes
them exact and independent of order. `pipeline/rollup.py` does the same over columns.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from streamforge_core.errors import ConfigError
from streamforge_core.model.gap import Hole
from streamforge_core.model.kline import Kline, Record, Series, series_of
from streamforge_core.model.timeframe import LENGTH_MS, check_timeframe, next_open, open_of
from streamforge_core.pipeline.bucket import Bucket, Scale
from streamforge_core.pipeline.cascade import (
    Absent,
    Holes,
    OneBase,
    Spans,
    Step,
    as_list,
    cascade,
    check_absent,
    spans_by_series,
)

_WAITING: Final = 256
"""Incomplete buckets kept per level; each costs about half a kilobyte."""


@dataclass(frozen=True, slots=True)
class Stale:
    """A higher candle that must be folded again from its base candles (`rollup` over a re-read).

    Attributes:
        series: Of the higher candle.
        open_ts: Its open, UTC epoch milliseconds.
        end_ts: Its last millisecond: base candles with `open_ts <= open <= end_ts` are needed.
    """

    series: Series
    open_ts: int
    end_ts: int


Output = Record | Stale


class Aggregator:
    """Folds the closed candles of one base series into higher ones, as they come.

    Feed every closed base record once, in order (what `Processor` lets through). A bucket comes
    out the moment its last base candle does: provenance "aggregated", `seen_ts` the latest of its
    parts, several ascending by end, then by timeframe. One that lacks a base candle is withheld
    until a late record fills it or a hole with a final verdict covers the rest; so is the bucket
    that runs at the start, unless it is fed from its open.

    What was folded cannot be unfolded, and base candles are not kept. So a record for a candle
    that was sent already, and a second record of one interval (a correction), gives `Stale` for
    every bucket that holds it: at once where it was sent, else at its end in place of the candle.
    `Stale` also comes for the oldest bucket when more than `max_waiting` wait on one level.

    Args:
        series: The base series.
        targets: Higher timeframes; their order has no meaning.
        holes: What is known beforehand about missing base candles.
        absent: "no_trades" where the source omits intervals without trades: a record then proves
            that nothing traded in the intervals skipped before it.
        emit_incomplete: Send what an incomplete bucket has once time has passed it, `is_complete`
            and `is_closed` False; the whole candle follows when it is known.
        max_waiting: Incomplete buckets kept per level.

    Raises:
        ConfigError: A target is not filled exactly by the base.
    """

    def __init__(
        self,
        series: Series,
        targets: Iterable[str],
        *,
        holes: Holes = (),
        absent: Absent = "unknown",
        emit_incomplete: bool = False,
        max_waiting: int = _WAITING,
    ) -> None:
        check_absent(absent)
        self._series = series
        self._length = LENGTH_MS.get(series.timeframe, 0)
        self._levels = _levels(series, _steps(series.timeframe, tuple(sorted(set(targets)))))
        self._roots = [level for level in self._levels if level.child is None]
        self._spans = spans_by_series(holes)(series)
        self._omits_quiet = absent == "no_trades"
        self._emit_incomplete = emit_incomplete
        self._max_waiting = max_waiting
        self._volumes, self._quotes = Scale(), Scale()
        self._last_ts: int | None = None
        self._out: list[Output] = []

    def fold(self, record: Record) -> list[Output]:
        """Take one base record; return what it completes.

        A record that is not closed is folded too, but its bucket then never completes.
        """
        interval = open_of(record.open_ts, self._series.timeframe)
        in_order = self._last_ts is None or record.open_ts > self._last_ts
        if in_order:
            self._pass(interval)
            self._last_ts = record.open_ts
        volume, quote = self._to_ints(record)
        for level in self._roots:
            bucket = level.holding(interval)
            if bucket is None:
                self._restale(level, interval)
                continue
            bit = 1 << (interval - bucket.open_ts) // self._length
            if bucket.filled & bit and not in_order:
                bucket.flags |= TAINTED
                continue
            bucket.add(record, volume, quote)
            bucket.filled |= bit
            if not record.is_closed:
                bucket.full = -1
            if bucket.filled == bucket.full:
                self._close(level, bucket)
        return self._sent()
