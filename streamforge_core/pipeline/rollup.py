"""Batch: candles as columns in, candles of higher timeframes as columns out.

What is folded, and when a candle may be sent: docs of `rollup`. `pipeline/aggregator.py` does the
same one candle at a time; one property test holds the two to each other.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

import numpy as np
import pyarrow as pa

from streamforge_core.errors import ConfigError
from streamforge_core.model.columns import KLINE_SCHEMA, Instants, ends_of, opens_between, opens_of
from streamforge_core.model.gap import final_spans
from streamforge_core.model.kline import Series
from streamforge_core.model.timeframe import DAY_MS, LENGTH_MS, check_timeframe, open_of
from streamforge_core.pipeline.base_rows import BaseRows, SeriesTable, series_tables
from streamforge_core.pipeline.cascade import Absent, Holes, Step, as_list, cascade, check_absent
from streamforge_core.pipeline.fold import Amounts, Flags, Part, Rows, fold

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
    spans_of = _spans_by_series(holes)
    parts: dict[str, list[pa.Table]] = {target: [] for target in targets}
    for series in _one_base_each(series_tables(table)):
        steps = cascade(series.timeframe, targets)
        for target, rows, verdict in _fold_series(series, steps, spans_of(series), absent):
            shown = None if emit_incomplete or verdict.complete.all() else verdict.complete
            parts[target].append(_as_table(series, target, rows, verdict, shown))
    return {
        target: pa.concat_tables(found) if found else KLINE_SCHEMA.empty_table()
        for target, found in parts.items()
    }
