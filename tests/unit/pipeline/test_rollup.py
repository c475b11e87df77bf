from typing import Any

import pyarrow as pa
import pytest

from streamforge_core.errors import ConfigError, UnknownTimeframe
from streamforge_core.model.columns import KLINE_SCHEMA, as_records, instants
from streamforge_core.model.gap import Hole
from streamforge_core.model.kline import Kline, Series
from streamforge_core.pipeline import fold
from streamforge_core.pipeline.rollup import rollup
from tests.support.builders import (
    MINUTE,
    SERIES,
    START,
    a_candle,
    a_hole,
    a_minute,
    a_quiet_minute,
    a_table,
    folded,
    minutes_between,
    ts,
)
from tests.support.market_data import binance_day, kraken_csv, thin_pair

OHLC = ("open", "high", "low", "close")
OUTAGE = Hole(ts("2023-03-24 12:40"), ts("2023-03-24 13:59"), 80, verdict="exchange_outage")


def opens(table: pa.Table) -> list[int]:
    """Return opens as minutes after `START`."""
    return [(open_ts - START) // MINUTE for open_ts in instants(table).tolist()]


def five_minutes(*minutes: int, **options: Any) -> list[int]:  # noqa: ANN401 - as rollup takes them
    return opens(rollup(a_table(map(a_minute, minutes)), "5m", **options)["5m"])


def by_open(table: pa.Table) -> dict[int, dict[str, Any]]:
    return {row["open_ts"]: row for row in table.to_pylist()}


# Prices and sums


def test_only_traded_candles_make_prices() -> None:
    # ADABTC 2023-04-01 21:05, in units of 1e-5; the first minute did not trade.
    prices = [1.383, 1.384, 1.384, 1.384, 1.385]
    volumes = [0.0, 481.4, 19942.8, 14.1, 7689.6]
    lows = [1.383, 1.383, 1.384, 1.384, 1.385]
    minutes = [
        a_minute(index, close=price, low=low, volume=volume)
        for index, (price, low, volume) in enumerate(zip(prices, lows, volumes, strict=True))
    ]

    candle = folded(minutes, "5m")

    assert (candle.open, candle.high, candle.low, candle.close) == (1.384, 1.385, 1.383, 1.385)
    assert candle.volume == 28127.9


def test_without_trades_a_candle_is_flat_at_the_last_close() -> None:
    candle = folded([a_quiet_minute(index, 3.0) for index in range(5)], "5m")

    assert (candle.open, candle.high, candle.low, candle.close) == (3.0, 3.0, 3.0, 3.0)
    assert (candle.volume, candle.vwap, candle.is_closed) == (0.0, None, True)


def test_sums_are_exact_at_the_printed_precision() -> None:
    volumes = [8023.1, 157.7, 499.8, 0.0, 2059.3]

    candle = folded([a_minute(i, volume=volume) for i, volume in enumerate(volumes)], "5m")

    assert candle.volume == 10739.9


def test_a_longer_number_late_in_the_table_changes_no_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold, "BLOCK_ROWS", 5)
    volumes = [0.1, 0.2, 0.3, 0.4, 0.5, 0.125, 1.0, 1.0, 1.0, 1.0]
    minutes = [a_minute(index, volume=volume) for index, volume in enumerate(volumes)]

    table = rollup(a_table(minutes), "5m")["5m"]

    assert table.column("volume").to_pylist() == [1.5, 4.125]


def test_vwap_is_weighted_by_volume_not_averaged() -> None:
    quiet = a_minute(0, volume=1, quote_volume=100)
    busy = a_minute(1, volume=9, quote_volume=1_800)

    assert folded([quiet, busy], "5m").vwap == 190


def test_where_quotes_are_unknown_vwaps_are_weighted_and_no_quote_is_invented() -> None:
    quiet = a_minute(0, volume=1, vwap=100)
    busy = a_minute(1, volume=9, vwap=200)

    candle = folded([quiet, busy], "5m")

    assert (candle.vwap, candle.quote_volume) == (190, None)


def test_a_quote_told_by_one_row_joins_the_vwap_of_another() -> None:
    quoted = a_minute(0, volume=1, quote_volume=100)
    priced = a_minute(1, volume=9, vwap=200)

    candle = folded([quoted, priced], "5m")

    assert (candle.vwap, candle.quote_volume) == (190, None)


def test_a_traded_row_that_tells_nothing_leaves_the_sums_unknown() -> None:
    telling = a_minute(0, quote_volume=100, vwap=100, n_trades=4)

    candle = folded([telling, a_minute(1)], "5m")

    assert (candle.quote_volume, candle.vwap, candle.n_trades) == (None, None, None)


