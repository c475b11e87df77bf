"""Tables of base candles taken apart into series: checked, ascending, each candle once."""

import math
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamforge_core.errors import ConfigError
from streamforge_core.model.columns import Instants, opens_of
from streamforge_core.model.kline import Series
from streamforge_core.model.timeframe import LENGTH_MS
from streamforge_core.pipeline.fold import (
    Amounts,
    Flags,
    Floats,
    Part,
    Rows,
    Sums,
    part,
    spacing_of,
)

_KEY: Final = ("source", "symbol", "timeframe")
_PRICES: Final = ("open", "high", "low", "close")
_REQUIRED: Final = (*_KEY, "open_ts", *_PRICES, "volume")


class SeriesTable(NamedTuple):
    """The rows of one series; a source may be None."""

    source: str | None
    symbol: str
    timeframe: str
    rows: pa.Table

    @property
    def key(self) -> Series:
        """The series, a missing source as ""."""
        return Series(self.source or "", self.symbol, self.timeframe)


def series_tables(table: pa.Table) -> Iterator[SeriesTable]:
    """Yield each series of a table, ascending by source, symbol and timeframe.

    Raises:
        ConfigError: The table lacks a column.
    """
    lacking = [name for name in _REQUIRED if name not in table.column_names]
    if lacking:
        raise ConfigError(
            f"A table of candles needs the columns of KLINE_SCHEMA; it lacks {', '.join(lacking)}."
        )
    if not table.num_rows:
        return
    if all(_is_constant(table.column(name)) for name in _KEY):
        yield _named(table)
        return
    codes = _codes(table)
    order = np.argsort(codes, kind="stable")
    edges = np.flatnonzero(np.diff(codes[order])) + 1
    parts = [_named(table.take(index)) for index in np.split(order, edges)]
    yield from sorted(parts, key=lambda part: part.key)


def _is_constant(column: "pa.ChunkedArray[Any]") -> bool:
    # Comparing a column with itself, one row on, costs a fraction of any hash.
    chunks = [chunk for chunk in column.chunks if len(chunk)]
    if any(chunk[0] != chunks[0][0] for chunk in chunks):
        return False
    return all(chunk[:-1].equals(chunk[1:]) for chunk in chunks)


def _named(rows: pa.Table) -> SeriesTable:
    source, symbol, timeframe = (rows.column(name)[0].as_py() for name in _KEY)
    return SeriesTable(source, symbol, timeframe, rows)


def _codes(table: pa.Table) -> npt.NDArray[np.int64]:
    """Return one number per row that is the same for rows of the same series."""
    codes = np.zeros(table.num_rows, np.int64)
    for name in _KEY:
        column = table.column(name).cast(pa.string()).combine_chunks()
        encoded = column.dictionary_encode(null_encoding="encode")
        codes = codes * len(encoded.dictionary) + encoded.indices.to_numpy()
    return codes


class BaseRows:
    """One series' rows, ready to be folded.

    Of several rows with the same open the closed one counts, among equals the last. "filled"
    candles are left out: they are flat lines drawn for a reader, not what an exchange said.

    Attributes:
        opens: Opens, strictly ascending, UTC epoch milliseconds.
        intervals: For each row the grid interval that holds its open.
        spacing: Distance between neighbouring opens, 0 if they differ.
        volume: Scaled on demand.
        quote: Likewise; None where no row tells.

    Raises:
        ConfigError: An open is no integer; while being read, a volume is not 0 or more.
    """

    def __init__(self, rows: pa.Table, timeframe: str, *, bucket_intervals: int) -> None:
        self._rows, self.opens, self.spacing = _each_once(_without_filled(rows))
        self.intervals = self.opens
        self._shared: Flags | None = None
        length = LENGTH_MS[timeframe]
        if not self.spacing or self.spacing % length or self.opens[0] % length:
            self.intervals = opens_of(self.opens, timeframe)
            self._shared = _if_any(np.diff(self.intervals, prepend=-1) == 0)
        # Off the grid several rows may share an interval: then only all rows are a bound.
        bucket_rows = bucket_intervals if self._shared is None else len(self.opens)
        self._closed = _closed(self._rows)
        self._prices = tuple(_floats(self._rows, name) for name in _PRICES)
        self._volume = _floats(self._rows, "volume")
        self.volume = Amounts("volume", self._volume, bucket_rows=bucket_rows)
        self._quotes = _optional(self._rows, "quote_volume")
        self.quote = self._quotes and Amounts(
            "quote_volume", self._quotes.values, bucket_rows=bucket_rows
        )
        self._trades = _counts(self._rows)

    def __len__(self) -> int:
        return len(self.opens)

    def block(self, start: int, stop: int, bucket_rows: int) -> Rows:
        """Return the rows from one position to another.

        Args:
            start: First of them.
            stop: First behind them.
            bucket_rows: Most rows that will be added up.
        """
        first, high, low, last = (column[start:stop] for column in self._prices)
        volume = self._volume[start:stop]
        untraded = None if volume.min() > 0 else _if_any(volume == 0)
        quotes = None if self.quote is None else self.quote.block(start, stop, bucket_rows)
        trades = None if self._trades is None else self._trades.values[start:stop]
        closed, shared = part(self._closed, start, stop), part(self._shared, start, stop)
        return Rows(
            opens=self.opens[start:stop],
            open=first,
            high=high,
            low=low,
            close=last,
            volume=self.volume.block(start, stop, bucket_rows),
            untraded=untraded,
            forming=None if closed is None else ~closed,
            filled=None if shared is None else (~shared).astype(np.int64),
            quote=_as_part(quotes, self._quotes, untraded, start, stop),
            trades=_as_part(trades, self._trades, untraded, start, stop),
        )

    def products_between(self, starts: Instants, stops: Instants) -> tuple[Floats, Flags]:
        """Return sum(vwap * volume) of the rows that tell no quote volume, run by run.

        Each sum is rounded once (`math.fsum`). Beside it stands whether every traded row of the
        run tells one of the two.
        """
        volume = self._volume
        products, told = np.zeros(len(volume)), volume == 0
        vwap = _optional(self._rows, "vwap")
        if vwap is not None:
            products, told = vwap.values * volume, told | _known(vwap)
        if self._quotes is not None:
            quoted = _known(self._quotes)
            products, told = np.where(quoted, 0.0, products), told | quoted
        listed = products.tolist()
        runs = list(zip(starts.tolist(), stops.tolist(), strict=True))
        sums = np.array([math.fsum(listed[start:stop]) for start, stop in runs])
        return sums, np.array([bool(told[start:stop].all()) for start, stop in runs])


