"""Higher timeframes of a store out of its own base candles, with the reasons for what is absent."""

import os
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from streamforge_core.emitters.parquet import ParquetEmitter
from streamforge_core.model.columns import Instants, instants, opens_between, opens_of
from streamforge_core.model.coverage import Entry, HoleEntry
from streamforge_core.model.date_range import DateRange, instant
from streamforge_core.model.gap import Evidence, Hole
from streamforge_core.model.kline import Series
from streamforge_core.model.timeframe import check_tiles, first_open_from, next_open, open_of
from streamforge_core.pipeline.rollup import rollup
from streamforge_core.runners.fetching import runs_of, seen
from streamforge_core.store.reader import Store, When


def derive(
    path: str | os.PathLike[str],
    *,
    source: str,
    symbol: str,
    timeframe: str,
    targets: Sequence[str],
    start: When,
    end: When,
) -> dict[str, int]:
    """Fold a store's base candles into higher ones, into the same store.

    Every target candle that overlaps `start <= t < end` is folded again from all of its base
    candles; one that is not complete is withheld. Where proven holes of the base cover a whole
    target candle, their verdict is recorded for it too.

    Args:
        path: Root of the Parquet store.
        source: Of the series.
        symbol: Of the series.
        timeframe: Base, which must be stored.
        targets: Timeframes to fold into; their order has no meaning.
        start: First instant, as in `Store.read`.
        end: First instant after the range.

    Returns:
        Complete candles per target; those already stored are counted too.

    Raises:
        ConfigError: A target is not filled by the base.
        EmitterError: The store could not be written.
    """
    check_tiles(timeframe, list(targets))
    start_ms, end_ms = _instant_of(start), _instant_of(end)
    spans = {target: _whole(start_ms, end_ms, target) for target in targets}
    if not spans:
        return {}
    base = _Base(path, Series(source, symbol, timeframe), _hull(spans.values()))
    tables = rollup(base.table, targets, holes=[*base.holes, *base.outside])
    with ParquetEmitter(path) as emitter:
        for target, span in spans.items():
            table = tables[target] = _inside(tables[target], span)
            # Whole days have passed since the candle: "now" is not asked, the bytes are the same.
            emitter.emit_batch(seen(table, "aggregated", now_ms=end_ms))
            emitter.flush()
            series = Series(source, symbol, target)
            emitter.record_holes(series, list(_derived_holes(base.holes, timeframe, target, span)))
    return {target: table.num_rows for target, table in tables.items()}


class _Base:
    """The base candles of a span, and what is known of those that are not there.

    Attributes:
        table: `KLINE_SCHEMA`, ascending.
        holes: As the store reports them.
        outside: Intervals where nothing is to be missed: before the first candle the exchange has
            and after the last one.
    """

    def __init__(self, path: str | os.PathLike[str], series: Series, span: DateRange) -> None:
        store = Store(path)
        self.table = store.read(
            source=series.source,
            symbol=series.symbol,
            timeframe=series.timeframe,
            start=span.start_ms,
            end=span.end_ms,
        )
        self.holes = store.missing(
            source=series.source,
            symbol=series.symbol,
            timeframe=series.timeframe,
            start=span.start_ms,
            end=span.end_ms,
        )
        self.outside = self._outside(span, series.timeframe)

    def _outside(self, span: DateRange, timeframe: str) -> list[Hole]:
        expected = opens_between(span.start_ms, span.end_ms, timeframe)
        known = opens_of(instants(self.table), timeframe)
        neither = np.setdiff1d(np.setdiff1d(expected, known), _opens_in(self.holes, timeframe))
        return [Hole(*run, verdict="no_trades") for run in runs_of(neither, timeframe)]


def _instant_of(when: When) -> int:
    """Return UTC epoch milliseconds, which an integer already is."""
    return when if isinstance(when, int) else instant(when, name="start or end", now_ms=0)


def _whole(start_ms: int, end_ms: int, timeframe: str) -> DateRange:
    """Widen a range to whole candles."""
    return DateRange(open_of(start_ms, timeframe), first_open_from(end_ms, timeframe))


def _hull(spans: Iterable[DateRange]) -> DateRange:
    known = list(spans)
    return DateRange(min(span.start_ms for span in known), max(span.end_ms for span in known))


def _opens_in(holes: Sequence[Hole], timeframe: str) -> Instants:
    spans = [opens_between(hole.first_open_ts, hole.last_open_ts + 1, timeframe) for hole in holes]
    return np.concatenate(spans) if spans else np.empty(0, np.int64)


def _inside(table: pa.Table, span: DateRange) -> pa.Table:
    opens = instants(table)
    return table.filter(pa.array((opens >= span.start_ms) & (opens < span.end_ms)))


def _derived_holes(
    holes: Sequence[Hole], base: str, target: str, span: DateRange
) -> Iterable[Entry]:
    """Yield the verdicts on target candles that lie wholly inside an explained hole."""
    for hole in holes:
        if not hole.is_explained():
            continue
        first = max(first_open_from(hole.first_open_ts, target), span.start_ms)
        after = min(open_of(next_open(hole.last_open_ts, base), target), span.end_ms)
        opens = opens_between(first, after, target)
        if len(opens):
            evidence = Evidence(base, hole.decided_at or 0, "no candle in all of it")
            yield HoleEntry(
                Hole(
                    int(opens[0]),
                    int(opens[-1]),
                    len(opens),
                    verdict=hole.verdict,
                    provisional=hole.provisional,
                    evidence=(*hole.evidence, evidence),
                    decided_at=hole.decided_at,
                )
            )
