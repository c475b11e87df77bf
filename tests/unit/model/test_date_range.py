"""One meaning of dates: the table of the domain document, row by row, and what is refused."""

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from streamforge_core.errors import ConfigError
from streamforge_core.model.date_range import DateRange, Moment, instant, parse_range
from tests.support.instants import utc

NOW = utc("2026-06-01 12:00")
MINUTE, HOUR = 60_000, 3_600_000


def opens(start: Moment, end: Moment | None, length_ms: int = MINUTE, now: int = NOW) -> list[int]:
    """Return the closed opens in the range, counted by hand from its bounds."""
    span = parse_range(start, end, now_ms=now)
    first = -(-span.start_ms // length_ms) * length_ms
    return [ts for ts in range(first, span.end_ms, length_ms) if ts + length_ms <= now]


@pytest.mark.parametrize(
    ("start", "end", "count", "first", "last"),
    [
        ("2024-01-15", "2024-01-20", 8_640, "2024-01-15 00:00", "2024-01-20 23:59"),
        ("2024-01-15", "2024-01-15", 1_440, "2024-01-15 00:00", "2024-01-15 23:59"),
        ("2024-01-15", "2024-01-20 00:00:00", 7_200, "2024-01-15 00:00", "2024-01-19 23:59"),
        ("2024-01-15 10:30", "2024-01-15 10:33", 3, "2024-01-15 10:30", "2024-01-15 10:32"),
        ("2024-01-15 10:30:30", "2024-01-15 10:33", 2, "2024-01-15 10:31", "2024-01-15 10:32"),
        ("2024-01-15T00:00+09:00", "2024-01-15", 1_980, "2024-01-14 15:00", "2024-01-15 23:59"),
        ("2024-12-30", "2025-01-02", 5_760, "2024-12-30 00:00", "2025-01-02 23:59"),
    ],
)
def test_minutes_of_the_table(start: str, end: str, count: int, first: str, last: str) -> None:
    found = opens(start, end)

    assert (len(found), found[0], found[-1]) == (count, utc(first), utc(last))


def test_the_outage_day_is_asked_for_whole() -> None:
    assert parse_range("2023-03-24", "2023-03-24", now_ms=NOW) == DateRange(
        utc("2023-03-24"), utc("2023-03-25")
    )


def test_hours_belong_by_their_open() -> None:
    asked = ("2024-01-15 10:30", "2024-01-15 12:30", HOUR)

    assert opens(*asked) == [utc("2024-01-15 11:00"), utc("2024-01-15 12:00")]
    assert opens(*asked, now=utc("2024-01-15 12:59:59.999")) == [utc("2024-01-15 11:00")]


@pytest.mark.parametrize("end", ["now", None, "2024-01-15", "2030-01-01", date(9999, 12, 31)])
def test_now_and_the_future_end_with_the_last_closed_candle(end: Moment | None) -> None:
    now = utc("2024-01-15 10:33:20")

    found = opens("2024-01-15", end, now=now)

    assert parse_range("2024-01-15", end, now_ms=now).end_ms == now
    assert (len(found), found[-1]) == (633, utc("2024-01-15 10:32"))


def test_neighbouring_ranges_tile() -> None:
    whole = opens("2024-01-14", "2024-01-16")

    assert opens("2024-01-14", "2024-01-15 07:31") + opens("2024-01-15 07:31", "2024-01-16") == (
        whole
    )
    assert opens("2024-01-14", "2024-01-14") + opens("2024-01-15", "2024-01-16") == whole


@pytest.mark.parametrize(
    "value",
    [
        "2024-01-15",
        " 2024-01-15 ",
        date(2024, 1, 15),
        datetime(2024, 1, 15),  # noqa: DTZ001 - a naive value is UTC: that is what is tested
        datetime(2024, 1, 15, tzinfo=UTC),
        datetime(2024, 1, 15, 9, tzinfo=timezone(timedelta(hours=9))),
        "2024-01-15 00:00:00",
        "2024-01-15T00:00:00Z",
        "2024-01-14T19:00-05:00",
    ],
)
def test_every_way_to_write_an_instant_means_the_same(value: Moment) -> None:
    assert instant(value, name="from_date", now_ms=NOW) == utc("2024-01-15")


def test_a_date_includes_its_day_and_midnight_does_not() -> None:
    days_end, midnight = utc("2024-01-16"), utc("2024-01-15")

    def end(value: Moment) -> int:
        return instant(value, name="to_date", now_ms=NOW, end_of_day=True)

    assert end("2024-01-15") == end(date(2024, 1, 15)) == days_end
    assert end("2024-01-15 00:00:00") == end(datetime(2024, 1, 15, tzinfo=UTC)) == midnight


def test_fractions_of_a_millisecond_round_to_the_opens_that_they_admit() -> None:
    a_little_after = "2024-01-15T10:30:00.000500"

    assert opens(a_little_after, "2024-01-15 10:32") == [utc("2024-01-15 10:31")]
    assert opens("2024-01-15 10:29", a_little_after)[-1] == utc("2024-01-15 10:30")


def test_the_last_day_there_is_has_an_end() -> None:
    last = instant("9999-12-31", name="to_date", now_ms=NOW, end_of_day=True)

    assert last == utc("9999-12-31") + 86_400_000


@pytest.mark.parametrize(
    "value",
    [
        1_705_276_800_000, 1_705_276_800, 20240115.0, True, None, "",
        "1705103012345",  # an instant in ms; `fromisoformat` reads the year 1705
        "20240115", "2024-W03-1", "15.01.2024", "2024-02-30", "2024-13-01", "2024-01-15 25:00",
        "2024-01-15x10:00", "2024-01", "yesterday",
    ],
)  # fmt: skip  # a list of wrong things
def test_what_is_no_date_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match=r"from_date=.* is not a date\. Write it as") as error:
        parse_range(value, now_ms=NOW)  # type: ignore[arg-type]  # that is what is refused

    assert '"2024-01-15", "2024-01-15 10:30:00"' in str(error.value)


