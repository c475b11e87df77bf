"""The candle: `Kline`, the public type, and `Record`, the hot one that travels between stages."""

from typing import Annotated, Any, Final, Literal, Self

import msgspec
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

Provenance = Literal["websocket", "rest", "archive", "trades", "aggregated", "filled"]
"""Where a value came from; a "filled" candle can never replace another one."""

Price = Annotated[float, Field(allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


_put: Final = object.__setattr__  # the model itself is frozen


def _named(own: str, short: str, *others: str) -> Any:  # noqa: ANN401 - what Field returns
    """Accept our own name first, then the aliases: given both, our own wins.

    Never `alias=`: it makes the constructor refuse the field's own name (pydantic 2).
    """
    return Field(validation_alias=AliasChoices(own, short, *others), serialization_alias=short)


def _maybe(own: str, short: str, *others: str) -> Any:  # noqa: ANN401 - what Field returns
    """Likewise, for a field the source may not tell."""
    return Field(
        default=None,
        validation_alias=AliasChoices(own, short, *others),
        serialization_alias=short,
    )


class Kline(BaseModel):
    """One candle of one series; times are UTC epoch milliseconds.

    None means that the source does not tell, 0 that it says none. `end_ts` is the last millisecond
    inside: a minute that opens at 0 ends at 59,999. Prices are quote per base, `volume` is in base
    units, `vwap` is None when nothing traded.

    Equality is over all fields; order is by source, symbol, timeframe, open_ts; `a - b` is the
    distance of their ends in milliseconds.

    Raises:
        pydantic.ValidationError: A price or volume is not finite, a volume is negative, or open,
            high, low and close contradict each other.
    """

    model_config = ConfigDict(frozen=True)

    source: str | None = None
    symbol: str = _named("symbol", "s", "ticker", "pair")
    timeframe: str = _named("timeframe", "i", "tf")
    open_ts: int = _named("open_ts", "t", "interval_begin", "ts", "start")
    end_ts: int = _named("end_ts", "T", "timestamp", "end")
    open: Price = _named("open", "o", "open_price")
    high: Price = _named("high", "h", "high_price")
    low: Price = _named("low", "l", "low_price")
    close: Price = _named("close", "c", "close_price")
    volume: Amount = _named("volume", "v", "base_volume")
    quote_volume: Amount | None = _maybe("quote_volume", "q", "Quote asset volume", "turnover")
    vwap: Price | None = _maybe("vwap", "vwap", "volume_weighted_avg_price")
    n_trades: int | None = _maybe("n_trades", "n", "count", "trades")
    is_closed: bool | None = _maybe("is_closed", "x", "confirm")

    @model_validator(mode="after")
    def _check_shape(self) -> Self:
        if not self.low <= min(self.open, self.close) <= max(self.open, self.close) <= self.high:
            raise ValueError(
                f"open {self.open}, high {self.high}, low {self.low}, close {self.close} "
                "contradict each other: low <= open, close <= high must hold"
            )
        if self.end_ts < self.open_ts:
            raise ValueError(f"end_ts {self.end_ts} lies before open_ts {self.open_ts}")
        return self

    @classmethod
    def trusted(cls, values: dict[str, Any]) -> Self:
        """Build from all fourteen fields, checked before; equal in every way to a validated one.

        Skips validation: for values that one of our own normalizers has already checked.
        """
        kline = object.__new__(cls)
        # Copying a set that exists takes half as long as making one of fourteen names.
        names = _NAMES.copy() if len(values) == len(_NAMES) else set(values)
        _put(kline, "__dict__", values)
        _put(kline, "__pydantic_fields_set__", names)
        _put(kline, "__pydantic_extra__", None)
        _put(kline, "__pydantic_private__", None)
        return kline

    def map_key(self) -> str:
        """Return "SYMBOL-timeframe"."""
        return f"{self.symbol}-{self.timeframe}"

    def _order(self) -> tuple[str, str, str, int]:
        return (self.source or "", self.symbol, self.timeframe, self.open_ts)

    def __lt__(self, other: object) -> bool:
        return self._order() < other._order() if isinstance(other, Kline) else NotImplemented

    # All four by hand: `total_ordering` leans on `==`, which compares values too, so that a candle
    # and its correction would each be greater than the other.
    def __le__(self, other: object) -> bool:
        return self._order() <= other._order() if isinstance(other, Kline) else NotImplemented

    def __gt__(self, other: object) -> bool:
        return self._order() > other._order() if isinstance(other, Kline) else NotImplemented

    def __ge__(self, other: object) -> bool:
        return self._order() >= other._order() if isinstance(other, Kline) else NotImplemented

    def __sub__(self, other: object) -> int:
        return self.end_ts - other.end_ts if isinstance(other, Kline) else NotImplemented


FIELDS: Final = tuple(Kline.model_fields)
"""The fourteen names in the order of every header, schema and parameter list."""

_NAMES: Final = set(FIELDS)


class Record(msgspec.Struct, gc=False):
    """A candle on its way: the fourteen fields of `Kline`, then what is known about it.

    Attributes:
        revision: 0 at first; +1 for every later value change of a closed candle.
        is_complete: False when base candles are missing inside an aggregate.
        seen_ts: UTC milliseconds at which the value was read from the exchange.
        seq: Position in this process' stream of records.
    """

    source: str
    symbol: str
    timeframe: str
    open_ts: int
    end_ts: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    quote_volume: float | None = None
    vwap: float | None = None
    n_trades: int | None = None
    is_closed: bool = False
    provenance: Provenance = "websocket"
    revision: int = 0
    is_complete: bool = True
    seen_ts: int = 0
    seq: int = 0

    def to_kline(self) -> Kline:
        """Return the public candle; this record's values are trusted."""
        # Written out: a loop over the names takes twice as long.
        return Kline.trusted(
            {
                "source": self.source,
                "symbol": self.symbol,
                "timeframe": self.timeframe,
                "open_ts": self.open_ts,
                "end_ts": self.end_ts,
                "open": self.open,
                "high": self.high,
                "low": self.low,
                "close": self.close,
                "volume": self.volume,
                "quote_volume": self.quote_volume,
                "vwap": self.vwap,
                "n_trades": self.n_trades,
                "is_closed": self.is_closed,
            }
        )

    @classmethod
    def from_kline(
        cls, kline: Kline, *, provenance: Provenance = "websocket", seen_ts: int = 0
    ) -> Self:
        """Wrap a candle; a missing source becomes "" and an unknown `is_closed` false."""
        values = kline.__dict__ | {
            "source": kline.source or "",
            "is_closed": bool(kline.is_closed),
        }
        return cls(**values, provenance=provenance, seen_ts=seen_ts)


class Series(msgspec.Struct, frozen=True, order=True):
    """What identifies a run of candles: with `open_ts`, it is the key of every store."""

    source: str
    symbol: str
    timeframe: str

    def __str__(self) -> str:
        return f"{self.source} {self.symbol} {self.timeframe}"


def series_of(candle: Kline | Record) -> Series:
    """Return the series a candle belongs to."""
    return Series(candle.source or "", candle.symbol, candle.timeframe)
