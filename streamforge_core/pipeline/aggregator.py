"""Live: base candles -> candles of higher timeframes, one candle at a time.

Each level keeps its running bucket and folds it into the next level once it is complete, so that
most candles cost one addition. Sums are integers scaled by 10**d: exact, whatever the order.
`pipeline/rollup.py` does the same over columns; one property test holds the two to each other.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from streamforge_core.errors import ConfigError
from streamforge_core.model.gap import Hole, final_spans
from streamforge_core.model.kline import FIELDS, Kline, Record, Series, series_of
from streamforge_core.model.timeframe import LENGTH_MS, check_timeframe, iso, open_of
from streamforge_core.pipeline.bucket import NEVER, REPORTED, TAINTED, Bucket, Scale
from streamforge_core.pipeline.cascade import (
    Absent,
    Holes,
    OneBase,
    Spans,
    Step,
    as_list,
    cascade,
    check_absent,
    holes_by_series,
)
from streamforge_core.pipeline.level import Level, levels_of

WAITING: Final = 256
"""Incomplete buckets kept per level unless told otherwise; each costs about half a kilobyte."""


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

    @property
    def timeframe(self) -> str:
        """Timeframe of the higher candle."""
        return self.series.timeframe


Folded = Record | Stale


class Aggregator:
    """Folds the closed candles of one base series into higher ones, as they come.

    Feed every closed base record once, in order (what `Processor` lets through). A bucket comes
    out the moment its last base candle does: provenance "aggregated", `seen_ts` the latest of its
    parts, several ascending by end, then by timeframe. One that lacks a base candle is withheld
    until a late record fills it or a hole with a final verdict covers the rest; so is the bucket
    that runs at the start, unless it is fed from its open (`warm_from`).

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
        max_waiting: int = WAITING,
    ) -> None:
        check_absent(absent)
        steps, self._rank = _steps(series.timeframe, tuple(sorted(set(targets))))
        self._length = LENGTH_MS[series.timeframe]
        self._levels = levels_of(series, steps)
        self._roots = [level for level in self._levels if level.child is None]
        self._spans: Spans = final_spans(holes)
        self._omits_quiet = absent == "no_trades"
        self._emit_incomplete = emit_incomplete
        self._max_waiting = max_waiting
        self._volumes, self._quotes = Scale(), Scale()
        self._last_ts = self._next_interval = NEVER
        self._out: list[Folded] = []

    def fold(self, record: Record, *, fills: bool = True) -> list[Folded]:
        """Take one base record; return what it completes.

        Args:
            record: If it is not closed it is folded too, but its bucket then never completes.
            fills: False if another record of the same interval follows (candles off the grid).
        """
        ts = record.open_ts
        # No base is longer than a day, so none has an anchor of its own.
        interval = ts - ts % self._length
        in_order = ts > self._last_ts
        if in_order:
            if interval > self._next_interval or self._emit_incomplete:
                self._pass_to(interval)
            self._last_ts = ts
            self._next_interval = interval + self._length
        volume = self._volumes.to_int(record.volume)
        if volume is None:
            volume = self._widened(self._volumes, record.volume)
        quote = self._quote(record.quote_volume)
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
            if not record.is_closed:
                bucket.full = -1
            self._fill_bits(level, bucket, bit if fills else 0)
        return self._sent()

    def resolve(self, hole: Hole) -> list[Folded]:
        """Take a verdict on missing base candles; return what a final one completes."""
        spans = final_spans([hole])
        # Spans that lie wholly in the past have done their work below.
        ahead = [span for span in self._spans if span[1] >= self._next_interval]
        self._spans = sorted([*ahead, *spans])
        opens = [bucket.open_ts for level in self._levels for bucket in level.waiting()]
        if opens:
            self._fill_spans(min(opens), self._latest_end(), spans)
        return self._sent()

    def flush(self) -> list[Folded]:
        """Say that the input is over: verdicts beyond the last record complete what they can.

        Returns:
            What they complete and, if `emit_incomplete`, everything else that is unfinished.
        """
        self._fill_spans(self._next_interval, self._latest_end(), self._spans)
        if self._emit_incomplete:
            for level in self._levels:
                for bucket in list(level.waiting()):
                    self._report(level, bucket)
        return self._sent()

    def waiting(self) -> list[tuple[str, int]]:
        """Return timeframe and open of every bucket that was begun and is not finished."""
        return [
            (level.series.timeframe, bucket.open_ts)
            for level in self._levels
            for bucket in level.waiting()
        ]

    def _quote(self, value: float | None) -> int:
        if value is None:
            return 0
        total = self._quotes.to_int(value)
        return self._widened(self._quotes, value) if total is None else total

    def _widened(self, scale: Scale, value: float) -> int:
        """Make room for a number with more decimals than any before it."""
        total, factor = scale.grow(value)
        if factor > 1:
            name = "volume" if scale is self._volumes else "quote"
            for level in self._levels:
                for bucket in level.waiting():
                    setattr(bucket, name, getattr(bucket, name) * factor)
        return total

    def _pass_to(self, interval: int) -> None:
        """Take note that everything before an interval has had the time to come."""
        passed = [(level, level.current) for level in self._levels if level.current is not None]
        since = self._next_interval
        if since == NEVER:
            opens = (open_of(interval, level.series.timeframe) for level in self._levels)
            since = min(opens, default=interval)
        everything = [(since, interval - 1)] if self._omits_quiet else self._spans
        self._fill_spans(since, interval - 1, everything)
        for level, bucket in passed:
            if bucket.end_ts < interval and self._emit_incomplete and level.is_waiting(bucket):
                self._report(level, bucket)
        for level in self._levels:
            while len(level.older) > self._max_waiting:
                oldest = level.older[min(level.older)]
                oldest.flags |= TAINTED
                self._close(level, oldest)

    def _fill_spans(self, first_ms: int, last_ms: int, spans: Spans) -> None:
        """Mark the base intervals of a stretch of time that lie in some spans as known empty."""
        for first, last in spans:
            start = max(first_ms, first // self._length * self._length)
            for level in self._roots:
                self._fill(level, start, min(last_ms, last))

    def _fill(self, level: Level, ts: int, last_ms: int) -> None:
        while ts <= last_ms:
            end = level.end_of(ts)
            bucket = level.holding(ts)
            if bucket is not None:
                count = (min(end, last_ms) - ts) // self._length + 1
                bits = ((1 << count) - 1) << (ts - bucket.open_ts) // self._length
                self._fill_bits(level, bucket, bits)
            ts = end + 1

    def _fill_bits(self, level: Level, bucket: Bucket, bits: int) -> None:
        bucket.filled |= bits
        if bucket.filled == bucket.full:
            self._close(level, bucket)

    def _latest_end(self) -> int:
        ends = (bucket.end_ts for level in self._levels for bucket in level.waiting())
        return max(ends, default=NEVER)

    def _close(self, level: Level, bucket: Bucket) -> None:
        """Send a complete bucket and fold it into the levels above."""
        level.finish(bucket)
        if bucket.flags & TAINTED:
            self._out.append(Stale(level.series, bucket.open_ts, bucket.end_ts))
        elif bucket.has_rows:
            self._out.append(self._record(level, bucket, is_complete=True))
        for parent in level.parents:
            holder = parent.holding(bucket.open_ts)
            if holder is None:
                self._restale(parent, bucket.open_ts)
                continue
            if bucket.flags & TAINTED:
                holder.flags |= TAINTED
            else:
                holder.merge(bucket)
            bit = 1 << (bucket.open_ts - holder.open_ts) // parent.part_length
            self._fill_bits(parent, holder, bit)

    def _restale(self, level: Level, ts: int) -> None:
        """Tell that a finished bucket must be folded again, and so all that hold it."""
        open_ts = open_of(ts, level.series.timeframe)
        self._out.append(Stale(level.series, open_ts, level.end_of(ts)))
        for parent in level.parents:
            holder = parent.holding(ts)
            if holder is None:
                self._restale(parent, ts)
            else:
                holder.flags |= TAINTED

    def _report(self, level: Level, bucket: Bucket) -> None:
        """Send what an incomplete bucket has, once; not what a correction has made wrong."""
        content = _content(level, bucket)
        if content.has_rows and not (content.flags & TAINTED or bucket.flags & REPORTED):
            self._out.append(self._record(level, content, is_complete=False))
        bucket.flags |= REPORTED

    def _record(self, level: Level, bucket: Bucket, *, is_complete: bool) -> Record:
        return bucket.to_record(level.series, self._volumes, self._quotes, is_complete=is_complete)

    def _sent(self) -> list[Folded]:
        out = self._out
        if out:
            self._out = []
        if len(out) > 1:
            out.sort(key=lambda folded: (folded.end_ts, self._rank[folded.timeframe]))
        return out


def _content(level: Level, bucket: Bucket) -> Bucket:
    """Return a copy of a bucket with what the unfinished candles of the level below have."""
    content = Bucket(bucket.open_ts, bucket.end_ts, 0)
    content.merge(bucket)
    content.flags |= bucket.flags & TAINTED
    if level.child is not None:
        for part in level.child.unfinished(bucket, level.part_length):
            below = _content(level.child, part)
            content.merge(below)
            content.flags |= below.flags & TAINTED
    return content


@lru_cache
def _steps(base: str, targets: tuple[str, ...]) -> tuple[tuple[Step, ...], dict[str, int]]:
    """Return the folds and the rank of each target; all symbols of a stream share them."""
    steps = tuple(cascade(base, targets))
    return steps, {step.target: rank for rank, step in enumerate(steps)}


def warm_from(ts: int, targets: Iterable[str]) -> int:
    """Return where to read from so that the buckets running at an instant are whole.

    That is 00:00 UTC of its day, or the earliest open among its buckets if that is before.

    Args:
        ts: UTC epoch milliseconds.
        targets: Timeframes to be derived.
    """
    return min(open_of(ts, label) for label in ("1d", *targets))


def aggregate(
    klines: Iterable[Kline],
    timeframes: Iterable[str] | str,
    *,
    holes: Holes | Mapping[Series, Holes] = (),
    absent: Absent = "unknown",
    emit_incomplete: bool = False,
) -> Iterator[Kline]:
    """Fold candles into higher timeframes, one by one; the same candles as `rollup` gives.

    Yields the higher candles of a series in the order they complete, ascending by timeframe where
    they end together. A candle comes when its successor does: until then the last base candle may
    be given again, and of two with the same open the closed one counts, among equals the last.

    Args:
        klines: Ascending per series, several series interleaved at will. One that is late is
            folded in as long as its candle has not been sent.
        timeframes: As for `rollup`.
        holes: As for `rollup`.
        absent: As for `rollup`.
        emit_incomplete: As for `rollup`.

    Raises:
        ConfigError: As for `rollup`; while iterating also, if a candle comes too late.
        UnknownTimeframe: A label is not in the table of timeframes.
    """
    targets = [check_timeframe(label) for label in as_list(timeframes)]
    check_absent(absent)
    return _aggregate(klines, targets, holes_by_series(holes), absent, emit_incomplete)


def _aggregate(
    klines: Iterable[Kline],
    targets: list[str],
    holes_of: Callable[[Series], Holes],
    absent: Absent,
    emit_incomplete: bool,  # noqa: FBT001 - private, called once
) -> Iterator[Kline]:
    bases = OneBase()
    inputs: dict[Series, _Input] = {}
    for kline in klines:
        series = series_of(kline)
        if series not in inputs:
            bases.check(series)
            aggregator = Aggregator(
                series,
                targets,
                holes=holes_of(series),
                absent=absent,
                emit_incomplete=emit_incomplete,
                max_waiting=sys.maxsize,
            )
            inputs[series] = _Input(aggregator, kline)
        yield from inputs[series].take(kline)
    for source in inputs.values():
        yield from source.end()


class _Input:
    """One series on its way through `aggregate`; the rows of the newest interval are held back."""

    def __init__(self, aggregator: Aggregator, kline: Kline) -> None:
        self._aggregator = aggregator
        self._source = kline.source
        self._length = LENGTH_MS[kline.timeframe]
        self._held: list[Record] = []

    def take(self, kline: Kline) -> list[Kline]:
        record, held = Record.from_kline(kline), self._held
        record.is_closed = kline.is_closed is not False
        if held and record.open_ts < held[-1].open_ts:
            return self._klines(self._aggregator.fold(record))
        if held and record.open_ts == held[-1].open_ts:
            if record.is_closed or not held[-1].is_closed:
                held[-1] = record
            return []
        interval = record.open_ts // self._length
        if held and held[-1].open_ts // self._length == interval:
            held.append(record)
            return []
        klines = self._release()
        self._held = [record]
        return klines

    def end(self) -> list[Kline]:
        return self._release() + self._klines(self._aggregator.flush())

    def _release(self) -> list[Kline]:
        klines = []
        for left, record in zip(range(len(self._held) - 1, -1, -1), self._held, strict=True):
            klines += self._klines(self._aggregator.fold(record, fills=not left))
        return klines

    def _klines(self, folded: Iterable[Folded]) -> list[Kline]:
        klines = []
        for item in folded:
            if isinstance(item, Stale):
                raise ConfigError(
                    f"A base candle of {item.series} came after {iso(item.open_ts)} was sent, or "
                    "twice. Give candles in ascending order, or use rollup on a table of them."
                )
            values = {name: getattr(item, name) for name in FIELDS}
            klines.append(Kline.trusted(values | {"source": self._source}))
        return klines