def test_a_wrong_end_is_named_as_such() -> None:
    with pytest.raises(ConfigError, match="to_date=5 is not a date"):
        parse_range("2024-01-15", 5, now_ms=NOW)  # type: ignore[arg-type]  # likewise


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2024-01-15", "2024-01-14"),
        ("2024-01-15", "2024-01-15 00:00:00"),
        ("2024-01-15 10:00", "2024-01-15 10:00"),
    ],
)
def test_a_range_that_holds_nothing_is_refused(start: str, end: str) -> None:
    with pytest.raises(ConfigError, match=f"Nothing lies between from_date={start}") as error:
        parse_range(start, end, now_ms=NOW)

    assert "Give an earlier from_date or a later to_date." in str(error.value)


def test_a_start_in_the_future_is_refused_as_such() -> None:
    with pytest.raises(ConfigError, match="it lies in the future"):
        parse_range("2026-06-02", now_ms=NOW)


def test_a_range_reads_well() -> None:
    assert str(DateRange(utc("2024-01-15"), utc("2024-01-15 10:30"))) == (
        "2024-01-15 to 2024-01-15T10:30:00Z (exclusive)"
    )


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "UTC", "America/New_York"])
def test_the_machines_zone_is_never_read(zone: str) -> None:
    script = """
from datetime import date, datetime
from streamforge_core.model.date_range import parse_range
for start in ("2024-03-10", "2024-03-10 02:30", date(2024, 3, 10), datetime(2024, 3, 10, 2, 30)):
    span = parse_range(start, "2024-03-10", now_ms=1_800_000_000_000)
    print(span.start_ms, span.end_ms)
"""
    process = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", script], env={"TZ": zone}, capture_output=True, text=True, check=True
    )

    midnight, half_past_two, end = 1_710_028_800_000, 1_710_037_800_000, 1_710_115_200_000
    assert process.stdout.split("\n")[:4] == [
        f"{midnight} {end}",
        f"{half_past_two} {end}",
        f"{midnight} {end}",
        f"{half_past_two} {end}",
    ]