def test_an_untraded_row_that_tells_nothing_counts_as_zero() -> None:
    telling = a_minute(0, volume=2.0, quote_volume=100, n_trades=4)

    candle = folded([telling, a_quiet_minute(1)], "5m")

    assert (candle.quote_volume, candle.vwap, candle.n_trades) == (100, 50, 4)


def test_what_a_source_never_tells_stays_unknown_in_quiet_candles_too() -> None:
    candle = folded([a_quiet_minute(index) for index in range(5)], "5m")

    assert (candle.quote_volume, candle.n_trades) == (None, None)


def test_traded_dust_that_no_decimal_shows_has_no_vwap() -> None:
    candle = folded([a_minute(0, volume=1e-9, quote_volume=1.0)], "5m")

    assert (candle.volume, candle.vwap, candle.close) == (0.0, None, 100.0)


# Which candles are complete


def test_the_first_and_the_last_bucket_are_withheld_unless_they_are_full() -> None:
    assert five_minutes(*range(2, 13)) == [5]
    assert five_minutes(*range(15)) == [0, 5, 10]


def test_an_absent_minute_withholds_every_candle_that_holds_it() -> None:
    minutes = [a_minute(index) for index in range(60) if index != 7]

    tables = rollup(a_table(minutes), ["5m", "15m", "1h"])

    assert opens(tables["5m"]) == [0, *range(10, 60, 5)]
    assert opens(tables["15m"]) == [15, 30, 45]
    assert opens(tables["1h"]) == []


def test_incomplete_candles_are_sent_as_not_closed_when_asked_for() -> None:
    table = a_table([a_minute(index, close=float(index)) for index in (0, 1, 2, 3, 4, 5, 7)])

    rows = rollup(table, "5m", emit_incomplete=True)["5m"].to_pylist()

    assert [(row["is_closed"], row["open"], row["close"]) for row in rows] == [
        (True, 0.0, 4.0),
        (False, 5.0, 7.0),
    ]


@pytest.mark.parametrize("verdict", ["exchange_outage", "no_trades"])
def test_a_final_verdict_completes_what_nothing_can_fill(verdict: Any) -> None:  # noqa: ANN401 - a Verdict
    assert five_minutes(0, 1, 4, holes=[a_hole(2, 3, verdict)]) == [0]


@pytest.mark.parametrize(
    "hole",
    [
        a_hole(2, 3, "pending"),
        a_hole(2, 3, "our_loss"),
        a_hole(2, 3, "late"),
        a_hole(2, 3, provisional=True),
        a_hole(2, 2),
    ],
)
def test_anything_less_than_a_final_verdict_over_all_of_it_does_not(hole: Hole) -> None:
    assert five_minutes(0, 1, 4, holes=[hole]) == []


def test_a_verdict_completes_the_edges_of_the_data_too() -> None:
    assert five_minutes(2, 3, holes=[a_hole(-90, 1), a_hole(4, 500)]) == [0]


def test_a_verdict_over_a_row_that_exists_changes_nothing() -> None:
    assert five_minutes(0, 1, 4, holes=[a_hole(0, 2), a_hole(1, 1)]) == []


def test_where_no_row_exists_there_is_no_candle_whatever_the_verdict() -> None:
    table = a_table([a_minute(index) for index in range(60) if not 13 <= index <= 27])

    tables = rollup(table, ["5m", "15m", "1h"], holes=[a_hole(13, 27)])

    assert opens(tables["5m"]) == [0, 5, 10, *range(25, 60, 5)]
    assert opens(tables["15m"]) == [0, 15, 30, 45]
    assert opens(tables["1h"]) == [0]


def test_a_forming_row_withholds_its_candle() -> None:
    minutes = [*map(a_minute, range(9)), a_minute(9, is_closed=False)]

    assert opens(rollup(a_table(minutes), "5m")["5m"]) == [0]


def test_a_source_that_omits_quiet_intervals_is_known_up_to_its_last_row() -> None:
    assert five_minutes(1, 3, 7, absent="no_trades") == [0]
    assert five_minutes(1, 3, 9, absent="no_trades") == [0, 5]


def test_a_forming_row_proves_that_time_has_passed_what_lies_before_it() -> None:
    minutes = [a_minute(1), a_minute(6, is_closed=False)]

    assert opens(rollup(a_table(minutes), "5m", absent="no_trades")["5m"]) == [0]


def test_beyond_its_last_row_a_verdict_is_needed() -> None:
    assert five_minutes(1, 7, absent="no_trades", holes=[a_hole(8, 9, "no_trades")]) == [0, 5]
    assert five_minutes(1, 7, absent="no_trades", holes=[a_hole(9, 9, "no_trades")]) == [0]


def test_a_row_off_the_grid_fills_the_interval_that_holds_its_open() -> None:
    shifted = [a_candle(START + index * MINUTE + 14_788) for index in range(2, 5)]

    table = rollup(a_table([a_minute(0), a_minute(1), *shifted]), "5m")["5m"]

    assert opens(table) == [0]
    assert table.column("volume").to_pylist() == [5.0]


