"""What is missing in a series and why: rows and the log of verdicts judged together."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamforge_core.errors import MalformedMessage
from streamforge_core.model.coverage import (
    ArchiveEntry,
    BoundsEntry,
    Coverage,
    Entry,
    HoleEntry,
    decode_entries,
    encode_entry,
    find_missing,
    is_news,
)
from streamforge_core.model.gap import Evidence, Hole
from tests.support.instants import utc

MINUTE = 60_000
ASKED = Evidence("rest", 7, "0 rows")
TOLD = Evidence("archive", 8, "no row")
JUDGED = Hole(
    0, MINUTE, 2, "exchange_outage", provisional=True, evidence=(ASKED, TOLD), decided_at=9
)
ENTRIES: list[Entry] = [
    HoleEntry(JUDGED),
    ArchiveEntry("/data/x.zip", "ab" * 32, None, 1_440, quarantined=False, read_at=11),
    BoundsEntry(0, None, 12),
]


def minutes(*numbers: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array([number * MINUTE for number in numbers], np.int64)


def a_hole(first: int, last: int, **known: Any) -> Hole:  # noqa: ANN401 - its attributes
    return Hole(first * MINUTE, last * MINUTE, last - first + 1, **known)


def an_outage(first: int, last: int, count: int, evidence: Evidence) -> Hole:
    return Hole(first, last, count, "exchange_outage", evidence=(evidence,), decided_at=9)


def missing(
    present: Sequence[int], end: int, *holes: Hole, bounds: Sequence[BoundsEntry] = ()
) -> list[Hole]:
    """Ask about the minutes [0, end)."""
    coverage = Coverage.of([*map(HoleEntry, holes), *bounds])
    return find_missing(minutes(*present), 0, end * MINUTE, "1m", coverage)


# --- Runs of missing candles ---


def test_nothing_is_missing_where_all_is_present() -> None:
    assert missing([2, 0, 1], 3) == []
    assert missing([], 0) == []


def test_runs_nobody_judged_are_pending() -> None:
    assert missing([0, 3, 4, 7], 9) == [a_hole(1, 2), a_hole(5, 6), a_hole(8, 8)]


def test_an_empty_series_is_one_hole() -> None:
    assert missing([], 1_440) == [a_hole(0, 1_439)]


def test_candles_outside_the_span_do_not_count() -> None:
    assert missing([-1, 0, 5], 2) == [a_hole(1, 1)]


def test_the_outage_of_2023_03_24_is_one_hole_of_eighty() -> None:
    day = utc("2023-03-24")
    before = np.arange(day, utc("2023-03-24 12:40"), MINUTE)
    after = np.arange(utc("2023-03-24 14:00"), utc("2023-03-25"), MINUTE)
    present = np.concatenate([before, after])
    verdict = an_outage(utc("2023-03-24 12:40"), utc("2023-03-24 13:59"), 80, ASKED)

    assert len(present) == 1_360
    found = find_missing(present, day, utc("2023-03-25"), "1m", Coverage(holes=[verdict]))
    assert found == [verdict]


def test_an_outage_across_midnight_is_one_hole() -> None:
    first, last = utc("2018-02-08 00:29"), utc("2018-02-09 09:59")
    days = [
        an_outage(first, utc("2018-02-08 23:59"), 1_411, ASKED),
        an_outage(utc("2018-02-09"), last, 600, TOLD),
    ]
    present = np.concatenate(
        [
            np.arange(utc("2018-02-08"), first, MINUTE),
            np.arange(last + MINUTE, utc("2018-02-10"), MINUTE),
        ]
    )

    found = find_missing(present, utc("2018-02-08"), utc("2018-02-10"), "1m", Coverage(holes=days))

    assert [(hole.first_open_ts, hole.last_open_ts, hole.count) for hole in found] == [
        (first, last, 2_011)
    ]
    assert (found[0].verdict, found[0].evidence) == ("exchange_outage", (ASKED, TOLD))


def test_months_are_missing_by_the_calendar() -> None:
    present = np.array([utc("2024-01-01"), utc("2024-04-01")], np.int64)

    found = find_missing(present, utc("2024-01-01"), utc("2024-05-01"), "1M", Coverage())

    assert found == [Hole(utc("2024-02-01"), utc("2024-03-01"), 2)]


def test_a_candle_off_the_grid_fills_the_interval_that_holds_its_open() -> None:
    present = np.array([0, MINUTE + 14_788, 3 * MINUTE], np.int64)

    found = find_missing(present, 0, 4 * MINUTE, "1m", Coverage())

    assert found == [a_hole(2, 2)]


# --- Verdicts ---


def test_a_verdict_covers_its_hole() -> None:
    known = a_hole(1, 3, verdict="no_trades", evidence=(ASKED,), decided_at=9)

    assert missing([0, 4], 5, known) == [known]


def test_a_verdict_shrinks_when_candles_came_after_it() -> None:
    known = a_hole(1, 5, verdict="exchange_outage", evidence=(ASKED,), decided_at=9)

    assert missing([0, 2, 6], 7, known) == [
        a_hole(1, 1, verdict="exchange_outage", evidence=(ASKED,), decided_at=9),
        a_hole(3, 5, verdict="exchange_outage", evidence=(ASKED,), decided_at=9),
    ]


def test_a_verdict_says_nothing_about_its_neighbours() -> None:
    known = a_hole(2, 3, verdict="no_trades")

    assert missing([0, 6], 7, known) == [a_hole(1, 1), known, a_hole(4, 5)]


def test_a_verdict_on_present_candles_is_moot() -> None:
    assert missing([0, 1, 2], 3, a_hole(0, 2, verdict="exchange_outage")) == []


def test_a_later_verdict_overrides_an_earlier_one() -> None:
    first = a_hole(0, 4, verdict="exchange_outage", provisional=True, evidence=(ASKED,))
    later = a_hole(0, 4, verdict="exchange_outage", evidence=(TOLD,), decided_at=10)

    assert missing([], 5, first, later) == [later]


def test_a_later_verdict_on_a_part_splits_the_earlier_one() -> None:
    whole = a_hole(0, 4, verdict="exchange_outage")
    part = a_hole(1, 2, verdict="pending")

    assert missing([], 5, whole, part) == [
        a_hole(0, 0, verdict="exchange_outage"),
        a_hole(1, 2),
        a_hole(3, 4, verdict="exchange_outage"),
    ]


def test_neighbours_with_the_same_verdict_are_one_hole_with_all_evidence() -> None:
    one = a_hole(0, 1, verdict="no_trades", evidence=(ASKED,), decided_at=9)
    other = a_hole(2, 4, verdict="no_trades", evidence=(TOLD,), decided_at=10)

    assert missing([], 5, other, one) == [
        a_hole(0, 4, verdict="no_trades", evidence=(ASKED, TOLD), decided_at=9)
    ]


def test_evidence_is_told_once_when_parts_are_joined_again() -> None:
    whole = a_hole(0, 4, verdict="no_trades", evidence=(ASKED,))
    part = a_hole(2, 2, verdict="no_trades", evidence=(TOLD,))

    assert missing([], 5, whole, part) == [
        a_hole(0, 4, verdict="no_trades", evidence=(ASKED, TOLD))
    ]


def test_neighbours_with_different_verdicts_stay_apart() -> None:
    outage = a_hole(0, 1, verdict="exchange_outage")
    provisional = a_hole(2, 3, verdict="exchange_outage", provisional=True)
    quiet = a_hole(4, 4, verdict="no_trades")

    assert missing([], 5, outage, provisional, quiet) == [outage, provisional, quiet]


def test_same_verdicts_with_a_candle_between_stay_apart() -> None:
    one, other = a_hole(0, 0, verdict="no_trades"), a_hole(2, 2, verdict="no_trades")

    assert missing([1], 3, one, other) == [one, other]


@given(st.sets(st.integers(0, 39)), st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39))))
def test_missing_and_present_share_the_span_between_them(
    present: set[int], spans: list[tuple[int, int]]
) -> None:
    holes = [a_hole(min(span), max(span), verdict="no_trades") for span in spans]

    found = missing(sorted(present), 40, *holes)

    absent = [
        ts // MINUTE
        for hole in found
        for ts in range(hole.first_open_ts, hole.last_open_ts + 1, MINUTE)
    ]
    assert sum(hole.count for hole in found) == len(absent)
    assert sorted([*absent, *present]) == list(range(40))
    judged = {number for span in spans for number in range(min(span), max(span) + 1)}
    for hole in found:
        covered = {
            ts // MINUTE in judged
            for ts in range(hole.first_open_ts, hole.last_open_ts + 1, MINUTE)
        }
        assert covered == {hole.verdict == "no_trades"}


# --- Where the venue's history begins and ends ---


def test_before_the_first_candle_of_the_venue_nothing_is_missing() -> None:
    assert missing([5], 7, bounds=[BoundsEntry(5 * MINUTE, None, 0)]) == [a_hole(6, 6)]


def test_a_stored_candle_before_the_first_one_refutes_it() -> None:
    assert missing([2, 5], 6, bounds=[BoundsEntry(5 * MINUTE, None, 0)]) == [
        a_hole(0, 1),
        a_hole(3, 4),
    ]


def test_after_the_last_candle_of_the_venue_nothing_is_missing() -> None:
    ended = BoundsEntry(None, 2 * MINUTE, known_at=9 * MINUTE)

    assert missing([0, 2], 6, bounds=[ended]) == [a_hole(1, 1)]


def test_an_end_says_nothing_about_what_came_after_it_was_known() -> None:
    ended = BoundsEntry(None, 2 * MINUTE, known_at=5 * MINUTE)

    assert missing([0, 1, 2], 6, bounds=[ended]) == [a_hole(3, 5)]
    assert missing([0, 1, 2], 5, bounds=[ended]) == []


def test_a_stored_candle_after_the_last_one_refutes_it() -> None:
    ended = BoundsEntry(None, 2 * MINUTE, known_at=9 * MINUTE)

    assert missing([0, 1, 2, 5], 6, bounds=[ended]) == [a_hole(3, 4)]


def test_an_end_holds_for_a_series_without_rows() -> None:
    listed = BoundsEntry(4 * MINUTE, 5 * MINUTE, known_at=9 * MINUTE)

    assert missing([], 9, bounds=[listed]) == [a_hole(4, 5)]


def test_later_bounds_replace_what_they_tell_and_nothing_else() -> None:
    coverage = Coverage.of(
        [BoundsEntry(MINUTE, 5 * MINUTE, 7), BoundsEntry(0, None, 8), BoundsEntry(None, None, 9)]
    )

    assert coverage.first_open_ts == 0
    assert coverage.ended == BoundsEntry(MINUTE, 5 * MINUTE, 7)


# --- The log ---


def test_the_log_is_read_back_as_it_was_written() -> None:
    text = b"".join(encode_entry(entry) for entry in ENTRIES)

    assert text.count(b"\n") == 3
    assert decode_entries(text) == ENTRIES


def test_an_entry_is_one_line_of_json_that_names_its_kind() -> None:
    assert encode_entry(BoundsEntry(0, None, 12)) == (
        b'{"kind":"bounds","first_open_ts":0,"last_open_ts":null,"known_at":12}\n'
    )


def test_the_state_is_the_fold_of_the_log() -> None:
    reread = ArchiveEntry("/data/x.zip", "cd" * 32, "cd" * 32, 1_439, quarantined=False, read_at=20)

    coverage = Coverage.of([*ENTRIES, reread])

    assert coverage.holes == [JUDGED]
    assert coverage.archives == {"/data/x.zip": reread}
    assert coverage.first_open_ts == 0
    assert coverage.ended is None


@pytest.mark.parametrize("torn", [b'{"kind":"bou', b'{"kind":"hole\xff', b"{}", b"nonsense"])
def test_a_torn_last_line_is_left_out(torn: bytes) -> None:
    whole = encode_entry(ENTRIES[0])

    assert decode_entries(whole + torn) == [ENTRIES[0]]


@pytest.mark.parametrize("bad", [b'{"kind":"bou\n', b'{"kind":"hole\xff"}\n', b'{"kind":"x"}\n'])
def test_a_bad_line_before_the_last_is_an_error_that_names_it(bad: bytes) -> None:
    with pytest.raises(MalformedMessage, match="Line 2 of a coverage log"):
        decode_entries(encode_entry(ENTRIES[0]) + bad + encode_entry(ENTRIES[1]))


def test_empty_lines_mean_nothing() -> None:
    assert decode_entries(b"\n\n" + encode_entry(ENTRIES[2])) == [ENTRIES[2]]
    assert decode_entries(b"") == []


# --- What is worth a line in the log ---


def news(entry: Entry, *known: Entry) -> bool:
    return is_news(entry, Coverage.of(known), "1m")


def test_a_first_verdict_is_news() -> None:
    assert news(HoleEntry(a_hole(0, 4, verdict="no_trades")))
    assert not news(HoleEntry(a_hole(0, 4)))  # pending: that is what nothing means


def test_the_same_verdict_asked_again_is_not() -> None:
    known = HoleEntry(a_hole(0, 4, verdict="no_trades", evidence=(ASKED,), decided_at=9))
    again = HoleEntry(a_hole(1, 3, verdict="no_trades", evidence=(TOLD,), decided_at=10))

    assert not news(again, known)


@pytest.mark.parametrize(
    "entry",
    [
        a_hole(0, 4, verdict="exchange_outage"),
        a_hole(0, 4, verdict="no_trades", provisional=True),
        a_hole(0, 5, verdict="no_trades"),  # one more candle
    ],
)
def test_another_verdict_or_a_wider_hole_is_news(entry: Hole) -> None:
    assert news(HoleEntry(entry), HoleEntry(a_hole(0, 4, verdict="no_trades")))


def test_an_archive_is_news_when_something_but_the_time_of_reading_differs() -> None:
    read = ArchiveEntry("/x.zip", "ab", None, 1_440, quarantined=False, read_at=11)
    again = ArchiveEntry("/x.zip", "ab", None, 1_440, quarantined=False, read_at=99)
    replaced = ArchiveEntry("/x.zip", "cd", None, 1_440, quarantined=False, read_at=99)

    assert news(read)
    assert not news(again, read)
    assert news(replaced, read)


def test_bounds_are_news_when_they_tell_something_else() -> None:
    known = BoundsEntry(MINUTE, 5 * MINUTE, known_at=9 * MINUTE)

    assert news(known)
    assert not news(known, known)
    assert not news(BoundsEntry(None, None, 99 * MINUTE), known)
    assert not news(BoundsEntry(MINUTE, None, 99 * MINUTE), known)
    assert news(BoundsEntry(0, None, 9 * MINUTE), known)
    assert news(BoundsEntry(None, 6 * MINUTE, 9 * MINUTE), known)


def test_the_same_end_is_news_when_it_is_true_of_a_longer_range() -> None:
    known = BoundsEntry(None, 5 * MINUTE, known_at=9 * MINUTE)

    assert news(BoundsEntry(None, 5 * MINUTE, 10 * MINUTE), known)
    assert not news(BoundsEntry(None, 5 * MINUTE, 8 * MINUTE), known)


@pytest.mark.parametrize("piece", [1, 3, 7])
def test_looking_at_a_long_span_piece_by_piece_changes_nothing(
    piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    present = np.array([0, 1, 2, 9, 10, 17], np.int64) * 60_000
    judged = Coverage([Hole(180_000, 300_000, 3, verdict="exchange_outage")])
    whole = find_missing(present, 0, 20 * 60_000, "1m", judged)

    monkeypatch.setattr("streamforge_core.model.coverage.PIECE_CANDLES", piece)

    assert find_missing(present, 0, 20 * 60_000, "1m", judged) == whole
    assert [(hole.first_open_ts // 60_000, hole.count) for hole in whole] == [
        (3, 3),
        (6, 3),
        (11, 6),
        (18, 2),
    ]
