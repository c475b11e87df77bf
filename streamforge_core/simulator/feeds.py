"""Candles as an exchange prints them, whatever they come from; and how a page of them is chosen."""

from typing import Final, NamedTuple, Protocol

from streamforge_core.simulator.boundaries import LENGTH_MS, Ints, next_open, open_of
from streamforge_core.simulator.fold import QUOTE_DECIMALS
from streamforge_core.simulator.market import Market
from streamforge_core.simulator.specs import SymbolSpec

PRINTED_DECIMALS: Final = 8
_ONE: Final = 10**PRINTED_DECIMALS


class Row(NamedTuple):
    """A candle with its numbers as printed.

    Attributes:
        open_ms: UTC epoch milliseconds.
        close_ms: Last millisecond inside; earlier where an outage cut the candle short.
        first_id: Of its first trade, -1 without one; so is `last_id`.
    """

    open_ms: int
    open: str
    high: str
    low: str
    close: str
    volume: str
    close_ms: int
    quote_volume: str
    trades: int
    taker_volume: str
    taker_quote_volume: str
    first_id: int
    last_id: int

    def is_cut(self, timeframe: str) -> bool:
        """Tell whether the exchange went down inside it and stayed down beyond its end."""
        return self.close_ms != next_open(self.open_ms, timeframe) - 1


class Feed(Protocol):
    """The candles of one symbol.

    Attributes:
        symbol: As the exchange writes it.
        base: Asset that is traded.
        quote: Asset it is priced in.
        tick: Smallest step of a price, as printed.
        step: Smallest step of a quantity, as printed.
    """

    symbol: str
    base: str
    quote: str
    tick: str
    step: str

    def rows(self, timeframe: str, start_ms: int, end_ms: int, now_ms: int) -> list[Row]:
        """Return the candles with `start_ms <= open < end_ms` as they are at `now_ms`."""

    def status(self, now_ms: int) -> str | None:
        """Return "TRADING" or "BREAK"; None before the listing."""

    def is_up(self, ms: int) -> bool:
        """Tell whether it can trade at an instant."""

    def live_from(self, ms: int) -> int | None:
        """Return the first instant of trading time from `ms` on, None if there is none."""

    def live_until(self, ms: int) -> int | None:
        """Return the last instant of trading time up to `ms`, None if there is none."""


class MarketFeed:
    """A symbol of a simulated market."""

    def __init__(self, market: Market, spec: SymbolSpec) -> None:
        self.symbol, self.base, self.quote = spec.symbol, spec.base, spec.quote
        self.tick = printed(10 ** (PRINTED_DECIMALS - spec.price_decimals))
        self.step = printed(10 ** (PRINTED_DECIMALS - spec.quantity_decimals))
        self._spec = spec
        self._market = market

    def rows(self, timeframe: str, start_ms: int, end_ms: int, now_ms: int) -> list[Row]:
        """Return the candles with `start_ms <= open < end_ms` as they are at `now_ms`."""
        candles = self._market.candles(self.symbol, timeframe, start_ms, end_ms, now_ms)
        prices, quantities = self._spec.price_decimals, self._spec.quantity_decimals
        columns = (
            candles.open_ms.tolist(),
            _column(candles.open, prices),
            _column(candles.high, prices),
            _column(candles.low, prices),
            _column(candles.close, prices),
            _column(candles.volume, quantities),
            candles.close_ms.tolist(),
            _column(candles.quote_volume, QUOTE_DECIMALS),
            candles.trades.tolist(),
            _column(candles.taker_volume, quantities),
            _column(candles.taker_quote_volume, QUOTE_DECIMALS),
            candles.first_id.tolist(),
            candles.last_id.tolist(),
        )
        return list(map(Row, *columns))

    def status(self, now_ms: int) -> str | None:
        """Return "TRADING" or "BREAK"; None before the listing."""
        if now_ms < self._spec.listed_ms:
            return None
        ended = self._spec.ended_ms is not None and now_ms >= self._spec.ended_ms
        return "BREAK" if ended else "TRADING"

    def is_up(self, ms: int) -> bool:
        """Tell whether it can trade at an instant."""
        return self._market.is_up(self.symbol, ms)

    def live_from(self, ms: int) -> int | None:
        """Return the first instant of trading time from `ms` on, None if there is none."""
        return self._market.live_from(self.symbol, ms)

    def live_until(self, ms: int) -> int | None:
        """Return the last instant of trading time up to `ms`, None if there is none."""
        return self._market.live_until(self.symbol, ms)


def oldest(
    feed: Feed, timeframe: str, start_ms: int, end_ms: int, now_ms: int, limit: int
) -> list[Row]:
    """Return the first `limit` candles with `start_ms <= open < end_ms`."""
    rows: list[Row] = []
    while len(rows) < limit and start_ms < end_ms:
        live = feed.live_from(start_ms)
        if live is None or live > now_ms:
            break
        start_ms = max(start_ms, open_of(live, timeframe))
        after = min(end_ms, start_ms + (limit - len(rows)) * LENGTH_MS[timeframe])
        rows += feed.rows(timeframe, start_ms, after, now_ms)
        start_ms = after
    return rows[:limit]


def newest(feed: Feed, timeframe: str, end_ms: int, now_ms: int, limit: int) -> list[Row]:
    """Return the last `limit` candles with `open < end_ms`, oldest first."""
    rows: list[Row] = []
    end_ms = min(end_ms, now_ms + 1)
    while len(rows) < limit:
        live = feed.live_until(end_ms - 1)
        if live is None:
            break
        last = open_of(live, timeframe)
        start = open_of(last - (limit - len(rows)) * LENGTH_MS[timeframe], timeframe)
        rows = feed.rows(timeframe, start, min(end_ms, last + 1), now_ms) + rows
        end_ms = start
    return rows[-limit:]


def printed(value: int) -> str:
    """Return an integer in 1e-8 with eight decimals."""
    return f"{value // _ONE}.{value % _ONE:08d}"


def _column(values: Ints, decimals: int) -> list[str]:
    scaled = (values * 10 ** (PRINTED_DECIMALS - decimals)).tolist()
    return [f"{value // _ONE}.{value % _ONE:08d}" for value in scaled]