# Tables, targets and calendars


def test_the_order_of_the_targets_has_no_meaning() -> None:
    table = a_table([a_minute(index, volume=0.1 * (index % 7)) for index in range(1_440)])
    targets = ["1d", "5m", "4h", "15m", "1h", "3m"]

    given, ascending = rollup(table, targets), rollup(table, sorted(targets))

    assert list(given) == targets
    assert all(given[target].equals(ascending[target]) for target in targets)


def test_a_fold_of_folded_candles_equals_a_fold_of_the_base() -> None:
    table = a_table([a_minute(index, volume=index % 3 / 10) for index in range(120)])

    in_two = rollup(rollup(table, "5m")["5m"], "1h")["1h"]

    assert in_two.equals(rollup(table, "1h")["1h"])


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    days = [a_candle(START + index * 86_400_000, "1d") for index in range(-14, 60)]

    tables = rollup(a_table(days), ["1w", "1M"])

    weeks = [ts(f"2024-{day}") for day in ("01-01", "01-08", "01-15", "01-22", "01-29")]
    assert tables["1w"].column("open_ts").to_pylist()[:5] == weeks
    assert tables["1M"].column("open_ts").to_pylist() == [ts("2024-01-01"), ts("2024-02-01")]
    assert tables["1M"].column("end_ts").to_pylist()[1] == ts("2024-03-01") - 1
    assert tables["1M"].column("volume").to_pylist() == [31.0, 29.0]


def test_several_series_are_folded_each_for_itself() -> None:
    ours = [a_minute(index) for index in range(5)]
    theirs = [a_minute(index, source=None, symbol="X", volume=2.0) for index in range(5)]
    mixed = [kline for pair in zip(ours, theirs, strict=True) for kline in pair]

    table = rollup(a_table(mixed), "5m")["5m"]

    assert table.select(["source", "symbol", "volume"]).to_pylist() == [
        {"source": None, "symbol": "X", "volume": 10.0},
        {"source": "Binance", "symbol": "BTCUSDT", "volume": 5.0},
    ]


def test_each_series_may_have_its_own_holes() -> None:
    minutes = [a_minute(i, symbol=symbol) for symbol in ("BTCUSDT", "X") for i in (0, 1, 2, 3)]

    table = rollup(a_table(minutes), "5m", holes={SERIES: [a_hole(4, 4)]})["5m"]

    assert table.column("symbol").to_pylist() == ["BTCUSDT"]


def test_the_result_is_a_kline_table_and_the_input_may_be_more() -> None:
    plain = a_table([a_minute(index) for index in range(5)])
    records = as_records(plain).append_column("note", pa.nulls(5))

    table = rollup(pa.concat_tables([records.slice(0, 2), records.slice(2)]), "5m")["5m"]

    assert table.schema.equals(KLINE_SCHEMA)
    assert table.equals(rollup(plain, "5m")["5m"])


@pytest.mark.parametrize("count", [0, 1])
def test_an_empty_result_is_still_a_kline_table(count: int) -> None:
    table = rollup(a_table(map(a_minute, range(count))), ["5m"])["5m"]

    assert table.schema.equals(KLINE_SCHEMA)
    assert table.num_rows == 0


def test_a_table_of_nothing_but_filled_candles_makes_none() -> None:
    table = as_records(a_table([a_minute(0)]), provenance="filled")

    assert rollup(table, "5m", emit_incomplete=True)["5m"].num_rows == 0


def test_no_targets_give_no_tables() -> None:
    assert rollup(a_table([a_minute(0)]), []) == {}


@pytest.mark.parametrize("target", ["1m", "1s", "3d"])
def test_a_target_that_the_base_does_not_fill_is_refused(target: str) -> None:
    with pytest.raises(ConfigError, match="cannot be aggregated from 1m"):
        rollup(a_table([a_minute(0)]), target)


def test_what_cannot_be_asked_is_refused_even_of_an_empty_table() -> None:
    empty = KLINE_SCHEMA.empty_table()
    with pytest.raises(UnknownTimeframe):
        rollup(empty, "7m")
    with pytest.raises(ConfigError, match="absent='maybe'"):
        rollup(empty, "5m", absent="maybe")  # type: ignore[arg-type]  # the mistake under test


def test_a_symbol_in_two_bases_is_refused() -> None:
    table = a_table([a_minute(0), a_candle(START, "5m")])

    with pytest.raises(ConfigError, match="in 1m and in 5m"):
        rollup(table, "1h")


@pytest.mark.parametrize("name", ["open", "high", "low", "close"])
def test_a_price_that_is_none_is_refused(name: str) -> None:
    table = a_table([a_minute(0)])
    position = table.column_names.index(name)
    table = table.set_column(position, name, pa.array([None], pa.float64()))

    with pytest.raises(ConfigError, match=f"Column {name}"):
        rollup(table, "5m")


