"""Candles as columns: the Arrow schemas, conversions to and from rows, calendar arithmetic."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamforge_core.model.kline import FIELDS, Kline, Record
from streamforge_core.model.timeframe import (
    LENGTH_MS,
    WEEK_ANCHOR_MS,
    check_timeframe,
    first_open_from,
    month_index,
    month_open,
    next_open,
    open_of,
)

Instants = npt.NDArray[np.int64]

_KLINE_FIELDS: Final[list[tuple[str, pa.DataType]]] = [
    ("source", pa.string()),
    ("symbol", pa.string()),
    ("timeframe", pa.string()),
    ("open_ts", pa.int64()),
    ("end_ts", pa.int64()),
    ("open", pa.float64()),
    ("high", pa.float64()),
    ("low", pa.float64()),
    ("close", pa.float64()),
    ("volume", pa.float64()),
    ("quote_volume", pa.float64()),
    ("vwap", pa.float64()),
    ("n_trades", pa.int64()),
    ("is_closed", pa.bool_()),
]

KLINE_SCHEMA: Final = pa.schema(_KLINE_FIELDS)
"""A table of candles; columns and units are `Kline`'s, times int64 UTC milliseconds."""

RECORD_SCHEMA: Final = pa.schema(
    [
        *_KLINE_FIELDS,
        ("provenance", pa.string()),
        ("revision", pa.int32()),
        ("is_complete", pa.bool_()),
        ("seen_ts", pa.int64()),
    ]
)
"""A table of records: what is stored beside each candle."""

_MOST_TEXT_BYTES: Final = 2**31 - 1

_RECORD_DEFAULTS: Final[dict[str, Any]] = {
    "provenance": "rest",
    "revision": 0,
    "is_complete": True,
    "seen_ts": 0,
}


def klines_to_table(klines: Iterable[Kline]) -> pa.Table:
    """Return candles as a `KLINE_SCHEMA` table, in the given order."""
    return _rows_to_table(list(klines), FIELDS, KLINE_SCHEMA)


def records_to_table(records: Iterable[Record]) -> pa.Table:
    """Return records as a `RECORD_SCHEMA` table, in the given order."""
    return _rows_to_table(list(records), RECORD_SCHEMA.names, RECORD_SCHEMA)


def _rows_to_table(rows: Sequence[Any], names: Sequence[str], schema: pa.Schema) -> pa.Table:
    columns = [
        pa.array([getattr(row, name) for row in rows], schema.field(name).type) for name in names
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def table_to_klines(table: pa.Table, *, chunk_rows: int = 10_000) -> Iterator[Kline]:
    """Yield a table's candles in order; its values are trusted."""
    for batch in table.select(FIELDS).to_batches(max_chunksize=chunk_rows):
        for values in batch.to_pylist():
            yield Kline.trusted(values)


def table_to_records(table: pa.Table, *, chunk_rows: int = 10_000) -> Iterator[Record]:
    """Yield a table's records in order, defaults for columns it lacks."""
    for batch in as_records(table).to_batches(max_chunksize=chunk_rows):
        for values in batch.to_pylist():
            yield Record(**values)


def as_records(table: pa.Table, **known: object) -> pa.Table:
    """Return the table with every column of `RECORD_SCHEMA`.

    Args:
        table: Has at least the columns of `KLINE_SCHEMA`.
        known: Values for columns the table lacks, such as `provenance="archive"`.
    """
    columns: list[pa.ChunkedArray[Any] | pa.Array[Any]] = []
    for column in RECORD_SCHEMA:
        if column.name in table.column_names:
            columns.append(table.column(column.name).cast(column.type))
        else:
            value = known.get(column.name, _RECORD_DEFAULTS.get(column.name))
            columns.append(_constant(value, column.type, table.num_rows))
    return pa.Table.from_arrays(columns, schema=RECORD_SCHEMA)


def _constant(value: Any, kind: pa.DataType, rows: int) -> "pa.Array[Any]":  # noqa: ANN401 - any cell
    if kind == pa.string():
        return repeated(value, rows)
    cell: Any = pa.scalar(value, kind)
    return cast("pa.Array[Any]", pa.repeat(cell, rows))


def repeated(text: str | None, rows: int) -> "pa.Array[Any]":
    """Return a column of one text; `pa.repeat` takes several times as long to write the same."""
    if text is None:
        return pa.nulls(rows, pa.string())
    raw = text.encode()
    if len(raw) * rows > _MOST_TEXT_BYTES:
        return pa.repeat(text, rows)  # which refuses what its offsets cannot reach
    offsets = np.arange(rows + 1, dtype=np.int32) * np.int32(len(raw))
    buffers = [None, pa.py_buffer(offsets.data), pa.py_buffer(raw * rows)]
    return cast("pa.Array[Any]", pa.Array.from_buffers(pa.string(), rows, buffers))


def instants(table: pa.Table, name: str = "open_ts") -> Instants:
    """Return a time column as int64 milliseconds."""
    return cast(Instants, table.column(name).to_numpy())


def opens_of(ts: Instants, timeframe: str) -> Instants:
    """Return, for each instant, the open of the candle that contains it: `open_of` over columns."""
    if timeframe != "1M":
        length = LENGTH_MS[check_timeframe(timeframe)]
        anchor = WEEK_ANCHOR_MS if timeframe == "1w" else 0
        return (ts - anchor) // length * length + anchor
    if not len(ts):
        return ts
    first, last = month_index(int(ts.min())), month_index(int(ts.max()))
    opens = np.array([month_open(index) for index in range(first, last + 1)], np.int64)
    return opens[np.searchsorted(opens, ts, side="right") - 1]


def ends_of(opens: Instants, timeframe: str) -> Instants:
    """Return the last millisecond inside each candle: `end_of` over columns."""
    if timeframe != "1M":
        return opens + (LENGTH_MS[check_timeframe(timeframe)] - 1)
    distinct, position = np.unique(opens, return_inverse=True)
    ends = np.array([next_open(int(ts), "1M") - 1 for ts in distinct], np.int64)
    return ends[position]


def opens_between(start_ms: int, end_ms: int, timeframe: str) -> Instants:
    """Return every open on the grid with `start_ms <= open < end_ms`, ascending."""
    if end_ms <= start_ms:
        return np.empty(0, np.int64)
    first = first_open_from(start_ms, timeframe)
    if timeframe != "1M":
        return np.arange(first, end_ms, LENGTH_MS[timeframe], dtype=np.int64)
    last = month_index(open_of(end_ms - 1, "1M"))
    months = range(month_index(first), last + 1) if first < end_ms else range(0)
    return np.array([month_open(index) for index in months], np.int64)
