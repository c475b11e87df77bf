"""Turns runs of absent candles into verdicts: was it an outage, or is there nothing to miss."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from streamforge_core.errors import ExchangeError, TransportError, UnknownSymbol
from streamforge_core.model.columns import Instants, instants
from streamforge_core.model.coverage import BoundsEntry, Entry, HoleEntry
from streamforge_core.model.gap import Evidence, Hole
from streamforge_core.model.timeframe import DAY_MS, iso, next_open, open_of
from streamforge_core.runners.fetching import Absent, Fetched

_log: Final = logging.getLogger(__name__)

ARCHIVE_PATIENCE_MS: Final = 3 * DAY_MS
"""An archive that is not published this long after its day is not waited for any more."""

Ask = Callable[[int], int | None]
"""Takes an instant, returns the open of the nearest candle the exchange has on that side."""


@dataclass(slots=True)
class HoleJudge:
    """Gives each absent run its verdict as soon as candles on both sides are known.

    An outage needs a candle before it and one after it; before the first and after the last candle
    the exchange has, nothing is a hole (CANDLES.md section 5). Windows come in ascending order; a
    run that ends at a window's edge waits for the next window. A candle at hand speaks only for
    the run it touches: what lies between was not asked for, so the exchange is asked then.

    Attributes:
        timeframe: Of the series.
        now_ms: The exchange's clock, UTC epoch milliseconds.
        newest_before: Asks the exchange for the newest candle before an instant.
        oldest_from: Asks it for the oldest candle from an instant on.
    """

    timeframe: str
    now_ms: int
    newest_before: Ask
    oldest_from: Ask
    _newest_row: int | None = None
    _waiting: Absent | None = None
    _row_before_waiting: int | None = None

    def judge(self, fetched: Fetched) -> list[Entry]:
        """Take one window; return what can be said now."""
        entries: list[Entry] = list[Entry](fetched.archives)
        opens = instants(fetched.table)
        if fetched.failure:
            # Whatever was left open has no verdict, nor has a run that reached up to it.
            self._waiting = None
        for absent in fetched.absent:
            entries += self._pass_rows(opens[opens < absent.first_open_ts])
            entries += self._wait(absent)
        return entries + self._pass_rows(opens)

    def skip(self) -> None:
        """Take note of a window that was not asked for: a run that reached up to it stays open."""
        self._waiting = None

    def finish(self) -> list[Entry]:
        """Return the verdict on the run that still waits for a candle after it."""
        if self._waiting is None:
            return []
        absent, self._waiting = self._waiting, None
        try:
            return self._verdict(absent, self._row_before_waiting, self._after(absent))
        except (TransportError, ExchangeError) as error:
            _log.warning("No verdict on %s: %s", _named(absent), error)
            return []

    def _pass_rows(self, opens: Instants) -> list[Entry]:
        """Note candles at hand, which may be the ones that a waiting run waited for."""
        if not len(opens):
            return []
        entries, waiting = [], self._waiting
        later = opens[opens > waiting.last_open_ts] if waiting else opens[:0]
        if waiting and len(later):
            entries = self._settle(waiting, int(later[0]))
        self._newest_row = int(opens[-1])
        return entries

    def _settle(self, waiting: Absent, after: int) -> list[Entry]:
        if not self._touch(waiting.last_open_ts, after):
            return self.finish()
        self._waiting = None
        try:
            return self._verdict(waiting, self._row_before_waiting, after)
        except (TransportError, ExchangeError) as error:
            _log.warning("No verdict on %s: %s", _named(waiting), error)
            return []

    def _wait(self, absent: Absent) -> list[Entry]:
        waiting = self._waiting
        if waiting and self._touch(waiting.last_open_ts, absent.first_open_ts):
            self._waiting = _joined(waiting, absent)
            return []
        entries = self.finish()
        before = self._newest_row
        touches = before is not None and self._touch(before, absent.first_open_ts)
        self._waiting, self._row_before_waiting = absent, before if touches else None
        return entries

    def _touch(self, earlier: int, later: int) -> bool:
        """Tell whether two candles, one of them maybe off the grid, are neighbours."""
        following = next_open(open_of(earlier, self.timeframe), self.timeframe)
        return open_of(later, self.timeframe) == following

    def _after(self, absent: Absent) -> int | None:
        try:
            return self.oldest_from(next_open(absent.last_open_ts, self.timeframe))
        except UnknownSymbol:
            return None  # delisted: the archive alone knew it, and its files end here

    def _verdict(self, absent: Absent, before: int | None, after: int | None) -> list[Entry]:
        if before is None:
            before = self.newest_before(absent.first_open_ts)
        if before is None:
            return [BoundsEntry(after, None, self.now_ms)] if after is not None else []
        if after is None:
            return [BoundsEntry(None, before, self.now_ms)]
        _log.warning("Exchange outage: %s", _named(absent))
        return [HoleEntry(self._outage(absent, before, after))]

    def _outage(self, absent: Absent, before: int, after: int) -> Hole:
        old = self.now_ms - absent.last_open_ts > ARCHIVE_PATIENCE_MS
        return Hole(
            absent.first_open_ts,
            absent.last_open_ts,
            absent.count,
            verdict="exchange_outage",
            provisional=not absent.archive_read and not old,
            evidence=(
                *absent.evidence,
                Evidence("before", self.now_ms, f"a candle opens {iso(before)}"),
                Evidence("after", self.now_ms, f"a candle opens {iso(after)}"),
            ),
            decided_at=self.now_ms,
        )


def _joined(first: Absent, second: Absent) -> Absent:
    return Absent(
        first.first_open_ts,
        second.last_open_ts,
        first.count + second.count,
        first.archive_read and second.archive_read,
        first.evidence + second.evidence,
    )


def _named(absent: Absent) -> str:
    return f"{iso(absent.first_open_ts)} to {iso(absent.last_open_ts)}, {absent.count} candles"
