"""Which of two versions of one candle stays: the rule of every store, over columns."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from streamforge_core.model.columns import RECORD_SCHEMA, Instants, instants

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

# What makes two versions differ. Where a value came from and when it was read are no part of it.
_VALUES: Final = (
    *("end_ts", "open", "high", "low", "close", "volume", "quote_volume", "vwap", "n_trades"),
    *("is_closed", "is_complete"),
)
# Unknown never erases known: kept from the stored version while the volumes are equal.
_UNKNOWABLE: Final = ("quote_volume", "vwap", "n_trades")


def merge(stored: pa.Table, incoming: pa.Table) -> pa.Table | None:
    """Fold rows of one series into the stored ones, as if they came one after the other.

    The identity is `open_ts`. A real candle beats a "filled" one, closed beats open, then the later
    `seen_ts` wins, the incoming one if they are equal. Equal values change nothing: provenance,
    `seen_ts` and revision stay. A value change of a closed candle adds 1 to its revision.

    Args:
        stored: Columns of `RECORD_SCHEMA`, others after them; one row per `open_ts`.
        incoming: Likewise; any order, any number of versions per `open_ts`, no nulls in `open_ts`,
            `is_closed`, `provenance`, `revision` and `seen_ts`.

    Returns:
        One row per `open_ts`, ascending; None if nothing changed.
    """
    both = pa.concat_tables([stored, incoming], promote_options="permissive")
    # The usual case of a backfill: rows in order where nothing was stored.
    if incoming.num_rows and not stored.num_rows and _ascends(incoming):
        return both.combine_chunks()
    opens, place = np.unique(both.column("open_ts").to_numpy(), return_inverse=True)
    versions = _Versions.of(both)
    held = _Held.nothing(len(opens))
    held.take(place[: stored.num_rows], np.arange(stored.num_rows), versions.revision)
    changed = False
    for rows in _turns(place[stored.num_rows :]):
        changed |= _fold(held, versions, place[stored.num_rows + rows], stored.num_rows + rows)
    return held.gathered(both) if changed else None


def _ascends(table: pa.Table) -> bool:
    opens = instants(table)
    return bool((opens[1:] > opens[:-1]).all())


def _turns(place: Rows) -> Iterator[Rows]:
    """Yield the positions of all first versions, then of all second ones, and so on."""
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    turn = np.arange(len(place)) - np.repeat(starts, np.diff(starts, append=len(place)))
    by_turn = order[np.argsort(turn, kind="stable")]
    yield from np.split(by_turn, np.cumsum(np.bincount(turn))[:-1]) if len(place) else ()


@dataclass(frozen=True, slots=True)
class _Versions:
    """Every version at hand, the stored ones first, as plain arrays."""

    values: dict[str, npt.NDArray[Any]]
    known: dict[str, Mask]
    closed: npt.NDArray[np.int8]
    real: npt.NDArray[np.int8]
    seen_ts: Instants
    revision: Rows

    @classmethod
    def of(cls, table: pa.Table) -> "_Versions":
        values: dict[str, npt.NDArray[Any]] = {}
        for name in _VALUES:
            filler = pa.scalar(0).cast(table.schema.field(name).type)
            values[name] = table.column(name).fill_null(filler).to_numpy()
        for name in table.column_names[len(RECORD_SCHEMA) :]:
            column: Any = table.column(name).combine_chunks()  # of any type a transformer gave
            values[name] = column.dictionary_encode("encode").indices.to_numpy()
        return cls(
            values=values,
            known={name: table.column(name).is_valid().to_numpy() for name in _VALUES},
            closed=values["is_closed"].astype(np.int8),
            real=pc.not_equal(table.column("provenance"), pa.scalar("filled"))
            .to_numpy()
            .astype(np.int8),
            seen_ts=table.column("seen_ts").to_numpy(),
            revision=table.column("revision").to_numpy().astype(np.int64),
        )

    def equal(self, name: str, left: Rows, right: Rows) -> Mask:
        same = self.values[name][left] == self.values[name][right]
        if name in self.known:
            same &= self.known[name][left] == self.known[name][right]
        return cast(Mask, same)


@dataclass(slots=True)
class _Held:
    """For each `open_ts`, which version stands: a row of `both`, -1 for none yet."""

    row: Rows
    revision: Rows
    # A value that was unknown in the standing version may still come from an earlier one.
    row_of: dict[str, Rows] = field(default_factory=dict)

    @classmethod
    def nothing(cls, count: int) -> "_Held":
        row = np.full(count, -1)
        return cls(row, np.zeros(count, np.int64), {name: row.copy() for name in _UNKNOWABLE})

    def take(self, place: Rows, rows: Rows, revision: Rows) -> None:
        self.row[place] = rows
        self.revision[place] = revision[rows]
        for source in self.row_of.values():
            source[place] = rows

    def gathered(self, both: pa.Table) -> pa.Table:
        table = both.take(self.row)
        for name, source in self.row_of.items():
            index = table.column_names.index(name)
            column = both.column(name).take(source)
            table = table.set_column(index, both.schema.field(name), column)
        index = table.column_names.index("revision")
        revision = pa.array(self.revision, pa.int32())
        return table.set_column(index, RECORD_SCHEMA.field("revision"), revision).combine_chunks()


def _fold(held: _Held, versions: _Versions, place: Rows, rows: Rows) -> bool:
    """Let at most one version per place have its turn; tell whether anything changed."""
    new = held.row[place] < 0
    held.take(place[new], rows[new], versions.revision)
    place, rows = place[~new], rows[~new]
    source = _sources(held, versions, place, rows)
    differs = ~_same(held, versions, place, rows, source)
    wins = differs & _outranks(versions, rows, held.row[place])
    place, rows = place[wins], rows[wins]
    corrected = held.revision[place] + versions.closed[held.row[place]]
    held.row[place] = rows
    held.revision[place] = np.maximum(versions.revision[rows], corrected)
    for name in _UNKNOWABLE:
        held.row_of[name][place] = source[name][wins]
    return bool(new.any() or wins.any())


def _sources(held: _Held, versions: _Versions, place: Rows, rows: Rows) -> dict[str, Rows]:
    """Say from which row each value that may be unknown would come if the version won."""
    same_volume = versions.equal("volume", rows, held.row[place])
    return {
        name: np.where(same_volume & ~versions.known[name][rows], held.row_of[name][place], rows)
        for name in _UNKNOWABLE
    }


def _same(
    held: _Held, versions: _Versions, place: Rows, rows: Rows, source: dict[str, Rows]
) -> Mask:
    same = versions.real[rows] == versions.real[held.row[place]]
    for name in versions.values:
        if name in source:
            same &= versions.equal(name, source[name], held.row_of[name][place])
        else:
            same &= versions.equal(name, rows, held.row[place])
    return cast(Mask, same)


def _outranks(versions: _Versions, rows: Rows, stored: Rows) -> Mask:
    """Compare by real before filled, closed before open, later seen before earlier."""
    real = versions.real[rows] - versions.real[stored]
    closed = versions.closed[rows] - versions.closed[stored]
    later = versions.seen_ts[rows] >= versions.seen_ts[stored]
    return cast(Mask, (real > 0) | (real == 0) & ((closed > 0) | (closed == 0) & later))
