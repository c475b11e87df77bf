"""Kline frames as Binance sends them, with defaults for everything that does not matter."""

import json
from typing import Any, Final

from streamforge_core.model.timeframe import end_of

NEW_YEAR_2025: Final = 1_735_689_600_000
"""2025-01-01 00:00 UTC, open of the candle in the documented sample."""


def kline_event(
    open_ts: int = NEW_YEAR_2025,
    *,
    symbol: str = "BTCUSDT",
    timeframe: str = "1m",
    closed: bool = True,
    price: float = 100.0,
    volume: float = 2.0,
    **changes: Any,  # noqa: ANN401 - any field of the wire, also a wrong one
) -> dict[str, Any]:
    """Return a flat candle; `changes` are fields of `k`, by their names on the wire."""
    candle: dict[str, Any] = {
        "t": open_ts,
        "T": end_of(open_ts, timeframe),
        "s": symbol,
        "i": timeframe,
        "f": 100,
        "L": 102,
        "o": f"{price:.8f}",
        "c": f"{price:.8f}",
        "h": f"{price:.8f}",
        "l": f"{price:.8f}",
        "v": f"{volume:.8f}",
        "n": 3,
        "x": closed,
        "q": f"{price * volume:.8f}",
        "V": "0.00000000",
        "Q": "0.00000000",
        "B": "0",
    }
    sent_ts = candle["T"] + 12 if closed else open_ts + 2_000
    return {"e": "kline", "E": sent_ts, "s": symbol, "k": candle | changes}


def kline_frame(open_ts: int = NEW_YEAR_2025, **fields: Any) -> str:  # noqa: ANN401 - likewise
    """Return a flat candle as the combined stream wraps it, on one line."""
    event = kline_event(open_ts, **fields)
    candle = event["k"]
    stream = f"{event['s'].lower()}@kline_{candle['i']}"
    return json.dumps({"stream": stream, "data": event}, separators=(",", ":"))
