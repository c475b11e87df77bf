"""Tables of mixed candles: what can be stored, and into which file each row belongs."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from streamforge_core.model.batches import by_series, rows_to_table, split, storable
from streamforge_core.model.columns import RECORD_SCHEMA, records_to_table
from streamforge_core.model.kline import FIELDS, Record, Series
from tests.support.instants import utc


def a_row(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever a transformer returns
    values: dict[str, Any] = {
        "source": "Binance", "symbol": "BTCUSDT", "timeframe": "1m",
        "open_ts": utc("2024-01-15"), "end_ts": utc("2024-01-15 00:00:59.999"),
        "open": 2.0, "high": 3.0, "low": 1.0, "close": 2.5, "volume": 1.0,
        "quote_volume": None, "vwap": None, "n_trades": 3, "is_closed": True,
        "provenance": "rest", "revision": 0, "is_complete": True, "seen_ts": 7,
    }  # fmt: skip  # a row
    return values | changes


def is_storable(**changes: Any) -> bool:  # noqa: ANN401 - likewise
    (good,) = storable(rows_to_table([a_row(**changes)]), required=FIELDS[:10])
    return bool(good)


# --- What can be stored ---


def test_a_whole_row_can_be_stored() -> None:
    assert is_storable()
    assert is_storable(quote_volume=1.0, vwap=2.0, n_trades=None)


@pytest.mark.parametrize("name", FIELDS[:10])
def test_a_required_column_holds_a_value(name: str) -> None:
    assert not is_storable(**{name: None})


@pytest.mark.parametrize("name", ["source", "symbol", "timeframe"])
def test_an_empty_text_is_no_value(name: str) -> None:
    assert not is_storable(**{name: ""})


@pytest.mark.parametrize("name", ["open", "volume", "quote_volume", "vwap"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_are_finite(name: str, value: float) -> None:
    assert not is_storable(**{name: value})


@pytest.mark.parametrize(
    ("open_ts", "good"),
    [(-1, False), (0, True), (utc("9999-12-31 23:59"), True), (253_402_300_800_000, False)],
)
def test_an_open_has_a_date_of_four_digits(open_ts: int, good: bool) -> None:  # noqa: FBT001 - a table
    assert is_storable(open_ts=open_ts) is good


def test_one_bad_row_does_not_spoil_its_neighbours() -> None:
    rows = [a_row(), a_row(close=float("nan")), a_row(symbol=None), a_row()]

    assert storable(rows_to_table(rows), FIELDS[:10]).tolist() == [True, False, False, True]


def test_an_open_is_needed_even_where_it_is_not_required() -> None:
    assert storable(rows_to_table([a_row(open_ts=None)]), ()).tolist() == [False]


# --- Rows to columns ---


def test_rows_become_the_columns_of_a_record_and_then_their_own() -> None:
    table = rows_to_table([a_row(zeta=1), a_row(alpha="x")])

    assert table.column_names == [*RECORD_SCHEMA.names, "alpha", "zeta"]
    assert table.select(RECORD_SCHEMA.names).schema.equals(RECORD_SCHEMA)
    assert table.column("alpha").to_pylist() == [None, "x"]
    assert table.column("zeta").to_pylist() == [1, None]


def test_columns_a_row_lacks_are_unknown() -> None:
    table = rows_to_table([{"symbol": "BTCUSDT"}])

    assert table.column("close").to_pylist() == [None]


def test_records_and_rows_make_the_same_table() -> None:
    assert rows_to_table([a_row()]).equals(records_to_table([Record(**a_row())]))


@pytest.mark.parametrize("value", ["two", [1.0], {"a": 1}])
def test_a_value_that_does_not_fit_its_column_is_refused(value: object) -> None:
    with pytest.raises(pa.ArrowException):
        rows_to_table([a_row(close=value)])


@pytest.mark.parametrize("value", [[1], {"a": 1}])
def test_lists_and_mappings_are_no_values(value: object) -> None:
    with pytest.raises(pa.ArrowInvalid, match="note holds lists or mappings"):
        rows_to_table([a_row(note=value)])


# --- Series and partitions ---

MIXED = [
    a_row(symbol="ETHUSDT", open_ts=utc("2024-01-15 10:00")),
    a_row(symbol="BTCUSDT", open_ts=utc("2024-01-16 00:00")),
    a_row(symbol="BTCUSDT", open_ts=utc("2024-01-15 23:59")),
    a_row(symbol="BTCUSDT", open_ts=utc("2024-01-15 00:00")),
    a_row(symbol="BTCUSDT", timeframe="4h", open_ts=utc("2024-01-31 20:00")),
    a_row(symbol="BTCUSDT", timeframe="4h", open_ts=utc("2024-02-01 00:00")),
    a_row(source="Kraken", symbol="BTCUSDT", open_ts=utc("2024-01-15 10:00")),
]


def test_each_series_knows_its_rows() -> None:
    rows = {series: np.sort(place).tolist() for series, place in by_series(rows_to_table(MIXED))}

    assert rows == {
        Series("Binance", "ETHUSDT", "1m"): [0],
        Series("Binance", "BTCUSDT", "1m"): [1, 2, 3],
        Series("Binance", "BTCUSDT", "4h"): [4, 5],
        Series("Kraken", "BTCUSDT", "1m"): [6],
    }


def test_rows_are_split_by_day_up_to_an_hour_and_by_month_above() -> None:
    found = {
        (str(part.series), part.period): part.rows.column("open_ts").to_pylist()
        for part in split(rows_to_table(MIXED))
    }

    assert found == {
        ("Binance ETHUSDT 1m", "2024-01-15"): [utc("2024-01-15 10:00")],
        ("Binance BTCUSDT 1m", "2024-01-15"): [utc("2024-01-15 23:59"), utc("2024-01-15")],
        ("Binance BTCUSDT 1m", "2024-01-16"): [utc("2024-01-16")],
        ("Binance BTCUSDT 4h", "2024-01"): [utc("2024-01-31 20:00")],
        ("Binance BTCUSDT 4h", "2024-02"): [utc("2024-02-01")],
        ("Kraken BTCUSDT 1m", "2024-01-15"): [utc("2024-01-15 10:00")],
    }


def test_a_table_in_several_chunks_is_split_like_one() -> None:
    whole = rows_to_table(MIXED)
    chunked = pa.concat_tables([whole.slice(0, 3), whole.slice(3)])

    assert [part.rows.num_rows for part in split(chunked)] == [
        part.rows.num_rows for part in split(whole)
    ]


def test_no_rows_have_no_partition() -> None:
    assert list(split(rows_to_table([]))) == []
