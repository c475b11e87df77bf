import itertools
from collections.abc import Iterable

import pytest

from streamforge_core.model.kline import Record
from streamforge_core.pipeline.bucket import Bucket, Scale
from tests.support.builders import MINUTE, SERIES, START, a_record


def a_scale(*values: float) -> Scale:
    scale = Scale()
    for value in values:
        scale.grow(value)
    return scale


def a_bucket(records: Iterable[Record], scale: Scale) -> Bucket:
    bucket = Bucket(START, START + 5 * MINUTE - 1, 5)
    for record in records:
        quote = 0 if record.quote_volume is None else scale.to_int(record.quote_volume)
        volume = scale.to_int(record.volume)
        assert volume is not None
        assert quote is not None
        bucket.add(record, volume, quote)
    return bucket


def candle(records: Iterable[Record]) -> Record:
    scale = a_scale(0.12345678)
    return a_bucket(records, scale).to_record(SERIES, scale, scale, is_complete=True)


def test_a_scale_takes_what_it_has_room_for_and_asks_for_the_rest() -> None:
    scale = a_scale(8023.1)

    assert scale.to_int(157.7) == 1577
    assert scale.to_int(157.75) is None
    assert scale.grow(157.75) == (15775, 10)
    assert scale.to_int(157.7) == 15770
    assert scale.to_float(15770 + 15775) == 315.45


def test_a_scale_never_shrinks() -> None:
    scale = a_scale(0.125, 3.0)

    assert scale.decimals == 3


def test_a_scale_asks_about_numbers_too_large_to_be_multiplied_safely() -> None:
    scale = a_scale(0.12345678)

    assert scale.to_int(82304004.7001039) is None
    assert scale.grow(82304004.7001039) == (8_230_400_470_010_390, 1)


def test_noise_behind_eight_decimals_is_rounded_away() -> None:
    assert a_scale(0.12345678).to_int(0.123456784) == 12345678


RECORDS = [
    a_record(0, open=9.0, high=99.0, low=1.0, close=9.0, volume=0.0, seen_ts=5),
    a_record(1, open=10.0, high=14.0, low=9.0, close=12.0, volume=1.5, n_trades=3, seen_ts=9),
    a_record(2, open=12.0, high=13.0, low=8.0, close=11.0, volume=2.5, n_trades=4, seen_ts=7),
    a_record(3, open=50.0, high=99.0, low=1.0, close=50.0, volume=0.0, seen_ts=8),
]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_only_traded_candles_make_prices_in_whatever_order(order: tuple[int, ...]) -> None:
    record = candle(RECORDS[index] for index in order)

    assert (record.open, record.high, record.low, record.close) == (10.0, 14.0, 8.0, 11.0)
    assert (record.volume, record.n_trades, record.seen_ts) == (4.0, 7, 9)


@pytest.mark.parametrize("order", [(0, 3), (3, 0)])
def test_without_trades_a_candle_is_flat_at_the_last_close(order: tuple[int, ...]) -> None:
    record = candle(RECORDS[index] for index in order)

    assert (record.open, record.high, record.low, record.close) == (50.0, 50.0, 50.0, 50.0)
    assert (record.volume, record.vwap, record.n_trades) == (0.0, None, None)


@pytest.mark.parametrize("split", range(5))
def test_two_halves_merged_are_the_whole(split: int) -> None:
    scale = a_scale(0.5)

    whole = a_bucket(RECORDS[split:], scale)
    whole.merge(a_bucket(RECORDS[:split], scale))

    assert whole.to_record(SERIES, scale, scale, is_complete=True) == a_bucket(
        RECORDS, scale
    ).to_record(SERIES, scale, scale, is_complete=True)


def test_vwap_is_weighted_by_volume_not_averaged() -> None:
    quiet = a_record(0, volume=1.0, quote_volume=100.0)
    busy = a_record(1, volume=9.0, quote_volume=1_800.0)

    record = candle([quiet, busy])

    assert (record.quote_volume, record.vwap) == (1_900.0, 190.0)


def test_without_quote_volumes_the_vwaps_are_weighted_and_no_quote_volume_is_invented() -> None:
    quiet = a_record(0, volume=1.0, vwap=100.0)
    busy = a_record(1, volume=9.0, vwap=200.0)

    record = candle([quiet, busy])

    assert (record.quote_volume, record.vwap) == (None, 190.0)


def test_a_traded_candle_that_tells_nothing_leaves_the_sums_unknown() -> None:
    telling = a_record(0, volume=1.0, quote_volume=100.0, vwap=100.0, n_trades=1)
    silent = a_record(1, volume=9.0)

    record = candle([telling, silent])

    assert (record.quote_volume, record.vwap, record.n_trades) == (None, None, None)


def test_an_untraded_candle_that_tells_nothing_counts_as_zero() -> None:
    telling = a_record(0, volume=2.0, quote_volume=100.0, n_trades=1)
    silent = a_record(1, volume=0.0)

    record = candle([telling, silent])

    assert (record.quote_volume, record.vwap, record.n_trades) == (100.0, 50.0, 1)


def test_traded_dust_that_no_decimal_shows_has_no_vwap() -> None:
    record = candle([a_record(0, volume=1e-9, quote_volume=1.0)])

    assert (record.open, record.volume, record.vwap) == (100.0, 0.0, None)


def test_the_candle_says_where_it_is_from_and_whether_it_is_whole() -> None:
    scale = a_scale(0.5)

    record = a_bucket(RECORDS, scale).to_record(SERIES, scale, scale, is_complete=False)

    assert (record.provenance, record.is_complete, record.is_closed) == ("aggregated", False, False)
    assert (record.open_ts, record.end_ts) == (START, START + 299_999)
