"""Real candles captured from the exchanges: they lie beside the repository, never inside it."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
import pytest

from streamforge_core.model.columns import KLINE_SCHEMA
from streamforge_core.model.timeframe import LENGTH_MS

ROOT = Path(__file__).resolve().parents[2].parent / "shared" / "market-data"

# Binance's archives changed from milliseconds to microseconds on 2025-01-01.
MICROSECONDS_FROM = 10**14

OHLCV = ("open", "high", "low", "close", "volume")


def market_data(*parts: str) -> Path:
    """Return a path inside the market data; skips the test where they are not at hand."""
    path = ROOT.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"real market data {'/'.join(parts)} lies beside the repository and is absent")
    return path


def binance_day(*days: str) -> pa.Table:
    """Return BTCUSDT minutes of some days as a `KLINE_SCHEMA` table, rows as in the files."""
    return pa.concat_tables([_binance_day(day) for day in days])


def _binance_day(day: str) -> pa.Table:
    raw = _csv(market_data("binance_spot_daily", f"BTCUSDT-1m-{day}.csv"))
    opens = raw["f0"].to_numpy()
    opens = np.where(opens >= MICROSECONDS_FROM, opens // 1_000, opens)
    columns = {name: raw[f"f{i}"] for i, name in enumerate(OHLCV, 1)}
    columns |= {"quote_volume": raw["f7"], "n_trades": raw["f8"]}
    return _table("Binance", "BTCUSDT", "1m", opens, columns)


def thin_pair(timeframe: str) -> pa.Table:
    """Return ADABTC of 2023-04 as Binance prints it; the last row, maybe forming, left out."""
    rows = json.loads(market_data("binance_thin_pair", f"ADABTC-{timeframe}.json").read_bytes())
    opens, *columns = zip(*rows[:-1], strict=True)
    named = dict(zip(OHLCV, (pa.array(column) for column in columns), strict=True))
    return _table("Binance", "ADABTC", timeframe, np.array(opens, np.int64), named)


def kraken_csv(minutes: int) -> pa.Table:
    """Return XBTUSD 2013-2021 of Kraken's own csv; intervals without trades are absent."""
    raw = _csv(market_data("kraken_ohlcvt", f"XBTUSD_{minutes}.csv"))
    timeframe = {60: "1h", 1440: "1d"}[minutes]
    columns = {name: raw[f"f{i}"] for i, name in enumerate((*OHLCV, "n_trades"), 1)}
    return _table("Kraken", "XBTUSD", timeframe, raw["f0"].to_numpy() * 1_000, columns)


def _csv(path: Path) -> pa.Table:
    options = pyarrow.csv.ReadOptions(autogenerate_column_names=True)
    return pyarrow.csv.read_csv(path, read_options=options)


def _table(
    source: str,
    symbol: str,
    timeframe: str,
    opens: npt.NDArray[np.int64],
    columns: Mapping[str, object],
) -> pa.Table:
    count = len(opens)
    known: dict[str, object] = {
        "source": pa.repeat(source, count),
        "symbol": pa.repeat(symbol, count),
        "timeframe": pa.repeat(timeframe, count),
        "open_ts": pa.array(opens),
        "end_ts": pa.array(opens + (LENGTH_MS[timeframe] - 1)),
        "is_closed": pa.array(np.ones(count, np.bool_)),
        **columns,
    }
    unknown = pa.nulls(count)
    return pa.table({name: known.get(name, unknown) for name in KLINE_SCHEMA.names}).cast(
        KLINE_SCHEMA
    )
