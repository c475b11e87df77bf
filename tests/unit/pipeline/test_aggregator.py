from collections.abc import Iterable
from typing import Any

import pytest

from streamforge_core.errors import ConfigError, UnknownTimeframe
from streamforge_core.model.columns import table_to_klines
from streamforge_core.model.kline import Kline, Record, Series
from streamforge_core.pipeline.aggregator import Aggregator, Folded, Stale, aggregate, warm_from
from tests.support.builders import (
    MINUTE,
    SERIES,
    START,
    a_candle,
    a_hole,
    a_minute,
    a_quiet_minute,
    a_record,
    ts,
)
from tests.support.market_data import binance_day, kraken_csv, thin_pair

OHLC = ("open", "high", "low", "close")


def fed(aggregator: Aggregator, minutes: Iterable[int], **values: Any) -> list[str]:  # noqa: ANN401 - any field
    """Feed minutes; return what comes, as `told` writes it."""
    return told(item for minute in minutes for item in aggregator.fold(a_record(minute, **values)))


def told(folded: Iterable[Folded]) -> list[str]:
    """Write "5m@0" for a candle, "5m@0?" for an incomplete one, "5m@0!" for a stale one."""
    return [
        f"{item.timeframe}@{(item.open_ts - START) // MINUTE}"
        + ("!" if isinstance(item, Stale) else "" if item.is_complete else "?")
        for item in folded
    ]


def an_aggregator(*targets: str, **options: Any) -> Aggregator:  # noqa: ANN401 - as it takes them
    return Aggregator(SERIES, targets or ["5m"], **options)


# In order


def test_a_candle_comes_with_its_last_minute() -> None:
    aggregator = an_aggregator()

    assert fed(aggregator, range(4)) == []
    assert fed(aggregator, [4]) == ["5m@0"]


def test_what_comes_is_the_whole_candle() -> None:
    aggregator = an_aggregator()
    closes, volumes = [3.0, 5.0, 2.0, 4.0, 9.0], [0.1, 0.2, 0.25, 0.125, 0.0]
    records = [
        a_record(
            index, close=close, volume=volume, quote_volume=volume * 4, n_trades=2, seen_ts=index
        )
        for index, (close, volume) in enumerate(zip(closes, volumes, strict=True))
    ]

    *_, (candle,) = map(aggregator.fold, records)

    assert candle == Record(
        source="Binance",
        symbol="BTCUSDT",
        timeframe="5m",
        open_ts=START,
        end_ts=START + 299_999,
        open=3.0,
        high=5.0,
        low=2.0,
        close=4.0,
        volume=0.675,
        quote_volume=2.7,
        vwap=4.0,
        n_trades=10,
        is_closed=True,
        provenance="aggregated",
        seen_ts=4,
    )


def test_candles_that_end_together_come_by_timeframe_whatever_the_order_asked() -> None:
    aggregator = an_aggregator("1h", "3m", "15m", "5m")

    came = fed(aggregator, range(60))

    assert came[:9] == ["3m@0", "5m@0", "3m@3", "3m@6", "5m@5", "3m@9", "3m@12", "5m@10", "15m@0"]
    assert came[-4:] == ["3m@57", "5m@55", "15m@45", "1h@0"]


def test_the_candle_running_at_the_start_is_withheld() -> None:
    aggregator = an_aggregator("5m", "15m")

    assert fed(aggregator, range(2, 30)) == ["5m@5", "5m@10", "5m@15", "5m@20", "5m@25", "15m@15"]
    assert aggregator.waiting() == [("5m", START), ("15m", START)]


def test_fed_from_its_open_the_running_candle_is_whole() -> None:
    aggregator = an_aggregator("15m")

    assert fed(aggregator, range(15)) == ["15m@0"]
    assert aggregator.waiting() == []


