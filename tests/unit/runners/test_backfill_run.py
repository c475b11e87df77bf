"""One run: what is asked for, in which order it is handed on, what is left open and why."""

import threading
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pytest

from streamforge_core.emitters.base import Emitter, Report
from streamforge_core.errors import (
    ConnectionLost,
    EmitterError,
    IncompleteBackfill,
    MalformedMessage,
    ServerFailure,
    TransportError,
    UnknownSymbol,
)
from streamforge_core.exchanges.binance.constants import SPOT
from streamforge_core.exchanges.binance.history import BinanceHistory
from streamforge_core.model.coverage import ArchiveEntry, BoundsEntry, HoleEntry
from streamforge_core.model.date_range import Moment
from streamforge_core.model.gap import Hole
from streamforge_core.model.kline import Kline, Series
from streamforge_core.runners.backfill_run import BackfillReport, BackfillRun, Job
from streamforge_core.runners.progress import Progress
from streamforge_core.transport.http import Answer
from tests.support.builders import START, ts
from tests.support.recording_emitter import RecordingEmitter
from tests.support.scripted_web import ScriptedClock
from tests.support.tiny_binance import UNKNOWN, TinyBinance, Trouble

DAY = 86_400_000
HOUR = 3_600_000
SERIES = Series("Binance", "BTCUSDT", "1h")
HOURS = range(START, START + 12 * DAY, HOUR)
"""Of 2024-01-15 to 2024-01-26, twelve days."""


def a_job(
    from_date: Moment = "2024-01-15",
    to_date: Moment | None = "2024-01-26",
    *,
    now: str = "2024-03-01 00:00",
    downloads: int = 4,
    timeframe: str = "1h",
) -> Job:
    return Job(
        series=Series("Binance", "BTCUSDT", timeframe),
        from_date=from_date,
        to_date=to_date,
        history=BinanceHistory(SPOT),
        clock=ScriptedClock(ts(now)),
        endpoints=None,
        weight_per_minute=6_000,
        used_weight_header="X-Used",
        downloads=downloads,
    )


def an_exchange(rest: Sequence[int] = HOURS, archive: Sequence[int] = HOURS) -> TinyBinance:
    return TinyBinance(rest, archive=archive, timeframe="1h")


def run(
    http: TinyBinance,
    *emitters: Emitter,
    job: Job | None = None,
    told: list[Progress] | None = None,
    stop: threading.Event | None = None,
) -> BackfillReport:
    with BackfillRun(job or a_job(), stop or threading.Event(), http=http) as backfill:
        return backfill.into(emitters, None, (told if told is not None else []).append)


def incomplete(http: TinyBinance, *emitters: Emitter, job: Job | None = None) -> IncompleteBackfill:
    with pytest.raises(IncompleteBackfill) as failure:
        run(http, *emitters, job=job)
    return failure.value


