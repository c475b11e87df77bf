"""Windows: how a range is cut into them, and what archive and REST together give for one."""

import logging
import threading
from typing import Any

import pyarrow as pa
import pytest

from streamforge_core.errors import (
    ConnectionLost,
    MalformedMessage,
    RequestRefused,
    ServerFailure,
    TransportError,
)
from streamforge_core.exchanges.binance.constants import SPOT
from streamforge_core.exchanges.binance.history import BinanceHistory
from streamforge_core.model.columns import RECORD_SCHEMA, instants
from streamforge_core.model.exchange import ArchiveFile
from streamforge_core.runners.fetching import (
    Fetched,
    Fetcher,
    Span,
    Window,
    inside_spans,
    plan,
    runs_of,
    seen,
)
from streamforge_core.transport.http import Answer
from tests.support.builders import MINUTE, START, a_minute, a_table, minutes_between, ts
from tests.support.scripted_web import ScriptedClock
from tests.support.tiny_binance import HTML, UNKNOWN, TinyBinance, Trouble

DAY = 86_400_000
HOUR = 3_600_000
NOW = ts("2024-03-01 00:00")
HISTORY = BinanceHistory(SPOT)
A_DAY = minutes_between("2024-01-15 00:00", "2024-01-16 00:00")


def a_fetcher(
    http: TinyBinance,
    timeframe: str = "1m",
    *,
    stop: threading.Event | None = None,
    history: BinanceHistory = HISTORY,
) -> Fetcher:
    return Fetcher(history, "BTCUSDT", timeframe, http=http, clock=ScriptedClock(NOW), stop=stop)


def fetched_by(
    http: TinyBinance, *spans: Span, timeframe: str = "1m", stop: threading.Event | None = None
) -> Fetched:
    (window,) = plan(HISTORY, "BTCUSDT", timeframe, spans, now_ms=NOW)
    return a_fetcher(http, timeframe, stop=stop).fetch(window, now_ms=NOW)


def opens(table: pa.Table) -> list[int]:
    found: list[int] = instants(table).tolist()
    return found


def provenances(fetched: Fetched) -> set[str | None]:
    return set(fetched.table.column("provenance").to_pylist())


# --- Planning ---


def spans_of(timeframe: str, *spans: Span, now: str = "2024-03-01 00:00") -> list[list[object]]:
    windows = plan(HISTORY, "BTCUSDT", timeframe, spans, now_ms=ts(now))
    return [
        [
            window.archive.file.path.rsplit("/", 1)[-1] if window.archive else None,
            list(window.wanted),
        ]
        for window in windows
    ]


def test_a_window_is_a_file_and_today_is_left_to_rest() -> None:
    start, end = ts("2024-01-15 12:00"), ts("2024-01-17 10:00")

    assert spans_of("1m", (start, end), now="2024-01-17 10:00") == [
        ["BTCUSDT-1m-2024-01-15.zip", [(start, ts("2024-01-16 00:00"))]],
        ["BTCUSDT-1m-2024-01-16.zip", [(ts("2024-01-16 00:00"), ts("2024-01-17 00:00"))]],
        [None, [(ts("2024-01-17 00:00"), end)]],
    ]


def test_two_spans_in_one_day_are_one_window() -> None:
    first, second = (START, START + MINUTE), (START + HOUR, START + 2 * HOUR)

    assert spans_of("1m", first, second) == [["BTCUSDT-1m-2024-01-15.zip", [first, second]]]


def test_what_only_rest_can_have_is_cut_into_bounded_pieces() -> None:
    now = ts("2024-01-16 00:00")
    start, end = START, START + 20_001 * 1_000

    windows = plan(HISTORY, "BTCUSDT", "1s", [(start, end)], now_ms=now - 1)

    assert [window.wanted for window in windows] == [
        ((start, start + 10_000_000),),
        ((start + 10_000_000, start + 20_000_000),),
        ((start + 20_000_000, end),),
    ]
    assert [window.candles("1s") for window in windows] == [10_000, 10_000, 1]


def test_a_part_of_a_month_without_an_open_is_no_window() -> None:
    # 2024-01-29 is a Monday: the week that opens there reaches into February.
    span = (ts("2024-01-29 00:00"), ts("2024-02-05 00:00"))

    assert spans_of("1w", span) == [["BTCUSDT-1w-2024-01.zip", [(span[0], ts("2024-02-01 00:00"))]]]


