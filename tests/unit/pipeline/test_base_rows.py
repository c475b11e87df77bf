from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from streamforge_core.errors import ConfigError
from streamforge_core.model.columns import KLINE_SCHEMA, records_to_table
from streamforge_core.model.kline import Kline
from streamforge_core.pipeline.base_rows import BaseRows, series_tables
from tests.support.builders import MINUTE, START, a_candle, a_minute, a_record, a_table


def rows_of(table: pa.Table) -> BaseRows:
    return BaseRows(table, "1m", bucket_intervals=5)


def closes(table: pa.Table) -> object:
    return rows_of(table).block(0, len(rows_of(table)), 5).close.tolist()


def names(table: pa.Table) -> list[tuple[object, ...]]:
    return [
        (part.source, part.symbol, part.timeframe, part.rows.column("close").to_pylist())
        for part in series_tables(table)
    ]


def with_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:  # type: ignore[type-arg]  # any
    return table.set_column(table.column_names.index(name), name, values)


def test_a_table_of_one_series_is_taken_as_it_is() -> None:
    assert names(a_table([a_minute(0, close=1.0), a_minute(1, close=2.0)])) == [
        ("Binance", "BTCUSDT", "1m", [1.0, 2.0])
    ]


def test_several_series_are_told_apart_wherever_their_rows_lie() -> None:
    klines = [
        a_minute(0, close=1.0, symbol="ETHUSDT"),
        a_minute(0, close=2.0, source="Kraken"),
        a_minute(1, close=3.0, symbol="ETHUSDT"),
        a_candle(START, "5m", close=4.0, symbol="SOLUSDT"),
        a_minute(0, close=5.0),
        a_minute(0, close=6.0, source=None),
    ]

    assert names(a_table(klines)) == [
        (None, "BTCUSDT", "1m", [6.0]),
        ("Binance", "BTCUSDT", "1m", [5.0]),
        ("Binance", "ETHUSDT", "1m", [1.0, 3.0]),
        ("Binance", "SOLUSDT", "5m", [4.0]),
        ("Kraken", "BTCUSDT", "1m", [2.0]),
    ]


def test_chunks_of_different_series_are_told_apart() -> None:
    table = pa.concat_tables([a_table([a_minute(0)]), a_table([a_minute(0, symbol="ETHUSDT")])])

    assert [part.symbol for part in series_tables(table)] == ["BTCUSDT", "ETHUSDT"]


def test_an_empty_table_holds_no_series() -> None:
    assert list(series_tables(KLINE_SCHEMA.empty_table())) == []


def test_a_table_that_is_not_of_candles_is_refused() -> None:
    with pytest.raises(ConfigError, match="it lacks open_ts, volume"):
        list(series_tables(a_table([a_minute(0)]).drop_columns(["open_ts", "volume"])))


def test_rows_are_sorted() -> None:
    table = a_table([a_minute(index, close=float(index)) for index in (2, 0, 1)])

    assert closes(table) == [0.0, 1.0, 2.0]


def test_a_descending_table_is_sorted_too() -> None:
    table = a_table([a_minute(index, close=float(index)) for index in (2, 1, 0)])

    assert closes(table) == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("closed", "expected"),
    [
        ([True, True], 2.0),
        ([True, False], 1.0),
        ([False, True], 2.0),
        ([False, False], 2.0),
        ([None, False], 1.0),
        ([True, None], 2.0),
    ],
)
def test_of_two_rows_with_one_open_the_closed_one_counts_then_the_last(
    closed: list[bool | None], expected: float
) -> None:
    twice = [
        a_minute(0, close=close, is_closed=flag)
        for close, flag in zip((1.0, 2.0), closed, strict=True)
    ]

    assert closes(a_table([*twice, a_minute(1, close=9.0)])) == [expected, 9.0]


def test_filled_candles_are_left_out() -> None:
    records = [a_record(0), a_record(1, provenance="filled"), a_record(2, provenance="rest")]

    assert rows_of(records_to_table(records)).opens.tolist() == [START, START + 2 * MINUTE]
    assert len(rows_of(records_to_table(records[1:2]))) == 0
    assert len(rows_of(records_to_table(records[:1]))) == 1


def test_an_open_off_the_grid_belongs_to_the_interval_that_holds_it() -> None:
    table = a_table([a_minute(0), a_candle(START + 14_788), a_candle(START + 90_000)])

    rows = rows_of(table)

    assert rows.opens.tolist() == [START, START + 14_788, START + 90_000]
    assert rows.intervals.tolist() == [START, START, START + MINUTE]
    filled = rows.block(0, 3, 3).filled
    assert filled is not None
    assert filled.tolist() == [1, 0, 1]


