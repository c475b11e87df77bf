"""Paths in the store: safe for any symbol, on any file system, and readable back."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamforge_core.model.kline import Series
from streamforge_core.model.partition import (
    coverage_path,
    escape,
    partition_path,
    period_bounds,
    period_of,
    period_timeframe,
    periods_between,
    series_path,
    span_of,
    timeframe_label,
    timeframe_of,
    unescape,
)
from streamforge_core.model.timeframe import TIMEFRAMES
from tests.support.instants import utc

SAFE = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.%")


@given(st.text())
@example("XBT/USD")
@example("..")
@example(".")
@example("a~b=c|d\\e:f*?")
@example("币安人生USDT")
def test_any_symbol_is_one_safe_segment_and_comes_back(symbol: str) -> None:
    segment = escape(symbol)

    assert set(segment) <= SAFE
    assert not segment.startswith(".")
    assert unescape(segment) == symbol


@given(st.text(), st.text())
def test_two_symbols_never_share_a_segment(one: str, other: str) -> None:
    assert (escape(one) == escape(other)) == (one == other)


def test_common_symbols_stay_readable() -> None:
    assert escape("BTCUSDT") == "BTCUSDT"
    assert escape("BTC-USDT") == "BTC-USDT"
    assert escape("BTCUSD_PERP") == "BTCUSD_PERP"
    assert escape("BTC/USD") == "BTC%2FUSD"
    assert escape("..") == "%2E."


def test_labels_differ_even_where_case_is_folded() -> None:
    labels = [timeframe_label(timeframe) for timeframe in TIMEFRAMES]

    assert (timeframe_label("1m"), timeframe_label("1M")) == ("1m", "1mo")
    assert len({label.casefold() for label in labels}) == len(TIMEFRAMES)
    assert [timeframe_of(label) for label in labels] == list(TIMEFRAMES)


@pytest.mark.parametrize(
    ("timeframe", "unit", "period"),
    [
        ("1s", "1d", "2024-01-15"),
        ("1m", "1d", "2024-01-15"),
        ("1h", "1d", "2024-01-15"),
        ("2h", "1M", "2024-01"),
        ("1d", "1M", "2024-01"),
        ("1w", "1M", "2024-01"),
        ("1M", "1M", "2024-01"),
    ],
)
def test_a_partition_is_a_day_up_to_an_hour_and_a_month_above(
    timeframe: str, unit: str, period: str
) -> None:
    assert period_timeframe(timeframe) == unit
    assert period_of(utc("2024-01-15 23:59:59.999"), timeframe) == period


def test_bounds_of_a_partition_are_half_open() -> None:
    ts = utc("2024-02-15 10:30")

    assert period_bounds(ts, "1m") == (utc("2024-02-15"), utc("2024-02-16"))
    assert period_bounds(ts, "4h") == (utc("2024-02-01"), utc("2024-03-01"))


@pytest.mark.parametrize(
    ("period", "start", "end"),
    [
        ("2024-01-15", "2024-01-15", "2024-01-16"),
        ("2024-02-29", "2024-02-29", "2024-03-01"),
        ("2024-02", "2024-02-01", "2024-03-01"),
        ("2023-12", "2023-12-01", "2024-01-01"),
    ],
)
def test_a_period_spans_its_day_or_month(period: str, start: str, end: str) -> None:
    assert span_of(period) == (utc(start), utc(end))


@pytest.mark.parametrize("text", ["", "2024", "2024-13", "2024-02-30", "staging", "2024-01-15x"])
def test_other_names_of_folders_are_no_period(text: str) -> None:
    assert span_of(text) is None


def test_folders_that_can_hold_a_span_come_in_order() -> None:
    folders = [
        "period=2024-01-16", "period=2024-01-14", "period=2024-01", "period=2024-01-15",
        "period=2024-02-01", "period=2024-02", "period=broken", "2024-01-15", ".staging",
    ]  # fmt: skip  # a folder's listing

    found = periods_between(folders, utc("2024-01-14 23:59"), utc("2024-01-15 00:01"))

    assert found == ["period=2024-01", "period=2024-01-14", "period=2024-01-15"]
    assert periods_between(folders, utc("2024-01-31"), utc("2024-02-01")) == ["period=2024-01"]
    assert periods_between(folders, utc("2024-02-01"), utc("2024-02-02")) == [
        "period=2024-02",
        "period=2024-02-01",
    ]


def test_paths_follow_the_documented_layout() -> None:
    series = Series("Kraken", "BTC/USD", "1m")

    assert series_path(series) == "source=Kraken/symbol=BTC%2FUSD/timeframe=1m"
    assert partition_path(series, "2024-01-15") == (
        "source=Kraken/symbol=BTC%2FUSD/timeframe=1m/period=2024-01-15/part-0.parquet"
    )
    assert coverage_path(series) == "_coverage/Kraken~BTC%2FUSD~1m.jsonl"


def test_a_month_is_spelled_out_in_paths() -> None:
    series = Series("Binance", "BTCUSDT", "1M")

    assert series_path(series).endswith("/timeframe=1mo")
    assert coverage_path(series) == "_coverage/Binance~BTCUSDT~1mo.jsonl"


def test_a_tilde_in_a_symbol_cannot_imitate_the_separator() -> None:
    assert coverage_path(Series("A", "B~1m", "1h")) == "_coverage/A~B%7E1m~1h.jsonl"