def test_sums_stay_exact_when_longer_numbers_arrive() -> None:
    aggregator = an_aggregator("5m", "15m")
    volumes = [8023.1, 157.7, 499.8, 0.0, 2059.3] * 2 + [0.1, 0.25, 0.125, 82304004.7001039, 1.0]
    out = [
        item
        for index, volume in enumerate(volumes)
        for item in aggregator.fold(a_record(index, volume=volume, quote_volume=volume / 2))
    ]

    sums = [(item.volume, item.quote_volume) for item in out if isinstance(item, Record)]

    assert sums == [
        (10739.9, 5369.95),
        (10739.9, 5369.95),
        (82304006.1751039, 41152003.08755195),
        (82325485.9751039, 41162742.98755195),
    ]


def test_a_base_without_targets_gives_nothing() -> None:
    aggregator = Aggregator(SERIES, [])

    assert fed(aggregator, [0, 1, 7]) == []
    assert aggregator.flush() == []


# What is missing


def test_a_missing_minute_withholds_every_candle_that_holds_it() -> None:
    aggregator = an_aggregator("5m", "15m")

    assert fed(aggregator, [0, 1, 2, 3, 4, 5, 6, 8, 9, *range(10, 30)]) == [
        "5m@0",
        "5m@10",
        "5m@15",
        "5m@20",
        "5m@25",
        "15m@15",
    ]


def test_a_late_minute_completes_what_waited_for_it() -> None:
    aggregator = an_aggregator("5m", "15m")
    fed(aggregator, [0, 1, 2, 3, 4, 5, 6, 8, 9, *range(10, 20)])

    assert fed(aggregator, [7]) == ["5m@5", "15m@0"]


def test_a_late_minute_counts_where_it_belongs() -> None:
    aggregator = an_aggregator()
    for minute in (1, 4, 2):
        aggregator.fold(a_record(minute, close=float(minute)))
    aggregator.fold(a_record(0, close=7.0))

    (candle,) = aggregator.fold(a_record(3, close=3.0))

    assert isinstance(candle, Record)
    assert [getattr(candle, name) for name in OHLC] == [7.0, 7.0, 1.0, 4.0]


def test_a_bucket_that_was_skipped_whole_can_be_filled_later() -> None:
    aggregator = an_aggregator("5m", "15m")
    fed(aggregator, [*range(5), *range(10, 20)])

    assert fed(aggregator, range(5, 10)) == ["5m@5", "15m@0"]


@pytest.mark.parametrize("after", [[], [4], [4, 5, 6]])
def test_a_final_verdict_completes_what_waited_for_it(after: list[int]) -> None:
    aggregator = an_aggregator()
    fed(aggregator, [0, 1, *after])
    last = 3 if after else 4

    assert told(aggregator.resolve(a_hole(2, last))) == ["5m@0"]


def test_a_verdict_that_is_not_final_completes_nothing() -> None:
    aggregator = an_aggregator()
    fed(aggregator, [0, 1, 4, 5])

    assert aggregator.resolve(a_hole(2, 3, "pending")) == []
    assert aggregator.resolve(a_hole(2, 3, provisional=True)) == []


def test_a_stretch_proven_empty_gives_no_candle_and_completes_the_hour() -> None:
    aggregator = an_aggregator("5m", "15m", "1h")
    fed(aggregator, [*range(13), *range(28, 60)])

    assert told(aggregator.resolve(a_hole(13, 27))) == ["5m@10", "15m@0", "5m@25", "15m@15", "1h@0"]


def test_a_verdict_known_beforehand_works_when_time_gets_there() -> None:
    aggregator = an_aggregator(holes=[a_hole(-9, 1), a_hole(7, 8)])

    assert fed(aggregator, [2, 3, 4]) == ["5m@0"]
    assert fed(aggregator, [5, 6, 9]) == ["5m@5"]


def test_a_verdict_before_the_first_record_is_kept() -> None:
    aggregator = an_aggregator()

    assert aggregator.resolve(a_hole(0, 1)) == []
    assert fed(aggregator, [2, 3, 4]) == ["5m@0"]


def test_a_verdict_that_reaches_ahead_works_now_and_later() -> None:
    aggregator = an_aggregator("5m", "15m")
    fed(aggregator, range(4))

    assert told(aggregator.resolve(a_hole(4, 11))) == ["5m@0"]
    assert fed(aggregator, [12, 13, 14]) == ["5m@10", "15m@0"]


