"""What one run does with candles: each once, in order, and folded into higher ones. No IO."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from streamforge_core.model.kline import Record, Series, series_of
from streamforge_core.model.timeframe import iso
from streamforge_core.pipeline.processor import Counts, Gap, Late, Processor

if TYPE_CHECKING:  # a stream without aggregates does not pay for columns
    from streamforge_core.pipeline.aggregator import Aggregator

_log = logging.getLogger(__name__)


class Flow:
    """Base candles in, what is to be emitted out.

    Args:
        targets: The series of the run, each with the higher timeframes wanted of it.
        emit_open: Whether updates of forming base candles go on too.
        closed_by: See `Processor`.
    """

    def __init__(
        self,
        targets: Mapping[Series, Sequence[str]],
        *,
        emit_open: bool = False,
        closed_by: Literal["flag", "next_candle"] = "flag",
    ) -> None:
        self.targets = dict(targets)
        self.stale = 0
        """Higher candles that would have to be folded again."""
        self._processor = Processor(closed_by=closed_by, emit_open=emit_open)
        self._aggregators = _aggregators(self.targets)

    @property
    def counts(self) -> Counts:
        """What was kept back or changed."""
        return self._processor.counts

    def take(self, record: Record) -> list[Record]:
        """Take one base candle; return what goes on, higher candles after the base."""
        ready: list[Record] = []
        for output in self._processor.process(record):
            if isinstance(output, Record):
                ready.append(output)
                if output.is_closed and self._aggregators:
                    ready += self._folded(output)
            else:
                _tell(output)
        return ready

    def _folded(self, record: Record) -> list[Record]:
        series = series_of(record)
        aggregator = self._aggregators.get(series)
        if aggregator is None:
            return []
        ready: list[Record] = []
        for output in aggregator.fold(record):
            if isinstance(output, Record):
                ready.append(output)
            else:
                self.stale += 1
                _log.warning(
                    "%s: the candle that opens at %s was emitted before a part of it changed",
                    output.series,
                    iso(output.open_ts),
                )
        return ready

    def interrupted(self, series: Iterable[Series]) -> None:
        """Forget the forming candles of some series: updates may have been lost."""
        self._processor.interrupted(series)

    def last_closed(self, series: Series) -> int | None:
        """Return the open of the newest closed candle seen, None before the first."""
        return self._processor.last_closed(series)


def _aggregators(targets: Mapping[Series, Sequence[str]]) -> "dict[Series, Aggregator]":
    wanted = {series: labels for series, labels in targets.items() if labels}
    if not wanted:
        return {}
    from streamforge_core.pipeline.aggregator import Aggregator

    return {series: Aggregator(series, labels) for series, labels in wanted.items()}


def _tell(output: Gap | Late) -> None:
    if isinstance(output, Gap):
        hole = output.hole
        _log.warning(
            "%s: %d candles are missing, %s to %s; higher candles over them are withheld",
            output.series,
            hole.count,
            iso(hole.first_open_ts),
            iso(hole.last_open_ts),
        )
    else:
        _log.info("%s: the candle of %s came late", output.series, iso(output.open_ts))