def test_a_rest_of_a_week_without_an_open_is_no_window_either() -> None:
    span = (ts("2024-01-30 00:00"), ts("2024-02-03 00:00"))

    assert spans_of("1w", span, now="2024-02-04 00:00") == []


def test_what_lies_between_two_files_is_left_to_rest() -> None:
    class Sparse(BinanceHistory):
        def archives(self, *args: Any, **options: Any) -> list[ArchiveFile]:  # noqa: ANN401 - passed on
            return super().archives(*args, **options)[1::2]

    windows = plan(Sparse(SPOT), "BTCUSDT", "1m", [(START, START + 3 * DAY)], now_ms=NOW)

    assert [(window.archive is None, window.wanted) for window in windows] == [
        (True, ((START, START + DAY),)),
        (False, ((START + DAY, START + 2 * DAY),)),
        (True, ((START + 2 * DAY, START + 3 * DAY),)),
    ]


def test_nothing_missing_is_no_window() -> None:
    assert plan(HISTORY, "BTCUSDT", "1m", [], now_ms=NOW) == []


# --- One window ---


def test_a_whole_file_asks_rest_for_nothing() -> None:
    http = TinyBinance(A_DAY, archive=A_DAY)

    fetched = fetched_by(http, (START, START + DAY))

    assert opens(fetched.table) == A_DAY
    assert fetched.table.schema == RECORD_SCHEMA
    assert provenances(fetched) == {"archive"}
    assert http.asked == ["file 2024-01-15.zip", "file 2024-01-15.zip.CHECKSUM"]
    assert (fetched.absent, fetched.failure, len(fetched.archives)) == ([], None, 1)


def test_only_the_wanted_candles_of_a_file_come_out() -> None:
    http = TinyBinance(archive=A_DAY)
    first, second = (START, START + 2 * MINUTE), (START + DAY - MINUTE, START + DAY)

    fetched = fetched_by(http, first, second)

    assert opens(fetched.table) == [START, START + MINUTE, START + DAY - MINUTE]


def test_one_hole_is_one_page_request_and_named_with_its_witnesses() -> None:
    hole = set(A_DAY[100:180])
    there = [open_ts for open_ts in A_DAY if open_ts not in hole]
    http = TinyBinance(there, archive=there)

    fetched = fetched_by(http, (START, START + DAY))

    first, last = START + 100 * MINUTE, START + 179 * MINUTE
    assert http.asked[2:] == [f"rest {first}..{last + MINUTE - 1} of 1000"]
    (absent,) = fetched.absent
    assert (absent.first_open_ts, absent.last_open_ts, absent.count) == (first, last, 80)
    assert absent.archive_read
    assert [(evidence.asked, evidence.answer) for evidence in absent.evidence] == [
        ("archive", "no row in BTCUSDT-1m-2024-01-15.zip"),
        ("rest", "0 rows"),
    ]


def test_what_the_file_lacks_and_rest_has_is_merged_in_order() -> None:
    http = TinyBinance(A_DAY, archive=[*A_DAY[:3], *A_DAY[5:]])

    fetched = fetched_by(http, (START, START + DAY))

    assert opens(fetched.table) == A_DAY
    assert fetched.table.column("provenance").to_pylist()[2:6] == [
        "archive",
        "rest",
        "rest",
        "archive",
    ]
    assert fetched.absent == []


def test_rest_never_replaces_a_row_of_the_file() -> None:
    http = TinyBinance(A_DAY, archive=A_DAY[:1])

    fetched = fetched_by(http, (START, START + DAY))

    assert fetched.table.column("close").to_pylist()[:2] == [105.0, 104.0]


def test_a_candle_off_the_grid_in_the_last_interval_of_a_hole_is_found() -> None:
    odd = START + 28_000
    http = TinyBinance([odd], archive=A_DAY[1:])

    fetched = fetched_by(http, (START, START + DAY))

    assert opens(fetched.table)[:2] == [odd, START + MINUTE]
    assert fetched.absent == []


def test_a_quarantined_file_is_replaced_by_rest_and_told_with_the_hole() -> None:
    http = TinyBinance(A_DAY[:-1], archive=A_DAY)
    http.troubles.append(Trouble("CHECKSUM", Answer(200, {}, b"0" * 64)))

    fetched = fetched_by(http, (START, START + DAY))

    assert opens(fetched.table) == A_DAY[:-1]
    assert provenances(fetched) == {"rest"}
    assert [entry.quarantined for entry in fetched.archives] == [True]
    (absent,) = fetched.absent
    assert not absent.archive_read
    assert absent.evidence[0].answer == "quarantined: BTCUSDT-1m-2024-01-15.zip"