def test_a_source_that_omits_quiet_minutes_proves_them_with_the_next() -> None:
    aggregator = an_aggregator("5m", "15m", absent="no_trades")

    assert fed(aggregator, [2, 3]) == []
    assert fed(aggregator, [11]) == ["5m@0"]
    assert fed(aggregator, [14]) == ["5m@10", "15m@0"]


# What is wrong or too late


def test_a_record_for_a_candle_that_was_sent_makes_it_stale() -> None:
    aggregator = an_aggregator("5m", "15m")
    fed(aggregator, range(15))

    out = aggregator.fold(a_record(7))

    assert out == [
        Stale(Series("Binance", "BTCUSDT", "5m"), START + 5 * MINUTE, START + 10 * MINUTE - 1),
        Stale(Series("Binance", "BTCUSDT", "15m"), START, START + 15 * MINUTE - 1),
    ]


def test_what_is_still_running_becomes_stale_at_its_end() -> None:
    aggregator = an_aggregator("5m", "15m", "1h")
    fed(aggregator, range(7))

    assert fed(aggregator, [2]) == ["5m@0!"]
    assert fed(aggregator, range(7, 15)) == ["5m@5", "5m@10", "15m@0!"]
    assert fed(aggregator, range(15, 60))[-3:] == ["5m@55", "15m@45", "1h@0!"]


def test_a_correction_inside_the_running_candle_makes_it_stale_at_its_end() -> None:
    aggregator = an_aggregator("5m", "15m")
    fed(aggregator, range(3))

    assert fed(aggregator, [1]) == []
    assert fed(aggregator, [3, 4]) == ["5m@0!"]
    assert fed(aggregator, range(5, 15))[-1] == "15m@0!"
    assert fed(aggregator, range(15, 30))[-1] == "15m@15"


def test_a_record_where_a_verdict_said_nothing_exists_makes_the_candle_stale() -> None:
    aggregator = an_aggregator()
    fed(aggregator, [0, 1, 3, 5])
    aggregator.resolve(a_hole(2, 2))

    assert fed(aggregator, [2, 4]) == ["5m@0!"]


def test_the_oldest_of_too_many_waiting_candles_becomes_stale() -> None:
    aggregator = an_aggregator("5m", "1h", max_waiting=2)

    assert fed(aggregator, [0, 5, 10, 15, 20, 25]) == ["5m@0!", "5m@5!"]
    assert [(open_ts - START) // MINUTE for _, open_ts in aggregator.waiting()] == [
        10,
        15,
        20,
        25,
        0,
    ]
    assert fed(aggregator, [0]) == ["5m@0!"]


def test_a_part_that_completes_after_its_candle_was_given_up_makes_it_stale_again() -> None:
    aggregator = an_aggregator("5m", "15m", max_waiting=1)
    fed(aggregator, range(4))

    assert fed(aggregator, range(15, 20)) == ["5m@15"]
    assert fed(aggregator, range(30, 35)) == ["5m@30"]
    assert fed(aggregator, range(45, 50)) == ["15m@0!", "5m@45"]
    assert fed(aggregator, [4]) == ["5m@0", "15m@0!"]


def test_a_row_that_is_not_closed_leaves_its_candle_incomplete() -> None:
    aggregator = an_aggregator(emit_incomplete=True)
    fed(aggregator, range(4))

    assert fed(aggregator, [4], is_closed=False) == []
    assert told(aggregator.flush()) == ["5m@0?"]


# Incomplete candles on request


def test_incomplete_candles_are_sent_once_when_time_has_passed_them() -> None:
    aggregator = an_aggregator("5m", "15m", emit_incomplete=True)

    assert fed(aggregator, [2, 3, 4]) == []
    assert fed(aggregator, [5]) == ["5m@0?"]
    assert fed(aggregator, range(6, 16)) == ["5m@5", "5m@10", "15m@0?"]
    assert told(aggregator.flush()) == ["5m@15?", "15m@15?"]
    assert aggregator.flush() == []


