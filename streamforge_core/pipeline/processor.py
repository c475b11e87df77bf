"""Order, dedupe, gaps, finality: what a socket and REST say -> each candle once. SKELETON."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from streamforge_core.model.gap import Hole
from streamforge_core.model.kline import Record, Series


@dataclass(frozen=True, slots=True)
class Gap:
    """Base candles that a newer one skipped; each run is told once (hole verdict "pending")."""

    series: Series
    hole: Hole


@dataclass(frozen=True, slots=True)
class Late:
    """The next record is older than the newest candle and was not seen before."""

    series: Series
    open_ts: int


Output = Record | Gap | Late


@dataclass(slots=True)
class Counts:
    """What was kept back or changed since the start."""

    duplicates: int = 0
    stale: int = 0
    late: int = 0
    revisions: int = 0
    missing: int = 0


class Processor:
    """Lets each closed candle of each series through once, in whatever order they are told.

    Args (constructor): `closed_by` "flag" (Binance, OKX, Bybit: `is_closed` decides) or
    "next_candle" (Kraken: a newer candle of the series closes the older); `emit_open` passes
    forming updates on; `remember` closed candles per series whose values are compared.

    A second, different value of a closed candle goes on with revision + 1.
    """

    counts: Counts

    def __init__(
        self,
        *,
        closed_by: Literal["flag", "next_candle"] = "flag",
        emit_open: bool = False,
        remember: int = 20,
    ) -> None:
        raise NotImplementedError

    def process(self, record: Record) -> list[Output]:
        """Take one record from a socket or REST; return what goes on, in order."""
        raise NotImplementedError

    def expect(self, series: Series, open_ts: int) -> None:
        """Say which candle must come next, so that the first one's seam is checked too."""
        raise NotImplementedError

    def interrupted(self, series: Iterable[Series] | None = None) -> None:
        """Forget forming candles (all series by default): updates may have been lost."""
        raise NotImplementedError

    def forming(self, series: Series) -> Record | None:
        """Return the newest update of a candle that is not closed yet."""
        raise NotImplementedError

    def last_closed(self, series: Series) -> int | None:
        """Return the open of the newest candle let through."""
        raise NotImplementedError
