"""Trades and candles as integer columns, and the one rule that makes candles of either."""

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import numpy.typing as npt

from streamforge_core.simulator.boundaries import Ints

QUOTE_DECIMALS: Final = 8
"""Decimals of every quote volume."""


@dataclass(frozen=True, slots=True)
class Trades:
    """Trades in the order they happened.

    Attributes:
        time_ms: UTC epoch milliseconds, ascending.
        id: Rises with every trade, with holes.
        price: Ticks.
        quantity: Steps of the base asset.
        quote: 1e-8 of the quote asset.
        taker: 1 where the buyer was the taker, else 0.
    """

    time_ms: Ints
    id: Ints
    price: Ints
    quantity: Ints
    quote: Ints
    taker: Ints

    def __len__(self) -> int:
        return len(self.time_ms)

    def between(self, start_ms: int, end_ms: int) -> "Trades":
        """Return those with `start_ms <= time < end_ms`."""
        first, after = np.searchsorted(self.time_ms, [start_ms, end_ms])
        return Trades(*(getattr(self, field.name)[first:after] for field in fields(self)))


@dataclass(frozen=True, slots=True)
class Candles:
    """Candles as columns, ascending; of a symbol and a timeframe that the caller knows.

    Attributes:
        open_ms: UTC epoch milliseconds.
        close_ms: Last millisecond inside; earlier where an outage cut the candle short.
        open: Ticks, as are `high`, `low` and `close`.
        volume: Steps of the base asset, as is `taker_volume`.
        quote_volume: 1e-8 of the quote asset, as is `taker_quote_volume`.
        trades: How many.
        first_id: Of its first trade, -1 without one; so is `last_id`.
    """

    open_ms: Ints
    close_ms: Ints
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: Ints
    quote_volume: Ints
    trades: Ints
    taker_volume: Ints
    taker_quote_volume: Ints
    first_id: Ints
    last_id: Ints

    def __len__(self) -> int:
        return len(self.open_ms)

    @classmethod
    def empty(cls) -> "Candles":
        """Return no candles."""
        return cls(*(np.empty(0, np.int64) for _ in fields(cls)))

    @classmethod
    def of_rows(cls, rows: list[tuple[int, ...]]) -> "Candles":
        """Return candles given row by row, each in the order of the attributes."""
        if not rows:
            return cls.empty()
        return cls(*np.array(rows, np.int64).T)

    @classmethod
    def joined(cls, parts: "list[Candles]") -> "Candles":
        """Return several runs of candles as one."""
        names = [field.name for field in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def rows(self) -> list[tuple[int, ...]]:
        """Return them row by row."""
        return list(
            zip(*(getattr(self, field.name).tolist() for field in fields(self)), strict=True)
        )


def as_candles(trades: Trades) -> Candles:
    """Return each trade as a candle of its own instant."""
    price, time_ms = trades.price, trades.time_ms
    return Candles(
        *(time_ms, time_ms, price, price, price, price, trades.quantity, trades.quote),
        trades=np.ones_like(price),
        taker_volume=trades.quantity * trades.taker,
        taker_quote_volume=trades.quote * trades.taker,
        first_id=trades.id,
        last_id=trades.id,
    )


def fold(parts: Candles, opens: Ints, ends: Ints, closes: Ints, previous: int) -> Candles:
    """Return the candles that the parts make.

    A candle without a part is flat at the price before it, with volume 0.

    Args:
        parts: Ascending, each with at least one trade, all inside some candle.
        opens: Of the candles, ascending.
        ends: First instant after each.
        closes: What to state as close time of each.
        previous: Price of the last trade before the first candle.
    """
    spans = _Spans.of(parts, opens, ends)
    flat = np.concatenate([[previous], parts.close])[spans.first]
    none = np.full(len(opens), -1, np.int64)
    begin, last = spans.first[spans.traded], spans.after[spans.traded] - 1
    return Candles(
        opens,
        closes,
        open=spans.placed(parts.open[begin], flat),
        high=spans.extreme(np.maximum, parts.high, flat),
        low=spans.extreme(np.minimum, parts.low, flat),
        close=spans.placed(parts.close[last], flat),
        volume=spans.total(parts.volume),
        quote_volume=spans.total(parts.quote_volume),
        trades=spans.total(parts.trades),
        taker_volume=spans.total(parts.taker_volume),
        taker_quote_volume=spans.total(parts.taker_quote_volume),
        first_id=spans.placed(parts.first_id[begin], none),
        last_id=spans.placed(parts.last_id[last], none),
    )


@dataclass(frozen=True, slots=True)
class _Spans:
    """Which parts each candle has: those from `first` up to `after`, if it is `traded`."""

    first: Ints
    after: Ints
    traded: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, parts: Candles, opens: Ints, ends: Ints) -> "_Spans":
        first = np.searchsorted(parts.open_ms, opens)
        after = np.searchsorted(parts.open_ms, ends)
        return cls(first, after, after > first)

    def placed(self, values: Ints, empty: Ints) -> Ints:
        """Return the values of traded candles among those of empty ones."""
        column = empty.copy()
        column[self.traded] = values
        return column

    def extreme(self, pick: np.ufunc, values: Ints, empty: Ints) -> Ints:
        if not self.traded.any():
            return empty
        # No part lies between candles, so each run may reach to the begin of the next.
        runs = self.first[self.traded]
        return self.placed(pick.reduceat(values[: self.after[-1]], runs), empty)

    def total(self, values: Ints) -> Ints:
        sums = np.concatenate([[0], np.cumsum(values)])
        summed: Ints = sums[self.after] - sums[self.first]
        return summed