def test_an_incomplete_candle_holds_what_its_unfinished_parts_have() -> None:
    aggregator = an_aggregator("5m", "15m", emit_incomplete=True)
    for minute in (0, 2, *range(5, 10), 11):
        aggregator.fold(a_record(minute, close=float(minute), seen_ts=minute))

    quarter = aggregator.flush()[-1]

    assert isinstance(quarter, Record)
    assert (quarter.is_complete, quarter.is_closed, quarter.seen_ts) == (False, False, 11)
    assert [getattr(quarter, name) for name in OHLC] == [0.0, 11.0, 0.0, 11.0]
    assert quarter.volume == 8.0


def test_the_whole_candle_follows_an_incomplete_one() -> None:
    aggregator = an_aggregator(emit_incomplete=True)

    assert fed(aggregator, [0, 1, 2, 3, 5, 4]) == ["5m@0?", "5m@0"]


def test_what_a_correction_has_made_wrong_is_not_sent_at_all() -> None:
    aggregator = an_aggregator("5m", "15m", emit_incomplete=True)
    fed(aggregator, [0, 1, 1, 2])

    assert fed(aggregator, [5]) == []
    assert told(aggregator.flush()) == ["5m@5?"]


def test_an_unfinished_candle_without_rows_is_not_sent() -> None:
    aggregator = an_aggregator("5m", holes=[a_hole(0, 2)], emit_incomplete=True)

    assert fed(aggregator, [6]) == []
    assert told(aggregator.flush()) == ["5m@5?"]


# Warm start


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ([], "2024-01-17"),
        (["5m", "1d"], "2024-01-17"),
        (["1w", "5m"], "2024-01-15"),
        (["1M", "1w"], "2024-01-01"),
    ],
)
def test_a_warm_start_reads_from_midnight_or_the_earliest_running_candle(
    targets: list[str], expected: str
) -> None:
    assert warm_from(ts("2024-01-17 10:33"), targets) == ts(expected)


# aggregate: candles in, candles out


def keys(klines: Iterable[Kline]) -> list[str]:
    return [f"{k.symbol} {k.timeframe}@{(k.open_ts - START) // MINUTE}" for k in klines]


def test_interleaved_series_are_folded_each_for_itself() -> None:
    mixed = [a_minute(i, symbol=symbol) for i in range(6) for symbol in ("A", "B")]

    assert keys(aggregate(mixed, "5m")) == ["A 5m@0", "B 5m@0"]


def test_candles_come_while_the_input_goes_on() -> None:
    source = iter([a_minute(index) for index in range(7)])

    first = next(aggregate(source, ["5m"]))

    assert (first.open_ts, first.is_closed) == (START, True)
    assert next(source).open_ts == START + 6 * MINUTE


def test_a_source_that_is_not_told_stays_untold() -> None:
    (candle,) = aggregate([a_minute(index, source=None) for index in range(5)], "5m")

    assert candle.source is None
    assert candle == Kline(**candle.model_dump())


@pytest.mark.parametrize(
    ("closed", "expected"),
    [([False, True], 2.0), ([True, False], 1.0), ([True, True], 2.0), ([None, False], 1.0)],
)
def test_of_two_rows_with_one_open_the_closed_one_counts_then_the_last(
    closed: list[bool | None], expected: float
) -> None:
    twice = [
        a_minute(4, close=close, is_closed=flag)
        for close, flag in zip((1.0, 2.0), closed, strict=True)
    ]

    (candle,) = aggregate([*map(a_minute, range(4)), *twice], "5m")

    assert (candle.close, candle.volume, candle.is_closed) == (expected, 5.0, True)


def test_rows_off_the_grid_that_share_an_interval_are_folded_together() -> None:
    last = [a_candle(START + 4 * MINUTE + shift, close=9.0 + shift) for shift in (0, 1)]

    (candle,) = aggregate([*map(a_minute, range(4)), *last], "5m")

    assert (candle.close, candle.volume) == (10.0, 6.0)


