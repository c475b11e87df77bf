"""One higher candle in the making: what has been folded so far, in whatever order it came."""

from math import inf
from typing import Final, Self

from streamforge_core.model.kline import Record, Series
from streamforge_core.pipeline.exact_sums import (
    LARGEST_EXACT,
    MAX_DECIMALS,
    POWERS,
    decimals_of,
    scaled,
)

NEVER: Final = -(2**63)
"""Earlier than any open."""

_FOREVER: Final = 2**63

# Scaled by this power of two every float is an integer, so that products add up exactly too.
_FLOAT_BITS: Final = 1074

QUOTE_TOLD: Final = 1
QUOTE_MISSING: Final = 2
TRADES_TOLD: Final = 4
TRADES_MISSING: Final = 8
PRICE_MISSING: Final = 16
TAINTED: Final = 32
REPORTED: Final = 64
"""Flags of a bucket: a row told its quote volume (trade count), a traded row did not, a traded row
told neither quote volume nor vwap; a folded value was corrected, so the sums are wrong; it was sent
incomplete."""

_OF_CONTENT: Final = QUOTE_TOLD | QUOTE_MISSING | TRADES_TOLD | TRADES_MISSING | PRICE_MISSING


class Scale:
    """Turns volumes into integers; its decimals grow when a number with more of them arrives.

    Attributes:
        decimals: Most decimals seen.
    """

    __slots__ = ("_power", "decimals")

    def __init__(self) -> None:
        self.decimals = 0
        self._power = 1.0

    def to_int(self, value: float) -> int | None:
        """Return the integer that stands for a number; None if `grow` must look at it first."""
        product = value * self._power
        if product < LARGEST_EXACT:
            result = round(product)
            if self.decimals == MAX_DECIMALS or result / self._power == value:
                return result
        return None

    def grow(self, value: float) -> tuple[int, int]:
        """Make room for a number.

        Returns:
            The integer that stands for it, and the factor by which earlier sums must grow.
        """
        before = self.decimals
        self.decimals = decimals_of(value, before)
        self._power = POWERS[self.decimals]
        return scaled(value, self.decimals), int(POWERS[self.decimals - before])

    def to_float(self, total: int) -> float:
        """Return the float nearest to the exact value of a sum."""
        return total / int(self._power)


class Bucket:
    """A higher candle in the making; folds commute, so late rows need no care.

    Attributes:
        open_ts: Its open, UTC epoch milliseconds.
        end_ts: Its last millisecond.
        filled: One bit per part: candles of the level below, or base intervals.
        full: `filled` when nothing is missing; -1 when it can never be complete.
        flags: See above.
        volume: Scaled sum; `quote` likewise; `trades` is a count.
        products: Sum of vwap * volume where no quote volume is told, in units of 2**-1074.
        first_ts: Open of the first traded row, whose open is `open`.
        last_ts: Open of the last traded row, whose close is `close`.
        flat_ts: Open of the last row, traded or not, whose close is `flat`; `NEVER` without rows.
        seen_ts: Latest of its rows.
    """

    __slots__ = (
        "close",
        "end_ts",
        "filled",
        "first_ts",
        "flags",
        "flat",
        "flat_ts",
        "full",
        "high",
        "last_ts",
        "low",
        "open",
        "open_ts",
        "products",
        "quote",
        "seen_ts",
        "trades",
        "volume",
    )

    def __init__(self, open_ts: int, end_ts: int, parts: int) -> None:
        self.open_ts = open_ts
        self.end_ts = end_ts
        self.filled = self.flags = 0
        self.full = (1 << parts) - 1
        self.volume = self.quote = self.trades = self.products = self.seen_ts = 0
        self.first_ts = _FOREVER
        self.last_ts = self.flat_ts = NEVER
        self.high, self.low = -inf, inf
        self.open = self.close = self.flat = 0.0

    @property
    def has_rows(self) -> bool:
        """Whether any candle was folded into it."""
        return self.flat_ts != NEVER

    def add(self, record: Record, volume: int, quote: int) -> None:
        """Fold one base candle.

        Args:
            record: The candle.
            volume: Its volume, scaled.
            quote: Its quote volume, scaled; 0 where it does not tell.
        """
        ts, trades = record.open_ts, record.n_trades
        if ts > self.flat_ts:
            self.flat_ts = ts
            self.flat = record.close
        if record.seen_ts > self.seen_ts:
            self.seen_ts = record.seen_ts
        self.volume += volume
        self.quote += quote
        flags = self.flags
        if trades is not None:
            self.trades += trades
            flags |= TRADES_TOLD
        if record.quote_volume is not None:
            flags |= QUOTE_TOLD
        if record.volume > 0:
            self._add_prices(record, ts, ts)
            if trades is None or record.quote_volume is None:
                flags |= self._missing(record)
        self.flags = flags

    def _missing(self, record: Record) -> int:
        """Return what a traded candle does not tell; where it is the quote, its vwap must do."""
        flags = TRADES_MISSING if record.n_trades is None else 0
        if record.quote_volume is not None:
            return flags
        if record.vwap is None:
            return flags | QUOTE_MISSING | PRICE_MISSING
        numerator, denominator = (record.vwap * record.volume).as_integer_ratio()
        self.products += (numerator << _FLOAT_BITS) // denominator
        return flags | QUOTE_MISSING

    def merge(self, part: Self) -> None:
        """Fold a candle of the level below, or another half of this one."""
        if part.flat_ts > self.flat_ts:
            self.flat_ts, self.flat = part.flat_ts, part.flat
        if part.seen_ts > self.seen_ts:
            self.seen_ts = part.seen_ts
        self.volume += part.volume
        self.quote += part.quote
        self.trades += part.trades
        self.products += part.products
        if part.last_ts != NEVER:
            self._add_prices(part, part.first_ts, part.last_ts)
        self.flags |= part.flags & _OF_CONTENT

    def _add_prices(self, part: "Record | Bucket", first_ts: int, last_ts: int) -> None:
        if first_ts < self.first_ts:
            self.first_ts = first_ts
            self.open = part.open
        if last_ts > self.last_ts:
            self.last_ts = last_ts
            self.close = part.close
        high, low = part.high, part.low
        if high > self.high:
            self.high = high
        if low < self.low:
            self.low = low

    def to_record(
        self, series: Series, volumes: Scale, quotes: Scale, *, is_complete: bool
    ) -> Record:
        """Return the candle: flat at the last close where nothing traded."""
        traded = self.last_ts != NEVER
        flags = self.flags
        volume = volumes.to_float(self.volume)
        quote = quotes.to_float(self.quote)
        knows_quote = flags & (QUOTE_TOLD | QUOTE_MISSING) == QUOTE_TOLD
        vwap = None
        if traded and self.volume and not flags & PRICE_MISSING:
            weight = quote
            if self.products:  # the float nearest to their sum, as `math.fsum` gives it
                weight += self.products / (1 << _FLOAT_BITS)
            vwap = weight / volume
        knows_trades = flags & (TRADES_TOLD | TRADES_MISSING) == TRADES_TOLD
        return Record(
            series.source,
            series.symbol,
            series.timeframe,
            self.open_ts,
            self.end_ts,
            self.open if traded else self.flat,
            self.high if traded else self.flat,
            self.low if traded else self.flat,
            self.close if traded else self.flat,
            volume,
            quote if knows_quote else None,
            vwap,
            self.trades if knows_trades else None,
            is_complete,
            "aggregated",
            0,
            is_complete,
            self.seen_ts,
        )
