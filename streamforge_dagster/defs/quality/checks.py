"""Is what the store holds complete, and can it be true?

A check sees the days of its run; started without any, it sees every day that Dagster shows as
materialized.
"""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import dagster as dg
import numpy as np
import numpy.typing as npt
import pyarrow as pa

import streamforge_core as sf
from streamforge_dagster.metadata import Facts
from streamforge_dagster.metadata import holes as holes_facts
from streamforge_dagster.partitions import (
    DAY,
    Days,
    asset_key,
    day_of,
    days_in,
    partition_key,
)
from streamforge_dagster.resources import Candles

Mask = npt.NDArray[np.bool_]

_DAYS_AT_ONCE: Final = 31
_NAMED: Final = 30


class _Rule(NamedTuple):
    """What rows must never be.

    Attributes:
        name: Of the check.
        description: What holds for rows that are right.
        is_wrong: Table -> True where a row breaks the rule.
        blocking: Whether derived candles wait for it.
    """

    name: str
    description: str
    is_wrong: Callable[[pa.Table], Mask]
    blocking: bool = True


def _breaks_ohlc(table: pa.Table) -> Mask:
    open_, high, low, close, volume = (
        table[name].to_numpy() for name in ("open", "high", "low", "close", "volume")
    )
    holds = (low <= np.minimum(open_, close)) & (np.maximum(open_, close) <= high)
    lasts = table["end_ts"].to_numpy() >= table["open_ts"].to_numpy()
    # What is no number compares as False with everything, so it is caught here too.
    broken: Mask = ~(holds & (low > 0) & (volume >= 0) & lasts)
    return broken


def _does_not_rise(table: pa.Table) -> Mask:
    opens = table["open_ts"].to_numpy()
    return np.diff(opens, prepend=opens[:1] - 1) <= 0


def _vwap_leaves_candle(table: pa.Table) -> Mask:
    low, high, volume, quotes = (
        table[name].to_numpy() for name in ("low", "high", "volume", "quote_volume")
    )
    # A venue rounds what it prints; a wrong unit is off by orders of magnitude.
    below, above = quotes < 0.999 * low * volume, quotes > 1.001 * high * volume
    outside: Mask = (volume > 0) & (below | above)
    return outside


_RULES: Final = (
    _Rule(
        "ohlc_invariants",
        "low <= open, close <= high, prices above 0, volumes not below it.",
        _breaks_ohlc,
    ),
    _Rule(
        "each_candle_once",
        "Opens strictly rise: no candle twice, none out of order.",
        _does_not_rise,
    ),
    _Rule(
        "volume_in_base_units",
        "quote volume / volume lies between low and high.",
        _vwap_leaves_candle,
        blocking=False,
    ),
)


def checks_of(source: sf.SourceSettings) -> list[dg.AssetChecksDefinition]:
    """Return the checks of a source's base candles."""
    return [_completeness(source), *(_row_check(source, rule) for rule in _RULES)]


def _completeness(source: sf.SourceSettings) -> dg.AssetChecksDefinition:
    key = asset_key(source.source, source.timeframe)

    @dg.asset_check(
        asset=key,
        name="completeness",
        description="Every candle that should exist is stored, or it is proven why it is not.",
        blocking=True,
    )
    def completeness(
        context: dg.AssetCheckExecutionContext, candles: Candles
    ) -> dg.AssetCheckResult:
        found = 0
        holes: list[tuple[str, sf.Hole]] = []
        for days in _checked_days(context, key):
            found += candles.read(source.source, source.timeframe, days).num_rows
            missing = candles.missing(source.source, source.timeframe, days)
            holes += [(days.symbol, hole) for hole in missing]
        return _verdict_on(found, holes)

    return completeness


def _verdict_on(found: int, holes: list[tuple[str, sf.Hole]]) -> dg.AssetCheckResult:
    """Fail on a hole without a reason; warn while a reason is not final."""
    unexplained = [each for each in holes if not each[1].is_explained()]
    provisional = [each for each in holes if each[1].is_explained() and not each[1].is_final()]
    total = sum(hole.count for _, hole in holes)
    lost = sum(hole.count for _, hole in unexplained)
    metadata: Facts = {
        "expected": found + total,
        "found": found,
        "explained": total - lost,
        "unexplained": lost,
        "bad_days": _named_days(unexplained or provisional),
    }
    metadata |= holes_facts([hole for _, hole in holes])
    if unexplained:
        text = f"{lost} candles are missing without a reason."
        return dg.AssetCheckResult(passed=False, metadata=metadata, description=text)
    if provisional:
        return dg.AssetCheckResult(
            passed=False,
            severity=dg.AssetCheckSeverity.WARN,
            metadata=metadata,
            description="Every hole has a reason; some wait for the exchange's archive.",
        )
    text = f"{found:,} candles, {total} proven not to exist." if total else f"{found:,} candles."
    return dg.AssetCheckResult(passed=True, metadata=metadata, description=text)


def _row_check(source: sf.SourceSettings, rule: _Rule) -> dg.AssetChecksDefinition:
    key = asset_key(source.source, source.timeframe)

    @dg.asset_check(
        asset=key,
        name=rule.name,
        description=rule.description,
        blocking=rule.blocking,
    )
    def check(context: dg.AssetCheckExecutionContext, candles: Candles) -> dg.AssetCheckResult:
        checked = 0
        wrong: list[tuple[str, int]] = []
        for days in _checked_days(context, key):
            table = candles.as_written(source.source, source.timeframe, days)
            checked += table.num_rows
            bad = table["open_ts"].to_numpy()[rule.is_wrong(table)]
            wrong += [(days.symbol, int(open_ts)) for open_ts in bad]
        keys = [partition_key(symbol, day_of(open_ts)) for symbol, open_ts in wrong]
        return dg.AssetCheckResult(
            passed=not wrong,
            severity=dg.AssetCheckSeverity.ERROR if rule.blocking else dg.AssetCheckSeverity.WARN,
            metadata={"checked": checked, "wrong": len(wrong), "bad_days": _joined(keys)},
            description=f"{len(wrong)} of {checked:,} candles are wrong." if wrong else None,
        )

    return check


def _checked_days(context: dg.AssetCheckExecutionContext, key: dg.AssetKey) -> Iterator[Days]:
    """Yield the days to look at, a month at a time."""
    run = context.op_execution_context
    if run.has_partition_key or run.has_partition_key_range:
        keys = list(context.partition_keys)
    else:
        keys = list(run.instance.get_materialized_partitions(key))
    for days in days_in(keys):
        for first in days.each()[::_DAYS_AT_ONCE]:
            yield Days(days.symbol, first, min(days.last, first + DAY * (_DAYS_AT_ONCE - 1)))


def _named_days(holes: list[tuple[str, sf.Hole]]) -> str:
    keys = []
    for symbol, hole in holes:
        days = Days(symbol, day_of(hole.first_open_ts), day_of(hole.last_open_ts))
        keys += days.keys()
    return _joined(keys)


def _joined(keys: list[str]) -> str:
    """Name days, each once, not all of them if there are many."""
    unique = sorted(set(keys))
    more = f" and {len(unique) - _NAMED} more" if len(unique) > _NAMED else ""
    return ", ".join(unique[:_NAMED]) + more if unique else "none"
