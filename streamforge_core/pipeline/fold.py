"""Columns of candles folded into longer ones: NumPy throughout, no object per row.

A fold cuts ascending rows into buckets and reduces each column bucket by bucket. Buckets of equal
size are reduced as a matrix, others by `reduceat`. The base is read in blocks, so that its scaled
sums and masks stay in the cache and no temporary grows with the table. A flag column is None where
no row has the flag: mostly all candles are traded, closed and told, and nothing is computed.
"""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from streamforge_core.errors import ConfigError
from streamforge_core.model.columns import Instants, opens_of
from streamforge_core.model.timeframe import LENGTH_MS
from streamforge_core.pipeline.exact_sums import LARGEST_EXACT, MAX_DECIMALS, POWERS, scaled

Column = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Sums = npt.NDArray[Any]
"""Integers: int64, or Python's where those would overflow.

In a block of base rows also floats that hold integers, where no bucket's sum outgrows them.
"""

BLOCK_ROWS: Final = 32_768
"""Rows whose columns fit the cache, and whose temporaries the allocator keeps at hand."""

# A matrix pays off with many rows. Turned, so that neighbours in memory belong to neighbouring
# buckets, it is reduced by vector instructions; wide buckets are runs long enough as they are.
# Column by column without a copy is slower: a strided read defeats the processor's prefetching.
_FEWEST_FOR_MATRIX: Final = 1_024
_WIDEST_TURN: Final = 120

_SAMPLE_ROWS: Final = 64

_LARGEST_SUM: Final = float(2**62)
_LARGEST_INTEGER: Final = 2**53
# Products are bounded before they are rounded: half a unit a row is left for that.
_LARGEST_EXACT_SUM: Final = float(2**52)


class Part(NamedTuple):
    """A sum that a source may not tell.

    Attributes:
        total: What was told, added up; None where no row tells.
        missing: A row with trades did not tell.
        silent: No row told.
    """

    total: Sums | None
    missing: Flags | None
    silent: Flags | None


class Rows(NamedTuple):
    """Ascending candles on their way up; a fold of `Rows` is `Rows` again.

    Attributes:
        opens: Opens, UTC epoch milliseconds.
        open: First traded price; like the other three flat where nothing traded.
        high: Highest traded price.
        low: Lowest traded price.
        close: Last traded price.
        volume: Scaled by the decimals of the series.
        untraded: Nothing traded.
        forming: Holds a base row that is not closed.
        filled: Base intervals that have a row; None where each row is one.
        quote: Quote volume, scaled likewise.
        trades: Trade counts.
    """

    opens: Instants
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Sums
    untraded: Flags | None
    forming: Flags | None
    filled: Instants | None
    quote: Part
    trades: Part

    @property
    def spacing(self) -> int:
        """Distance between neighbouring opens, 0 if they differ."""
        return spacing_of(self.opens)

    def block(self, start: int, stop: int, bucket_rows: int = 0) -> "Rows":  # noqa: ARG002 - `Source`
        """Return the rows from one position to another."""
        if stop - start == len(self.opens):
            return self
        pieces = [part(column, start, stop) for column in self[:-2]]
        parts = [
            Part(*(part(column, start, stop) for column in columns))
            for columns in (self.quote, self.trades)
        ]
        return Rows._make([*pieces, *parts])


class Source(Protocol):
    """Rows that can be read in blocks."""

    @property
    def opens(self) -> Instants:
        """Opens of all rows, strictly ascending."""

    @property
    def spacing(self) -> int:
        """Distance between neighbouring opens, 0 if they differ."""

    def block(self, start: int, stop: int, bucket_rows: int) -> Rows:
        """Return the rows from one position to another.

        Args:
            start: First of them.
            stop: First behind them.
            bucket_rows: Most rows that will be added up.
        """