def test_a_dead_archive_host_is_replaced_by_rest() -> None:
    http = TinyBinance(A_DAY, archive=A_DAY)
    http.troubles.append(Trouble("file", ConnectionLost("no route")))

    fetched = fetched_by(http, (START, START + DAY))

    assert (len(opens(fetched.table)), provenances(fetched)) == (1_440, {"rest"})
    assert (fetched.failure, fetched.archives) == (None, [])


def test_a_dead_rest_host_leaves_the_files_rows_and_names_what_is_open() -> None:
    http = TinyBinance(archive=[*A_DAY[:100], *A_DAY[180:]])
    error = ConnectionLost("no route")
    http.troubles.append(Trouble("rest", error))

    fetched = fetched_by(http, (START, START + DAY))

    assert len(opens(fetched.table)) == 1_360
    assert fetched.failure is error
    assert fetched.unfetched == [(A_DAY[100], A_DAY[179], 80)]
    assert fetched.absent == []


def test_what_came_before_a_page_failed_stays() -> None:
    http = TinyBinance(A_DAY)
    http.troubles.append(
        Trouble(f"rest {A_DAY[1000] - MINUTE + 1}", ServerFailure("x", status=500))
    )

    fetched = fetched_by(http, (START, START + DAY))

    assert opens(fetched.table) == A_DAY[:1_000]
    assert fetched.unfetched == [(A_DAY[1000], A_DAY[-1], 440)]


@pytest.mark.parametrize("answer", [Answer(403, {}, b"<html>"), Answer(451, {}, b"{}")])
def test_a_refusal_of_rest_is_a_failure_of_that_window_alone(answer: Answer) -> None:
    http = TinyBinance(archive=A_DAY[:-1])
    http.troubles.append(Trouble("rest", answer))

    fetched = fetched_by(http, (START, START + DAY))

    assert isinstance(fetched.failure, RequestRefused)
    assert fetched.unfetched == [(A_DAY[-1], A_DAY[-1], 1)]


def test_above_a_day_an_open_month_is_asked_of_rest() -> None:
    monday = ts("2024-02-26 00:00")
    http = TinyBinance([monday], timeframe="1w")

    (window,) = plan(HISTORY, "BTCUSDT", "1w", [(monday, monday + 1)], now_ms=NOW - 1)
    fetched = a_fetcher(http, "1w").fetch(window, now_ms=monday + 7 * DAY)

    assert window.archive is None
    assert opens(fetched.table) == [monday]


# --- A month that is not published yet ---

FEBRUARY = (ts("2024-02-01 00:00"), ts("2024-03-01 00:00"))
HOURS = list(range(*FEBRUARY, HOUR))


def test_a_missing_month_is_read_by_its_days_from_the_first_that_has_rows() -> None:
    listed = HOURS[27 * 24 + 5 :]
    http = TinyBinance(listed, archive=listed, timeframe="1h")

    fetched = fetched_by(http, FEBRUARY, timeframe="1h")

    assert opens(fetched.table) == listed
    assert http.asked[:6] == [
        "file 2024-02.zip",
        f"rest {FEBRUARY[0]}.. of 1",
        "file 2024-02-28.zip",
        "file 2024-02-28.zip.CHECKSUM",
        "file 2024-02-29.zip",
        "file 2024-02-29.zip.CHECKSUM",
    ]
    (absent,) = fetched.absent
    assert (absent.count, absent.archive_read) == (27 * 24 + 5, True)


def test_a_missing_month_without_any_row_reads_no_day() -> None:
    http = TinyBinance(timeframe="1h")

    fetched = fetched_by(http, FEBRUARY, timeframe="1h")

    assert [asked for asked in http.asked if asked.startswith("file")] == ["file 2024-02.zip"]
    (absent,) = fetched.absent
    assert (absent.count, absent.archive_read) == (29 * 24, False)


