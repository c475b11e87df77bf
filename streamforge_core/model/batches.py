"""Tables of mixed candles: which rows can be stored, into which partition each belongs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from streamforge_core.model.columns import RECORD_SCHEMA, instants, opens_of
from streamforge_core.model.kline import Series
from streamforge_core.model.partition import period_of, period_timeframe

IDENTITY: Final = ("source", "symbol", "timeframe", "open_ts")
"""What makes two rows the same candle, in every store."""

_YEAR_10000_MS: Final = 253_402_300_800_000

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Partition:
    """Rows of one series that belong into one file.

    Attributes:
        period: Day or month, as `model/partition.py` names it.
        rows: In the order they came.
    """

    series: Series
    period: str
    rows: pa.Table


def storable(table: pa.Table, required: Iterable[str]) -> npt.NDArray[np.bool_]:
    """Tell which rows can be stored and found again.

    That is: no null or empty text in a required column, `open_ts` within 1970..9999, no price or
    volume that is not a finite number.

    Args:
        table: Columns of `RECORD_SCHEMA`, others after them.
        required: Columns that must hold a value.
    """
    good = np.ones(table.num_rows, bool)
    for name in required:
        column = table.column(name)
        good &= column.is_valid().to_numpy()
        if pa.types.is_string(column.type):
            good &= pc.not_equal(column, pa.scalar("")).fill_null(False).to_numpy()  # noqa: FBT003 - the filler
    for field in RECORD_SCHEMA:
        if pa.types.is_floating(field.type):
            good &= pc.is_finite(table.column(field.name)).fill_null(True).to_numpy()  # noqa: FBT003 - the filler
    opens = table.column("open_ts").fill_null(pa.scalar(-1)).to_numpy()
    return good & (opens >= 0) & (opens < _YEAR_10000_MS)


def rows_to_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return rows as the columns of `RECORD_SCHEMA`, then their own, by name.

    Raises:
        pyarrow.ArrowException: A value does not fit its column, or is no single value.
        OverflowError: Likewise, an integer beyond 64 bits.
    """
    columns: dict[str, Any] = {
        field.name: pa.array([row.get(field.name) for row in rows], field.type)
        for field in RECORD_SCHEMA
    }
    for name in sorted({name for row in rows for name in row} - columns.keys()):
        columns[name] = pa.array([row.get(name) for row in rows])
        if pa.types.is_nested(columns[name].type):
            raise pa.ArrowInvalid(f"{name} holds lists or mappings")
    return pa.table(columns)


def by_series(table: pa.Table) -> Iterator[tuple[Series, Rows]]:
    """Yield each series of a table with the positions of its rows, ascending.

    Args:
        table: Has at least the columns source, symbol and timeframe, without nulls.
    """
    keys: list[Any] = [
        table.column(name).combine_chunks().dictionary_encode() for name in IDENTITY[:3]
    ]
    code = np.zeros(table.num_rows, np.int64)
    for key in keys:
        code = code * len(key.dictionary) + key.indices.to_numpy()
    for rows in _groups(code):
        yield Series(*(key[int(rows[0])].as_py() for key in keys)), rows


def split(table: pa.Table) -> Iterator[Partition]:
    """Yield a table's rows by series and partition.

    Args:
        table: Any series mixed, any order; no null in `IDENTITY`.
    """
    opens = instants(table)
    for series, rows in by_series(table):
        for inside in _groups(opens_of(opens[rows], period_timeframe(series.timeframe))):
            chosen = rows[inside]
            period = period_of(int(opens[chosen[0]]), series.timeframe)
            yield Partition(series, period, _taken(table, chosen))


def _taken(table: pa.Table, rows: Rows) -> pa.Table:
    """Return ascending rows of a table, uncopied where they are neighbours."""
    first, count = int(rows[0]), len(rows)
    if int(rows[-1]) - first == count - 1:
        return table.slice(first, count)
    return table.take(rows)


def _groups(keys: npt.NDArray[np.int64]) -> Iterator[Rows]:
    """Yield the positions of each distinct key, ascending."""
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order])) + 1
    yield from np.split(order, starts) if len(keys) else ()
