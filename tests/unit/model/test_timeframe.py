"""The calendar of candles in UTC, which timeframe fills which, and instants in other units."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamforge_core.errors import ConfigError, MalformedMessage, UnknownTimeframe
from streamforge_core.model.timeframe import (
    LENGTH_MS,
    TIMEFRAMES,
    check_tiles,
    check_timeframe,
    end_of,
    first_open_from,
    is_bare_date,
    iso,
    month_index,
    month_open,
    next_open,
    open_of,
    tiles,
    to_ms,
)
from tests.support.instants import utc

ALL = (*LENGTH_MS, "1M")
INSTANTS = st.integers(utc("1900-01-01"), utc("2200-01-01"))
NOW = utc("2026-01-01")


@pytest.mark.parametrize(
    ("timeframe", "opened"),
    [
        ("1s", "2023-03-24 12:34:56"),
        ("1m", "2023-03-24 12:34"),
        ("3m", "2023-03-24 12:33"),
        ("5m", "2023-03-24 12:30"),
        ("15m", "2023-03-24 12:30"),
        ("30m", "2023-03-24 12:30"),
        ("1h", "2023-03-24 12:00"),
        ("2h", "2023-03-24 12:00"),
        ("4h", "2023-03-24 12:00"),
        ("6h", "2023-03-24 12:00"),
        ("8h", "2023-03-24 08:00"),
        ("12h", "2023-03-24 12:00"),
        ("1d", "2023-03-24"),
        ("1w", "2023-03-20"),  # a Monday; the 24th is a Friday
        ("1M", "2023-03-01"),
    ],
)
def test_an_instant_lies_in_the_candle_of_its_calendar(timeframe: str, opened: str) -> None:
    assert open_of(utc("2023-03-24 12:34:56.789"), timeframe) == utc(opened)


def test_noon_of_2023_03_24_lies_in_its_week_and_month() -> None:
    assert open_of(utc("2023-03-24 12:00"), "1w") == utc("2023-03-20")
    assert open_of(utc("2023-03-24 12:00"), "1M") == utc("2023-03-01")


def test_a_week_is_from_monday_to_sunday() -> None:
    assert open_of(utc("2023-03-26 23:59:59.999"), "1w") == utc("2023-03-20")
    assert open_of(utc("2023-03-27"), "1w") == utc("2023-03-27")
    assert open_of(0, "1w") == utc("1969-12-29")  # the epoch was a Thursday


def test_instants_before_the_epoch_round_down_too() -> None:
    assert open_of(-1, "1m") == -60_000
    assert open_of(utc("1969-12-31 23:59"), "1d") == utc("1969-12-31")
    assert open_of(utc("1969-12-28 12:00"), "1w") == utc("1969-12-22")
    assert open_of(-1, "1M") == utc("1969-12-01")


@pytest.mark.parametrize(
    ("opened", "timeframe", "end"),
    [
        ("1970-01-01", "1m", "1970-01-01 00:00:59.999"),
        ("2024-02-28", "1d", "2024-02-28 23:59:59.999"),
        ("2023-03-20", "1w", "2023-03-26 23:59:59.999"),
        ("2023-02-01", "1M", "2023-02-28 23:59:59.999"),
        ("2024-02-01", "1M", "2024-02-29 23:59:59.999"),  # leap
        ("2000-02-01", "1M", "2000-02-29 23:59:59.999"),  # leap: divisible by 400
        ("2100-02-01", "1M", "2100-02-28 23:59:59.999"),  # not: divisible by 100
        ("2024-12-01", "1M", "2024-12-31 23:59:59.999"),
    ],
)
def test_the_end_is_the_last_millisecond_inside(opened: str, timeframe: str, end: str) -> None:
    assert end_of(utc(opened), timeframe) == utc(end)


def test_next_open_takes_an_open_off_the_grid_as_it_is() -> None:
    off_grid = utc("2018-02-09 10:00:14.788")

    assert next_open(off_grid, "1m") == utc("2018-02-09 10:01:14.788")
    assert next_open(utc("2024-01-31 12:00"), "1M") == utc("2024-02-01")


def test_first_open_from_is_at_or_after() -> None:
    assert first_open_from(utc("2024-01-15 10:30"), "5m") == utc("2024-01-15 10:30")
    assert first_open_from(utc("2024-01-15 10:30:00.001"), "5m") == utc("2024-01-15 10:35")
    assert first_open_from(utc("2024-01-15"), "1M") == utc("2024-02-01")


@pytest.mark.parametrize("timeframe", ALL)
@given(ts=INSTANTS)
def test_every_instant_lies_in_exactly_one_candle(timeframe: str, ts: int) -> None:
    opened = open_of(ts, timeframe)

    assert opened <= ts <= end_of(opened, timeframe)
    assert open_of(opened, timeframe) == opened
    following = next_open(opened, timeframe)
    assert open_of(following, timeframe) == following
    assert first_open_from(ts, timeframe) == (ts if ts == opened else following)


def test_months_are_counted_from_the_epoch() -> None:
    assert month_index(utc("1970-01-31 23:59")) == 0
    assert month_index(utc("2024-03-01")) == 650  # 54 years and two months
    assert month_index(-1) == -1
    assert month_open(650) == utc("2024-03-01")
    assert month_open(-1) == utc("1969-12-01")


# --- Labels ---


def test_promised_labels_ascend_from_a_second_to_a_month() -> None:
    assert TIMEFRAMES == (
        "1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h",
        "1d", "3d", "1w", "1M",
    )  # fmt: skip  # a table of labels


@pytest.mark.parametrize("label", ["1m", "1M", "15d", "1w"])
def test_known_labels_pass(label: str) -> None:
    assert check_timeframe(label) == label


@pytest.mark.parametrize("label", ["", "1x", "60", "1H", "1W", "1D", "7m", "1mo"])
def test_unknown_labels_are_refused_with_the_known_ones(label: str) -> None:
    with pytest.raises(UnknownTimeframe, match=r"Use one of 1s, 1m, 3m, .*, 1w, 1M"):
        check_timeframe(label)


@pytest.mark.parametrize("ask", [open_of, next_open, end_of, first_open_from])
def test_arithmetic_refuses_unknown_labels(ask) -> None:  # type: ignore[no-untyped-def]  # four alike
    with pytest.raises(UnknownTimeframe, match="'1x' is not a timeframe"):
        ask(0, "1x")


# --- What fills what ---


@pytest.mark.parametrize(
    ("base", "targets"),
    [
        ("1m", ["3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "1w", "1M"]),
        ("15m", ["30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "1w", "1M"]),
        ("2h", ["4h", "6h", "8h", "12h", "1d", "1w", "1M"]),
        ("4h", ["8h", "12h", "1d", "1w", "1M"]),
        ("6h", ["12h", "1d", "1w", "1M"]),
        ("8h", ["1d", "1w", "1M"]),
        ("1d", ["1w", "1M"]),
        ("3d", []),
        ("15d", []),
        ("1w", []),  # a month is never whole weeks
        ("1M", []),
    ],
)
def test_a_target_is_filled_exactly_by_its_base(base: str, targets: list[str]) -> None:
    assert [label for label in ALL if tiles(base, label)] == [t for t in ALL if t in targets]


def test_no_timeframe_fills_itself() -> None:
    assert not any(tiles(label, label) for label in ALL)


def test_tiling_of_unknown_labels_is_an_error() -> None:
    with pytest.raises(UnknownTimeframe):
        tiles("1x", "1m")
    with pytest.raises(UnknownTimeframe):
        tiles("1m", "1x")


def test_targets_in_any_order_pass() -> None:
    check_tiles("1m", ["1M", "1h", "5m", "1w"])
    check_tiles("1m", [])


def test_a_target_below_its_base_is_refused_with_what_is_possible() -> None:
    with pytest.raises(ConfigError, match="5m candles cannot be aggregated from 1h") as error:
        check_tiles("1h", ["4h", "5m"])

    assert "From 1h you can have: 2h, 4h, 6h, 8h, 12h, 1d, 1w, 1M." in str(error.value)


@pytest.mark.parametrize(
    ("base", "target"), [("1w", "1M"), ("1d", "3d"), ("1d", "15d"), ("3d", "15d"), ("4h", "6h")]
)
def test_targets_that_no_base_fills_are_refused(base: str, target: str) -> None:
    with pytest.raises(ConfigError, match=f"{target} candles cannot be aggregated from {base}"):
        check_tiles(base, [target])


def test_a_base_that_fills_nothing_says_so() -> None:
    with pytest.raises(ConfigError, match="From 1w you can have: none"):
        check_tiles("1w", ["1M"])


# --- Units ---


@pytest.mark.parametrize(
    ("value", "ms"),
    [
        (1_735_689_659, 1_735_689_659_000),
        (1_735_689_659_999, 1_735_689_659_999),
        (1_735_689_659_999_999, 1_735_689_659_999),  # us, floored
        (1_735_689_659_999_999_999, 1_735_689_659_999),  # ns, floored
        (1_230_768_000, 1_230_768_000_000),  # 2009-01-01, the first instant allowed
    ],
)
def test_the_unit_is_judged_by_magnitude(value: int, ms: int) -> None:
    assert to_ms(value, now_ms=NOW) == ms


def test_spot_archives_change_their_unit_in_the_middle_of_a_series() -> None:
    last_of_2024, first_of_2025 = 1_735_689_540_000, 1_735_689_600_000_000

    assert to_ms(last_of_2024, now_ms=NOW) == utc("2024-12-31 23:59")
    assert to_ms(first_of_2025, now_ms=NOW) == utc("2025-01-01 00:00")


@pytest.mark.parametrize(
    "value",
    [
        0,
        -1_735_689_659,
        1_230_767_999,  # the last second of 2008
        1_230_767_999_999,
        10**11,  # 1973 in milliseconds
        10**14,  # 1973 in microseconds
        10**17,
        10**20,  # no unit is that small
        99_999_999_999,  # the year 5138 in seconds
    ],
)
def test_instants_outside_the_markets_life_are_refused(value: int) -> None:
    with pytest.raises(MalformedMessage, match=str(value)):
        to_ms(value, now_ms=NOW)


def test_a_clock_may_be_a_day_apart_and_no_more() -> None:
    assert to_ms(NOW + 86_400_000, now_ms=NOW) == NOW + 86_400_000
    with pytest.raises(MalformedMessage):
        to_ms(NOW + 86_400_001, now_ms=NOW)


# --- Text ---


@pytest.mark.parametrize(
    ("ts", "text"),
    [
        (0, "1970-01-01"),
        (1_705_314_800_000, "2024-01-15T10:33:20Z"),
        (1_705_314_800_007, "2024-01-15T10:33:20.007Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (-86_400_000, "1969-12-31"),
    ],
)
def test_instants_are_written_as_short_as_they_can_be(ts: int, text: str) -> None:
    assert iso(ts) == text


def test_a_date_is_told_from_an_instant() -> None:
    assert is_bare_date("2024-01-15")
    assert is_bare_date(" 2024-01-15 ")
    for text in ("2024-01-15 00:00:00", "2024-1-15", "20240115", ""):
        assert not is_bare_date(text)
