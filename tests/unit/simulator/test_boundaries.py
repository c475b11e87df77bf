import pytest

from streamforge_core.simulator.boundaries import (
    LENGTH_MS,
    date_text,
    ends_of,
    instant,
    next_open,
    open_of,
    opens_between,
)

NOON = 1679659200000  # 2023-03-24 12:00 UTC, a Friday


@pytest.mark.parametrize(
    ("timeframe", "open_ms"),
    [
        ("1s", NOON),
        ("5m", NOON),
        ("8h", 1679644800000),  # 08:00
        ("1d", 1679616000000),  # 2023-03-24
        ("1w", 1679270400000),  # Monday 2023-03-20
        ("1M", 1677628800000),  # 2023-03-01
    ],
)
def test_a_candle_opens_where_the_calendar_says(timeframe: str, open_ms: int) -> None:
    assert open_of(NOON, timeframe) == open_ms
    assert open_of(open_ms, timeframe) == open_ms


def test_the_documented_week_of_binance_opens_on_its_monday() -> None:
    assert open_of(1499644799999, "1w") == 1499040000000
    assert next_open(1499040000000, "1w") == 1499644800000


def test_a_month_is_as_long_as_the_calendar_makes_it() -> None:
    february = instant("2024-02-01")

    assert next_open(february, "1M") == instant("2024-03-01") == february + 29 * LENGTH_MS["1d"]
    assert next_open(instant("2023-12-01"), "1M") == instant("2024-01-01")


def test_three_days_are_counted_from_the_epoch() -> None:
    assert open_of(4 * LENGTH_MS["1d"], "3d") == 3 * LENGTH_MS["1d"]


def test_opens_lie_inside_their_span_with_its_end_left_out() -> None:
    opens = opens_between(NOON + 1, NOON + 15 * 60_000, "5m")

    assert opens.tolist() == [NOON + 5 * 60_000, NOON + 10 * 60_000]
    assert ends_of(opens, "5m").tolist() == [NOON + 10 * 60_000, NOON + 15 * 60_000]


def test_months_are_listed_by_the_calendar() -> None:
    opens = opens_between(instant("2023-12-15"), instant("2024-03-01"), "1M")

    assert opens.tolist() == [instant("2024-01-01"), instant("2024-02-01")]
    assert ends_of(opens, "1M").tolist() == [instant("2024-02-01"), instant("2024-03-01")]


@pytest.mark.parametrize("timeframe", ["1m", "1w", "1M"])
def test_an_empty_span_has_no_opens(timeframe: str) -> None:
    assert opens_between(NOON, NOON, timeframe).tolist() == []
    assert opens_between(NOON, NOON - 90 * LENGTH_MS["1d"], timeframe).tolist() == []


def test_instants_are_read_and_written_in_utc() -> None:
    assert instant("2023-03-24T12:00Z") == NOON
    assert date_text(NOON) == "2023-03-24"


def test_what_is_no_date_is_refused() -> None:
    with pytest.raises(ValueError, match="tomorrow"):
        instant("tomorrow")
