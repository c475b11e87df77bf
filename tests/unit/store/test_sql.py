from pathlib import Path

import pyarrow.parquet as pq
import pytest

from streamforge_core.emitters.parquet import ParquetEmitter
from streamforge_core.model.columns import RECORD_SCHEMA, records_to_table
from streamforge_core.model.kline import Record
from streamforge_core.model.partition import partition_path
from streamforge_core.store import Store
from tests.support.builders import SERIES, START, a_candle, a_record, ts


def stored(path: Path, *rows: Record) -> Store:
    with ParquetEmitter(path) as emitter:
        emitter.emit_records(rows)
    return Store(path)


def test_sql_sees_every_series_and_every_layout(tmp_path: Path) -> None:
    store = stored(
        tmp_path,
        a_record(0, close=1.0),
        a_record(1_440, close=2.0),
        Record.from_kline(a_candle(ts("2024-01-01"), "1M", close=3.0)),
        Record.from_kline(a_candle(START, source="Kraken", symbol="XBT/USD", close=4.0)),
    )

    table = store.sql(
        "select symbol, timeframe, sum(close) s from klines group by all order by all"
    )

    assert table.to_pylist() == [
        {"symbol": "BTCUSDT", "timeframe": "1M", "s": 3.0},
        {"symbol": "BTCUSDT", "timeframe": "1m", "s": 3.0},
        {"symbol": "XBT/USD", "timeframe": "1m", "s": 4.0},
    ]


def test_the_view_has_the_columns_of_a_record(tmp_path: Path) -> None:
    store = stored(tmp_path, a_record(0, seen_ts=4, is_closed=False))

    table = store.sql("select * from klines")

    assert table.column_names == RECORD_SCHEMA.names
    assert table.column("seen_ts").to_pylist() == [4]


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        ("select close from klines where symbol = ? and open_ts >= ?", ["BTCUSDT", START]),
        ("select close from klines where symbol = $symbol", {"symbol": "BTCUSDT"}),
    ],
)
def test_values_are_bound(
    tmp_path: Path, query: str, parameters: list[object] | dict[str, object]
) -> None:
    store = stored(tmp_path, a_record(0, close=7.0), a_record(0, symbol="it's; drop", close=8.0))

    assert store.sql(query, parameters).to_pylist() == [{"close": 7.0}]
    assert store.sql("select close from klines where symbol = ?", ["it's; drop"]).to_pylist() == [
        {"close": 8.0}
    ]


def test_an_empty_store_is_an_empty_view(tmp_path: Path) -> None:
    for store in (Store(tmp_path), Store(tmp_path / "nowhere")):
        table = store.sql("select * from klines")

        assert (table.num_rows, table.column_names) == (0, RECORD_SCHEMA.names)


def test_a_transformers_columns_come_after_ours_and_are_null_elsewhere(tmp_path: Path) -> None:
    stored(tmp_path, a_record(0))
    with ParquetEmitter(tmp_path).set_transformer(lambda row: {**row, "note": "x"}) as emitter:
        emitter.emit_records([a_record(1_440)])

    table = Store(tmp_path).sql("select open_ts, note from klines order by open_ts")

    assert table.column("note").to_pylist() == [None, "x"]


def test_a_candle_in_a_month_and_in_its_day_is_one_row(tmp_path: Path) -> None:
    stored(tmp_path, a_record(0, close=2.0, seen_ts=2), a_record(1, is_closed=False, seen_ts=9))
    month = tmp_path / partition_path(SERIES, "2024-01")
    month.parent.mkdir()
    rows = [a_record(0, close=1.0, seen_ts=1), a_record(1, close=3.0, seen_ts=3)]
    pq.write_table(records_to_table(rows), month)

    table = Store(tmp_path).sql("select close, is_closed from klines order by open_ts")

    assert table.to_pylist() == [
        {"close": 2.0, "is_closed": True},
        {"close": 3.0, "is_closed": True},
    ]


def test_days_of_a_month_without_a_month_file_are_not_judged_twice(tmp_path: Path) -> None:
    store = stored(
        tmp_path,
        a_record(0),
        a_record(1_440),
        Record.from_kline(a_candle(ts("2024-01-01"), "1d")),
    )

    assert store.sql("select count(*) n from klines").to_pylist() == [{"n": 3}]


def test_a_path_with_quotes_and_stars_is_a_path(tmp_path: Path) -> None:
    store = stored(tmp_path / "it's [a] store*", a_record(0))

    assert store.sql("select count(*) n from klines").to_pylist() == [{"n": 1}]


def test_a_statement_without_rows_gives_an_empty_table(tmp_path: Path) -> None:
    assert Store(tmp_path).sql("create table t (x int)").num_rows == 0
