"""The rule of aggregation written down as plainly as possible: the oracle of the property tests.

Row by row, decimals as printed, no levels, no columns, nothing shared with the pipeline.
"""

import math
from collections.abc import Sequence
from decimal import Decimal

from streamforge_core.model.gap import Hole
from streamforge_core.model.kline import Kline
from streamforge_core.model.timeframe import end_of, next_open, open_of

PRINTED_DECIMALS = Decimal(1).scaleb(-8)


def plain_fold(
    klines: Sequence[Kline],
    target: str,
    *,
    holes: Sequence[Hole] = (),
    absent: str = "unknown",
    emit_incomplete: bool = False,
) -> list[Kline]:
    """Return the higher candles of one series, ascending."""
    rows = _each_once(klines)
    buckets: dict[int, list[Kline]] = {}
    for row in rows:
        buckets.setdefault(open_of(row.open_ts, target), []).append(row)
    folded = []
    for open_ts, parts in sorted(buckets.items()):
        complete = _is_complete(open_ts, target, rows, holes, absent)
        if complete or emit_incomplete:
            folded.append(_candle(open_ts, target, parts, is_closed=complete))
    return folded


def _each_once(klines: Sequence[Kline]) -> list[Kline]:
    best: dict[int, Kline] = {}
    for row in klines:
        held = best.get(row.open_ts)
        if held is None or row.is_closed is not False or held.is_closed is False:
            best[row.open_ts] = row
    return [best[open_ts] for open_ts in sorted(best)]


def _is_complete(
    open_ts: int, target: str, rows: Sequence[Kline], holes: Sequence[Hole], absent: str
) -> bool:
    base = rows[0].timeframe
    present = {open_of(row.open_ts, base) for row in rows}
    forming = {open_of(row.open_ts, base) for row in rows if row.is_closed is False}
    interval, end = open_ts, end_of(open_ts, target)
    while interval < end:
        quiet = absent == "no_trades" and interval < max(present)
        proven = any(h.is_final() and h.first_open_ts <= interval <= h.last_open_ts for h in holes)
        if interval in forming or not (interval in present or quiet or proven):
            return False
        interval = next_open(interval, base)
    return True


def _candle(open_ts: int, target: str, parts: Sequence[Kline], *, is_closed: bool) -> Kline:
    traded = [part for part in parts if part.volume > 0]
    flat = parts[-1].close
    volume = _sum([part.volume for part in parts])
    quote = _told_sum(parts, "quote_volume")
    trades = _told_sum(parts, "n_trades")
    return Kline(
        source=parts[0].source,
        symbol=parts[0].symbol,
        timeframe=target,
        open_ts=open_ts,
        end_ts=end_of(open_ts, target),
        open=traded[0].open if traded else flat,
        high=max(part.high for part in traded) if traded else flat,
        low=min(part.low for part in traded) if traded else flat,
        close=traded[-1].close if traded else flat,
        volume=volume,
        quote_volume=quote,
        vwap=_vwap(traded, volume, quote) if volume else None,
        n_trades=None if trades is None else int(trades),
        is_closed=is_closed,
    )


def _sum(values: Sequence[float]) -> float:
    return float(sum(Decimal(repr(value)).quantize(PRINTED_DECIMALS) for value in values))


def _told_sum(parts: Sequence[Kline], name: str) -> float | None:
    told = [getattr(part, name) for part in parts if getattr(part, name) is not None]
    silent = [part for part in parts if getattr(part, name) is None and part.volume > 0]
    return _sum([float(value) for value in told]) if told and not silent else None


def _vwap(traded: Sequence[Kline], volume: float, quote: float | None) -> float | None:
    if quote is not None:
        return quote / volume
    told = [part.quote_volume for part in traded if part.quote_volume is not None]
    silent = [part for part in traded if part.quote_volume is None]
    prices = [part.vwap for part in silent]
    products = [
        price * part.volume for price, part in zip(prices, silent, strict=True) if price is not None
    ]
    if len(products) < len(silent):
        return None
    return (_sum(told) + math.fsum(products)) / volume
