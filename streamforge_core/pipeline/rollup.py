"""Batch: candles as columns in, candles of higher timeframes as columns out.

What is folded, and when a candle may be sent: docs of `rollup`. `pipeline/aggregator.py` does the
same one candle at a time; one property test holds the two to each other.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamforge_core.errors import ConfigError
from streamforge_core.model.columns import (
    KLINE_SCHEMA,
    Instants,
    ends_of,
    opens_between,
    repeated,
)
from streamforge_core.model.gap import final_spans
from streamforge_core.model.kline import Series
from streamforge_core.model.timeframe import DAY_MS, LENGTH_MS, check_timeframe, open_of
from streamforge_core.pipeline.base_rows import BaseRows, SeriesTable, series_tables
from streamforge_core.pipeline.cascade import (
    Absent,
    Holes,
    OneBase,
    Spans,
    Step,
    as_list,
    cascade,
    check_absent,
    holes_by_series,
)
from streamforge_core.pipeline.fold import Flags, Floats, MoreDecimals, Part, Rows, Source, fold

_LONGEST_MONTH_MS: Final = 31 * DAY_MS


def rollup(
    table: pa.Table,
    timeframes: Iterable[str] | str,
    *,
    holes: Holes | Mapping[Series, Holes] = (),
    absent: Absent = "unknown",
    emit_incomplete: bool = False,
) -> dict[str, pa.Table]:
    """Fold candles into higher timeframes.

    Only traded candles (volume > 0) make prices: open is the first traded open, close the last
    traded close. Where nothing traded the candle is flat at the last close; where no base row
    exists there is no candle. Sums are exact at the printed precision; `quote_volume` and
    `n_trades` are None if a traded row does not tell its own, or none tells; `vwap` is
    quote_volume / volume, or weighted by volume where quotes are unknown.

    A candle is complete when each base interval inside it has a closed row or lies in a hole with
    a final verdict. Incomplete ones are withheld.

    Args:
        table: Columns of `KLINE_SCHEMA`, others ignored; any order, one series or several. Of two
            rows with the same open the closed one counts, among equals the last. A row off the
            grid fills the interval that contains its open. `is_closed` null counts as closed.
            Rows of provenance "filled" are left out.
        timeframes: Targets, each filled exactly by the base; their order has no meaning.
        holes: Verdicts on missing candles: `Hole`s or mappings with their attributes, for every
            series in the table, or a mapping from series to its own.
        absent: "unknown": an absent interval withholds its candle. "no_trades": the source omits
            intervals without trades, so every interval up to the series' last row counts as
            known; the ones after it are unknown still, as time may not have passed there. A table
            that begins inside a candle makes that candle from what it has: cut it at a boundary.
        emit_incomplete: Return incomplete candles too, with `is_closed` False.

    Returns:
        For each target a `KLINE_SCHEMA` table, ascending by source, symbol and open.

    Raises:
        ConfigError: A target is not filled by its base, a symbol comes in two bases, `absent` is
            neither word, or a column is lacking or holds what no candle can.
        UnknownTimeframe: A label is not in the table of timeframes.
    """
    targets = [check_timeframe(label) for label in as_list(timeframes)]
    check_absent(absent)
    holes_of, bases = holes_by_series(holes), OneBase()
    parts: dict[str, list[pa.Table]] = {target: [] for target in targets}
    for series in series_tables(table):
        bases.check(series.key)
        steps = cascade(series.timeframe, targets)
        base = BaseRows(series.rows, series.timeframe, bucket_intervals=_widest(series, steps))
        known = _Known(base, series.timeframe, final_spans(holes_of(series.key)), absent)
        for target, rows in _levels(base, series.timeframe, steps):
            ends = ends_of(rows.opens, target)
            complete = known.complete(rows, ends)
            columns = _columns(series, target, base, rows, ends, complete)
            part = pa.Table.from_arrays(columns, schema=KLINE_SCHEMA)
            whole = emit_incomplete or bool(complete.all())
            parts[target].append(part if whole else part.filter(pa.array(complete)))
    return {
        target: pa.concat_tables([KLINE_SCHEMA.empty_table(), *found])
        if len(found) != 1
        else found[0]
        for target, found in parts.items()
    }


def _widest(series: SeriesTable, steps: Iterable[Step]) -> int:
    """Return the most base intervals that one candle of any target holds."""
    longest = (LENGTH_MS.get(step.target, _LONGEST_MONTH_MS) for step in steps)
    return max(longest, default=1) // LENGTH_MS[series.timeframe]


def _levels(base: BaseRows, timeframe: str, steps: Iterable[Step]) -> list[tuple[str, Rows]]:
    while True:
        try:
            return list(_fold_tree(base, timeframe, steps))
        except MoreDecimals:  # rare: the first rows had fewer than a later one
            continue


def _fold_tree(base: BaseRows, timeframe: str, steps: Iterable[Step]) -> Iterator[tuple[str, Rows]]:
    levels: dict[str, Source] = {timeframe: base}
    for step in steps if len(base) else ():
        rows = fold(levels[step.parent], step.target)
        if step.parent == timeframe:
            _check_prices(rows)
        levels[step.target] = rows
        yield step.target, rows


def _check_prices(rows: Rows) -> None:
    """Refuse candles made of prices that are none; a null of the table has become NaN."""
    for name in ("open", "high", "low", "close"):
        values: Floats = getattr(rows, name)
        if not np.isfinite(values).all():
            raise ConfigError(f"Column {name} holds nulls, NaN or infinity: every price is finite.")


class _Known:
    """Which intervals of a base series are known to hold nothing."""

    def __init__(self, base: BaseRows, timeframe: str, spans: Spans, absent: Absent) -> None:
        self._length = LENGTH_MS[timeframe]
        self._timeframe = timeframe
        self._spans = spans
        self._intervals = base.intervals
        # Up to here a source that omits quiet intervals has had the time to say something.
        last = int(base.intervals[-1]) + self._length if len(base) else 0
        self._told_until = last if absent == "no_trades" else None

    def complete(self, rows: Rows, ends: Instants) -> Flags:
        """Tell which candles have a closed row or a verdict for every base interval.

        Args:
            rows: The candles.
            ends: The last millisecond inside each.
        """
        if self._told_until is None:
            unknown_from, known = rows.opens, cast(Instants, rows.filled) * self._length
        else:
            unknown_from = np.minimum(self._told_until, ends + 1)
            known = unknown_from - rows.opens
        needed = ends - rows.opens
        full = known > needed
        if self._spans and not full.all():
            empty = self._empty(int(rows.opens[0]), int(ends[-1]) + 1)
            judged = np.searchsorted(empty, ends) - np.searchsorted(empty, unknown_from)
            full = known + judged * self._length > needed
        return full if rows.forming is None else full & ~rows.forming

    def _empty(self, start: int, stop: int) -> Instants:
        """Return the intervals without a row that lie in a hole, ascending."""
        runs = [
            opens_between(
                max(start, open_of(first, self._timeframe)),
                min(stop, last + 1),
                self._timeframe,
            )
            for first, last in self._spans
        ]
        return np.setdiff1d(np.concatenate(runs), self._intervals)


def _columns(
    series: SeriesTable, target: str, base: BaseRows, rows: Rows, ends: Instants, complete: Flags
) -> list["pa.Array[Any]"]:
    """Return the columns of `KLINE_SCHEMA`."""
    size = len(rows.opens)
    volume, quote = base.volume.quotients(rows.volume), _quotes(base, rows)
    return [
        *(repeated(text, size) for text in (series.source, series.symbol, target)),
        pa.array(rows.opens),
        pa.array(ends),
        *(pa.array(prices) for prices in (rows.open, rows.high, rows.low, rows.close)),
        pa.array(volume),
        _told(rows.quote, quote, np.float64),
        _vwaps(base, rows, ends, volume, quote),
        _told(rows.trades, rows.trades.total, np.int64),
        pa.array(complete),
    ]


def _told(part: Part, values: npt.NDArray[Any] | None, kind: npt.DTypeLike) -> "pa.Array[Any]":
    """Return sums; None unless every traded row told its own, and at least one row told."""
    if values is None:
        silent = cast(Flags, part.silent)
        return pa.array(np.zeros(len(silent), kind), mask=silent)
    flags = [flag for flag in (part.missing, part.silent) if flag is not None]
    mask = np.logical_or.reduce(flags) if flags else None
    return cast("pa.Array[Any]", pa.array(values, mask=mask))


def _quotes(base: BaseRows, rows: Rows) -> Floats | None:
    """Return what was told of quote volumes, added up; None where nothing was."""
    total = rows.quote.total
    return None if base.quote is None or total is None else base.quote.quotients(total)


def _vwaps(
    base: BaseRows, rows: Rows, ends: Instants, volume: Floats, quote: Floats | None
) -> "pa.Array[Any]":
    """Return quote / volume where the quote is known, else the mean weighted by volume."""
    # Dust beyond the decimals that are summed can leave a traded candle without volume.
    known = volume > 0
    if quote is not None and rows.quote.missing is None and known.all():
        return pa.array(quote / volume)
    weights = np.zeros(len(volume)) if quote is None else quote.copy()
    if rows.quote.missing is not None:
        (unknown,) = np.nonzero(rows.quote.missing)
        starts = np.searchsorted(base.opens, rows.opens[unknown])
        stops = np.searchsorted(base.opens, ends[unknown], side="right")
        products, told = base.products_between(starts, stops)
        weights[unknown] += products
        known[unknown] &= told
    means = np.divide(weights, volume, out=np.zeros(len(volume)), where=known)
    return pa.array(means, mask=~known)
