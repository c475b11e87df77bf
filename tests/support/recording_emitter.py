"""An emitter that keeps everything in memory and tells in which order it was called."""

from collections.abc import Callable, Sequence

import numpy as np

from streamforge_core.emitters.base import Emitter, Report
from streamforge_core.model.coverage import Coverage, Entry, find_missing
from streamforge_core.model.gap import Hole
from streamforge_core.model.kline import Kline, Series, series_of


class RecordingEmitter(Emitter):
    """Keeps candles in the order they came.

    Attributes:
        klines: Every candle received, duplicates included.
        calls: "connect", "emit", "flush", "close", ... in order; a run of emits is one entry.
        entries: What `record_holes` was given, per series.

    Args:
        name: Its name in reports.
        fail: Called with each candle first; what it returns is raised.
        knows_its_rows: Whether `last_open_ts` and `missing` answer from the candles held.
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        fail: Callable[[Kline], Exception | None] | None = None,
        knows_its_rows: bool = False,
    ) -> None:
        super().__init__(name=name)
        self.klines: list[Kline] = []
        self.calls: list[str] = []
        self.entries: dict[Series, list[Entry]] = {}
        self._fail = fail
        self._knows_its_rows = knows_its_rows

    def connect(self) -> None:
        self.calls.append("connect")

    def emit(self, data: Kline) -> None:
        if self._fail and (error := self._fail(data)):
            raise error
        if self.calls[-1:] != ["emit"]:
            self.calls.append("emit")
        self.klines.append(data)

    def flush(self, deadline_s: float | None = None) -> Report:
        self.calls.append("flush")
        return super().flush(deadline_s)

    def close(self) -> None:
        self.calls.append("close")

    def last_open_ts(self, series: Series) -> int | None:
        held = self._opens(series)
        return max(held) if self._knows_its_rows and held else None

    def missing(self, series: Series, start_ms: int, end_ms: int) -> Sequence[Hole] | None:
        if not self._knows_its_rows:
            return None
        coverage = Coverage.of(self.entries.get(series, []))
        present = np.array(self._opens(series), np.int64)
        return find_missing(present, start_ms, end_ms, series.timeframe, coverage)

    def record_holes(self, series: Series, entries: Sequence[Entry]) -> None:
        self.entries.setdefault(series, []).extend(entries)

    def opens(self, symbol: str | None = None) -> list[int]:
        """Return `open_ts` of the candles of one symbol, or of all, in the order they came."""
        return [kline.open_ts for kline in self.klines if symbol in (None, kline.symbol)]

    def _opens(self, series: Series) -> list[int]:
        return [kline.open_ts for kline in self.klines if series_of(kline) == series]