class Cuts(NamedTuple):
    """Where the buckets of one block begin.

    Attributes:
        start: First row of the block in its source.
        stop: First row behind it.
        starts: First row of each bucket, counted from `start`.
        width: Rows per bucket where all are equal, else 0.
    """

    start: int
    stop: int
    starts: Instants
    width: int

    def ends(self) -> Instants:
        """Return the first row behind each bucket, counted from `start`."""
        return np.append(self.starts[1:], self.stop - self.start)

    def widest(self) -> int:
        """Return the most rows of a bucket."""
        return self.width or int((self.ends() - self.starts).max())

    def first(self, values: Column) -> Column:
        """Return each bucket's first value."""
        return values[:: self.width] if self.width else values[self.starts]

    def last(self, values: Column) -> Column:
        """Return each bucket's last value."""
        width = self.width
        return values[width - 1 :: width] if width else values[self.ends() - 1]

    def reduce(self, function: np.ufunc, values: Column, out: Column) -> None:
        """Reduce each bucket; as a matrix where all are equally wide."""
        width = self.width
        if width <= 1 or len(values) < _FEWEST_FOR_MATRIX:
            function.reduceat(values, self.starts, out=out)
            return
        matrix = values.reshape(-1, width)
        if width > _WIDEST_TURN:
            function.reduce(matrix, axis=1, out=out)
        else:
            function.reduce(np.ascontiguousarray(matrix.T), axis=0, out=out)


def fold(source: Source, target: str) -> Rows:
    """Return the rows of a higher timeframe; `source` holds at least one row."""
    cuts = list(_cuts(source, target))
    folded = _Folded(sum(len(cut.starts) for cut in cuts))
    for cut in cuts:
        folded.add(source.block(cut.start, cut.stop, cut.widest()), cut)
    return folded.rows(target)


def part(column: Column | None, start: int, stop: int) -> Any:  # noqa: ANN401 - the column's type
    """Return a column from one position to another, None if there is no column."""
    return None if column is None else column[start:stop]


def spacing_of(opens: Instants) -> int:
    """Return the distance between neighbouring opens, 0 if they differ or are fewer than two."""
    if len(opens) <= 1:
        return 0
    spacing = int(opens[1] - opens[0])
    return (
        spacing
        if int(opens[-1] - opens[0]) == spacing * (len(opens) - 1)
        and all(
            _are_spaced(opens[start : start + BLOCK_ROWS + 1], spacing)
            for start in range(0, len(opens) - 1, BLOCK_ROWS)
        )
        else 0
    )


def _are_spaced(opens: Instants, spacing: int) -> bool:
    return bool((opens[1:] - opens[:-1] == spacing).all())


def _cuts(source: Source, target: str) -> Iterator[Cuts]:
    """Cut rows into blocks of whole buckets."""
    opens, spacing = source.opens, source.spacing
    lead = int(opens_of(opens[:1], target)[0] - opens[0])
    length = 0 if target == "1M" else LENGTH_MS[target]
    # Evenly spaced rows still straddle the bucket's edge if they do not start on its grid.
    if not spacing or not length or length % spacing or lead % spacing:
        yield from _uneven_cuts(opens, target)
        return
    width = length // spacing
    edges = lead // spacing % width, len(opens)
    yield from _even_cuts(min(edges), len(opens), width)


