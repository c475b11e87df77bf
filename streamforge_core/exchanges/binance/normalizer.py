"""One kline event -> one candle."""

from math import inf
from sys import intern
from typing import Final

from streamforge_core.errors import MalformedMessage
from streamforge_core.exchanges.binance.constants import SPOT
from streamforge_core.exchanges.binance.messages import KlineEvent
from streamforge_core.model.exchange import Market
from streamforge_core.model.kline import Record
from streamforge_core.model.timeframe import DAY_MS, EARLIEST_MS, LENGTH_MS, end_of, to_ms

_LOWEST: Final = -inf


def normalize(message: KlineEvent, *, seen_ts: int, market: Market = SPOT) -> Record:
    """Convert one kline event.

    `v` is base asset volume, `q` quote asset volume. The end is computed from the calendar: `T` is
    cut short in an outage, and microseconds where the client asked so. The wire has no vwap: it is
    `q / v`.

    Args:
        message: As decoded.
        seen_ts: UTC epoch milliseconds at which it was received.
        market: Whose event it is.

    Raises:
        MalformedMessage: The values cannot be a candle's, or the timeframe is not the market's.

    Source: binance-spot-api-docs, "Kline/Candlestick Streams for UTC", read 2026-07.
    """
    k = message.k
    timeframe, t = k.i, k.t
    low, high, first, last = k.l, k.h, k.o, k.c
    volume, quote_volume, n_trades = k.v, k.q, k.n
    if timeframe not in market.timeframes:
        raise MalformedMessage(f"{market.source} {k.s}: {timeframe!r} is no timeframe of it.")
    # The common unit and lengths first: judging a unit by its magnitude, and an end by the
    # calendar, costs as much as the rest of this function.
    open_ts = t if EARLIEST_MS <= t <= seen_ts + DAY_MS else to_ms(t, now_ms=seen_ts)
    length = LENGTH_MS.get(timeframe)
    end_ts = end_of(open_ts, timeframe) if length is None else open_ts + length - 1
    vwap = quote_volume / volume if volume > 0.0 else None
    # Comparisons with a value that is no number are False: they refuse it too.
    if not (
        _LOWEST < low <= first <= high < inf
        and low <= last <= high
        and 0.0 <= volume < inf
        and 0.0 <= quote_volume < inf
        and (vwap is None or vwap < inf)
        and n_trades >= 0
    ):
        raise MalformedMessage(f"{market.source} {k.s} open_ts={open_ts} cannot be: {k}")
    # By position: by keyword this call alone costs as much as decoding the message did.
    return Record(
        market.source,
        intern(k.s),
        timeframe,
        open_ts,
        end_ts,
        first,
        high,
        low,
        last,
        volume,
        quote_volume,
        vwap,
        n_trades,
        k.x,
        "websocket",
        0,  # revision
        True,  # noqa: FBT003 - is_complete
        seen_ts,
    )
