"""Minutes in memory -> five higher timeframes in memory; no file is read or written."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import duckdb
import pandas as pd  # type: ignore[import-untyped]  # it ships no types
import polars as pl
import pyarrow as pa

from benchmarks.contest import Case, Contender, Goal, Setting
from benchmarks.inputs import TIMEFRAMES, candles, days, thinned
from benchmarks.libraries import DUCKDB, NUMPY, PANDAS, POLARS, STREAMFORGE
from streamforge_core.model.timeframe import LENGTH_MS
from streamforge_core.pipeline.rollup import rollup

COLUMNS: Final = ["open", "high", "low", "close", "volume", "quote_volume", "n_trades"]

_PRICES: Final = COLUMNS[:4]

Prices = dict[str, list[bytes]]
"""By timeframe: opens, then the four prices, as raw columns."""

PANDAS_WIDTHS: Final = {"5m": "5min", "15m": "15min", "1h": "1h", "4h": "4h", "1d": "1D"}
PANDAS_RULES: Final[dict[str, Any]] = {
    "open": "first",
    "high": "max",
    "low": "min",
    "close": "last",
    "volume": "sum",
    "quote_volume": "sum",
    "n_trades": "sum",
}
POLARS_RULES: Final = [
    pl.col("open").first(),
    pl.col("high").max(),
    pl.col("low").min(),
    pl.col("close").last(),
    pl.col("volume", "quote_volume", "n_trades").sum(),
]
DUCKDB_RULES: Final = (
    "arg_min(open, open_ts) AS open, max(high) AS high, min(low) AS low, "
    "arg_max(close, open_ts) AS close, sum(volume) AS volume, "
    "sum(quote_volume) AS quote_volume, sum(n_trades) AS n_trades"
)
_FAIR: Final = (
    "Each has its input in the form it likes best. Outcome: open, high, low, close of every bucket."
)
_PLAIN: Final = "plain first/max/min/last over every row, float sums; no vwap, no completeness"


def build(setting: Setting) -> Case:
    """Return the case without gaps: a year, or a month."""
    return _whole(setting, "rollup", 30 if setting.quick else 365)


def build_month(setting: Setting) -> Case:
    """Return the same over a month: what a call costs weighs more."""
    return _whole(setting, "rollup_month", 31)


def _whole(setting: Setting, name: str, day_count: int) -> Case:
    table = candles(day_count)
    return Case(
        name=name,
        title=f"{day_count} days of 1m in memory -> {', '.join(TIMEFRAMES)}; no gaps",
        unit="row",
        facts=f"{table.num_rows} rows, {days()[0]}. {_FAIR}",
        contenders=[*_contenders(setting, table), _read_pass(table)],
        goals=[
            Goal.faster("StreamForge", "pandas resample", 25),
            Goal.faster("StreamForge", "polars group_by_dynamic", 15),
            Goal.within("StreamForge", "NumPy, one read pass", 3),
        ],
    )


def build_thin(setting: Setting) -> Case:
    """Return the case of a thin pair: a year, or a month, with gaps and minutes without trades."""
    day_count = 30 if setting.quick else 365
    table = thinned(candles(day_count))
    quiet = int((table.column("volume").to_numpy() == 0).sum())
    return Case(
        name="rollup_thin",
        title=f"{day_count} days of a thin pair -> {', '.join(TIMEFRAMES)}",
        unit="row",
        facts=f"{table.num_rows} rows, {days()[0]}; {quiet} of them made trade-less, runs of 80 "
        f"taken out. Plain aggregation gives other prices there. {_FAIR}",
        contenders=[*_contenders(setting, table), _read_pass(table)],
    )


def _contenders(setting: Setting, table: pa.Table) -> list[Contender]:
    frame, polars = pandas_frame(table), polars_frame(table)
    database = duckdb.connect()
    setting.stack.callback(database.close)
    database.register("given", table)
    database.execute("CREATE TABLE minutes AS SELECT * FROM given")
    return [
        Contender.here(
            "StreamForge",
            STREAMFORGE,
            partial(rollup, table, TIMEFRAMES, absent="no_trades"),
            table.num_rows,
            "five Arrow tables of 14 columns: only traded minutes make prices, sums exact at the "
            "printed precision, vwap, end_ts, every bucket judged complete or withheld; the input "
            "is checked",
            seen_as=_arrow_prices,
        ),
        Contender.here(
            "pandas resample",
            PANDAS,
            partial(pandas_rollup, frame),
            table.num_rows,
            f"five DataFrames of 7 columns; {_PLAIN}",
            seen_as=_pandas_prices,
        ),
        Contender.here(
            "pandas, traded only",
            PANDAS,
            partial(_pandas_traded, frame),
            table.num_rows,
            "five DataFrames of 7 columns; only traded minutes make prices, flat where none; float "
            "sums, no vwap, no completeness",
            seen_as=_pandas_prices,
        ),
        Contender.here(
            "polars group_by_dynamic",
            POLARS,
            partial(polars_rollup, polars),
            table.num_rows,
            f"five DataFrames of 7 columns; {_PLAIN}; several threads",
            seen_as=_polars_prices,
        ),
        Contender.here(
            "duckdb GROUP BY",
            DUCKDB,
            partial(_duckdb_rollup, database),
            table.num_rows,
            f"five Arrow tables of 7 columns, unordered; {_PLAIN}; several threads",
            seen_as=_duckdb_prices,
        ),
    ]


def _read_pass(table: pa.Table) -> Contender:
    columns = [table.column(name).to_numpy() for name in ("open_ts", *COLUMNS)]
    return Contender.here(
        "NumPy, one read pass",
        NUMPY,
        lambda: [column.sum() for column in columns],
        table.num_rows,
        "nothing: adds up each of the eight columns once, the least that any way must read",
    )


def pandas_frame(table: pa.Table) -> pd.DataFrame:
    """Return minutes as pandas likes them: indexed by time."""
    frame = table.select(COLUMNS).to_pandas()
    frame.index = pd.to_datetime(table.column("open_ts").to_numpy(), unit="ms", utc=True)
    return frame


def pandas_rollup(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return higher timeframes; a bucket without a row comes out empty and is dropped."""
    return {
        timeframe: frame.resample(width).agg(PANDAS_RULES).dropna(subset="open")
        for timeframe, width in PANDAS_WIDTHS.items()
    }


