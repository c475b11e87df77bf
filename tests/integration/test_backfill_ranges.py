"""One meaning of dates: every row of the table in CANDLES.md section 7, as a backfill."""

import itertools
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest

from streamforge_core.errors import ConfigError
from streamforge_core.model.date_range import Moment
from streamforge_core.simulator.binance import SimulatedBinance
from tests.support.backfills import a_backfiller, asked_files, backfill, backfill_process
from tests.support.instants import utc
from tests.support.recording_emitter import RecordingEmitter
from tests.support.simulated import NEVER_DOWN, SteppedClock, simulated_binance


@pytest.fixture(scope="module")
def exchange() -> Iterator[SimulatedBinance]:
    with simulated_binance("2025-01-20T12:00", outages=NEVER_DOWN) as simulated:
        yield simulated


@pytest.mark.parametrize(
    ("start", "end", "count", "first", "last"),
    [
        ("2024-01-15", "2024-01-20", 8_640, "2024-01-15 00:00", "2024-01-20 23:59"),
        ("2024-01-15", "2024-01-15", 1_440, "2024-01-15 00:00", "2024-01-15 23:59"),
        (date(2024, 1, 15), date(2024, 1, 15), 1_440, "2024-01-15 00:00", "2024-01-15 23:59"),
        ("2024-01-15", "2024-01-20 00:00:00", 7_200, "2024-01-15 00:00", "2024-01-19 23:59"),
        (
            datetime(2024, 1, 15),  # noqa: DTZ001 - naive is UTC here
            datetime(2024, 1, 20, tzinfo=UTC),
            *(7_200, "2024-01-15 00:00", "2024-01-19 23:59"),
        ),
        ("2024-01-15 10:30", "2024-01-15 10:33", 3, "2024-01-15 10:30", "2024-01-15 10:32"),
        ("2024-01-15 10:30:30", "2024-01-15 10:33", 2, "2024-01-15 10:31", "2024-01-15 10:32"),
        ("2024-01-15T00:00+09:00", "2024-01-15", 1_980, "2024-01-14 15:00", "2024-01-15 23:59"),
        (
            datetime(2024, 1, 15, tzinfo=timezone(timedelta(hours=9))),
            "2024-01-15",
            *(1_980, "2024-01-14 15:00", "2024-01-15 23:59"),
        ),
        ("2024-12-30", "2025-01-02", 5_760, "2024-12-30 00:00", "2025-01-02 23:59"),
    ],
)
def test_a_range_gives_exactly_its_candles(
    exchange: SimulatedBinance, start: Moment, end: Moment, count: int, first: str, last: str
) -> None:
    emitter = RecordingEmitter()

    report = backfill(exchange, start, end, into=emitter)

    opens = emitter.opens()
    assert opens == list(range(utc(first), utc(last) + 60_000, 60_000))
    assert (len(opens), report.rows, report.holes) == (count, count, ())


def test_hours_belong_to_the_range_by_their_open(exchange: SimulatedBinance) -> None:
    emitter = RecordingEmitter()

    backfill(exchange, "BTCUSDT", "1h", "2024-01-15 10:30", "2024-01-15 12:30", into=emitter)

    assert emitter.opens() == [utc("2024-01-15 11:00"), utc("2024-01-15 12:00")]


def test_the_last_hour_of_a_range_must_be_closed() -> None:
    emitter = RecordingEmitter()
    with simulated_binance("2024-01-15T12:45", outages=NEVER_DOWN) as exchange:
        backfill(exchange, "BTCUSDT", "1h", "2024-01-15 10:30", "2024-01-15 12:30", into=emitter)

    assert emitter.opens() == [utc("2024-01-15 11:00")]


@pytest.mark.parametrize("to_date", ["now", None, "2024-01-15", "2030-01-01"])
def test_now_and_the_future_end_with_the_last_closed_candle(to_date: str | None) -> None:
    emitter = RecordingEmitter()
    with simulated_binance("2024-01-15T10:33:20", outages=NEVER_DOWN) as exchange:
        backfill(exchange, "2024-01-15", to_date, into=emitter)

    assert emitter.opens() == list(range(utc("2024-01-15 00:00"), utc("2024-01-15 10:33"), 60_000))
    assert len(emitter.klines) == 633