def test_rows_off_the_grid_that_share_no_interval_fill_one_each() -> None:
    rows = rows_of(a_table([a_candle(START + index * MINUTE + 788) for index in range(3)]))

    assert rows.intervals.tolist() == [START, START + MINUTE, START + 2 * MINUTE]
    assert rows.block(0, 3, 3).filled is None


def test_forming_rows_are_flagged_and_unknown_counts_as_closed() -> None:
    klines = [a_minute(index, is_closed=flag) for index, flag in enumerate([True, None, False])]

    forming = rows_of(a_table(klines)).block(0, 3, 3).forming

    assert forming is not None
    assert forming.tolist() == [False, False, True]


@pytest.mark.parametrize("flags", [[True, True], [None, None], [True, None]])
def test_without_forming_rows_there_is_no_flag(flags: list[bool | None]) -> None:
    klines = [a_minute(index, is_closed=flag) for index, flag in enumerate(flags)]

    assert rows_of(a_table(klines)).block(0, 2, 2).forming is None


def test_a_table_may_lack_what_a_source_may_not_tell() -> None:
    table = a_table([a_minute(0)]).drop_columns(["quote_volume", "vwap", "n_trades", "is_closed"])

    rows = rows_of(table)

    block = rows.block(0, 1, 1)
    assert (rows.quote, block.quote.total, block.trades.total, block.forming) == (None,) * 4


def test_unknown_numbers_are_missing_where_something_traded_and_silent_elsewhere() -> None:
    klines = [
        a_minute(0, quote_volume=5.0, n_trades=2),
        a_minute(1),
        a_minute(2, volume=0.0),
    ]

    block = rows_of(a_table(klines)).block(0, 3, 3)

    for part in (block.quote, block.trades):
        assert part.missing is not None
        assert part.silent is not None
        assert part.missing.tolist() == [False, True, False]
        assert part.silent.tolist() == [False, True, True]
    assert block.trades.total is not None
    assert block.trades.total.tolist() == [2, 0, 0]


def test_nan_tells_as_little_as_null() -> None:
    klines = [a_minute(index, quote_volume=5.0, vwap=5.0) for index in range(2)]
    table = with_column(a_table(klines), "quote_volume", pa.array([5.0, float("nan")]))

    missing = rows_of(table).block(0, 2, 2).quote.missing

    assert missing is not None
    assert missing.tolist() == [False, True]


@pytest.mark.parametrize(
    ("klines", "sums", "told"),
    [
        ([{"vwap": 100.0}, {"vwap": 200.0, "volume": 9.0}], [1_900.0], [True]),
        ([{"vwap": 100.0}, {}], [100.0], [False]),
        ([{"vwap": 100.0, "quote_volume": 7.0}, {"vwap": 200.0}], [200.0], [True]),
        ([{"quote_volume": 7.0}, {}], [0.0], [False]),
        ([{"quote_volume": 7.0}, {"quote_volume": 8.0}], [0.0], [True]),
        ([{"vwap": 100.0}, {"volume": 0.0}], [100.0], [True]),
    ],
)
def test_prices_of_rows_without_quote_volume_are_weighted(
    klines: list[dict[str, Any]], sums: list[float], told: list[bool]
) -> None:
    rows = rows_of(a_table([a_minute(index, **values) for index, values in enumerate(klines)]))

    products, known = rows.products_between(np.array([0]), np.array([2]))

    assert (products.tolist(), known.tolist()) == (sums, told)


def test_opens_must_be_integers_in_every_row() -> None:
    table = a_table([a_minute(0), a_minute(1)])

    with pytest.raises(ConfigError, match="it is double with 0 nulls"):
        rows_of(with_column(table, "open_ts", pa.array([0.0, 1.0])))
    with pytest.raises(ConfigError, match="it is int64 with 1 nulls"):
        rows_of(with_column(table, "open_ts", pa.array([0, None])))


def test_smaller_number_types_are_widened() -> None:
    table = with_column(a_table([a_minute(0, close=2.0)]), "close", pa.array([2], pa.int32()))

    assert closes(table) == [2.0]


def test_all_fields_come_from_the_table() -> None:
    kline = Kline(
        source="OKX",
        symbol="BTC-USDT",
        timeframe="1m",
        open_ts=START,
        end_ts=START + MINUTE - 1,
        open=2.0,
        high=4.0,
        low=1.0,
        close=3.0,
        volume=0.5,
        quote_volume=1.25,
        n_trades=7,
    )

    block = rows_of(a_table([kline])).block(0, 1, 1)

    prices = (block.open[0], block.high[0], block.low[0], block.close[0])
    assert prices == (2.0, 4.0, 1.0, 3.0)
    assert block.untraded is None
    assert block.volume.tolist() == [5]
    assert block.quote.total is not None
    assert block.quote.total.tolist() == [125]
