"""Order, dedupe, gaps, finality: what sockets and REST tell -> each closed candle once.

Pure: it never asks and never waits. What is missing it names (`Gap`); the runner asks REST and
feeds the answer back like any other record.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from streamforge_core.model.gap import Hole
from streamforge_core.model.kline import Record, Series
from streamforge_core.model.timeframe import (
    LENGTH_MS,
    UNDOCUMENTED_ANCHOR,
    month_index,
    next_open,
    open_of,
)
from streamforge_core.pipeline.runs import Runs

REMEMBERED: Final = 20
"""Closed candles per series whose values are kept unless told otherwise, at about 0.2 kB each."""

ClosedBy = Literal["flag", "next_candle"]

_OPTIONAL: Final = ("quote_volume", "vwap", "n_trades")

# Seven prices and volumes, the trade count; then when it was seen, and its revision.
_PACKED: Final = struct.Struct("<7dq2q")
_VALUES_SIZE: Final = struct.calcsize("<7dq")
_UNKNOWN: Final = float("nan")


@dataclass(frozen=True, slots=True)
class Gap:
    """Candles that a newer one skipped; each run is told once.

    Attributes:
        series: That lacks them.
        hole: First and last of them, verdict "pending".
    """

    series: Series
    hole: Hole


@dataclass(frozen=True, slots=True)
class Late:
    """The record behind this is older than the newest candle, and was not let through before.

    Attributes:
        series: Of the record.
        open_ts: Its open, UTC epoch milliseconds.
    """

    series: Series
    open_ts: int


Processed = Record | Gap | Late


@dataclass(slots=True)
class Counts:
    """What was kept back or changed since the start.

    Attributes:
        duplicates: Closed candles told again with the same values.
        stale: Updates older than what is known of their candle.
        late: Candles that came after a newer one.
        revisions: Closed candles whose values changed.
        missing: Candles named in gaps.
    """

    duplicates: int = 0
    stale: int = 0
    late: int = 0
    revisions: int = 0
    missing: int = 0


class Processor:
    """Lets each closed candle of each series through once, whoever tells it and how often.

    A second, different value of a closed candle goes on with `revision` + 1; where the new read
    leaves open what the old one told and the volumes agree, the old number stays. A closed candle
    is never replaced by a forming or a "filled" one, nor by a read with an earlier `seen_ts`. A
    candle let through so long ago that its values are forgotten goes on as it is, behind `Late`:
    stores compare by key.

    Args:
        closed_by: "flag": `is_closed` says so (Binance, OKX, Bybit); a forming candle that a newer
            one overtakes is missing. "next_candle": a newer candle of the series closes the older
            (Kraken); an update that still comes for it and holds more volume revises it.
        emit_open: Let updates of forming candles through.
        remember: Closed candles per series whose values are kept; cover what is read again.

    Attributes:
        counts: What was kept back or changed.
    """

    def __init__(
        self,
        *,
        closed_by: ClosedBy = "flag",
        emit_open: bool = False,
        remember: int = REMEMBERED,
    ) -> None:
        self.counts = Counts()
        self._closed_by = closed_by
        self._emit_open = emit_open
        self._remember = remember
        self._states: dict[tuple[str, str, str], _State] = {}

    def process(self, record: Record) -> list[Processed]:
        """Take one record from a socket or REST; return what goes on, in order."""
        key = (record.source, record.symbol, record.timeframe)
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = _State(Series(*key))
        if record.is_closed:
            return self._take_closed(state, record)
        forming = state.forming
        if forming is not None and forming.open_ts == record.open_ts:
            return self._take_update(state, forming, record)
        return self._take_open(state, record)

    def expect(self, series: Series, open_ts: int) -> None:
        """Say which candle comes next, so that the seam before the first one is checked too.

        Args:
            series: To be watched.
            open_ts: One interval after the last candle that is stored, UTC epoch milliseconds.
        """
        self._state(series).next_ts = open_ts

    def interrupted(self, series: Iterable[Series] | None = None) -> None:
        """Forget forming candles: updates may have been lost, so the next one proves nothing.

        Args:
            series: Those affected; None means all.
        """
        states = self._states.values() if series is None else map(self._state, series)
        for state in states:
            state.forming = None

    def forming(self, series: Series) -> Record | None:
        """Return the newest update of the candle that is not closed yet."""
        return self._state(series).forming

    def last_closed(self, series: Series) -> int | None:
        """Return the open of the newest candle let through."""
        return self._state(series).closed.last()

    def next_open(self, series: Series) -> int | None:
        """Return the open of the first candle neither let through nor missing."""
        return self._state(series).next_ts

    def _state(self, series: Series) -> "_State":
        key = (series.source, series.symbol, series.timeframe)
        return self._states.setdefault(key, _State(series))

    def _take_closed(self, state: "_State", record: Record) -> list[Processed]:
        if record.open_ts in state.closed:
            return self._take_again(state, record)
        out = self._overtaken(state, record)
        interval = state.interval_of(record.open_ts)
        if state.next_ts is not None and interval < state.next_ts:
            self.counts.late += 1
            out.append(Late(state.series, record.open_ts))
        else:
            state.next_ts = state.following(interval)
        if state.forming is not None and state.forming.open_ts <= record.open_ts:
            state.forming = None
        self._let_through(state, record)
        out.append(record)
        return out

    def _take_open(self, state: "_State", record: Record) -> list[Processed]:
        ts = record.open_ts
        if ts in state.closed:
            return self._take_after_close(state, record)
        interval = state.interval_of(ts)
        if state.next_ts is not None and interval < state.next_ts:
            return self._take_behind(state, record)
        out = self._overtaken(state, record)
        state.next_ts, state.forming = interval, record
        if self._emit_open:
            out.append(record)
        return out

    def _take_update(self, state: "_State", forming: Record, record: Record) -> list[Processed]:
        """Take another update of the candle that is forming: within one, volume only grows."""
        if record.volume < forming.volume:
            self.counts.stale += 1
            return []
        state.forming = record
        return [record] if self._emit_open else []

    def _take_behind(self, state: "_State", record: Record) -> list[Processed]:
        """Take an update for a candle that a newer one has overtaken."""
        if self._closed_by == "next_candle":
            return self._take_closed(state, msgspec.structs.replace(record, is_closed=True))
        self.counts.stale += 1
        return []

    def _take_after_close(self, state: "_State", record: Record) -> list[Processed]:
        """Take an update for a candle that is closed; if it holds more volume it is newer."""
        known = state.remembered.get(record.open_ts)
        if self._closed_by == "next_candle" and known is not None:
            volume = _PACKED.unpack(known)[4]
            if record.volume > volume:
                return self._take_again(state, msgspec.structs.replace(record, is_closed=True))
        self.counts.stale += 1
        return []

    def _take_again(self, state: "_State", record: Record) -> list[Processed]:
        """Take a closed candle that was let through before."""
        known = state.remembered.get(record.open_ts)
        if known is None:
            self.counts.late += 1
            return [Late(state.series, record.open_ts), record]
        *values, seen_ts, revision = _PACKED.unpack(known)
        merged = _completed(record, values)
        if _pack(merged)[:_VALUES_SIZE] == known[:_VALUES_SIZE] or record.provenance == "filled":
            self.counts.duplicates += 1
            return []
        if record.seen_ts < seen_ts:
            self.counts.stale += 1
            return []
        self.counts.revisions += 1
        merged = msgspec.structs.replace(merged, revision=revision + 1)
        self._let_through(state, merged)
        return [merged]

    def _overtaken(self, state: "_State", record: Record) -> list[Processed]:
        """Return what a newer candle closes, and what it skips."""
        out: list[Processed] = []
        forming = state.forming
        if (
            self._closed_by == "next_candle"
            and forming is not None
            and forming.open_ts < record.open_ts
        ):
            closed = msgspec.structs.replace(forming, is_closed=True)
            state.forming = None
            state.next_ts = state.following(state.interval_of(closed.open_ts))
            self._let_through(state, closed)
            out.append(closed)
        interval = state.interval_of(record.open_ts)
        if state.next_ts is not None and interval > state.next_ts:
            hole = _hole(state.next_ts, interval, record.timeframe)
            self.counts.missing += hole.count
            out.append(Gap(state.series, hole))
        return out

    def _let_through(self, state: "_State", record: Record) -> None:
        if record.open_ts not in state.closed:
            state.closed.add(record.open_ts)
        remembered = state.remembered
        remembered[record.open_ts] = _pack(record)
        if len(remembered) > self._remember:
            del remembered[next(iter(remembered))]


class _State:
    """What is known of one series.

    Attributes:
        series: Whose state it is.
        next_ts: Open of the first candle neither let through nor named as missing.
        forming: Newest update of a candle that is not closed.
        closed: Opens let through.
        remembered: Open -> values of the latest of them.
    """

    __slots__ = ("_length", "closed", "forming", "next_ts", "remembered", "series")

    def __init__(self, series: Series) -> None:
        self.series = series
        # Weeks, months and what has no documented grid ask the calendar, or nobody.
        irregular = {"1w", "1M", *UNDOCUMENTED_ANCHOR}
        self._length = 0 if series.timeframe in irregular else LENGTH_MS[series.timeframe]
        self.next_ts: int | None = None
        self.forming: Record | None = None
        self.closed = Runs(series.timeframe)
        self.remembered: dict[int, bytes] = {}

    def interval_of(self, ts: int) -> int:
        """Return the open on the grid; what has no documented grid is taken as it is."""
        if self._length:
            return ts - ts % self._length
        timeframe = self.series.timeframe
        return ts if timeframe in UNDOCUMENTED_ANCHOR else open_of(ts, timeframe)

    def following(self, interval: int) -> int:
        """Return the interval behind one."""
        return (
            interval + self._length if self._length else next_open(interval, self.series.timeframe)
        )


def _hole(first: int, behind: int, timeframe: str) -> Hole:
    """Return the run of candles from one open to another, exclusive."""
    if timeframe == "1M":
        count = month_index(behind) - month_index(first)
        return Hole(first, open_of(behind - 1, "1M"), count)
    length = LENGTH_MS[timeframe]
    return Hole(first, behind - length, (behind - first) // length)


def _pack(record: Record) -> bytes:
    quote, vwap = record.quote_volume, record.vwap
    return _PACKED.pack(
        record.open,
        record.high,
        record.low,
        record.close,
        record.volume,
        _UNKNOWN if quote is None else quote,
        _UNKNOWN if vwap is None else vwap,
        -1 if record.n_trades is None else record.n_trades,
        record.seen_ts,
        record.revision,
    )


def _completed(record: Record, known: list[float]) -> Record:
    """Return a record with what an earlier read of the same volume told and it does not."""
    if record.volume != known[4]:
        return record
    told = zip(_OPTIONAL, known[5:], strict=True)
    kept = {
        name: value
        for name, value in told
        if getattr(record, name) is None and value != -1 and value == value
    }
    return msgspec.structs.replace(record, **kept) if kept else record