def test_a_late_row_is_folded_in_while_its_candle_waits() -> None:
    rows = [a_minute(index) for index in (0, 1, 3, 4, 5, 2)]

    assert keys(aggregate(rows, "5m")) == ["BTCUSDT 5m@0"]


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4, 5, 2), (0, 1, 2, 3, 1, 4)])
def test_a_row_too_late_to_be_right_is_refused(order: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="ascending order, or use rollup"):
        list(aggregate(map(a_minute, order), "5m"))


def test_each_series_may_have_its_own_holes() -> None:
    rows = [a_minute(i, symbol=symbol) for symbol in ("BTCUSDT", "X") for i in (0, 1, 2, 3)]

    assert keys(aggregate(rows, "5m", holes={SERIES: [a_hole(4, 4)]})) == ["BTCUSDT 5m@0"]


def test_what_cannot_be_asked_is_refused_before_the_first_row() -> None:
    with pytest.raises(UnknownTimeframe):
        aggregate([], "7m")
    with pytest.raises(ConfigError, match="absent='maybe'"):
        aggregate([], "5m", absent="maybe")  # type: ignore[arg-type]  # the mistake under test


def test_a_target_or_a_second_base_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="3d candles cannot be aggregated from 1m"):
        list(aggregate([a_minute(0)], "3d"))
    with pytest.raises(ConfigError, match="in 1m and in 5m"):
        list(aggregate([a_minute(0), a_candle(START, "5m")], "1h"))


def test_a_quiet_bucket_is_flat() -> None:
    (candle,) = aggregate([a_quiet_minute(index, 3.0) for index in range(5)], "5m")

    assert [getattr(candle, name) for name in OHLC] == [3.0] * 4
    assert (candle.volume, candle.vwap) == (0.0, None)


# What the exchanges print themselves


def test_a_thin_pair_folds_into_the_exchanges_own_candles() -> None:
    ours = {
        (kline.timeframe, kline.open_ts): kline
        for kline in aggregate(table_to_klines(thin_pair("1m")), ["5m", "15m", "1h"])
    }

    for target, buckets in (("5m", 8_639), ("15m", 2_878), ("1h", 718)):
        theirs = [
            kline for kline in table_to_klines(thin_pair(target)) if (target, kline.open_ts) in ours
        ]
        assert len(theirs) == buckets
        for kline in theirs:
            own = ours[target, kline.open_ts]
            assert (own.open, own.high, own.low, own.close, own.volume) == (
                kline.open,
                kline.high,
                kline.low,
                kline.close,
                round(kline.volume, 1),
            )


def test_krakens_hours_fold_into_its_own_days() -> None:
    hours = table_to_klines(kraken_csv(60))
    ours = list(aggregate(hours, "1d", absent="no_trades"))

    for own, kline in zip(ours, table_to_klines(kraken_csv(1440)), strict=True):
        assert (own.open_ts, own.open, own.high, own.low, own.close, own.n_trades) == (
            kline.open_ts,
            kline.open,
            kline.high,
            kline.low,
            kline.close,
            kline.n_trades,
        )
        assert round(own.volume, 8) == round(kline.volume, 8)
    assert len(ours) == 2_722


def test_an_outage_judged_while_the_stream_goes_on_completes_its_hours() -> None:
    aggregator = Aggregator(SERIES, ["1h"])
    records = [Record.from_kline(kline) for kline in table_to_klines(binance_day("2023-03-24"))]
    hours = [item for record in records for item in aggregator.fold(record)]
    assert len(hours) == 22

    (noon,) = aggregator.resolve(
        a_hole(0, 0).of(
            {
                "first_open_ts": ts("2023-03-24 12:40"),
                "last_open_ts": ts("2023-03-24 13:59"),
                "verdict": "exchange_outage",
            }
        )
    )

    assert isinstance(noon, Record)
    assert (noon.open_ts, noon.close, noon.volume) == (ts("2023-03-24 12:00"), 28080.0, 0.0)
    assert aggregator.waiting() == []
