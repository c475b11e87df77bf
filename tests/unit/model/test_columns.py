"""Candles as columns: schemas, conversions, and the calendar over arrays."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamforge_core.errors import UnknownTimeframe
from streamforge_core.model import columns as module
from streamforge_core.model.columns import (
    KLINE_SCHEMA,
    RECORD_SCHEMA,
    as_records,
    ends_of,
    instants,
    klines_to_table,
    opens_between,
    opens_of,
    records_to_table,
    repeated,
    table_to_klines,
    table_to_records,
)
from streamforge_core.model.kline import FIELDS, Kline, Record
from streamforge_core.model.timeframe import LENGTH_MS, end_of, next_open, open_of
from tests.support.instants import utc

ALL = (*LENGTH_MS, "1M")
INSTANTS = st.integers(utc("1950-01-01"), utc("2100-01-01"))


def a_kline(open_ts: int = 0, **changes: object) -> Kline:
    values: dict[str, Any] = {
        "source": "Kraken", "symbol": "BTC/USD", "timeframe": "1m",
        "open_ts": open_ts, "end_ts": open_ts + 59_999,
        "open": 1.5, "high": 2.5, "low": 0.5, "close": 2.0, "volume": 3.25,
    }  # fmt: skip  # one row
    return Kline(**(values | changes))


FULL = a_kline(0, quote_volume=5.5, vwap=1.75, n_trades=4, is_closed=True)
SPARSE = a_kline(60_000)


def ints(*values: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(values, np.int64)


def test_the_kline_schema_has_the_fourteen_columns_in_order() -> None:
    text, time, number = pa.string(), pa.int64(), pa.float64()
    types = [text] * 3 + [time] * 2 + [number] * 7 + [pa.int64(), pa.bool_()]

    assert tuple(KLINE_SCHEMA.names) == FIELDS
    assert KLINE_SCHEMA.types == types
    assert all(column.nullable for column in KLINE_SCHEMA)


def test_the_record_schema_adds_what_is_known_beside() -> None:
    beside = RECORD_SCHEMA.names[14:]

    assert RECORD_SCHEMA.names[:14] == KLINE_SCHEMA.names
    assert beside == ["provenance", "revision", "is_complete", "seen_ts"]
    assert RECORD_SCHEMA.types[14:] == [pa.string(), pa.int32(), pa.bool_(), pa.int64()]


def test_candles_survive_the_way_through_columns() -> None:
    table = klines_to_table([FULL, SPARSE])

    assert table.schema.equals(KLINE_SCHEMA)
    assert table.column("n_trades").to_pylist() == [4, None]
    assert list(table_to_klines(table)) == [FULL, SPARSE]


def test_candles_come_back_in_order_whatever_the_chunk() -> None:
    klines = [a_kline(minute * 60_000) for minute in range(7)]

    assert list(table_to_klines(klines_to_table(klines), chunk_rows=3)) == klines


def test_records_survive_the_way_through_columns() -> None:
    record = Record.from_kline(FULL, provenance="archive", seen_ts=99)
    record.revision, record.is_complete = 2, False

    table = records_to_table([record])

    assert table.schema.equals(RECORD_SCHEMA)
    assert list(table_to_records(table)) == [record]


def test_no_candles_make_an_empty_table() -> None:
    table = klines_to_table([])

    assert table.schema.equals(KLINE_SCHEMA)
    assert table.num_rows == 0
    assert list(table_to_klines(table)) == []
    assert instants(table).dtype == np.int64


def test_a_table_of_candles_becomes_records_with_defaults() -> None:
    records = list(table_to_records(klines_to_table([FULL])))

    assert records == [Record.from_kline(FULL, provenance="rest")]


def test_what_is_known_fills_columns_a_table_lacks_and_replaces_none() -> None:
    klines = klines_to_table([FULL, SPARSE])

    archived = as_records(klines, provenance="archive", seen_ts=7)
    again = as_records(archived, provenance="websocket", seen_ts=8)

    assert archived.column("provenance").to_pylist() == ["archive"] * 2
    assert archived.column("seen_ts").to_pylist() == [7, 7]
    assert archived.column("revision").to_pylist() == [0, 0]
    assert again.equals(archived)


def test_columns_of_a_narrower_type_are_widened() -> None:
    table = klines_to_table([FULL])
    place = KLINE_SCHEMA.get_field_index("n_trades")
    narrow = table.set_column(place, "n_trades", pa.array([4], pa.int32()))

    assert as_records(narrow).schema.equals(RECORD_SCHEMA)


def test_times_are_read_as_milliseconds() -> None:
    table = klines_to_table([FULL, SPARSE])

    assert instants(table).tolist() == [0, 60_000]
    assert instants(table, "end_ts").tolist() == [59_999, 119_999]


# --- The calendar over arrays ---


@pytest.mark.parametrize("timeframe", ALL)
@given(ts=st.lists(INSTANTS, max_size=20))
@example(ts=[])
@example(ts=[-1, 0, 1])
def test_opens_over_columns_are_the_opens_of_each(timeframe: str, ts: list[int]) -> None:
    opens = opens_of(ints(*ts), timeframe)

    assert opens.dtype == np.int64
    assert opens.tolist() == [open_of(instant, timeframe) for instant in ts]


@pytest.mark.parametrize("timeframe", ALL)
@given(ts=st.lists(INSTANTS, max_size=20))
@example(ts=[])
def test_ends_over_columns_are_the_ends_of_each(timeframe: str, ts: list[int]) -> None:
    opens = [open_of(instant, timeframe) for instant in ts]

    ends = ends_of(ints(*opens), timeframe)

    assert ends.dtype == np.int64
    assert ends.tolist() == [end_of(opened, timeframe) for opened in opens]


@pytest.mark.parametrize("timeframe", ALL)
@given(start=INSTANTS, steps=st.integers(0, 40), shift=st.integers(-2, 2))
def test_opens_between_are_all_and_only_those_on_the_grid(
    timeframe: str, start: int, steps: int, shift: int
) -> None:
    end = open_of(start, timeframe)
    for _ in range(steps):
        end = next_open(end, timeframe)
    end += shift

    walked, opened = [], open_of(start, timeframe)
    while opened < end:
        if opened >= start:
            walked.append(opened)
        opened = next_open(opened, timeframe)

    opens = opens_between(start, end, timeframe)
    assert opens.dtype == np.int64
    assert opens.tolist() == walked


def test_the_first_instant_is_inside_and_the_last_is_not() -> None:
    assert opens_between(0, 180_000, "1m").tolist() == [0, 60_000, 120_000]
    assert opens_between(1, 180_001, "1m").tolist() == [60_000, 120_000, 180_000]
    assert opens_between(5, 5, "1m").tolist() == []
    assert opens_between(9, 5, "1M").tolist() == []


def test_weeks_and_months_follow_the_calendar() -> None:
    start, end = utc("2023-12-30"), utc("2024-03-02")

    assert opens_between(start, end, "1M").tolist() == [
        utc("2024-01-01"), utc("2024-02-01"), utc("2024-03-01"),
    ]  # fmt: skip  # one line of months
    assert opens_between(start, utc("2024-01-16"), "1w").tolist() == [
        utc("2024-01-01"), utc("2024-01-08"), utc("2024-01-15"),
    ]  # fmt: skip  # one line of Mondays
    assert opens_between(utc("2024-01-02"), utc("2024-01-31"), "1M").tolist() == []


def test_ends_follow_leap_years() -> None:
    opens = ints(utc("2023-02-01"), utc("2024-02-01"), utc("2023-02-01"))

    assert ends_of(opens, "1M").tolist() == [
        utc("2023-02-28 23:59:59.999"),
        utc("2024-02-29 23:59:59.999"),
        utc("2023-02-28 23:59:59.999"),
    ]


def test_unknown_labels_are_refused_over_columns_too() -> None:
    with pytest.raises(UnknownTimeframe):
        opens_of(ints(0), "1x")
    with pytest.raises(UnknownTimeframe):
        ends_of(ints(0), "1x")
    with pytest.raises(UnknownTimeframe):
        opens_between(0, 1, "1x")


@pytest.mark.parametrize("text", ["Binance", "1m", "", "BTC/USD €"])
@pytest.mark.parametrize("rows", [0, 1, 3])
def test_a_column_of_one_text_is_what_arrow_repeats(text: str, rows: int) -> None:
    column = repeated(text, rows)

    column.validate(full=True)
    assert column.equals(pa.array([text] * rows, pa.string()))


def test_a_column_of_no_text_is_a_column_of_nulls() -> None:
    assert repeated(None, 2).equals(pa.array([None, None], pa.string()))


def test_more_text_than_offsets_reach_is_left_to_arrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_TEXT_BYTES", 10)

    assert repeated("Binance", 2).to_pylist() == ["Binance", "Binance"]
