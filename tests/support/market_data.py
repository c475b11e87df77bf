"""Real candles captured from the exchanges: they lie beside the repository, never inside it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from streamforge_core.model.columns import KLINE_SCHEMA
from streamforge_core.model.timeframe import LENGTH_MS

ROOT = Path(__file__).resolve().parents[2].parent / "shared" / "market-data"

# Binance's archives changed from milliseconds to microseconds on 2025-01-01.
MICROSECONDS_FROM = 10**14


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
    path = market_data("binance_spot_daily", f"BTCUSDT-1m-{day}.csv")
    raw = pyarrow.csv.read_csv(
        path, read_options=pyarrow.csv.ReadOptions(autogenerate_column_names=True)
    )
    opens = raw["f0"].to_numpy()
    opens = np.where(opens >= MICROSECONDS_FROM, opens // 1_000, opens)
    volume, quote = raw["f5"].cast(pa.float64()), raw["f7"].cast(pa.float64())
    return _table(
        ("Binance", "BTCUSDT", "1m"),
        opens,
        [raw[f"f{i}"].cast(pa.float64()) for i in range(1, 5)],
        volume,
        quote_volume=quote,
        n_trades=raw["f8"].cast(pa.int64()),
    )


def thin_pair(timeframe: str) -> pa.Table:
    """Return ADABTC of 2023-04 as Binance prints it; the last row, maybe forming, left out."""
    rows = json.loads(market_data("binance_thin_pair", f"ADABTC-{timeframe}.json").read_bytes())
    columns = list(zip(*rows[:-1], strict=True))
    prices = [pa.array(column, pa.float64()) for column in columns[1:5]]
    volume = pa.array(columns[5], pa.float64())
    return _table(("Binance", "ADABTC", timeframe), np.array(columns[0], np.int64), prices, volume)


def kraken_csv(minutes: int) -> pa.Table:
    """Return XBTUSD 2013-2021 of Kraken's own csv; intervals without trades are absent."""
    raw = pyarrow.csv.read_csv(
        market_data("kraken_ohlcvt", f"XBTUSD_{minutes}.csv"),
        read_options=pyarrow.csv.ReadOptions(autogenerate_column_names=True),
    )
    timeframe = {60: "1h", 1440: "1d"}[minutes]
    return _table(
        ("Kraken", "XBTUSD", timeframe),
        raw["f0"].to_numpy() * 1_000,
        [raw[f"f{i}"].cast(pa.float64()) for i in range(1, 5)],
        raw["f5"].cast(pa.float64()),
        n_trades=raw["f6"].cast(pa.int64()),
    )


def _table(
    series: tuple[str, str, str],
    opens: "np.ndarray[tuple[int], np.dtype[np.int64]]",
    prices: Sequence[Any],
    volume: Any,
    *,
    quote_volume: Any = None,
    n_trades: Any = None,
) -> pa.Table:
    count = len(opens)
    unknown = pa.nulls(count)
    columns = [
        *(pa.repeat(text, count) for text in series),
        pa.array(opens),
        pa.array(opens + (LENGTH_MS[series[2]] - 1)),
        *prices,
        volume,
        unknown if quote_volume is None else quote_volume,
        unknown,
        unknown if n_trades is None else n_trades,
        pa.repeat(pa.scalar(value=True), count),
    ]
    return pa.table(columns, names=KLINE_SCHEMA.names).cast(KLINE_SCHEMA)
