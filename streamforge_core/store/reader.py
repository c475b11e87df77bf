"""Reads what `ParquetEmitter` writes: rows by time, what is missing and why, SQL over it all."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from streamforge_core.errors import ConfigError, EmitterError, MalformedMessage, MissingExtra
from streamforge_core.model.columns import (
    KLINE_SCHEMA,
    RECORD_SCHEMA,
    Instants,
    instants,
    opens_between,
)
from streamforge_core.model.coverage import ArchiveEntry, Coverage, decode_entries, find_missing
from streamforge_core.model.date_range import instant
from streamforge_core.model.gap import Hole
from streamforge_core.model.kline import Series
from streamforge_core.model.merge import merge
from streamforge_core.model.partition import (
    PART_FILE,
    coverage_path,
    periods_between,
    series_path,
    timeframe_of,
    unescape,
)
from streamforge_core.model.timeframe import iso
from streamforge_core.store.sql import query as run_query

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]  # it ships no types

When = int | str | date | datetime
"""An instant: UTC epoch milliseconds, ISO text, a date (its 00:00) or a datetime (naive is UTC)."""

_FOREVER_MS: Final = 253_402_300_800_000
_LEVELS: Final = ("source=", "symbol=", "timeframe=")


@dataclass(frozen=True, slots=True)
class SeriesCoverage:
    """What a store holds of one series between its first and its last closed candle.

    Attributes:
        source: Of the series.
        symbol: Of the series.
        timeframe: Of the series.
        first: Open of the first candle, as UTC text.
        last: Open of the last candle, as UTC text.
        rows: Closed candles stored.
        expected: Candles on the grid from first to last.
        missing: Of these, how many are not there: the sum of the columns after it.
        pending: Nobody has judged these yet.
        our_loss: The exchange has them.
        late: They came after a newer one.
        no_trades: Nothing was traded, and the source omits such candles.
        exchange_outage: The exchange has none.
    """

    source: str
    symbol: str
    timeframe: str
    first: str
    last: str
    rows: int
    expected: int
    missing: int
    pending: int = 0
    our_loss: int = 0
    late: int = 0
    no_trades: int = 0
    exchange_outage: int = 0


class Store:
    """A folder written by `ParquetEmitter`. Reading takes no lock and never sees half a file.

    A series or a folder that is not there has no rows; that is no error.

    Args:
        path: The store's root.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    def read(
        self,
        *,
        source: str,
        symbol: str,
        timeframe: str,
        start: When | None = None,
        end: When | None = None,
        include_open: bool = False,
    ) -> pa.Table:
        """Return a series' candles as a `KLINE_SCHEMA` table, ascending by `open_ts`.

        Args:
            source: Such as "Binance".
            symbol: As the venue writes it.
            timeframe: Label such as "1m".
            start: First instant inside; None for the first stored.
            end: First instant outside: a date is its 00:00, so that day is not read. None for all.
            include_open: Whether to return candles that were not closed when they were stored.

        Raises:
            ConfigError: `start` or `end` is no instant.
            EmitterError: A file is damaged; the message names it.
        """
        series = Series(source, symbol, timeframe)
        return self._rows(series, start, end, include_open=include_open).select(KLINE_SCHEMA.names)

    def records(
        self,
        *,
        source: str,
        symbol: str,
        timeframe: str,
        start: When | None = None,
        end: When | None = None,
        include_open: bool = False,
    ) -> pa.Table:
        """Return the same rows with what is known about each: a `RECORD_SCHEMA` table."""
        series = Series(source, symbol, timeframe)
        return self._rows(series, start, end, include_open=include_open)

    def to_pandas(
        self,
        *,
        source: str,
        symbol: str,
        timeframe: str,
        start: When | None = None,
        end: When | None = None,
        include_open: bool = False,
    ) -> "pd.DataFrame":
        """Return the same rows as a DataFrame, indexed by the open as UTC time.

        The index is named "time"; `open_ts` and `end_ts` stay columns of milliseconds.

        Raises:
            MissingExtra: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingExtra(
                "to_pandas() needs pandas. Install streamforge-dagster[pandas]."
            ) from error
        series = Series(source, symbol, timeframe)
        rows = self._rows(series, start, end, include_open=include_open)
        frame = rows.select(KLINE_SCHEMA.names).to_pandas()
        frame.index = pd.DatetimeIndex(
            pd.to_datetime(frame["open_ts"], unit="ms", utc=True), name="time"
        )
        return frame

    def missing(
        self,
        *,
        source: str,
        symbol: str,
        timeframe: str,
        start: When | None = None,
        end: When | None = None,
    ) -> list[Hole]:
        """Return the runs of candles that are not stored as closed, each with its verdict.

        Args:
            source: Such as "Binance".
            symbol: As the venue writes it.
            timeframe: Label such as "1m".
            start: First instant asked about; None for the first candle stored.
            end: First instant not asked about; None for the end of the last candle stored.

        Raises:
            ConfigError: `start` or `end` is no instant.
            EmitterError: A file is damaged; the message names it.
        """
        series = Series(source, symbol, timeframe)
        start_ms, end_ms = _instant(start, 0, "start"), _instant(end, _FOREVER_MS, "end")
        present = self._closed_opens(series, start_ms, end_ms)
        if start is None:
            start_ms = int(present[0]) if len(present) else end_ms
        if end is None:
            end_ms = int(present[-1]) + 1 if len(present) else start_ms
        coverage = self._coverage(series)
        return find_missing(present, start_ms, end_ms, timeframe, coverage)

    def coverage(self) -> list[SeriesCoverage]:
        """Return, for every series with a closed candle, what is there and what is missing."""
        rows = (self._covered(series) for series in self.series())
        return [row for row in rows if row is not None]

    def _covered(self, series: Series) -> SeriesCoverage | None:
        present = self._closed_opens(series, 0, _FOREVER_MS)
        if not len(present):
            return None
        first, last = int(present[0]), int(present[-1])
        holes = find_missing(present, first, last + 1, series.timeframe, self._coverage(series))
        counts: Counter[str] = Counter()
        for hole in holes:
            counts[hole.verdict] += hole.count
        return SeriesCoverage(
            source=series.source,
            symbol=series.symbol,
            timeframe=series.timeframe,
            first=iso(first),
            last=iso(last),
            rows=len(present),
            expected=len(opens_between(first, last + 1, series.timeframe)),
            missing=counts.total(),
            **counts,
        )

    def series(self) -> list[Series]:
        """Return every series that has a folder, sorted."""
        return sorted(_series_of(folder, self.path) for folder in _folders(self.path, _LEVELS))

    def archives(self, *, source: str, symbol: str, timeframe: str) -> list[ArchiveEntry]:
        """Return the archive files that were read for a series, with their checksums, by path."""
        archives = self._coverage(Series(source, symbol, timeframe)).archives
        return [archives[path] for path in sorted(archives)]

    def files(
        self,
        *,
        source: str,
        symbol: str,
        timeframe: str,
        start: When | None = None,
        end: When | None = None,
    ) -> list[Path]:
        """Return the files that can hold a range, as they lie on disk, ascending by time.

        For who checks them: `read` sorts and leaves out what is there twice.
        """
        start_ms, end_ms = _instant(start, 0, "start"), _instant(end, _FOREVER_MS, "end")
        return self._files(Series(source, symbol, timeframe), start_ms, end_ms)

    def sql(
        self, query: str, parameters: Sequence[object] | Mapping[str, object] | None = None
    ) -> pa.Table:
        """Run DuckDB SQL over the view `klines`: every row, columns of `RECORD_SCHEMA` first.

        Open candles are in it too: `where is_closed` leaves them out. Nothing of the store can be
        changed through the view.

        Args:
            query: One statement.
            parameters: Values for `?`, or by name for `$name`; bound, never formatted.

        Raises:
            MissingExtra: DuckDB is not installed.
        """
        return run_query(self.path, query, parameters)

    def _rows(
        self, series: Series, start: When | None, end: When | None, *, include_open: bool
    ) -> pa.Table:
        start_ms, end_ms = _instant(start, 0, "start"), _instant(end, _FOREVER_MS, "end")
        table = self._stored(series, start_ms, end_ms, RECORD_SCHEMA)
        if not include_open:
            table = table.filter(table.column("is_closed"))
        opens = instants(table)
        if not (opens[1:] > opens[:-1]).all():  # a month beside its days, while they are compacted
            merged = merge(RECORD_SCHEMA.empty_table(), table)
            return table if merged is None else merged
        return table

    def _closed_opens(self, series: Series, start_ms: int, end_ms: int) -> Instants:
        schema = pa.schema([RECORD_SCHEMA.field("open_ts"), RECORD_SCHEMA.field("is_closed")])
        table = self._stored(series, start_ms, end_ms, schema)
        return np.unique(instants(table.filter(table.column("is_closed"))))

    def _stored(self, series: Series, start_ms: int, end_ms: int, schema: pa.Schema) -> pa.Table:
        """Read the files that can hold the range; a month comes before its days."""
        files = self._files(series, start_ms, end_ms)
        table = pa.concat_tables([schema.empty_table(), *(_read(file, schema) for file in files)])
        opens = instants(table)
        return table.filter(pa.array((opens >= start_ms) & (opens < end_ms)))

    def _files(self, series: Series, start_ms: int, end_ms: int) -> list[Path]:
        folder = self.path / series_path(series)
        names = [each.name for each in folder.iterdir()] if folder.is_dir() else []
        files = [folder / name / PART_FILE for name in periods_between(names, start_ms, end_ms)]
        return [file for file in files if file.is_file()]

    def _coverage(self, series: Series) -> Coverage:
        path = self.path / coverage_path(series)
        try:
            return Coverage.of(decode_entries(path.read_bytes()))
        except FileNotFoundError:
            return Coverage()
        except MalformedMessage as error:
            raise EmitterError(f"{path} is damaged: {error}") from error


def _instant(when: When | None, default_ms: int, name: str) -> int:
    if when is None:
        return default_ms
    if isinstance(when, int):
        return when
    if when == "now":
        raise ConfigError(f'{name}="now" is not known to a store. Leave it out to read to the end.')
    return instant(when, name=name, now_ms=0)


def _read(file: Path, schema: pa.Schema) -> pa.Table:
    """Return some columns of a file, no rows where there is none."""
    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as source:
            # One thread: starting more costs more than a file of a day or a month gives them to do.
            return source.read(schema.names, use_threads=False).select(schema.names).cast(schema)
    except FileNotFoundError:
        return schema.empty_table()
    except (pa.ArrowException, OSError, KeyError) as error:
        raise EmitterError(f"{file} is damaged or no partition of a store: {error}") from error


def _folders(root: Path, levels: Sequence[str]) -> Iterator[Path]:
    """Yield the folders below `root` whose names begin as the levels say, one level each."""
    if not levels:
        yield root
    elif root.is_dir():
        for folder in root.iterdir():
            if folder.name.startswith(levels[0]) and folder.is_dir():
                yield from _folders(folder, levels[1:])


def _series_of(folder: Path, root: Path) -> Series:
    parts = [part.partition("=")[2] for part in folder.relative_to(root).parts]
    return Series(unescape(parts[0]), unescape(parts[1]), timeframe_of(parts[2]))
