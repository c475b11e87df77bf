"""A month's archive file as downloaded -> base and five higher timeframes as Parquet files."""

import io
import itertools
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, Literal
from unittest.mock import patch

import duckdb
import pandas as pd  # type: ignore[import-untyped]  # it ships no types
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.cases.rollup import DUCKDB_RULES, pandas_rollup, polars_rollup
from benchmarks.contest import Case, Contender, Goal, Setting
from benchmarks.inputs import FIRST_MS, SYMBOL, TIMEFRAMES, archive_csv, archive_zip, days
from benchmarks.libraries import DUCKDB, PANDAS, POLARS, STREAMFORGE, Library
from streamforge_core.emitters.parquet import ParquetEmitter
from streamforge_core.exchanges.binance import history
from streamforge_core.exchanges.binance.constants import SPOT
from streamforge_core.exchanges.binance.history import ARCHIVE_COLUMNS, BinanceHistory
from streamforge_core.model.kline import FIELDS, Series
from streamforge_core.model.partition import series_path
from streamforge_core.model.timeframe import LENGTH_MS
from streamforge_core.pipeline.rollup import rollup
from streamforge_core.transport.clock import SystemClock

_ALL: Final = ("1m", *TIMEFRAMES)
_SOURCE: Final = SPOT.source
_INFLATER: Final = history.inflation.__name__  # type: ignore[attr-defined]  # its own import
_READ: Final = list(ARCHIVE_COLUMNS[:9])
_TEXTS: Final = ["source", "symbol", "timeframe"]

Codec = Literal["zstd", "snappy"]

Way = Callable[[bytes, Path], None]
"""Takes the zip and an empty folder, in which it writes one file a timeframe."""


def build(setting: Setting) -> Case:
    """Return the case: a month, or three days."""
    day_count = 3 if setting.quick else 31
    text = archive_csv(FIRST_MS, day_count)
    content = archive_zip(f"{SYMBOL}-1m-2023-01", text)
    rows = text.count(b"\n")
    return Case(
        name="month_to_parquet",
        title=f"{day_count} days of 1m: zip -> decoded -> {', '.join(TIMEFRAMES)} -> Parquet",
        unit="row",
        facts=f"{rows} rows, {days()[0]}; zip of {len(content)} bytes, {len(text)} unpacked. "
        f"StreamForge inflates with {_INFLATER} unless the row says zlib, all peers with Python's "
        "zipfile (zlib); zstd is level 1 everywhere. Outcome: open, high, low, close in all files",
        contenders=[_contender(setting, content, rows, *way) for way in _ways()],
        goals=[
            Goal.faster("StreamForge, zstd", "pandas, zstd", 3),
            Goal.faster("StreamForge, zstd, zlib", "pandas, zstd", 3),
            Goal.faster("StreamForge, zstd", "pandas, 8 columns, zstd", 3),
            Goal.faster("StreamForge, snappy", "pandas, snappy", 3),
            Goal.faster("StreamForge, zstd", "polars, zstd", 1.5),
        ],
    )


def _ways() -> list[tuple[str, Library, Way, str]]:
    same = "6 files of the same 14 columns"
    ours = f"{same}; every row checked, sums exact, completeness judged"
    store = (
        "the store as in production: the 1m file of each day and the others', 18 columns, written "
        "beside, fsynced and moved under a lock; page checksums"
    )
    return [
        ("StreamForge, zstd", STREAMFORGE, partial(_write_ours, codec="zstd"), ours),
        (
            "StreamForge, zstd, zlib",
            STREAMFORGE,
            _write_with_zlib,
            "likewise, without the extra `fast`: inflated by the standard library",
        ),
        ("StreamForge, snappy", STREAMFORGE, partial(_write_ours, codec="snappy"), ours),
        ("StreamForge, store", STREAMFORGE, _write_store, store),
        ("pandas, zstd", PANDAS, partial(_write_pandas, codec="zstd"), f"{same}; nothing checked"),
        ("pandas, snappy", PANDAS, partial(_write_pandas, codec="snappy"), "likewise"),
        (
            "pandas, 8 columns, zstd",
            PANDAS,
            partial(_write_pandas, codec="zstd", is_complete=False),
            "6 files of 8 columns only: no source, symbol, timeframe, end_ts, vwap, is_closed",
        ),
        ("polars, zstd", POLARS, _write_polars, f"{same}; nothing checked; several threads"),
        (
            "duckdb, zstd",
            DUCKDB,
            _write_duckdb,
            f"{same}, unordered; nothing checked; several threads; the csv goes over a file",
        ),
    ]


def _contender(
    setting: Setting, content: bytes, rows: int, name: str, library: Library, way: Way, builds: str
) -> Contender:
    numbers = itertools.count()

    def act() -> Path:
        folder = setting.folder / f"{name}-{next(numbers)}"
        folder.mkdir()
        way(content, folder)
        return folder

    seen_as = None if "8 columns" in name else _prices
    return Contender.here(name, library, act, rows, builds, seen_as=seen_as)


def _decoded(content: bytes) -> dict[str, pa.Table]:
    base = BinanceHistory(SPOT).parse_archive(content, SYMBOL, "1m", now_ms=SystemClock().now_ms())
    return {"1m": base, **rollup(base, TIMEFRAMES)}