def test_it_is_the_exchanges_clock_that_says_what_is_closed() -> None:
    emitter = RecordingEmitter()
    ahead = SteppedClock("2024-01-15T10:40")
    with simulated_binance("2024-01-15T10:33:20", outages=NEVER_DOWN) as exchange:
        backfill(exchange, "2024-01-15 10:30", "now", into=emitter, clock=ahead)

    assert emitter.opens()[-1] == utc("2024-01-15 10:32")


def test_ranges_that_touch_tile_without_hole_and_double(exchange: SimulatedBinance) -> None:
    emitter = RecordingEmitter()
    edges = ["2024-01-15 22:10", "2024-01-16 00:00:30", "2024-01-16 01:00", "2024-01-16 03:03"]

    for start, end in itertools.pairwise(edges):
        backfill(exchange, start, end, into=emitter)

    assert emitter.opens() == list(range(utc("2024-01-15 22:10"), utc("2024-01-16 03:03"), 60_000))


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2024-01-16", "2024-01-15"),
        ("2024-01-15 10:00", "2024-01-15 10:00"),
        ("2030-01-01", "2030-01-02"),
        ("2030-01-01", "now"),
        ("15.01.2024", "now"),
        (1_705_276_800_000, "now"),
    ],
)
def test_a_range_that_cannot_be_is_refused_before_anything_is_opened(
    exchange: SimulatedBinance, start: str, end: str
) -> None:
    exchange.requests.clear()

    with pytest.raises(ConfigError):
        a_backfiller(exchange, start, end)

    assert len(exchange.requests) == 0


# --- Which files serve a range ---


def test_before_the_monthly_file_is_out_its_days_serve() -> None:
    # 2024-02-01 is a Thursday: January comes on Monday the 5th.
    emitter = RecordingEmitter()
    with simulated_binance("2024-02-02T12:00", outages=NEVER_DOWN) as exchange:
        backfill(exchange, "BTCUSDT", "1h", "2024-01-01", "2024-02-01", into=emitter)

        assert len(exchange.requests.to(r"/daily/.*zip$")) == 32
        assert len(exchange.requests.to(r"/monthly/.*zip$")) == 1
    assert emitter.opens() == list(
        range(utc("2024-01-01 00:00"), utc("2024-02-02 00:00"), 3_600_000)
    )


def test_a_month_is_one_file_once_it_is_out(exchange: SimulatedBinance) -> None:
    emitter = RecordingEmitter()
    exchange.requests.clear()

    backfill(exchange, "2024-01-31", "2024-02-29", into=emitter)

    assert asked_files(exchange) == ["2024-01-31", "2024-02"]
    assert len(emitter.klines) == 30 * 1_440


def test_yesterday_is_had_by_rest_while_its_file_is_not_out() -> None:
    emitter = RecordingEmitter()
    with simulated_binance("2024-01-16T00:30", outages=NEVER_DOWN) as exchange:
        backfill(exchange, "2024-01-15", "now", into=emitter)

    assert len(emitter.klines) == 1_440 + 30
    assert emitter.opens() == sorted(emitter.opens())


@pytest.mark.parametrize(
    ("timeframe", "opens"),
    [
        ("1w", ["2024-01-01", "2024-01-08", "2024-01-15", "2024-01-22", "2024-01-29"]),
        ("1M", ["2024-01-01", "2024-02-01"]),
    ],
)
def test_weeks_open_on_monday_and_months_on_the_first(
    exchange: SimulatedBinance, timeframe: str, opens: list[str]
) -> None:
    emitter = RecordingEmitter()

    backfill(exchange, "BTCUSDT", timeframe, "2024-01-01", "2024-02-04", into=emitter)

    assert emitter.opens() == [utc(f"{day} 00:00") for day in opens]
    assert emitter.klines[0].end_ts + 1 == utc(f"{opens[1]} 00:00")


def test_the_machines_zone_is_never_read(tmp_path: Path) -> None:
    zones = ("UTC", "Asia/Tokyo", "America/New_York")
    with SimulatedBinance() as exchange:
        # Over a change of New York's clocks, and a Wednesday with its outage.
        span = ("BTCUSDT", "2024-03-09", "2024-03-13 12:00:00")
        processes = [
            backfill_process(exchange, tmp_path / zone.replace("/", "-"), *span, TZ=zone)
            for zone in zones
        ]
        told = {process.communicate(timeout=60)[0] for process in processes}

    assert len(told) == 1
    assert told.pop().split()[0].isdigit()