# What the exchanges print themselves


@pytest.mark.parametrize(("target", "buckets"), [("5m", 8_639), ("15m", 2_878), ("1h", 718)])
def test_a_thin_pair_folds_into_the_exchanges_own_candles(target: str, buckets: int) -> None:
    ours = by_open(rollup(thin_pair("1m"), ["1h", "15m", "5m"])[target])

    shared = [row for row in thin_pair(target).to_pylist() if row["open_ts"] in ours]
    wrong = [
        row
        for row in shared
        if any(ours[row["open_ts"]][name] != row[name] for name in OHLC)
        or ours[row["open_ts"]]["volume"] != round(row["volume"], 1)
    ]

    assert (len(shared), wrong) == (buckets, [])


def test_krakens_hours_fold_into_its_own_days() -> None:
    ours = rollup(kraken_csv(60), "1d", absent="no_trades")["1d"]
    theirs = kraken_csv(1440)

    assert ours.num_rows == 2_722
    for name in ("open_ts", "end_ts", *OHLC, "n_trades"):
        assert ours.column(name).equals(theirs.column(name)), name
    volumes = zip(*(t.column("volume").to_pylist() for t in (ours, theirs)), strict=True)
    assert [pair for pair in volumes if round(pair[0], 8) != round(pair[1], 8)] == []


HOURS_OF_THE_OUTAGE = {
    "11:00": (28039.71, 28091.03, 27963.84, 28080.0, 1267.41714, 25_083),
    "12:00": (28080.0, 28080.0, 28080.0, 28080.0, 0.0, 0),
    "14:00": (28079.99, 28253.01, 27835.0, 27989.06, 8983.24018, 144_497),
}


def test_the_hours_of_a_proven_outage_are_complete_and_the_empty_one_is_absent() -> None:
    hours = by_open(rollup(binance_day("2023-03-24"), "1h", holes=[OUTAGE])["1h"])

    for text, expected in HOURS_OF_THE_OUTAGE.items():
        hour = hours[ts(f"2023-03-24 {text}")]
        assert tuple(hour[name] for name in (*OHLC, "volume", "n_trades")) == expected
    assert hours[ts("2023-03-24 12:00")]["vwap"] is None
    assert ts("2023-03-24 13:00") not in hours
    assert len(hours) == 23


def test_an_outage_without_verdict_withholds_the_hour_that_it_cuts() -> None:
    hours = by_open(rollup(binance_day("2023-03-24"), "1h")["1h"])

    assert ts("2023-03-24 12:00") not in hours
    assert len(hours) == 22


def test_the_five_minutes_of_an_outage_are_absent_with_and_without_verdict() -> None:
    expected = [*minutes_between("2023-03-24", "2023-03-24 12:36")[::5]]
    expected += minutes_between("2023-03-24 14:00", "2023-03-25")[::5]

    for holes in ((), [OUTAGE]):
        table = rollup(binance_day("2023-03-24"), "5m", holes=holes)["5m"]
        assert table.column("open_ts").to_pylist() == expected
        last_before = by_open(table)[ts("2023-03-24 12:35")]
        assert [last_before[name] for name in OHLC] == [28080.0] * 4


def test_an_outage_across_days_leaves_what_was_traded() -> None:
    table = binance_day("2018-02-08", "2018-02-09", "2018-02-10", "2018-02-11")
    hole = Hole(ts("2018-02-08 00:29"), ts("2018-02-09 09:59"), 2_011, verdict="exchange_outage")

    hours = rollup(table, "1h", holes=[hole], emit_incomplete=True)["1h"].to_pylist()

    first, second = hours[:2]
    assert table.num_rows == 3_700
    assert (first["open_ts"], first["is_closed"]) == (ts("2018-02-08"), True)
    assert second["open_ts"] == ts("2018-02-09 10:00")
    day = minutes_between("2018-02-11", "2018-02-12")
    absent = set(day) - set(table.column("open_ts").to_pylist())
    cut = {minute // 3_600_000 * 3_600_000 for minute in absent}
    assert {row["open_ts"] for row in hours if not row["is_closed"]} >= cut
    assert len(absent) == 34


def test_a_single_candle_folds_into_itself() -> None:
    kline = a_minute(0, open=2.0, close=3.0, volume=4.0, quote_volume=10.0, n_trades=5)

    candle = folded([kline], "5m")

    assert candle == Kline(
        **(
            kline.model_dump()
            | {
                "timeframe": "5m",
                "end_ts": START + 299_999,
                "vwap": 2.5,
                "is_closed": False,
            }
        )
    )
    assert Series("Binance", "BTCUSDT", "5m") == Series(
        candle.source or "", candle.symbol, candle.timeframe
    )
