"""Columns of candles folded into longer ones: NumPy throughout, no object per row.

A fold cuts sorted rows into buckets and reduces each column bucket by bucket. Buckets of equal
size are reduced as a matrix, others by `reduceat`. The base is read in blocks: its scaled sums and
masks then live in the cache, and temporaries never grow with the table.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from streamforge_core.model.columns import Instants, opens_of
from streamforge_core.model.timeframe import LENGTH_MS
from streamforge_core.pipeline.exact_sums import LARGEST_EXACT, MAX_DECIMALS, POWERS, scaled

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Sums = npt.NDArray[Any]
"""int64, or Python integers where those would overflow."""

BLOCK_ROWS: Final = 8_192

# Beyond this, a loop over a bucket's columns costs more calls than it saves.
_WIDEST_LOOP: Final = 16

_LARGEST_SUM: Final = float(2**62)


class Part(NamedTuple):
    """A sum that a source may not tell, per bucket.

    Attributes:
        total: What was told, added up.
        missing: A row with trades did not tell.
        told: At least one row told.
    """

    total: Sums
    missing: Flags
    told: Flags


class Rows(NamedTuple):
    """Sorted candles on their way up; a fold of `Rows` is `Rows` again.

    Attributes:
        opens: Opens, UTC epoch milliseconds.
        open: First traded price; like the other three flat where nothing traded.
        high: Highest traded price.
        low: Lowest traded price.
        close: Last traded price.
        traded: Whether anything traded.
        volume: Scaled by the decimals of the series.
        quote: Quote volume, scaled likewise.
        trades: Trade counts.
        filled: Base intervals that have a row.
        forming: Holds a base row that is not closed.
    """

    opens: Instants
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    traded: Flags
    volume: Sums
    quote: Part
    trades: Part
    filled: Instants
    forming: Flags

    def block(self, start: int, stop: int) -> "Rows":
        """Return the rows from one position to another."""
        quote = Part(*(column[start:stop] for column in self.quote))
        trades = Part(*(column[start:stop] for column in self.trades))
        columns = {
            name: column[start:stop]
            for name, column in self._asdict().items()
            if name not in ("quote", "trades")
        }
        return Rows(**columns, quote=quote, trades=trades)


class Source(Protocol):
    """Rows that can be read in blocks."""

    @property
    def opens(self) -> Instants:
        """Opens of all rows, strictly ascending."""

    def block(self, start: int, stop: int) -> Rows:
        """Return the rows from one position to another."""


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


def fold(source: Source, target: str) -> Rows:
    """Return the rows of a higher timeframe; `source` holds at least one row."""
    blocks = [
        _fold_block(source.block(cuts.start, cuts.stop), cuts, target)
        for cuts in _cuts(source.opens, target)
    ]
    return blocks[0] if len(blocks) == 1 else _joined(blocks)


def _cuts(opens: Instants, target: str) -> Iterator[Cuts]:
    """Cut rows into blocks of whole buckets."""
    width = _even_width(opens, target)
    if not width:
        yield from _uneven_cuts(opens, target)
        return
    first = int(opens[0])
    spacing = int(opens[1]) - first
    lead = (int(opens_of(opens[:1], target)[0]) - first) // spacing % width
    whole = lead + (len(opens) - lead) // width * width
    rows_per_block = max(1, BLOCK_ROWS // width) * width
    edge = np.zeros(1, np.int64)
    if lead:
        yield Cuts(0, lead, edge, 0)
    for start in range(lead, whole, rows_per_block):
        stop = min(whole, start + rows_per_block)
        yield Cuts(start, stop, np.arange(0, stop - start, width), width)
    if whole < len(opens):
        yield Cuts(whole, len(opens), edge, 0)


def _even_width(opens: Instants, target: str) -> int:
    """Return the rows per bucket of a series without gaps, 0 if it has some."""
    if target == "1M" or len(opens) < 2:
        return 0
    spacing = int(opens[1] - opens[0])
    width, rest = divmod(LENGTH_MS[target], spacing)
    span = int(opens[-1] - opens[0])
    # Rows ascend, so a span without slack leaves one way to place them only if all steps agree.
    even = not rest and span == spacing * (len(opens) - 1) and _steps_equal(opens, spacing)
    aligned = int(opens_of(opens[:1], target)[0] - opens[0]) % spacing == 0
    return width if even and aligned and len(opens) >= width else 0


def _steps_equal(opens: Instants, spacing: int) -> bool:
    return all(
        bool((np.diff(opens[start : start + BLOCK_ROWS + 1]) == spacing).all())
        for start in range(0, len(opens) - 1, BLOCK_ROWS)
    )


def _uneven_cuts(opens: Instants, target: str) -> Iterator[Cuts]:
    buckets = opens_of(opens, target)
    starts = np.concatenate(([0], np.flatnonzero(buckets[1:] != buckets[:-1]) + 1))
    edges = [0, *(np.flatnonzero(np.diff(starts // BLOCK_ROWS)) + 1).tolist(), len(starts)]
    for first, after in pairwise(edges):
        start = int(starts[first])
        stop = int(starts[after]) if after < len(starts) else len(opens)
        yield Cuts(start, stop, starts[first:after] - start, 0)


def _joined(blocks: list[Rows]) -> Rows:
    def join(*columns: Any) -> Any:  # noqa: ANN401 - a column, or a Part of columns
        if isinstance(columns[0], Part):
            return Part(*map(np.concatenate, zip(*columns, strict=True)))
        return np.concatenate(columns)

    return Rows(*map(join, *blocks))


def _fold_block(rows: Rows, cuts: Cuts, target: str) -> Rows:
    starts = cuts.starts
    opens = opens_of(rows.opens[starts], target)
    common = {
        "opens": opens,
        "volume": _reduce(np.add, rows.volume, cuts),
        "quote": _fold_part(rows.quote, cuts),
        "trades": _fold_part(rows.trades, cuts),
        "filled": _reduce(np.add, rows.filled, cuts),
        "forming": _any(rows.forming, cuts),
    }
    if rows.traded.all():
        ends = np.append(starts[1:], cuts.stop - cuts.start) - 1
        return Rows(
            open=rows.open[starts],
            high=_reduce(np.maximum, rows.high, cuts),
            low=_reduce(np.minimum, rows.low, cuts),
            close=rows.close[ends],
            traded=np.ones(len(starts), np.bool_),
            **common,
        )
    return Rows(**_traded_prices(rows, cuts), **common)


def _traded_prices(rows: Rows, cuts: Cuts) -> dict[str, npt.NDArray[Any]]:
    """Return prices over the traded rows only; flat at the last close where nothing traded."""
    traded = _any(rows.traded, cuts)
    ends = np.append(cuts.starts[1:], cuts.stop - cuts.start)
    flat = rows.close[ends - 1]
    positions = np.flatnonzero(rows.traded)
    if not len(positions):
        return {"open": flat, "high": flat, "low": flat, "close": flat, "traded": traded}
    first = np.minimum(np.searchsorted(positions, cuts.starts), len(positions) - 1)
    last = np.maximum(np.searchsorted(positions, ends) - 1, 0)
    highs = _reduce(np.maximum, np.where(rows.traded, rows.high, -np.inf), cuts)
    lows = _reduce(np.minimum, np.where(rows.traded, rows.low, np.inf), cuts)
    return {
        "open": np.where(traded, rows.open[positions[first]], flat),
        "high": np.where(traded, highs, flat),
        "low": np.where(traded, lows, flat),
        "close": np.where(traded, rows.close[positions[last]], flat),
        "traded": traded,
    }


def _fold_part(part: Part, cuts: Cuts) -> Part:
    return Part(
        _reduce(np.add, part.total, cuts), _any(part.missing, cuts), _any(part.told, cuts)
    )


def _any(flags: Flags, cuts: Cuts) -> Flags:
    """Tell for each bucket whether one of its rows has the flag; mostly all agree."""
    if flags.all():
        return np.ones(len(cuts.starts), np.bool_)
    if not flags.any():
        return np.zeros(len(cuts.starts), np.bool_)
    return np.logical_or.reduceat(flags, cuts.starts)


def _reduce(function: np.ufunc, values: npt.NDArray[Any], cuts: Cuts) -> npt.NDArray[Any]:
    """Reduce each bucket: as the columns of a matrix where all are equally wide."""
    if not cuts.width:
        return function.reduceat(values, cuts.starts)
    matrix = values.reshape(-1, cuts.width)
    if cuts.width > _WIDEST_LOOP:
        return np.asarray(function.reduce(matrix, axis=1))
    result = matrix[:, 0].copy()
    for column in range(1, cuts.width):
        function(result, matrix[:, column], out=result)
    return result


class Amounts:
    """A column of volumes that is scaled to integers block by block.

    Attributes:
        decimals: Most decimals any of them is printed with.
        exact: False where int64 could overflow, so that sums are Python integers.
    """

    def __init__(self, values: Floats, *, bucket_rows: int) -> None:
        self._values = values
        self.decimals = _decimals_in(values)
        largest = _largest_sum(values, bucket_rows) * POWERS[self.decimals]
        self.exact = largest < _LARGEST_SUM

    def block(self, start: int, stop: int) -> Sums:
        """Return scaled values from one position to another."""
        values = self._values[start:stop]
        if not self.exact:
            return np.array([scaled(value, self.decimals) for value in values.tolist()], object)
        products = values * POWERS[self.decimals]
        result = np.rint(products).astype(np.int64)
        if len(products) and products.max() >= LARGEST_EXACT:
            for index in np.flatnonzero(products >= LARGEST_EXACT).tolist():
                result[index] = scaled(float(values[index]), self.decimals)
        return result

    def quotients(self, sums: Sums) -> Floats:
        """Return sums as the floats nearest to their exact decimal values."""
        divisor = int(POWERS[self.decimals])
        if not self.exact:
            return np.array([total / divisor for total in sums.tolist()], np.float64)
        result = sums / float(divisor)
        # A float holds integers up to 2**53; beyond, only Python's division rounds correctly.
        for index in np.flatnonzero(sums >= 2**53).tolist():
            result[index] = int(sums[index]) / divisor
        return result


def _decimals_in(values: Floats) -> int:
    decimals = 0
    for start in range(0, len(values), BLOCK_ROWS):
        block = values[start : start + BLOCK_ROWS]
        while decimals < MAX_DECIMALS and not _printed_with(block, decimals):
            decimals += 1
    return decimals


def _printed_with(values: Floats, decimals: int) -> bool:
    power = POWERS[decimals]
    return bool((np.rint(values * power) / power == values).all())


def _largest_sum(values: Floats, bucket_rows: int) -> float:
    """Return a bound on the sum of any `bucket_rows` neighbours."""
    total = float(values.sum())
    if total * POWERS[MAX_DECIMALS] < _LARGEST_SUM or len(values) <= bucket_rows:
        return total
    # Any run of that length lies within two neighbouring windows.
    windows = np.add.reduceat(values, np.arange(0, len(values), bucket_rows))
    return 2 * float(windows.max())
