"""Binance Spot REST: parameters to answers, without a server.

Source: binance-spot-api-docs `rest-api.md`, `errors.md`, `filters.md`, text of 2026-07.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from streamforge_core.simulator.boundaries import LENGTH_MS
from streamforge_core.simulator.feeds import Feed, Row, newest, oldest

WEIGHT: Final = {
    "/api/v3/klines": 2,
    "/api/v3/exchangeInfo": 20,
    "/api/v3/time": 1,
    "/api/v3/ping": 1,
}
MAX_LIMIT: Final = 1000
_SYMBOL_TEXT: Final = "^[A-Z0-9-_.]{1,20}$"
_SYMBOL: Final = re.compile(_SYMBOL_TEXT)
_KLINE_PARAMETERS: Final = {"symbol", "interval", "startTime", "endTime", "timeZone", "limit"}
_INFO_PARAMETERS: Final = {
    *("symbol", "symbols", "permissions", "symbolStatus", "showPermissionSets"),
}
_MICROSECONDS_FROM: Final = 10**14
"""Times from here on are microseconds: as milliseconds they would lie in the year 5138."""


class Refusal(Exception):
    """What the exchange answers when it does not answer.

    Attributes:
        code: Binance's own number.
        text: Its sentence.
        status: HTTP status.
        headers: Further headers of the answer.
    """

    def __init__(
        self, code: int, text: str, *, status: int = 400, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.status = status
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True)
class KlinesRequest:
    """A checked klines request; times in milliseconds, both inclusive."""

    feed: Feed
    interval: str
    start_ms: int | None
    end_ms: int | None
    limit: int


def klines_request(
    feeds: Mapping[str, Feed], parameters: Mapping[str, str], now_ms: int
) -> KlinesRequest:
    """Check the parameters of `GET /api/v3/klines`.

    A `limit` above 1000 is refused: the documents do not say what the exchange does with it, so
    nobody may rely on an answer.

    Raises:
        Refusal: One is missing, malformed or unknown.
    """
    _check_read(parameters, _KLINE_PARAMETERS)
    feed = _listed(feeds, _mandatory(parameters, "symbol"), now_ms)
    interval = _mandatory(parameters, "interval")
    if interval not in LENGTH_MS:
        raise Refusal(-1120, "Invalid interval.")
    if parameters.get("timeZone", "0") not in {"0", "0:00", "00:00"}:
        raise Refusal(-1130, "Data sent for parameter 'timeZone' is not valid.")
    limit = _number(parameters, "limit")
    if limit is not None and not 1 <= limit <= MAX_LIMIT:
        raise Refusal(-1130, "Data sent for parameter 'limit' is not valid.")
    start, end = _number(parameters, "startTime"), _number(parameters, "endTime")
    if start is not None and start >= _MICROSECONDS_FROM:
        start = -(-start // 1000)
    if end is not None and end >= _MICROSECONDS_FROM:
        end //= 1000
    return KlinesRequest(feed, interval, start, end, 500 if limit is None else limit)


def klines(request: KlinesRequest, now_ms: int, *, microseconds: bool = False) -> list[list[Any]]:
    """Return the rows of a klines answer, oldest first, the running candle included."""
    end = now_ms + 1 if request.end_ms is None else request.end_ms + 1
    if request.start_ms is None:
        rows = newest(request.feed, request.interval, end, now_ms, request.limit)
    else:
        bounds = (request.start_ms, min(end, now_ms + 1))
        rows = oldest(request.feed, request.interval, *bounds, now_ms, request.limit)
    return [fields(row, microseconds=microseconds) for row in rows]


def fields(row: Row, *, microseconds: bool) -> list[Any]:
    """Return the twelve fields of a row, in REST and archive order."""
    values: list[Any] = [*row[:11], "0"]
    if microseconds:
        values[0], values[6] = row.open_ms * 1000, row.close_ms * 1000 + 999
    return values


def exchange_info(
    feeds: Mapping[str, Feed], parameters: Mapping[str, str], now_ms: int, weight_limit: int
) -> dict[str, Any]:
    """Return the answer of `GET /api/v3/exchangeInfo`.

    Raises:
        Refusal: One name is unknown, which fails the whole request, or a parameter is malformed.
    """
    _check_read(parameters, _INFO_PARAMETERS)
    names = _asked_symbols(parameters)
    if names is None:
        chosen = [feed for feed in feeds.values() if feed.status(now_ms)]
    else:
        chosen = [_listed(feeds, name, now_ms) for name in names]
    status = parameters.get("symbolStatus")
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "rateLimits": _rate_limits(weight_limit),
        "exchangeFilters": [],
        "symbols": [
            _symbol_info(feed, now_ms)
            for feed in chosen
            if status is None or feed.status(now_ms) == status
        ],
    }


def _asked_symbols(parameters: Mapping[str, str]) -> list[str] | None:
    if "symbol" in parameters:
        if "symbols" in parameters:
            raise Refusal(-1128, "Combination of optional parameters invalid.")
        return [_mandatory(parameters, "symbol")]
    if "symbols" not in parameters:
        return None
    legal = r"^\[(\"[A-Z0-9-_.]{1,20}\"(,\"[A-Z0-9-_.]{1,20}\"){0,}){0,1}\]$"
    try:
        names = json.loads(parameters["symbols"])
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(
        isinstance(name, str) and _SYMBOL.match(name) for name in names
    ):
        raise _illegal("symbols", legal)
    return names


def _symbol_info(feed: Feed, now_ms: int) -> dict[str, Any]:
    trading = feed.status(now_ms) == "TRADING"
    return {
        "symbol": feed.symbol,
        "status": feed.status(now_ms),
        "baseAsset": feed.base,
        "baseAssetPrecision": 8,
        "quoteAsset": feed.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "isSpotTradingAllowed": trading,
        "isMarginTradingAllowed": False,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": feed.tick,
                "maxPrice": "1000000.00000000",
                "tickSize": feed.tick,
            },
            {
                "filterType": "LOT_SIZE",
                "minQty": feed.step,
                "maxQty": "9000000.00000000",
                "stepSize": feed.step,
            },
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "NONE",
        "allowedSelfTradePreventionModes": ["NONE"],
    }


def _rate_limits(weight_limit: int) -> list[dict[str, Any]]:
    limits = (
        ("REQUEST_WEIGHT", "MINUTE", 1, weight_limit),
        ("ORDERS", "SECOND", 1, 10),
        ("RAW_REQUESTS", "MINUTE", 5, 61_000),
    )
    names = ("rateLimitType", "interval", "intervalNum", "limit")
    return [dict(zip(names, limit, strict=True)) for limit in limits]


def _listed(feeds: Mapping[str, Feed], symbol: str, now_ms: int) -> Feed:
    if not _SYMBOL.match(symbol):
        raise _illegal("symbol", _SYMBOL_TEXT)
    feed = feeds.get(symbol)
    if feed is None or feed.status(now_ms) is None:
        raise Refusal(-1121, "Invalid symbol.")
    return feed


def _mandatory(parameters: Mapping[str, str], name: str) -> str:
    value = parameters.get(name)
    if not value:
        raise Refusal(
            -1102,
            f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.",
        )
    return value


def _number(parameters: Mapping[str, str], name: str) -> int | None:
    text = parameters.get(name)
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,20}", text):
        raise _illegal(name, "^[0-9]{1,20}$")
    return int(text)


def _illegal(name: str, legal: str) -> Refusal:
    return Refusal(
        -1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'."
    )


def _check_read(parameters: Mapping[str, str], known: set[str]) -> None:
    read = len(known & set(parameters))
    if read != len(parameters):
        raise Refusal(
            -1104,
            f"Not all sent parameters were read; read '{read}' parameter(s) "
            f"but was sent '{len(parameters)}'.",
        )