def test_a_missing_month_tries_every_day_when_rest_cannot_tell() -> None:
    http = TinyBinance(archive=HOURS, timeframe="1h")
    http.troubles.append(Trouble("rest", ConnectionLost("no route")))

    fetched = fetched_by(http, FEBRUARY, timeframe="1h")

    assert (opens(fetched.table), fetched.failure) == (HOURS, None)


@pytest.mark.parametrize(("days_later", "asked"), [(39, 30), (40, 1)])
def test_of_an_unknown_symbol_days_are_tried_only_while_their_month_may_be_late(
    days_later: int, asked: int
) -> None:
    http = TinyBinance(timeframe="1h")
    http.troubles.append(Trouble("rest", UNKNOWN))
    (window,) = plan(HISTORY, "BTCUSDT", "1h", [FEBRUARY], now_ms=NOW)

    a_fetcher(http, "1h").fetch(window, now_ms=FEBRUARY[1] + days_later * DAY)

    assert len([line for line in http.asked if line.startswith("file")]) == asked


def test_a_day_that_is_missing_too_leaves_the_last_witness_unheard() -> None:
    there = HOURS[24:]
    http = TinyBinance([HOURS[0], *there], archive=there, timeframe="1h")

    fetched = fetched_by(http, FEBRUARY, timeframe="1h")

    (absent,) = fetched.absent
    assert (absent.count, absent.archive_read) == (23, False)


# --- A symbol that REST does not know ---


def test_a_delisted_symbol_lives_in_the_archive_alone() -> None:
    http = TinyBinance(archive=A_DAY[:600])
    http.troubles.append(Trouble("rest", UNKNOWN))

    fetched = fetched_by(http, (START, START + DAY))

    assert opens(fetched.table) == A_DAY[:600]
    assert fetched.refusal is not None
    (absent,) = fetched.absent
    assert (absent.count, absent.archive_read) == (840, True)
    assert absent.evidence[1].answer.startswith("refused: Binance lists no symbol 'BTCUSDT'")


def test_an_unknown_symbol_with_an_unheard_archive_is_a_failure() -> None:
    http = TinyBinance()
    http.troubles += [Trouble("rest", UNKNOWN), Trouble("file", ConnectionLost("no route"))]

    fetched = fetched_by(http, (START, START + DAY))

    assert fetched.unfetched == [(A_DAY[0], A_DAY[-1], 1_440)]
    assert "lists no symbol 'BTCUSDT'" in str(fetched.failure)
    assert "The archive: no route" in str(fetched.failure)


# --- Pages ---


def test_page_seams_lose_nothing_and_double_nothing() -> None:
    minutes = minutes_between("2024-01-15 00:00", "2024-01-16 18:00")
    http = TinyBinance(minutes)

    table = a_fetcher(http).pages(minutes[0], minutes[-1], now_ms=NOW)

    assert opens(table) == minutes
    assert http.asked == [
        f"rest {minutes[0]}..{minutes[-1]} of 1000",
        f"rest {minutes[999] + 1}..{minutes[-1]} of 1000",
        f"rest {minutes[1999] + 1}..{minutes[-1]} of 1000",
    ]


def test_a_short_page_is_no_end_until_nothing_more_comes() -> None:
    http = TinyBinance(A_DAY[:10])

    table = a_fetcher(http).pages(A_DAY[0], A_DAY[99], now_ms=NOW)

    assert opens(table) == A_DAY[:10]
    assert len(http.asked) == 2


def test_a_venue_with_bounded_spans_is_asked_span_by_span() -> None:
    class Bounded(BinanceHistory):
        page_span = 100

    http = TinyBinance([*A_DAY[:50], *A_DAY[390:400]])

    table = a_fetcher(http, history=Bounded(SPOT)).pages(A_DAY[0], A_DAY[399], now_ms=NOW)

    assert opens(table) == [*A_DAY[:50], *A_DAY[390:400]]
    assert http.asked[0] == f"rest {A_DAY[0]}..{A_DAY[99]} of 1000"


def test_an_answer_beside_the_question_does_not_go_round_for_ever() -> None:
    http = TinyBinance()
    other = TinyBinance(A_DAY[:5]).get("http://x/api/v3/klines", [("limit", "5")])
    http.troubles.append(Trouble("rest", other))

    table = a_fetcher(http).pages(A_DAY[100], A_DAY[199], now_ms=NOW)

    assert opens(table) == []
    assert len(http.asked) == 1


