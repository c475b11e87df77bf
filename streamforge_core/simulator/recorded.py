"""A symbol that answers from archive files alone: what they hold happened, the rest did not."""

import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from streamforge_core.simulator.boundaries import LENGTH_MS, next_open, open_of
from streamforge_core.simulator.feeds import PRINTED_DECIMALS, Row, printed
from streamforge_core.simulator.specs import split_symbol

_FILES_CACHED: Final = 40
_MICROSECONDS_FROM: Final = 10**14
_IDS_PER_SECOND: Final = 10_000


@dataclass(frozen=True, slots=True)
class RecordedSpan:
    """A file's rows.

    Attributes:
        start_ms: First instant of its day or month.
        end_ms: First instant after it.
        read: Returns the text of its CSV.
    """

    start_ms: int
    end_ms: int
    read: Callable[[], str]


class RecordedFeed:
    """The candles of a symbol as its files have them, and higher timeframes folded from them.

    In a candle only parts with trades count; one without any is flat. The row of the running
    smallest interval shows its open alone: the file does not know what came in between.

    Args:
        symbol: As the exchange writes it.
        timeframe: Of the files' rows.
        spans: The files; where two overlap, the shorter one counts.
    """

    def __init__(self, symbol: str, timeframe: str, spans: Iterable[RecordedSpan]) -> None:
        self.symbol = symbol
        self.base, self.quote = split_symbol(symbol)
        self._timeframe = timeframe
        self._spans = sorted(spans, key=lambda span: (span.start_ms, span.start_ms - span.end_ms))
        self._rows: OrderedDict[RecordedSpan, list[Row]] = OrderedDict()
        self._lock = threading.RLock()
        first = self._rows_of(self._spans[0])
        self._listed_ms = first[0].open_ms
        self.tick = _finest(price for row in first for price in row[1:5])
        self.step = _finest(row.volume for row in first)

    def rows(self, timeframe: str, start_ms: int, end_ms: int, now_ms: int) -> list[Row]:
        """Return the candles with `start_ms <= open < end_ms` as they are at `now_ms`."""
        end_ms = min(end_ms, now_ms + 1)
        if LENGTH_MS[timeframe] < LENGTH_MS[self._timeframe] or end_ms <= start_ms:
            return []
        if timeframe == self._timeframe:
            return [self._at(row, now_ms) for row in self._between(start_ms, end_ms)]
        first = open_of(start_ms, timeframe)
        first = first if first == start_ms else next_open(first, timeframe)
        after = next_open(open_of(end_ms - 1, timeframe), timeframe)
        groups = groupby(self._between(first, after), lambda row: open_of(row.open_ms, timeframe))
        parts = ((open_ms, list(rows)) for open_ms, rows in groups)
        return [
            self._folded(timeframe, open_ms, rows, now_ms)
            for open_ms, rows in parts
            if rows[0].open_ms <= now_ms
        ]

    def status(self, now_ms: int) -> str | None:
        """Return "TRADING"; None before the first row."""
        return "TRADING" if now_ms >= self._listed_ms else None

    def is_up(self, ms: int) -> bool:
        """Tell whether a row holds an instant."""
        return self.live_from(ms) == ms

    def live_from(self, ms: int) -> int | None:
        """Return the first instant inside a row from `ms` on, None if there is none."""
        for span in self._spans:
            if span.end_ms <= ms:
                continue
            rows = self._rows_of(span)
            position = bisect_left(rows, ms, key=lambda row: row.close_ms)
            if position < len(rows):
                return max(ms, rows[position].open_ms)
        return None

    def live_until(self, ms: int) -> int | None:
        """Return the last instant inside a row up to `ms`, None if there is none."""
        for span in reversed(self._spans):
            if span.start_ms > ms:
                continue
            rows = self._rows_of(span)
            position = bisect_right(rows, ms, key=lambda row: row.open_ms)
            if position:
                return min(ms, rows[position - 1].close_ms)
        return None

    def _between(self, start_ms: int, end_ms: int) -> list[Row]:
        found: dict[int, Row] = {}
        for span in self._spans:
            if span.end_ms <= start_ms or span.start_ms >= end_ms:
                continue
            rows = self._rows_of(span)
            first = bisect_left(rows, start_ms, key=lambda row: row.open_ms)
            after = bisect_left(rows, end_ms, key=lambda row: row.open_ms)
            found.update((row.open_ms, row) for row in rows[first:after])
        return [found[open_ms] for open_ms in sorted(found)]

    def _at(self, row: Row, now_ms: int) -> Row:
        """Return a row as it was at an instant: complete, or just opened."""
        if row.close_ms < now_ms:
            return row
        zero = printed(0)
        price = row.open
        close_ms = next_open(row.open_ms, self._timeframe) - 1
        return Row(
            *(row.open_ms, price, price, price, price, zero, close_ms, zero, 0, zero, zero, -1, -1)
        )

    def _folded(self, timeframe: str, open_ms: int, rows: list[Row], now_ms: int) -> Row:
        end_ms = next_open(open_ms, timeframe)
        last = rows[-1]
        known = [self._at(row, now_ms) for row in rows if row.open_ms <= now_ms]
        down = next_open(last.open_ms, self._timeframe) < end_ms or last.is_cut(self._timeframe)
        ends_early = down and last.close_ms < now_ms
        return _sum(open_ms, last.close_ms if ends_early else end_ms - 1, known)

    def _rows_of(self, span: RecordedSpan) -> list[Row]:
        with self._lock:
            if span not in self._rows:
                self._rows[span] = list(parsed(span.read()))
                if len(self._rows) > _FILES_CACHED:
                    self._rows.popitem(last=False)
            self._rows.move_to_end(span)
            return self._rows[span]