def _pandas_traded(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return higher timeframes by the rule of the exchanges: only traded minutes make prices."""
    traded = frame.copy()
    traded[_PRICES] = frame[_PRICES].where(frame["volume"] > 0)
    return {timeframe: _flat(traded, width) for timeframe, width in PANDAS_WIDTHS.items()}


def _flat(traded: pd.DataFrame, width: str) -> pd.DataFrame:
    buckets = traded.resample(width)
    found = buckets.agg(PANDAS_RULES)
    close = found["close"].ffill()
    for name in _PRICES:
        found[name] = found[name].fillna(close)
    return found[buckets.size() > 0]


def polars_frame(table: pa.Table) -> pl.DataFrame:
    """Return minutes as polars likes them: a sorted datetime column."""
    frame = pl.from_arrow(table.select(["open_ts", *COLUMNS]))
    if not isinstance(frame, pl.DataFrame):
        raise TypeError("A table became no frame.")
    return frame.with_columns(pl.from_epoch("open_ts", time_unit="ms").set_sorted())


def polars_rollup(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Return higher timeframes."""
    return {
        timeframe: frame.group_by_dynamic("open_ts", every=timeframe).agg(POLARS_RULES)
        for timeframe in TIMEFRAMES
    }


def _duckdb_rollup(database: duckdb.DuckDBPyConnection) -> dict[str, pa.Table]:
    return {
        timeframe: database.sql(_duckdb_query(timeframe)).to_arrow_table()
        for timeframe in TIMEFRAMES
    }


def _duckdb_query(timeframe: str) -> str:
    width = LENGTH_MS[timeframe]
    return (
        f"SELECT open_ts // {width} * {width} AS bucket, {DUCKDB_RULES} "  # noqa: S608 - our own names
        "FROM minutes GROUP BY bucket"
    )


def _arrow_prices(found: Mapping[str, pa.Table]) -> Prices:
    return {timeframe: _prices(table, "open_ts") for timeframe, table in found.items()}


def _duckdb_prices(found: Mapping[str, pa.Table]) -> Prices:
    return {
        timeframe: _prices(table.sort_by("bucket"), "bucket") for timeframe, table in found.items()
    }


def _pandas_prices(found: Mapping[str, pd.DataFrame]) -> Prices:
    tables = {timeframe: _from_pandas(frame) for timeframe, frame in found.items()}
    return _arrow_prices(tables)


def _from_pandas(frame: pd.DataFrame) -> pa.Table:
    opens = frame.index.as_unit("ms").astype("int64")
    return pa.Table.from_pandas(frame.assign(open_ts=opens), preserve_index=False)


def _polars_prices(found: Mapping[str, pl.DataFrame]) -> Prices:
    return {
        timeframe: _prices(
            frame.with_columns(pl.col("open_ts").dt.epoch("ms")).to_arrow(), "open_ts"
        )
        for timeframe, frame in found.items()
    }


def _prices(table: pa.Table, opens: str) -> list[bytes]:
    names = (opens, "open", "high", "low", "close")
    return [table.column(name).to_numpy().tobytes() for name in names]
