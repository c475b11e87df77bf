"""Candles for tests: defaults everywhere, so that a test writes only what matters to it."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from streamforge_core.model.columns import klines_to_table
from streamforge_core.model.gap import Hole, Verdict
from streamforge_core.model.kline import Kline, Record, Series
from streamforge_core.model.timeframe import end_of, next_open
from streamforge_core.pipeline.rollup import rollup

START = 1_705_276_800_000
"""2024-01-15 00:00 UTC, a Monday: a boundary of every timeframe up to a week."""

MINUTE = 60_000
SERIES = Series("Binance", "BTCUSDT", "1m")


def ts(text: str) -> int:
    """Return "2024-01-15 00:05" (UTC) in epoch milliseconds."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000


def a_candle(open_ts: int, timeframe: str = "1m", **values: Any) -> Kline:  # noqa: ANN401 - any field
    """Return a closed, traded candle; a single `close` sets the whole candle's price."""
    price = values.get("close", 100.0)
    defaults = {
        "source": SERIES.source,
        "symbol": SERIES.symbol,
        "timeframe": timeframe,
        "open_ts": open_ts,
        "end_ts": end_of(open_ts, timeframe),
        "open": price,
        "high": max(price, values.get("open", price)),
        "low": min(price, values.get("open", price)),
        "close": price,
        "volume": 1.0,
        "quote_volume": None,
        "vwap": None,
        "n_trades": None,
        "is_closed": True,
    }
    return Kline(**(defaults | values))


def a_minute(index: int, **values: Any) -> Kline:  # noqa: ANN401 - any field
    """Return the minute that opens `index` minutes after `START`."""
    return a_candle(START + index * MINUTE, "1m", **values)


def a_quiet_minute(index: int, close: float = 100.0, **values: Any) -> Kline:  # noqa: ANN401 - any field
    """Return a minute without trades, flat at a price."""
    return a_minute(index, close=close, volume=0.0, **values)


def a_record(index: int, **values: Any) -> Record:  # noqa: ANN401 - any field
    """Return the record of a minute; takes the record's own fields too."""
    own = {name: values.pop(name) for name in list(values) if name not in Kline.model_fields}
    record = Record.from_kline(a_minute(index, **values))
    for name, value in own.items():
        setattr(record, name, value)
    return record


def a_table(klines: Iterable[Kline]) -> pa.Table:
    """Return candles as a `KLINE_SCHEMA` table."""
    return klines_to_table(klines)


def a_hole(
    first: int, last: int, verdict: Verdict = "exchange_outage", *, provisional: bool = False
) -> Hole:
    """Return a hole over minutes `first` to `last` (inclusive) after `START`."""
    return Hole(
        START + first * MINUTE,
        START + last * MINUTE,
        last - first + 1,
        verdict=verdict,
        provisional=provisional,
    )


def minutes_between(start: str, end: str) -> list[int]:
    """Return the opens of the minutes from one UTC text to another, the latter exclusive."""
    opens, last = [ts(start)], ts(end)
    while (following := next_open(opens[-1], "1m")) < last:
        opens.append(following)
    return opens


def folded(klines: Iterable[Kline], timeframe: str) -> Kline:
    """Return the one higher candle that some candles make, complete or not."""
    table = rollup(klines_to_table(klines), timeframe, emit_incomplete=True)[timeframe]
    (values,) = table.to_pylist()
    return Kline(**values)
