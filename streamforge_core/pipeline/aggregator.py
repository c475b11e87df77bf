"""Live: base candles -> higher timeframes, one candle at a time. SKELETON, being filled in."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from streamforge_core.model.gap import Hole
from streamforge_core.model.kline import Kline, Record, Series
from streamforge_core.pipeline.rollup import Absent, Holes


@dataclass(frozen=True, slots=True)
class Stale:
    """A higher candle that must be folded again from its base candles (`rollup` over a re-read).

    Attributes:
        series: Of the higher candle.
        open_ts: Its open, UTC epoch milliseconds.
        end_ts: Its last millisecond: base candles with `open_ts <= open <= end_ts` are needed.
    """

    series: Series
    open_ts: int
    end_ts: int


class Aggregator:
    """Folds the closed candles of one base series into higher ones, as they come.

    Feed every closed base record once, in order (what `Processor` lets through). A complete
    bucket comes out at once as a Record (provenance "aggregated", seen_ts the latest of its
    parts), ascending by end, then by timeframe. A bucket that lacks a base candle is withheld until a late
    record fills it or a hole over the missing part gets a final verdict.
    A record for a bucket that was already sent, or a repeat of one already folded (a correction),
    gives `Stale` for every bucket that holds it: at once if it was sent, at its end otherwise.
    """

    def __init__(
        self,
        series: Series,
        targets: Iterable[str],
        *,
        absent: Absent = "unknown",
        emit_incomplete: bool = False,
    ) -> None:
        raise NotImplementedError

    def fold(self, record: Record) -> list[Record | Stale]:
        """Take one closed base record; return what it completes."""
        raise NotImplementedError

    def resolve(self, hole: Hole) -> list[Record | Stale]:
        """Take a verdict on missing base candles; a final one may complete buckets."""
        raise NotImplementedError

    def flush(self) -> list[Record]:
        """Return what is unfinished, is_complete and is_closed False, if `emit_incomplete`."""
        raise NotImplementedError


def warm_from(ts: int, targets: Iterable[str]) -> int:
    """Return where a warm start must read from: today 00:00, or the largest running bucket's open."""
    raise NotImplementedError


def aggregate(
    klines: Iterable[Kline],
    timeframes: Iterable[str] | str,
    *,
    holes: Holes = (),
    absent: Absent = "unknown",
    emit_incomplete: bool = False,
) -> Iterator[Kline]:
    """Fold candles, ascending per series, into higher ones, in the order they complete."""
    raise NotImplementedError
