"""Verdicts on what nobody has: an outage between two candles, nothing at the rims."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from streamforge_core.errors import ConnectionLost, RequestRefused, UnknownSymbol
from streamforge_core.model.columns import as_records
from streamforge_core.model.coverage import ArchiveEntry, BoundsEntry, Entry, HoleEntry
from streamforge_core.model.gap import Evidence, Hole
from streamforge_core.runners.fetching import Absent, Fetched, Window
from streamforge_core.runners.holes import ARCHIVE_PATIENCE_MS, HoleJudge
from tests.support.builders import MINUTE, START, a_candle, a_minute, a_table

DAY = 86_400_000
NOW = START + 30 * DAY
ASKED = (Evidence("rest", NOW, "0 rows"),)


def at(minute: int) -> int:
    return START + minute * MINUTE


def absent(first: int, last: int, *, archive_read: bool = True) -> Absent:
    return Absent(at(first), at(last), last - first + 1, archive_read, ASKED)


def a_window(
    rows: Sequence[int],
    absents: Sequence[Absent] = (),
    *,
    archives: Sequence[ArchiveEntry] = (),
    failure: Exception | None = None,
) -> Fetched:
    table = as_records(a_table([a_minute(minute) for minute in rows]))
    lost = ConnectionLost(str(failure)) if failure else None
    return Fetched(Window(((0, 1),)), table, list(absents), list(archives), failure=lost)


@dataclass
class Exchange:
    """Knows some minutes and notes what it is asked."""

    minutes: Sequence[int] = ()
    trouble: Exception | None = None
    asked: list[tuple[str, int]] = field(default_factory=list)

    def newest_before(self, ts: int) -> int | None:
        return self._found("before", ts, [m for m in self.minutes if at(m) < ts][-1:])

    def oldest_from(self, ts: int) -> int | None:
        return self._found("from", ts, [m for m in self.minutes if at(m) >= ts][:1])

    def _found(self, side: str, ts: int, found: list[int]) -> int | None:
        self.asked.append((side, (ts - START) // MINUTE))
        if self.trouble:
            raise self.trouble
        return at(found[0]) if found else None

    def judge(self, now_ms: int = NOW) -> HoleJudge:
        return HoleJudge("1m", now_ms, self.newest_before, self.oldest_from)


def outages(entries: Sequence[Entry]) -> list[tuple[int, int, int]]:
    """Return minutes and count of every outage among entries."""
    holes = [entry.hole for entry in entries if isinstance(entry, HoleEntry)]
    assert all(hole.verdict == "exchange_outage" for hole in holes)
    return [
        ((h.first_open_ts - START) // MINUTE, (h.last_open_ts - START) // MINUTE, h.count)
        for h in holes
    ]


def test_a_hole_between_two_candles_at_hand_is_an_outage_and_nobody_is_asked() -> None:
    exchange = Exchange()

    entries = exchange.judge().judge(a_window([0, 1, 5], [absent(2, 4)]))

    assert entries == [
        HoleEntry(
            Hole(
                at(2),
                at(4),
                3,
                verdict="exchange_outage",
                provisional=False,
                evidence=(
                    *ASKED,
                    Evidence("before", NOW, "a candle opens 2024-01-15T00:01:00Z"),
                    Evidence("after", NOW, "a candle opens 2024-01-15T00:05:00Z"),
                ),
                decided_at=NOW,
            )
        )
    ]
    assert exchange.asked == []


def test_several_holes_in_one_window_are_each_judged() -> None:
    window = a_window([0, 2, 3, 6], [absent(1, 1), absent(4, 5)])

    assert outages(Exchange().judge().judge(window)) == [(1, 1, 1), (4, 5, 2)]


def test_a_hole_over_the_edge_of_windows_is_one_hole() -> None:
    exchange = Exchange()
    judge = exchange.judge()

    first = judge.judge(a_window([0], [absent(1, 3)]))
    whole_day_down = judge.judge(a_window([], [absent(4, 9)]))
    last = judge.judge(a_window([12], [absent(10, 11)]))

    assert (first, whole_day_down) == ([], [])
    assert outages(last) == [(1, 11, 11)]
    assert exchange.asked == []


def test_a_joined_hole_is_proven_only_if_every_archive_was_read() -> None:
    judge = Exchange().judge(now_ms=at(20))
    judge.judge(a_window([0], [absent(1, 3)]))

    (entry,) = judge.judge(a_window([5], [absent(4, 4, archive_read=False)]))

    assert isinstance(entry, HoleEntry)
    assert entry.hole.provisional
    assert entry.hole.evidence[:2] == (*ASKED, *ASKED)


def test_a_range_that_begins_and_ends_in_a_hole_asks_for_its_neighbours() -> None:
    exchange = Exchange([-10, 20])
    judge = exchange.judge()

    assert judge.judge(a_window([], [absent(0, 9)])) == []
    assert outages(judge.finish()) == [(0, 9, 10)]
    assert exchange.asked == [("from", 10), ("before", 0)]


def test_before_the_first_candle_nothing_is_a_hole() -> None:
    exchange = Exchange([5])

    entries = exchange.judge().judge(a_window([5], [absent(0, 4)]))

    assert entries == [BoundsEntry(at(5), None, NOW)]
    assert exchange.asked == [("before", 0)]


def test_after_the_last_candle_nothing_is_a_hole() -> None:
    exchange = Exchange([4])
    judge = exchange.judge()
    judge.judge(a_window([4], [absent(5, 9)]))

    assert judge.finish() == [BoundsEntry(None, at(4), NOW)]
    assert exchange.asked == [("from", 10)]


def test_a_symbol_without_any_candle_has_nothing_to_say() -> None:
    exchange = Exchange()
    judge = exchange.judge()
    judge.judge(a_window([], [absent(0, 9)]))

    assert judge.finish() == []
    assert judge.finish() == []


# A row of another part of the range proves nothing about where the exchange's candles begin or
# end: those between were not asked for, they may be stored already.


def test_a_row_after_days_that_were_not_asked_for_does_not_date_the_first_candle() -> None:
    exchange = Exchange([10, 11, 500])
    judge = exchange.judge()
    judge.judge(a_window([], [absent(0, 9)]))

    entries = judge.judge(a_window([500]))

    assert entries == [BoundsEntry(at(10), None, NOW)]
    assert exchange.asked == [("from", 10), ("before", 0)]


def test_a_row_before_days_that_were_not_asked_for_does_not_date_the_last_candle() -> None:
    exchange = Exchange([0, 400])
    judge = exchange.judge()
    judge.judge(a_window([0]))
    judge.judge(a_window([], [absent(401, 409)]))

    assert judge.finish() == [BoundsEntry(None, at(400), NOW)]
    assert exchange.asked == [("from", 410), ("before", 401)]


def test_two_holes_that_do_not_touch_are_two() -> None:
    exchange = Exchange([-1, 5, 500, 600])
    judge = exchange.judge()
    first = judge.judge(a_window([], [absent(0, 4)]))
    second = judge.judge(a_window([], [absent(501, 505)]))

    assert first == []
    assert outages(second) == [(0, 4, 5)]
    assert outages(judge.finish()) == [(501, 505, 5)]


def test_a_candle_off_the_grid_touches_the_interval_after_its_own() -> None:
    exchange = Exchange()
    odd = a_window([0])
    odd.table = as_records(a_table([a_candle(at(0) + 28_000), a_candle(at(3) + 28_000)]))
    odd.absent = [absent(1, 2)]

    assert outages(exchange.judge().judge(odd)) == [(1, 2, 2)]
    assert exchange.asked == []


# --- What could not be asked ---


@pytest.mark.parametrize(
    "trouble", [ConnectionLost("gone"), RequestRefused("no", status=403), UnknownSymbol("who")]
)
def test_without_an_answer_about_the_candle_before_there_is_no_verdict(
    trouble: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    judge = Exchange(trouble=trouble).judge()

    with caplog.at_level(logging.WARNING):
        entries = judge.judge(a_window([5], [absent(0, 4)]))

    assert entries == []
    assert caplog.messages == [
        f"No verdict on 2024-01-15 to 2024-01-15T00:04:00Z, 5 candles: {trouble}"
    ]


def test_without_an_answer_about_the_candle_after_there_is_no_verdict() -> None:
    judge = Exchange(trouble=ConnectionLost("gone")).judge()
    judge.judge(a_window([0], [absent(1, 4)]))

    assert judge.finish() == []


def test_a_delisted_symbol_ends_with_its_last_file() -> None:
    judge = Exchange(trouble=UnknownSymbol("delisted")).judge()
    judge.judge(a_window([0], [absent(1, 4)]))

    assert judge.finish() == [BoundsEntry(None, at(0), NOW)]


def test_a_hole_that_reaches_up_to_a_window_not_tried_stays_open() -> None:
    exchange = Exchange([5])
    judge = exchange.judge()
    judge.judge(a_window([], [absent(0, 4)]))

    judge.skip()

    assert judge.judge(a_window([20])) == []
    assert judge.finish() == []
    assert exchange.asked == []


def test_a_hole_that_reaches_up_to_a_failed_window_stays_open_too() -> None:
    exchange = Exchange([5])
    judge = exchange.judge()
    judge.judge(a_window([], [absent(0, 4)]))

    assert judge.judge(a_window([7, 8], failure=ConnectionLost("gone"))) == []
    assert exchange.asked == []


def test_the_archives_of_a_window_are_recorded_first() -> None:
    entry = ArchiveEntry("/a.zip", "ab", "ab", 2, quarantined=False, read_at=NOW)

    entries = Exchange().judge().judge(a_window([0, 2], [absent(1, 1)], archives=[entry]))

    assert entries[0] == entry
    assert outages(entries[1:]) == [(1, 1, 1)]


# --- Provisional until the last witness is heard ---


@pytest.mark.parametrize(
    ("age_ms", "archive_read", "provisional"),
    [
        (MINUTE, False, True),
        (MINUTE, True, False),
        (ARCHIVE_PATIENCE_MS, False, True),
        (ARCHIVE_PATIENCE_MS + 1, False, False),
    ],
)
def test_an_outage_is_provisional_until_the_archive_is_read_or_overdue(
    *, age_ms: int, archive_read: bool, provisional: bool
) -> None:
    judge = Exchange().judge(now_ms=at(1) + age_ms)

    (entry,) = judge.judge(a_window([0, 2], [absent(1, 1, archive_read=archive_read)]))

    assert isinstance(entry, HoleEntry)
    assert entry.hole.provisional is provisional