def _even_cuts(lead: int, count: int, width: int) -> Iterator[Cuts]:
    """Cut rows without gaps; the first and the last bucket may be narrower than the others."""
    whole = lead + (count - lead) // width * width
    rows = max(1, BLOCK_ROWS // width) * width
    if lead:
        yield Cuts(0, lead, np.zeros(1, np.int64), 0)
    starts = np.arange(0, min(rows, whole - lead), width)
    for start in range(lead, whole, rows):
        stop = min(whole, start + rows)
        yield Cuts(start, stop, starts[: (stop - start) // width], width)
    if whole < count:
        yield Cuts(whole, count, np.zeros(1, np.int64), 0)


def _uneven_cuts(opens: Instants, target: str) -> Iterator[Cuts]:
    buckets = opens_of(opens, target)
    starts = np.concatenate(([0], np.flatnonzero(buckets[1:] != buckets[:-1]) + 1))
    edges = [0, *(np.flatnonzero(np.diff(starts // BLOCK_ROWS)) + 1).tolist(), len(starts)]
    for first, after in pairwise(edges):
        start = int(starts[first])
        stop = int(starts[after]) if after < len(starts) else len(opens)
        yield Cuts(start, stop, starts[first:after] - start, 0)


class _Folded:
    """The columns of a fold, written block by block: nothing is allocated twice."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._columns: dict[str, Column] = {}
        self._start = self._stop = 0

    def add(self, rows: Rows, cuts: Cuts) -> None:
        """Fold one block behind those before it."""
        self._start, self._stop = self._stop, self._stop + len(cuts.starts)
        self._put("opens", cuts.first(rows.opens))
        if rows.untraded is None:
            self._put("open", cuts.first(rows.open))
            self._reduce("high", np.maximum, rows.high, cuts)
            self._reduce("low", np.minimum, rows.low, cuts)
            self._put("close", cuts.last(rows.close))
        else:
            self._add_traded(rows, rows.untraded, cuts)
        self._add_up("volume", rows.volume, cuts)
        self._flag("untraded", np.logical_and, rows.untraded, cuts)
        self._flag("forming", np.logical_or, rows.forming, cuts)
        if rows.filled is None:
            self._put("filled", cuts.ends() - cuts.starts)
        else:
            self._reduce("filled", np.add, rows.filled, cuts)
        for name, part in (("quote", rows.quote), ("trades", rows.trades)):
            if part.total is not None:
                self._add_up(f"{name}_total", part.total, cuts)
            self._flag(f"{name}_missing", np.logical_or, part.missing, cuts)
            self._flag(f"{name}_silent", np.logical_and, part.silent, cuts)

    def rows(self, target: str) -> Rows:
        """Return what was folded."""
        columns = self._columns
        quote, trades = (
            Part(*(columns.pop(f"{name}_{field}", None) for field in Part._fields))
            for name in ("quote", "trades")
        )
        columns["opens"] = opens_of(columns["opens"], target)
        flags = {name: columns.pop(name, None) for name in ("untraded", "forming")}
        return Rows(**columns, **flags, quote=quote, trades=trades)  # type: ignore[arg-type]  # columns by name

    def _add_traded(self, rows: Rows, untraded: Flags, cuts: Cuts) -> None:
        """Take prices of the traded rows only; flat at the last close where nothing traded."""
        ends = cuts.ends()
        flat = rows.close[ends - 1]
        positions = np.flatnonzero(~untraded)
        first, after = np.searchsorted(positions, cuts.starts), np.searchsorted(positions, ends)
        quiet = first == after
        # A position past the last traded row is only looked up for a quiet bucket.
        positions = np.append(positions, 0)
        self._put("open", np.where(quiet, flat, rows.open[positions[first]]))
        self._put("close", np.where(quiet, flat, rows.close[positions[after - 1]]))
        for name, function, worst in (("high", np.maximum, -np.inf), ("low", np.minimum, np.inf)):
            self._reduce(name, function, np.where(untraded, worst, getattr(rows, name)), cuts)
            np.copyto(self._room(name, flat.dtype), flat, where=quiet)

    def _put(self, name: str, values: Column) -> None:
        self._room(name, values.dtype)[:] = values

    def _reduce(self, name: str, function: np.ufunc, values: Column, cuts: Cuts) -> None:
        room = self._room(name, values.dtype)
        cuts.reduce(function, values.astype(room.dtype, copy=False), room)

    def _add_up(self, name: str, values: Sums, cuts: Cuts) -> None:
        if values.dtype != np.float64:
            self._reduce(name, np.add, values, cuts)
            return
        sums = np.empty(len(cuts.starts))
        cuts.reduce(np.add, values, sums)
        self._put(name, sums.astype(np.int64))

    def _flag(self, name: str, function: np.ufunc, flags: Flags | None, cuts: Cuts) -> None:
        if flags is None or not flags.any():
            return
        found = function.reduceat(flags, cuts.starts)
        if found.any():
            self._put(name, found)

    def _room(self, name: str, kind: "np.dtype[Any]") -> Column:
        """Return the place of the current block in a column, all false or 0 where unwritten."""
        column = self._columns.get(name)
        if column is None:
            column = self._columns[name] = np.zeros(self._size, kind)
        elif kind == np.object_ and column.dtype != np.object_:
            column = self._columns[name] = column.astype(np.object_)
        return column[self._start : self._stop]


class MoreDecimals(Exception):
    """A number with more decimals than any before it: what was summed so far must be redone."""


class Amounts:
    """A column of volumes, scaled to integers and checked block by block.

    Attributes:
        decimals: Most decimals any of them is printed with, as far as is known.
    """

    def __init__(self, name: str, values: Floats, *, bucket_rows: int) -> None:
        self._name = name
        self._values = values
        self._bucket_rows = bucket_rows
        self._largest_sum: float | None = None
        # The first block tells for nearly every table; the others are compared with it.
        first = values[:BLOCK_ROWS]
        self.decimals = _decimals_in(first, _decimals_of_all(first[:_SAMPLE_ROWS]))

    def block(self, start: int, stop: int, bucket_rows: int) -> Sums:
        """Return scaled values from one position to another.

        Args:
            start: First of them.
            stop: First behind them.
            bucket_rows: Most rows that will be added up.

        Raises:
            ConfigError: A value is NaN, infinite or negative.
            MoreDecimals: A value needs more decimals than there were; they are there now.
        """
        values = self._values[start:stop]
        products = values * POWERS[self.decimals]
        largest = self._check(values, products)
        if largest * self._bucket_rows >= _LARGEST_SUM and not self._fits():
            return np.array([scaled(value, self.decimals) for value in values.tolist()], object)
        nearest = np.rint(products, out=products)
        if self.decimals < MAX_DECIMALS and not _are_printed(nearest, self.decimals, values):
            self.decimals = _decimals_in(self._values[start:], self.decimals)
            raise MoreDecimals
        # Below 2**53 floats add integers as exactly as int64 does, and need no conversion.
        if largest < LARGEST_EXACT and largest * bucket_rows < _LARGEST_EXACT_SUM:
            return nearest
        result = nearest.astype(np.int64)
        if largest >= LARGEST_EXACT:
            for index in np.flatnonzero(nearest >= LARGEST_EXACT).tolist():
                result[index] = scaled(float(values[index]), self.decimals)
        return result

    def quotients(self, sums: Sums) -> Floats:
        """Return sums as the floats nearest to their exact decimal values."""
        divisor = int(POWERS[self.decimals])
        if sums.dtype == np.object_:
            return np.array([total / divisor for total in sums.tolist()], np.float64)
        result: Floats = sums / float(divisor)
        # A float holds integers up to 2**53; beyond, only Python's division rounds correctly.
        if sums.max() >= _LARGEST_INTEGER:
            for index in np.flatnonzero(sums >= _LARGEST_INTEGER).tolist():
                result[index] = int(sums[index]) / divisor
        return result

    def _check(self, values: Floats, products: Floats) -> float:
        # The bounds of values with a NaN among them are NaN, which is on neither side.
        least, largest = float(values.min()), float(products.max())
        if not (least >= 0 and math.isfinite(largest)):
            raise ConfigError(
                f"Column {self._name} runs from {least} to {float(values.max())}, nulls counted "
                "as NaN: a volume is a finite number, 0 or more."
            )
        return largest

    def _fits(self) -> bool:
        """Tell whether sums of a bucket's rows surely stay within int64, looking closer."""
        if self._largest_sum is None:
            self._largest_sum = _largest_sum(self._values, self._bucket_rows)
        return self._largest_sum * POWERS[self.decimals] < _LARGEST_SUM


def _decimals_of_all(values: Floats) -> int:
    """Return the decimals of a few values, all numbers of them tried in one go."""
    powers = np.array(POWERS).reshape(-1, 1)
    printed = (np.rint(values * powers) / powers == values).all(axis=1)
    # What even the most decimals do not print is noise, and counts as the most.
    return int(printed.argmax()) if printed.any() else MAX_DECIMALS


def _decimals_in(values: Floats, at_least: int) -> int:
    decimals = at_least
    for start in range(0, len(values), BLOCK_ROWS):
        block = values[start : start + BLOCK_ROWS]
        while decimals < MAX_DECIMALS and not _are_printed(
            np.rint(block * POWERS[decimals]), decimals, block
        ):
            decimals += 1
    return decimals


def _are_printed(scaled_values: Floats, decimals: int, values: Floats) -> bool:
    """Tell whether values are those that these integers print."""
    return bool((scaled_values / POWERS[decimals] == values).all())


def _largest_sum(values: Floats, rows: int) -> float:
    """Return a bound on the sum of that many neighbours: they lie within two windows."""
    windows = np.add.reduceat(values, np.arange(0, len(values), rows))
    return 2 * float(windows.max())