def parsed(text: str) -> Iterator[Row]:
    """Yield the rows of an archive CSV, times in milliseconds; a header is left out."""
    for line in text.splitlines():
        cells = line.split(",")
        if not cells[0].isdigit():
            continue
        open_ms, close_ms, trades = _ms(cells[0]), _ms(cells[6]), int(cells[8])
        # The files have no trade ids; these rise with time, as ids do.
        first = open_ms // 1000 * _IDS_PER_SECOND if trades else -1
        last = first + trades - 1 if trades else -1
        yield Row(
            open_ms,
            open=cells[1],
            high=cells[2],
            low=cells[3],
            close=cells[4],
            volume=cells[5],
            close_ms=close_ms,
            quote_volume=cells[7],
            trades=trades,
            taker_volume=cells[9],
            taker_quote_volume=cells[10],
            first_id=first,
            last_id=last,
        )


def _sum(open_ms: int, close_ms: int, rows: list[Row]) -> Row:
    traded = [row for row in rows if _units(row.volume)] or rows[:1]
    ids = [row for row in traded if row.trades]

    def total(column: int) -> str:
        return printed(sum(_units(str(row[column])) for row in rows))

    return Row(
        open_ms,
        traded[0].open,
        max((row.high for row in traded), key=_units),
        min((row.low for row in traded), key=_units),
        traded[-1].close,
        total(Row._fields.index("volume")),
        close_ms,
        total(Row._fields.index("quote_volume")),
        sum(row.trades for row in rows),
        total(Row._fields.index("taker_volume")),
        total(Row._fields.index("taker_quote_volume")),
        first_id=ids[0].first_id if ids else -1,
        last_id=ids[-1].last_id if ids else -1,
    )


def _units(text: str) -> int:
    """Return a printed number in 1e-8."""
    whole, _, decimals = text.partition(".")
    return int(whole + decimals.ljust(PRINTED_DECIMALS, "0"))


def _ms(text: str) -> int:
    value = int(text)
    return value // 1000 if value >= _MICROSECONDS_FROM else value


def _finest(numbers: Iterable[str]) -> str:
    """Return one unit of the last decimal that any of the numbers uses."""
    decimals = max(len(number.rstrip("0").partition(".")[2]) for number in numbers)
    return printed(10 ** (PRINTED_DECIMALS - decimals))
