"""Binance's wire shapes, as documented; a number in quotes is read as the number it prints.

Fields that are not read here may be absent; the rest is required. Sources: binance-spot-api-docs,
web-socket-streams.md ("Kline/Candlestick Streams for UTC", "Live Subscribing/Unsubscribing to
streams", "Error Messages", "Server Shutdown") and rest-api.md ("Exchange information",
"Kline/Candlestick data", "Check server time"), read 2026-07.
"""

from typing import Final, Literal

import msgspec

ABSENT: Final = msgspec.Raw()
"""In place of a key that a frame does not have."""


class Candle(msgspec.Struct, gc=False, kw_only=True):
    """`k` of a kline event; times are milliseconds, or microseconds where the client asked so.

    Attributes:
        t: First instant.
        T: Last instant, inclusive; cut short in an outage.
        s: Symbol, in capitals.
        i: Timeframe.
        f: First trade's id, -1 when nothing traded.
        L: Last trade's id, likewise.
        o: Open price.
        c: Close price.
        h: High price.
        l: Low price.
        v: Volume in base asset.
        n: Number of trades.
        x: True exactly when the candle is final.
        q: Volume in quote asset.
        V: Taker buy volume in base asset.
        Q: Taker buy volume in quote asset.
    """

    t: int
    T: int = 0
    s: str
    i: str
    f: int = -1
    L: int = -1
    o: float
    c: float
    h: float
    l: float  # noqa: E741 - the wire's own name
    v: float
    n: int
    x: bool
    q: float
    V: float = 0.0
    Q: float = 0.0


class KlineEvent(msgspec.Struct, gc=False, kw_only=True):
    """A kline event; `E` is when it was sent and says nothing about which candle it is."""

    e: Literal["kline"]
    E: int = 0
    s: str
    k: Candle


class CombinedKline(msgspec.Struct, gc=False):
    """A kline event as `/stream` wraps it."""

    stream: str
    data: KlineEvent


class ErrorBody(msgspec.Struct):
    """What an error says."""

    code: int | None = None
    msg: str = ""


class EventHead(msgspec.Struct):
    """Any event, read far enough to tell what it is; some (bookTicker) have no name."""

    e: str = ""


class Envelope(msgspec.Struct, kw_only=True):
    """Any object on the socket, read far enough to tell what it is.

    A wrapped event has `stream` and `data`; a reply has `result` and `id`; an error has `code`,
    `msg` and sometimes `id`; anything else is a raw event. Clients have seen the error in `error`.
    """

    stream: str = ""
    data: msgspec.Raw = ABSENT
    result: msgspec.Raw = ABSENT
    id: int | str | None = None
    code: int | None = None
    msg: str = ""
    error: ErrorBody | None = None


class Filter(msgspec.Struct):
    """A trading rule of a symbol; `tickSize` and `stepSize` of 0 switch the rule off."""

    filterType: str  # noqa: N815 - the wire's own name
    tickSize: float = 0.0  # noqa: N815 - likewise
    stepSize: float = 0.0  # noqa: N815 - likewise


class Symbol(msgspec.Struct):
    """A symbol of `exchangeInfo`."""

    symbol: str
    status: str
    baseAsset: str  # noqa: N815 - the wire's own name
    quoteAsset: str  # noqa: N815 - likewise
    filters: list[Filter] = []


class ExchangeInfo(msgspec.Struct):
    """The answer of `exchangeInfo`."""

    symbols: list[Symbol]


class RestKline(msgspec.Struct, array_like=True, gc=False):
    """A row of `/api/v3/klines` or of an archive file; what follows `count` is not read.

    Source: rest-api.md, "Kline/Candlestick data"; the archive's README names the columns.
    """

    open_time: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    close_time: int
    quote_volume: float
    count: int


class RestTime(msgspec.Struct):
    """The answer of `/api/v3/time`."""

    serverTime: int  # noqa: N815 - the wire's own name


# strict=False reads the number in quotes in the same pass, and is stricter about it than float():
# neither spaces nor underscores pass. "nan" and "inf" do, so that a check of values must follow.
COMBINED_KLINE: Final = msgspec.json.Decoder(CombinedKline, strict=False)
KLINE: Final = msgspec.json.Decoder(KlineEvent, strict=False)
ENVELOPE: Final = msgspec.json.Decoder(Envelope)
EVENT_HEAD: Final = msgspec.json.Decoder(EventHead)
EVENTS: Final = msgspec.json.Decoder(list[msgspec.Raw])
REST_KLINES: Final = msgspec.json.Decoder(list[RestKline], strict=False)
REST_TIME: Final = msgspec.json.Decoder(RestTime)
REST_ERROR: Final = msgspec.json.Decoder(ErrorBody)
EXCHANGE_INFO: Final = msgspec.json.Decoder(ExchangeInfo, strict=False)