def _write_ours(content: bytes, folder: Path, *, codec: Codec) -> None:
    for timeframe, table in _decoded(content).items():
        pq.write_table(
            table,
            _file(folder, timeframe),
            compression=codec,
            use_dictionary=_TEXTS,  # type: ignore[arg-type]  # the stubs know no list
            column_encoding=dict.fromkeys(("open_ts", "end_ts"), "DELTA_BINARY_PACKED"),
        )


def _write_with_zlib(content: bytes, folder: Path) -> None:
    with patch.object(history, "inflation", zlib):
        _write_ours(content, folder, codec="zstd")


def _write_store(content: bytes, folder: Path) -> None:
    with ParquetEmitter(folder) as emitter:
        for table in _decoded(content).values():
            emitter.emit_batch(table)


def _write_pandas(content: bytes, folder: Path, *, codec: Codec, is_complete: bool = True) -> None:
    frame = pd.read_csv(
        io.BytesIO(content),
        compression="zip",
        header=None,
        names=list(ARCHIVE_COLUMNS),
        usecols=_READ,
    )
    frame.index = pd.to_datetime(frame["open_time"], unit="ms", utc=True)
    frame = frame.drop(columns=["open_time", "close_time"]).rename(columns={"count": "n_trades"})
    for timeframe, found in {"1m": frame, **pandas_rollup(frame)}.items():
        made = _completed(found, timeframe) if is_complete else found
        made.to_parquet(_file(folder, timeframe), compression=codec)


def _completed(frame: pd.DataFrame, timeframe: str) -> pd.DataFrame:
    opens = frame.index.as_unit("ms").astype("int64")
    columns = frame.assign(
        source=_SOURCE,
        symbol=SYMBOL,
        timeframe=timeframe,
        open_ts=opens,
        end_ts=opens + (LENGTH_MS[timeframe] - 1),
        vwap=frame["quote_volume"] / frame["volume"],
        is_closed=True,
    )
    return columns[list(FIELDS)].reset_index(drop=True)


def _write_polars(content: bytes, folder: Path) -> None:
    lazy = pl.scan_csv(
        io.BytesIO(_inflated(content)), has_header=False, new_columns=list(ARCHIVE_COLUMNS)
    )
    frame = (
        lazy.select(_READ)
        .rename({"open_time": "open_ts", "count": "n_trades"})
        .with_columns(pl.from_epoch("open_ts", time_unit="ms").set_sorted())
        .collect()
    )
    for timeframe, found in {"1m": frame, **polars_rollup(frame)}.items():
        opens = pl.col("open_ts").dt.epoch("ms")
        found.with_columns(
            source=pl.lit(_SOURCE),
            symbol=pl.lit(SYMBOL),
            timeframe=pl.lit(timeframe),
            open_ts=opens,
            end_ts=opens + (LENGTH_MS[timeframe] - 1),
            vwap=pl.col("quote_volume") / pl.col("volume"),
            is_closed=pl.lit(value=True),
        ).select(FIELDS).write_parquet(
            _file(folder, timeframe), compression="zstd", compression_level=1
        )


def _write_duckdb(content: bytes, folder: Path) -> None:
    csv = folder / "month.csv"
    csv.write_bytes(_inflated(content))
    with duckdb.connect() as database:
        database.execute(f"CREATE TABLE minutes AS {_DUCKDB_READ}'{csv}', header=false)")
        for timeframe in _ALL:
            database.execute(_copy(timeframe, _file(folder, timeframe)))


_DUCKDB_READ: Final = (
    "SELECT column00 AS open_ts, column01 AS open, column02 AS high, column03 AS low, "
    "column04 AS close, column05 AS volume, column07 AS quote_volume, column08 AS n_trades "
    "FROM read_csv("
)


def _copy(timeframe: str, target: Path) -> str:
    width = LENGTH_MS[timeframe]
    rows = "SELECT open_ts AS bucket, * FROM minutes"
    if timeframe != "1m":
        bucket = f"open_ts // {width} * {width}"
        rows = f"SELECT {bucket} AS bucket, {DUCKDB_RULES} FROM minutes GROUP BY 1"  # noqa: S608 - our own names
    return (
        f"COPY (SELECT '{_SOURCE}' AS source, '{SYMBOL}' AS symbol, '{timeframe}' AS timeframe, "  # noqa: S608 - likewise
        f"bucket AS open_ts, bucket + {width - 1} AS end_ts, open, high, low, close, volume, "
        f"quote_volume, quote_volume / volume AS vwap, n_trades, true AS is_closed FROM ({rows})) "
        f"TO '{target}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
    )


def _inflated(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(archive.infolist()[0])


def _file(folder: Path, timeframe: str) -> Path:
    return folder / f"{timeframe}.parquet"


def _prices(folder: Path) -> dict[str, list[bytes]]:
    names = ["open_ts", "open", "high", "low", "close"]
    found = {}
    for timeframe in _ALL:
        stored = folder / series_path(Series(_SOURCE, SYMBOL, timeframe))
        files = sorted(stored.rglob("*.parquet")) or [_file(folder, timeframe)]
        parts = [pq.ParquetFile(file).read(names) for file in files]
        table = pa.concat_tables(parts).sort_by("open_ts")
        found[timeframe] = [table.column(name).to_numpy().tobytes() for name in names]
    return found
