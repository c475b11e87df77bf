"""Tables of base candles taken apart into series: checked, ascending, each candle once."""

import math
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamforge_core.errors import ConfigError
from streamforge_core.model.columns import Instants, opens_of
from streamforge_core.model.timeframe import LENGTH_MS
from streamforge_core.pipeline.fold import BLOCK_ROWS, Amounts, Flags, Floats, Part, Rows

_KEY: Final = ("source", "symbol", "timeframe")
_PRICES: Final = ("open", "high", "low", "close", "volume")
_REQUIRED: Final = (*_KEY, "open_ts", *_PRICES)


class SeriesTable(NamedTuple):
    """The rows of one series; a source may be None."""

    source: str | None
    symbol: str
    timeframe: str
    rows: pa.Table


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
    parts = [_named(table.take(pa.array(index))) for index in np.split(order, edges)]
    yield from sorted(parts, key=lambda part: (part.source or "", part.symbol, part.timeframe))


def _is_constant(column: pa.ChunkedArray) -> bool:
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
        volume: Scaled on demand.
        quote: Likewise; None where no row tells.

    Raises:
        ConfigError: On construction; a price or volume is null, infinite, NaN or negative.
    """

    def __init__(self, rows: pa.Table, timeframe: str, *, bucket_intervals: int) -> None:
        rows, self.opens = _each_once(_without_filled(rows))
        self._prices = {name: _checked(rows, name) for name in _PRICES}
        on_grid = _on_grid(self.opens, timeframe)
        self.intervals = self.opens if on_grid else opens_of(self.opens, timeframe)
        self._fresh = None if on_grid else _firsts(self.intervals)
        self._closed = _closed(rows)
        # Off the grid several rows may share an interval: then only all rows are a bound.
        bucket_rows = bucket_intervals if self._fresh is None else len(self.opens)
        self.volume = Amounts(self._prices["volume"], bucket_rows=bucket_rows)
        quotes, self._quote_known = _optional(rows, "quote_volume")
        self.quote = None if quotes is None else Amounts(quotes, bucket_rows=bucket_rows)
        self._quotes = quotes
        self._vwaps, self._vwap_known = _optional(rows, "vwap")
        self._trades, self._trades_known = _counts(rows)

    def __len__(self) -> int:
        return len(self.opens)

    def block(self, start: int, stop: int) -> Rows:
        """Return the rows from one position to another."""
        size = stop - start
        prices = {name: values[start:stop] for name, values in self._prices.items()}
        traded = prices.pop("volume") > 0
        known = None if self._quote_known is None else self._quote_known[start:stop]
        quotes = None if self.quote is None else self.quote.block(start, stop)
        counted = None if self._trades_known is None else self._trades_known[start:stop]
        counts = None if self._trades is None else self._trades[start:stop]
        fresh, closed = self._fresh, self._closed
        return Rows(
            opens=self.opens[start:stop],
            **prices,
            traded=traded,
            volume=self.volume.block(start, stop),
            quote=_part(quotes, known, traded),
            trades=_part(counts, counted, traded),
            filled=np.ones(size, np.int64) if fresh is None else fresh[start:stop].astype(np.int64),
            forming=np.zeros(size, np.bool_) if closed is None else ~closed[start:stop],
        )

    @property
    def tells_vwap(self) -> bool:
        """Whether any row tells its own vwap."""
        return self._vwaps is not None

    def weights_between(self, starts: Instants, stops: Instants) -> tuple[Floats, Flags]:
        """Return sum(price * volume) of runs of rows, and whether each traded row tells it.

        A row's weight is its quote volume where known, else its own vwap times its volume. The
        sums are those of the exact weights, rounded once (`math.fsum`).
        """
        volume = self._prices["volume"]
        weights, told = np.zeros(len(volume)), volume == 0
        if self._vwaps is not None:
            weights = self._vwaps * volume
            told = told | (True if self._vwap_known is None else self._vwap_known)
        if self._quotes is not None:
            quoted = np.ones(len(volume), np.bool_) if self._quote_known is None else self._quote_known
            weights = np.where(quoted & (volume > 0), self._quotes, weights)
            told = told | quoted
        listed = weights.tolist()
        runs = list(zip(starts.tolist(), stops.tolist(), strict=True))
        sums = np.array([math.fsum(listed[start:stop]) for start, stop in runs])
        return sums, np.array([bool(told[start:stop].all()) for start, stop in runs])


def _part(
    totals: npt.NDArray[Any] | None, known: Flags | None, traded: Flags
) -> Part:
    size = len(traded)
    if totals is None:
        return Part(np.zeros(size, np.int64), traded, np.zeros(size, np.bool_))
    if known is None:
        return Part(totals, np.zeros(size, np.bool_), np.ones(size, np.bool_))
    return Part(totals, traded & ~known, known)


def _without_filled(rows: pa.Table) -> pa.Table:
    if "provenance" not in rows.column_names:
        return rows
    column = rows.column("provenance")
    if _is_constant(column) and column[0].as_py() != "filled":
        return rows
    filled = [value == "filled" for value in column.to_pylist()]
    return rows.filter(pa.array([not flag for flag in filled]))


def _each_once(rows: pa.Table) -> tuple[pa.Table, Instants]:
    opens = _instants(rows)
    if _ascends(opens):
        return rows, opens
    closed = _closed(rows)
    rank = np.zeros(len(opens), np.bool_) if closed is None else closed
    order = np.lexsort((rank, opens))
    last = np.append(np.diff(opens[order]) > 0, True)
    kept = order[last]
    return rows.take(pa.array(kept)), opens[kept]


def _instants(rows: pa.Table) -> Instants:
    column = rows.column("open_ts")
    if not pa.types.is_integer(column.type) or column.null_count:
        raise ConfigError(
            f"open_ts must hold integers, UTC epoch milliseconds, in every row; it is "
            f"{column.type} with {column.null_count} nulls."
        )
    return cast(Instants, column.cast(pa.int64()).to_numpy())


def _ascends(opens: Instants) -> bool:
    return all(
        bool((np.diff(opens[start : start + BLOCK_ROWS + 1]) > 0).all())
        for start in range(0, len(opens), BLOCK_ROWS)
    )


def _on_grid(opens: Instants, timeframe: str) -> bool:
    length = LENGTH_MS[timeframe]
    return not any(
        bool((opens[start : start + BLOCK_ROWS] % length).any())
        for start in range(0, len(opens), BLOCK_ROWS)
    )


def _firsts(intervals: Instants) -> Flags:
    return np.concatenate(([True], np.diff(intervals) > 0))


def _floats(rows: pa.Table, name: str) -> Floats:
    return cast(Floats, rows.column(name).cast(pa.float64()).to_numpy())


def _checked(rows: pa.Table, name: str) -> Floats:
    values = _floats(rows, name)
    if not len(values):
        return values
    # A null arrives as NaN, and NaN is neither above nor below anything.
    least, most = float(values.min()), float(values.max())
    if not (math.isfinite(least) and math.isfinite(most)) or (name == "volume" and least < 0):
        raise ConfigError(
            f"Column {name} holds nulls, NaN, infinity or negative volumes: it runs from {least} "
            f"to {most}. Every candle needs finite prices and a volume of 0 or more."
        )
    return values


def _optional(rows: pa.Table, name: str) -> tuple[Floats | None, Flags | None]:
    """Return a column's values, 0 where it does not tell, and which rows tell; None: all do."""
    if name not in rows.column_names or rows.column(name).null_count == len(rows):
        return None, None
    values = _floats(rows, name)
    known = ~np.isnan(values)
    if known.all():
        known = None
    else:
        values = np.where(known, values, 0.0)
    if not np.isfinite(values).all():
        raise ConfigError(f"Column {name} holds infinity.")
    return values, known


def _counts(rows: pa.Table) -> tuple[Instants | None, Flags | None]:
    if "n_trades" not in rows.column_names or rows.column("n_trades").null_count == len(rows):
        return None, None
    column = rows.column("n_trades").cast(pa.int64())
    if not column.null_count:
        return cast(Instants, column.to_numpy()), None
    known = cast(Flags, column.is_valid().to_numpy())
    return cast(Instants, column.fill_null(0).to_numpy()), known


def _closed(rows: pa.Table) -> Flags | None:
    """Tell which rows are closed, None if all are; a source that does not say sends no others."""
    if "is_closed" not in rows.column_names:
        return None
    column = rows.column("is_closed")
    if all(chunk.false_count == 0 for chunk in column.chunks):
        return None
    return cast(Flags, column.fill_null(True).to_numpy())