def days(holes: Sequence[object]) -> list[int]:
    """Return the day of January on which each hole begins."""
    found = []
    for hole in holes:
        assert isinstance(hole, Hole)
        found.append(15 + (hole.first_open_ts - START) // DAY)
    return found


def rest_of(day: int) -> str:
    """Return a pattern for the REST requests of one day of January."""
    return f"rest {START + (day - 15) * DAY}"


def _clock(text: str) -> Answer:
    return Answer(200, {}, b'{"serverTime":%d}' % ts(text))


class Clocked(TinyBinance):
    """Has a clock of its own."""

    now: Answer | Exception = ConnectionLost("no route")

    def get(self, url: str, *args: object, **options: object) -> Answer:
        if url.endswith("/api/v3/time"):
            if isinstance(self.now, Exception):
                raise self.now
            return self.now
        return super().get(url, *args, **options)  # type: ignore[arg-type]  # passed on


# --- All of it, in order, once ---


def test_every_closed_candle_comes_once_and_in_order() -> None:
    emitter, told = RecordingEmitter(), list[Progress]()

    report = run(an_exchange(), emitter, told=told)

    assert emitter.opens() == list(HOURS)
    assert (report.rows, report.pending, report.holes) == (288, (), ())
    assert (report.start_ms, report.end_ms) == (START, START + 12 * DAY)
    assert report.requests == 24
    assert told[0] == Progress(24, 288)
    assert told[-1] == Progress(288, 288)
    assert emitter.calls == ["connect", *["emit", "flush"] * 12, "close"]


def test_each_emitter_gets_what_it_lacks_and_nothing_else() -> None:
    half, empty = RecordingEmitter(knows_its_rows=True), RecordingEmitter(knows_its_rows=True)
    run(an_exchange(), half, job=a_job("2024-01-21"))

    run(an_exchange(), half, empty)

    assert half.opens() == [*HOURS[144:], *HOURS[:144]]
    assert empty.opens() == list(HOURS)


def test_a_second_run_asks_for_nothing() -> None:
    emitter, http = RecordingEmitter(knows_its_rows=True), an_exchange()
    run(http, emitter)
    http.asked.clear()

    report = run(http, emitter)

    assert (report.rows, http.asked) == (0, [])


def test_a_verdict_is_recorded_after_the_rows_and_not_asked_for_again() -> None:
    there = [open_ts for open_ts in HOURS if not START + 5 * HOUR <= open_ts < START + 9 * HOUR]
    emitter, http = RecordingEmitter(knows_its_rows=True), an_exchange(there, there)

    report = run(http, emitter)

    (hole,) = report.holes
    assert (hole.first_open_ts, hole.count) == (START + 5 * HOUR, 4)
    entries = emitter.entries[SERIES]
    assert isinstance(entries[0], ArchiveEntry)
    assert HoleEntry(hole) in entries
    http.asked.clear()
    assert run(http, emitter).rows == 0
    assert http.asked == []


def test_a_provisional_outage_is_asked_for_again() -> None:
    now = "2024-01-27 01:00"
    there = [open_ts for open_ts in HOURS if open_ts != HOURS[-2]]
    emitter = RecordingEmitter(knows_its_rows=True)
    http = Clocked(there, archive=HOURS[:-24], timeframe="1h")
    http.now = _clock(now)

    first = run(http, emitter, job=a_job(now=now))
    http.files["2024-01-26"] = TinyBinance(archive=there[-23:], timeframe="1h").files["2024-01-26"]
    second = run(http, emitter, job=a_job(now=now))
    third = run(http, emitter, job=a_job(now=now))

    assert [hole.provisional for hole in first.holes] == [True]
    assert [hole.provisional for hole in second.holes] == [False]
    assert third.holes == ()


def test_an_empty_range_is_no_error_and_connects_and_closes() -> None:
    emitter = RecordingEmitter()

    report = run(
        an_exchange(), emitter, job=a_job("2024-01-15 10:10", "2024-01-15 10:50", downloads=1)
    )

    assert report.rows == 0
    assert emitter.calls == ["connect", "close"]


# --- Which clock decides ---


def test_now_is_the_exchanges_and_the_forming_candle_is_left_out() -> None:
    http = Clocked(HOURS, archive=HOURS[:24], timeframe="1h")
    http.now = _clock("2024-01-16 10:33")
    emitter = RecordingEmitter()

    run(http, emitter, job=a_job(to_date="now", now="2024-01-16 12:00"))

    assert emitter.opens()[-1] == ts("2024-01-16 09:00")


def test_without_the_exchanges_clock_the_machines_is_taken_with_doubt() -> None:
    http = Clocked(HOURS, archive=HOURS[:24], timeframe="1h")
    emitter = RecordingEmitter()

    run(http, emitter, job=a_job(to_date="now", now="2024-01-16 10:04"))

    # Five minutes may be wrong: at 09:59 the candle of 09:00 is not surely closed.
    assert emitter.opens()[-1] == ts("2024-01-16 08:00")


def test_a_range_long_past_asks_for_no_clock() -> None:
    run(Clocked(HOURS, archive=HOURS, timeframe="1h"), RecordingEmitter())


# --- What cannot be had ---


def test_one_day_that_fails_leaves_the_others_unharmed_and_is_named() -> None:
    http, emitter = an_exchange(), RecordingEmitter(knows_its_rows=True)
    down = [
        Trouble("file 2024-01-17", ServerFailure("answered 503", status=503)),
        Trouble(rest_of(17), ServerFailure("answered 503", status=503)),
    ]
    http.troubles += down

    error = incomplete(http, emitter)
    http.troubles.clear()
    http.asked.clear()
    report = run(http, emitter)

    assert days(error.holes) == [17]
    assert "24 candles in 1 ranges could not be fetched, 264 were" in str(error)
    assert "2024-01-17 to 2024-01-17T23:00:00Z: answered 503" in str(error)
    assert report.rows == 24
    assert http.asked == ["file 2024-01-17.zip", "file 2024-01-17.zip.CHECKSUM"]
    assert sorted(emitter.opens()) == list(HOURS)


def test_rows_are_stored_though_their_days_hole_cannot_be_judged() -> None:
    http, emitter = an_exchange(archive=[*HOURS[:5], *HOURS[9:]]), RecordingEmitter()
    http.troubles.append(Trouble("rest", ConnectionLost("no route")))

    error = incomplete(http, emitter)

    assert error.holes == (Hole(HOURS[5], HOURS[8], 4),)
    assert len(emitter.klines) == 284


@pytest.mark.parametrize(
    ("downloads", "tried"),
    [(1, [15, 16, 17]), (2, [15, 16, 17, 18]), (4, [15, 16, 17, 18, 19, 20])],
)
def test_after_three_unreachable_windows_in_a_row_no_further_one_is_tried(
    downloads: int, tried: list[int]
) -> None:
    http = an_exchange(archive=())
    http.troubles.append(Trouble("rest", ConnectionLost("no route")))

    error = incomplete(http, RecordingEmitter(), job=a_job(downloads=downloads))

    assert days(error.holes) == list(range(15, 27))
    asked = {15 + (int(line[5:18]) - START) // DAY for line in http.asked if "rest" in line}
    assert sorted(asked) == tried


def test_a_window_in_flight_that_succeeds_brings_the_network_back() -> None:
    http, emitter = an_exchange(archive=()), RecordingEmitter()
    http.troubles += [Trouble(rest_of(day), ConnectionLost("no route")) for day in (15, 16, 17)]

    error = incomplete(http, emitter, job=a_job(downloads=4))

    # 21 was handed out when 17 had just failed; then 18 came, and 22 was tried again.
    assert days(error.holes) == [15, 16, 17, 21]
    assert len(emitter.klines) == 8 * 24


def test_servers_that_answer_are_never_given_up() -> None:
    http = an_exchange(archive=())
    http.troubles.append(Trouble("rest", ServerFailure("answered 500", status=500)))

    error = incomplete(http, RecordingEmitter(), job=a_job(downloads=1))

    assert len([line for line in http.asked if line.startswith("rest")]) == 12
    assert days(error.holes) == list(range(15, 27))


def test_an_emitter_that_only_appends_stops_before_the_first_hole_left_open() -> None:
    class Appending(RecordingEmitter):
        appends_only = True

    http = an_exchange()
    http.troubles += [
        Trouble("file 2024-01-17", ServerFailure("x", status=503)),
        Trouble(rest_of(17), ServerFailure("x", status=503)),
    ]
    appending, free = Appending(), RecordingEmitter()

    incomplete(http, appending, free)

    assert appending.opens() == list(HOURS[:48])
    assert free.opens() == [*HOURS[:48], *HOURS[72:]]


def test_a_first_candle_is_not_dated_by_what_follows_a_failed_window() -> None:
    # 15 and 16 are before the listing, 17 fails: the first candle may lie in it.
    http, emitter = an_exchange(HOURS[60:], HOURS[60:]), RecordingEmitter()
    http.troubles += [
        Trouble("file 2024-01-17", ServerFailure("x", status=503)),
        Trouble(rest_of(17), ServerFailure("x", status=503)),
    ]

    incomplete(http, emitter)

    assert not [e for e in emitter.entries[SERIES] if isinstance(e, BoundsEntry)]


# --- Who knows the symbol ---


def test_a_symbol_nobody_knows_is_raised_and_nothing_is_recorded_of_it() -> None:
    http = an_exchange((), ())
    http.troubles.append(Trouble("rest", UNKNOWN))
    emitter = RecordingEmitter()

    with pytest.raises(UnknownSymbol):
        run(http, emitter, job=a_job(to_date="2024-01-15"))

    assert http.asked == ["file 2024-01-15.zip", rest_of(15) + f"..{START + DAY - 1} of 1000"]
    assert emitter.calls == ["connect", "close"]
    assert emitter.entries == {}


def test_a_symbol_nobody_knows_is_raised_by_a_stream_too() -> None:
    http = an_exchange((), ())
    http.troubles.append(Trouble("rest", UNKNOWN))

    with (
        BackfillRun(a_job(), threading.Event(), http=http) as backfill,
        pytest.raises(UnknownSymbol),
    ):
        list(backfill.klines(10))


def test_a_range_may_begin_before_a_delisted_symbol_was_listed() -> None:
    http, emitter = an_exchange((), HOURS[60:100]), RecordingEmitter()
    http.troubles.append(Trouble("rest", UNKNOWN))

    report = run(http, emitter)

    assert emitter.opens() == list(HOURS[60:100])
    assert report.pending == ()


def test_a_delisted_symbol_ends_where_its_archive_ends() -> None:
    http, emitter = an_exchange((), HOURS[:100]), RecordingEmitter(knows_its_rows=True)
    http.troubles.append(Trouble("rest", UNKNOWN))

    report = run(http, emitter)
    http.asked.clear()
    again = run(http, emitter)

    assert (report.rows, report.pending) == (100, ())
    assert BoundsEntry(None, HOURS[99], ts("2024-03-01 00:00")) in emitter.entries[SERIES]
    assert (again.rows, http.asked) == (0, [])


def test_a_delisted_symbol_that_is_stored_stays_known() -> None:
    http, emitter = an_exchange((), HOURS[:24]), RecordingEmitter(knows_its_rows=True)
    http.troubles.append(Trouble("rest", UNKNOWN))
    run(http, emitter, job=a_job(to_date="2024-01-15"))

    report = run(http, emitter, job=a_job("2024-01-20"))

    assert report.rows == 0


# --- Destinations ---


def test_a_destination_that_fails_ends_the_run_and_all_are_closed() -> None:
    def full(kline: Kline) -> Exception | None:
        return EmitterError("disk full") if kline.open_ts >= HOURS[30] else None

    broken, other = RecordingEmitter(fail=full), RecordingEmitter()
    http = an_exchange()

    with pytest.raises(EmitterError, match="disk full"):
        run(http, other, broken)

    assert broken.calls[-1] == other.calls[-1] == "close"
    assert len(http.asked) < 24


def test_a_destination_that_leaves_rows_pending_is_an_error() -> None:
    class Slow(RecordingEmitter):
        def flush(self, deadline_s: float | None = None) -> Report:
            del deadline_s
            return Report(pending=7)

    with pytest.raises(EmitterError, match="has not stored 7 candles"):
        run(an_exchange(), Slow(name="slow"))


def test_a_bug_in_a_parser_stops_loudly() -> None:
    class Broken(BinanceHistory):
        def parse_archive(self, *_: object, **__: object) -> pa.Table:
            raise KeyError("a bug")

    job = a_job()
    broken = Job(**{name: getattr(job, name) for name in Job.__slots__} | {"history": Broken(SPOT)})

    with pytest.raises(KeyError, match="a bug"):
        run(an_exchange(), RecordingEmitter(), job=broken)


def test_nonsense_of_the_venue_is_no_bug() -> None:
    http = an_exchange(archive=())
    http.troubles.append(Trouble(rest_of(15), MalformedMessage("no page")))

    assert days(incomplete(http, RecordingEmitter()).holes) == [15]


# --- Bounded, and stopped ---


@pytest.mark.parametrize("downloads", [1, 3])
def test_at_most_so_many_windows_are_in_flight(downloads: int) -> None:
    begun, worst, handed_on = set[str](), [0], [0]
    lock = threading.Lock()

    class Counting(RecordingEmitter):
        def emit_batch(self, batch: pa.Table) -> None:
            with lock:
                handed_on[0] += 1
            super().emit_batch(batch)

    def note(asked: str) -> None:
        with lock:
            begun.add(asked[:15])
            worst[0] = max(worst[0], len(begun) - handed_on[0])

    http = an_exchange()
    http.before = note

    run(http, Counting(), job=a_job(downloads=downloads))

    assert (len(begun), handed_on[0]) == (12, 12)
    assert worst[0] <= downloads


def test_stop_leaves_the_rest_open_and_keeps_what_was_had() -> None:
    stop = threading.Event()
    told: list[Progress] = []

    class Stopping(RecordingEmitter):
        def flush(self, deadline_s: float | None = None) -> Report:
            stop.set()
            return super().flush(deadline_s)

    http, emitter = an_exchange(), Stopping()

    with pytest.raises(IncompleteBackfill, match="not tried: stopped") as failure:
        run(http, emitter, job=a_job(downloads=1), stop=stop, told=told)

    assert emitter.opens() == list(HOURS[:24])
    assert days(failure.value.holes) == list(range(16, 27))
    assert http.asked == ["file 2024-01-15.zip", "file 2024-01-15.zip.CHECKSUM"]
    assert emitter.calls[-1] == "close"


def test_a_reader_that_goes_away_ends_the_downloads() -> None:
    http, stop = an_exchange(), threading.Event()
    with BackfillRun(a_job(downloads=2), stop, http=http) as backfill:
        batches = backfill.klines(10)
        first = next(batches)
        batches.close()

    assert [kline.open_ts for kline in first] == list(HOURS[:10])
    assert stop.is_set()
    assert len(http.asked) <= 6


def test_klines_come_in_batches_and_what_is_missing_is_told_at_the_end() -> None:
    http = an_exchange()
    http.troubles += [
        Trouble("file 2024-01-16", TransportError("x")),
        Trouble(rest_of(16), TransportError("x")),
    ]
    got: list[int] = []

    def take(batches: Iterator[list[Kline]]) -> None:
        for batch in batches:
            assert 0 < len(batch) <= 10
            got.extend(kline.open_ts for kline in batch)

    with (
        BackfillRun(a_job(to_date="2024-01-17"), threading.Event(), http=http) as backfill,
        pytest.raises(IncompleteBackfill) as failure,
    ):
        take(backfill.klines(10))

    assert got == [*HOURS[:24], *HOURS[48:72]]
    assert days(failure.value.holes) == [16]