class _Told(NamedTuple):
    """A column that a source may leave open.

    Attributes:
        values: 0 where it does not tell.
        known: Which rows tell; None where all do.
    """

    values: npt.NDArray[Any]
    known: Flags | None


def _known(told: _Told) -> Flags:
    return np.ones(len(told.values), np.bool_) if told.known is None else told.known


def _as_part(
    totals: Sums | None, told: _Told | None, untraded: Flags | None, start: int, stop: int
) -> Part:
    size = stop - start
    if told is None:
        missing = np.ones(size, np.bool_) if untraded is None else ~untraded
        return Part(None, missing, np.ones(size, np.bool_))
    if told.known is None:
        return Part(totals, None, None)
    silent = ~told.known[start:stop]
    return Part(totals, silent if untraded is None else silent & ~untraded, silent)


def _without_filled(rows: pa.Table) -> pa.Table:
    if "provenance" not in rows.column_names:
        return rows
    column = rows.column("provenance")
    if _is_constant(column) and column[0].as_py() != "filled":
        return rows
    return rows.filter(pa.array([value != "filled" for value in column.to_pylist()]))


def _each_once(rows: pa.Table) -> tuple[pa.Table, Instants, int]:
    """Return rows with strictly ascending opens, the opens, and their spacing."""
    opens = _instants(rows)
    spacing = spacing_of(opens)
    if spacing > 0 or (np.diff(opens) > 0).all():
        return rows, opens, spacing
    closed = _closed(rows)
    rank = np.ones(len(opens), np.bool_) if closed is None else closed
    order = np.lexsort((rank, opens))
    kept = order[np.append(np.diff(opens[order]) > 0, True)]
    opens = opens[kept]
    return rows.take(kept), opens, spacing_of(opens)


def _instants(rows: pa.Table) -> Instants:
    column = rows.column("open_ts")
    if not pa.types.is_integer(column.type) or column.null_count:
        raise ConfigError(
            f"open_ts must hold integers, UTC epoch milliseconds, in every row; it is "
            f"{column.type} with {column.null_count} nulls."
        )
    return cast(Instants, column.cast(pa.int64()).to_numpy())


def _floats(rows: pa.Table, name: str) -> Floats:
    return cast(Floats, rows.column(name).cast(pa.float64()).to_numpy())


def _if_any(flags: Flags) -> Flags | None:
    return flags if flags.any() else None


def _optional(rows: pa.Table, name: str) -> _Told | None:
    """Read a column whose nulls, NaN too, mean that the source does not tell."""
    if name not in rows.column_names or rows.column(name).null_count == len(rows):
        return None
    values = _floats(rows, name)
    # The least of values with a NaN among them is NaN.
    if not len(values) or not math.isnan(values.min()):
        return _Told(values, None)
    known = ~np.isnan(values)
    return _Told(np.where(known, values, 0.0), known)


def _counts(rows: pa.Table) -> _Told | None:
    if "n_trades" not in rows.column_names or rows.column("n_trades").null_count == len(rows):
        return None
    column = rows.column("n_trades").cast(pa.int64())
    counts = column.to_numpy()
    if not column.null_count:
        return _Told(counts, None)
    known = ~np.isnan(counts)  # nulls have made floats of them
    return _Told(np.where(known, counts, 0).astype(np.int64), known)


def _closed(rows: pa.Table) -> Flags | None:
    """Tell which rows are closed, None if all are; a source that does not say sends no others."""
    if "is_closed" not in rows.column_names:
        return None
    column = rows.column("is_closed").cast(pa.bool_())
    if _is_constant(column) and len(rows) and column[0].as_py() is not False:
        return None
    forming = column.cast(pa.int8()).to_numpy() == 0
    return None if not forming.any() else ~forming
