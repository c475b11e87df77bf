"""What Binance documents of itself: its markets, addresses, limits and spellings.

Sources, as named in the comments below:
    WS: binance/binance-spot-api-docs, web-socket-streams.md, read 2026-07.
    REST: the same repository, rest-api.md and enums.md, read 2026-07.
    ARCH: binance/binance-public-data, README.md and python/enums.py, read 2025-01.
"""

from typing import Final

from streamforge_core.errors import ConfigError, UnsupportedTimeframe
from streamforge_core.model.data_input import DEFAULT_MARKET
from streamforge_core.model.exchange import Market
from streamforge_core.model.timeframe import check_timeframe

# WS, "Kline/Candlestick chart intervals"; REST, "Klines": the same sixteen, case-sensitive.
_SPOT_TIMEFRAMES: Final = (
    *("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d"),
    *("1w", "1M"),
)

SPOT: Final = Market(
    source="Binance",
    name="SPOT",
    label="spot",
    endpoints={
        "WEBSOCKET": "wss://stream.binance.com:9443",  # WS, "General WSS information"
        "REST": "https://api.binance.com",  # REST, "General API Information"
        "ARCHIVE": "https://data.binance.vision",  # ARCH, "Download"
    },
    timeframes={label: label for label in _SPOT_TIMEFRAMES},
)

_MARKETS: Final = {DEFAULT_MARKET: SPOT, SPOT.name: SPOT}

MAX_STREAMS: Final = 1024
"""Streams one connection may listen to. WS, "WebSocket Limits"."""

MAX_MESSAGES_PER_S: Final = 5
"""Messages a client may send per connection, pongs included. WS, "WebSocket Limits"."""

MAX_PARAMS_PER_FRAME: Final = 200
"""Stream names we put in one SUBSCRIBE; no document limits them, only the frame count above."""

PING_INTERVAL_S: Final = 20.0
"""The server sends a ping frame this often. WS, "General WSS information"."""

PONG_TIMEOUT_S: Final = 60.0
"""Without a pong for this long the server disconnects. WS, "General WSS information"."""

MAX_CONNECTION_AGE_S: Final = 24 * 3600.0
"""The server cuts every connection after 24 hours. WS, "General WSS information"."""

PUSH_PERIOD_MS: Final[dict[str, int]] = {"1s": 1_000}
"""How often a running candle is pushed. WS, "Kline/Candlestick Streams", "Update Speed"."""

DEFAULT_PUSH_PERIOD_MS: Final = 2_000
"""Push period of every timeframe that `PUSH_PERIOD_MS` does not name."""

REST_PAGE_ROWS: Final = 1_000
"""Most candles one request returns. REST, "Kline/Candlestick data"."""

KLINES_WEIGHT: Final = 2
"""Cost of one page, whatever its size. REST, "Kline/Candlestick data"."""

EXCHANGE_INFO_WEIGHT: Final = 20
"""Cost of the listing. REST, "Exchange information"."""

TIME_WEIGHT: Final = 1
"""Cost of the exchange's clock. REST, "Check server time"."""

WEIGHT_PER_MINUTE: Final = 6_000
"""Request weight per IP address and minute. REST, enums.md, "Rate limiters"."""

USED_WEIGHT_HEADER: Final = "X-MBX-USED-WEIGHT-1M"
"""Response header with the weight this address has used in the running minute. REST, "LIMITS"."""

ARCHIVE_TIMEFRAMES: Final[dict[str, str]] = {
    label: "1mo" if label == "1M" else label for label in _SPOT_TIMEFRAMES
}
"""Our label -> how archive paths spell it. ARCH, "Klines": the month is `1mo` there."""

DAILY_ARCHIVE_TIMEFRAMES: Final = frozenset(_SPOT_TIMEFRAMES) - {"3d", "1w", "1M"}
"""Timeframes with a file per day; the others are published by month alone. ARCH, enums.py."""


def market_of(market_type: str) -> Market:
    """Return the market that a `market_type` selects; "DEFAULT" is spot.

    Raises:
        ConfigError: There is no such market here.
    """
    market = _MARKETS.get(market_type)
    if market is None:
        raise ConfigError(
            f"market_type={market_type!r} is not a Binance market served here. "
            f"Use one of {', '.join(_MARKETS)}."
        )
    return market


def check_symbol(symbol: str) -> str:
    """Return the symbol, or say how Binance writes it: base and quote joined, in capitals.

    Raises:
        ConfigError: It is not of that form; whether Binance lists it is not known here.
    """
    # Not [A-Z0-9]: names may hold letters of any script (binance-spot-api-docs, CHANGELOG.md of
    # 2025-12-15, "Clarification Regarding UTF-8 Encoding", read 2026-02).
    right = "".join(letter for letter in symbol if letter.isalnum()).upper()
    if symbol == right and right:
        return symbol
    raise ConfigError(
        f"symbol={symbol!r} is not of Binance's form, base and quote in capitals without a "
        f"separator. Write {right or 'BTCUSDT'!r}."
    )


def check_served(timeframe: str, market: Market = SPOT) -> str:
    """Return the venue's spelling of a timeframe.

    Raises:
        UnknownTimeframe: It is no timeframe at all.
        UnsupportedTimeframe: The market does not serve it.
    """
    spelling = market.timeframes.get(check_timeframe(timeframe))
    if spelling is None:
        raise UnsupportedTimeframe(
            f"{market.source} serves no {timeframe} candles (it serves "
            f"{', '.join(market.timeframes)})."
        )
    return spelling