def test_an_error_page_is_asked_again_a_little_later(caplog: pytest.LogCaptureFixture) -> None:
    http = TinyBinance(A_DAY[:5])
    http.troubles.append(Trouble("rest", HTML, times=2))

    with caplog.at_level(logging.WARNING):
        table = a_fetcher(http).pages(A_DAY[0], A_DAY[4], now_ms=NOW)

    assert opens(table) == A_DAY[:5]
    assert caplog.text.count("asking again") == 2


def test_an_error_page_that_stays_is_a_failure_of_its_window() -> None:
    http = TinyBinance()
    http.troubles.append(Trouble("rest", HTML))

    fetched = fetched_by(http, (START, START + DAY))

    assert isinstance(fetched.failure, MalformedMessage)
    assert http.asked[1:] == [f"rest {START}..{START + DAY - 1} of 1000"] * 3


# --- The exchange's clock and a hole's neighbours ---


def test_the_exchanges_clock_is_asked() -> None:
    http = TinyBinance()
    http.before = lambda _: None
    http.get = lambda *_, **__: Answer(200, {}, b'{"serverTime":1735689660123}')  # type: ignore[method-assign]  # the clock has no candles

    assert a_fetcher(http).exchange_now() == 1_735_689_660_123


def test_the_neighbours_of_a_hole_are_found() -> None:
    fetcher = a_fetcher(TinyBinance(A_DAY[:3]))

    assert fetcher.newest_before(A_DAY[2], now_ms=NOW) == A_DAY[1]
    assert fetcher.newest_before(A_DAY[0], now_ms=NOW) is None
    assert fetcher.oldest_from(A_DAY[1] + 1, now_ms=NOW) == A_DAY[2]
    assert fetcher.oldest_from(A_DAY[3], now_ms=NOW) is None


def test_a_forming_candle_is_no_neighbour() -> None:
    fetcher = a_fetcher(TinyBinance(A_DAY[:1]))

    assert fetcher.oldest_from(A_DAY[0], now_ms=A_DAY[0] + 30_000) is None


# --- Stop ---


def test_a_stopped_fetch_says_what_it_left_open() -> None:
    stop = threading.Event()
    http = TinyBinance(A_DAY)
    http.before = lambda asked: stop.set() if asked.startswith("rest") else None

    fetched = fetched_by(http, (START, START + DAY), stop=stop)

    assert isinstance(fetched.failure, TransportError)
    assert opens(fetched.table) == A_DAY[:1_000]
    assert fetched.unfetched == [(A_DAY[1000], A_DAY[-1], 440)]
    assert http.asked == ["file 2024-01-15.zip", f"rest {START}..{START + DAY - 1} of 1000"]


# --- Columns ---


def test_archive_rows_are_seen_when_their_archive_must_be_out() -> None:
    table = a_table([a_minute(0), a_minute(1_439), a_minute(1_440)])

    stamps = seen(table, "archive", now_ms=START).column("seen_ts").to_pylist()

    assert stamps == [START + 2 * DAY, START + 2 * DAY, START + 3 * DAY]


def test_rest_rows_are_seen_now_where_that_is_earlier() -> None:
    table = a_table([a_minute(0), a_minute(1_440)])

    stamps = seen(table, "rest", now_ms=START + 2 * DAY + 5).column("seen_ts").to_pylist()

    assert stamps == [START + 2 * DAY, START + 2 * DAY + 5]


def test_opens_inside_spans_are_those_from_start_to_before_end() -> None:
    six = instants(a_table([a_minute(index) for index in range(6)]))
    spans = [(START + MINUTE, START + 2 * MINUTE), (START + 4 * MINUTE, START + 9 * MINUTE)]

    assert inside_spans(six, spans).tolist() == [False, True, False, False, True, True]
    assert inside_spans(six, []).tolist() == [False] * 6


def test_runs_are_cut_where_a_candle_is_between_by_the_calendar() -> None:
    months = Window(((ts("2024-01-01 00:00"), ts("2024-04-01 00:00")),)).opens("1M")

    assert runs_of(months, "1M") == [(ts("2024-01-01 00:00"), ts("2024-03-01 00:00"), 3)]
    assert runs_of(months[[0, 2]], "1M") == [
        (ts("2024-01-01 00:00"), ts("2024-01-01 00:00"), 1),
        (ts("2024-03-01 00:00"), ts("2024-03-01 00:00"), 1),
    ]
    assert runs_of(months[:0], "1M") == []
