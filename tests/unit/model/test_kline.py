"""The candle's contract: names, order, equality, what is refused, and the record beside it."""

import copy
import json
import pickle
from typing import Any

import pytest
from pydantic import ValidationError

from streamforge_core.model.kline import FIELDS, Kline, Record, Series, series_of

OWN: dict[str, Any] = {
    "source": "Binance",
    "symbol": "BTCUSDT",
    "timeframe": "1m",
    "open_ts": 1_735_689_600_000,
    "end_ts": 1_735_689_659_999,
    "open": 43_250.0,
    "high": 43_275.0,
    "low": 43_249.5,
    "close": 43_260.0,
    "volume": 12.5,
    "quote_volume": 540_750.0,
    "vwap": 43_260.0,
    "n_trades": 321,
    "is_closed": True,
}
SHORT = {
    "source": "Binance",
    "s": "BTCUSDT",
    "i": "1m",
    "t": 1_735_689_600_000,
    "T": 1_735_689_659_999,
    "o": 43_250.0,
    "h": 43_275.0,
    "l": 43_249.5,
    "c": 43_260.0,
    "v": 12.5,
    "q": 540_750.0,
    "vwap": 43_260.0,
    "n": 321,
    "x": True,
}


def a_kline(**changes: object) -> Kline:
    return Kline(**(OWN | changes))


def test_fields_stand_in_the_order_of_every_header() -> None:
    assert tuple(OWN) == FIELDS
    assert list(a_kline().model_dump()) == list(OWN)


def test_both_dumps_hold_the_same_values_under_own_and_short_names() -> None:
    kline = a_kline()

    assert kline.model_dump() == OWN
    assert kline.model_dump(by_alias=True) == SHORT


def test_both_dumps_round_trip() -> None:
    kline = a_kline()

    assert Kline(**kline.model_dump()) == kline
    assert Kline(**kline.model_dump(by_alias=True)) == kline
    assert Kline.model_validate_json(kline.model_dump_json()) == kline


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("s", "symbol"), ("ticker", "symbol"), ("pair", "symbol"),
        ("i", "timeframe"), ("tf", "timeframe"),
        ("t", "open_ts"), ("interval_begin", "open_ts"), ("ts", "open_ts"), ("start", "open_ts"),
        ("T", "end_ts"), ("timestamp", "end_ts"), ("end", "end_ts"),
        ("o", "open"), ("open_price", "open"), ("h", "high"), ("high_price", "high"),
        ("l", "low"), ("low_price", "low"), ("c", "close"), ("close_price", "close"),
        ("v", "volume"), ("base_volume", "volume"),
        ("q", "quote_volume"), ("Quote asset volume", "quote_volume"),
        ("turnover", "quote_volume"), ("volume_weighted_avg_price", "vwap"),
        ("n", "n_trades"), ("count", "n_trades"), ("trades", "n_trades"),
        ("x", "is_closed"), ("confirm", "is_closed"),
    ],
)  # fmt: skip  # pairs read better side by side
def test_every_documented_alias_is_accepted(alias: str, name: str) -> None:
    values = {alias if key == name else key: value for key, value in OWN.items()}

    assert Kline(**values) == a_kline()


def test_own_name_wins_over_an_alias() -> None:
    assert Kline(**OWN, s="ETHUSDT", t=0, o=1.0, q=2.0, x=False) == a_kline()


def test_text_from_an_exchange_becomes_numbers() -> None:
    kline = a_kline(open="43250.00", volume="12.50", n_trades="321", is_closed="1")

    assert kline == a_kline()


def test_what_the_source_does_not_tell_is_none_and_not_zero() -> None:
    told = {k: v for k, v in OWN.items() if k not in {"source", *FIELDS[10:]}}

    kline = Kline(**told)

    assert kline.source is None
    assert (kline.quote_volume, kline.vwap, kline.n_trades, kline.is_closed) == (None,) * 4


@pytest.mark.parametrize("name", ["open", "high", "low", "close", "volume", "quote_volume", "vwap"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_not_finite_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValidationError, match=name.split("_", maxsplit=1)[0]):
        a_kline(**{name: value})


@pytest.mark.parametrize(
    "changes",
    [
        {"high": 43_249.0},  # below the open
        {"low": 43_255.0},  # above the open, below the close
        {"low": 43_262.0, "open": 43_270.0},  # above the close
        {"close": 43_280.0},  # above the high
        {"high": 1.0, "low": 2.0, "open": 1.5, "close": 1.5},
    ],
)
def test_prices_that_contradict_each_other_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="contradict each other"):
        a_kline(**changes)


def test_a_flat_candle_without_trades_is_fine() -> None:
    flat = a_kline(open=5, high=5, low=5, close=5, volume=0, quote_volume=0, vwap=None, n_trades=0)

    assert (flat.low, flat.high, flat.volume, flat.vwap) == (5.0, 5.0, 0.0, None)


@pytest.mark.parametrize("name", ["volume", "quote_volume"])
def test_negative_amounts_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        a_kline(**{name: -0.1})


def test_an_end_before_the_open_is_refused() -> None:
    with pytest.raises(ValidationError, match="lies before open_ts"):
        a_kline(end_ts=1_735_689_599_999)


def test_a_candle_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        a_kline().close = 1.0  # type: ignore[misc]  # that is what is refused


# --- Equality and order ---


def test_equality_is_over_all_fields() -> None:
    assert a_kline() == a_kline()
    for name, value in {"close": 43_261.0, "n_trades": 322, "is_closed": None}.items():
        assert a_kline(**{name: value}) != a_kline()


def test_candles_are_ordered_by_source_symbol_timeframe_and_open() -> None:
    by_key = [
        a_kline(source=None, symbol="Z"),
        a_kline(source="Binance", symbol="A", timeframe="5m"),
        a_kline(source="Binance", symbol="B", timeframe="1m", open_ts=1_735_689_600_000),
        a_kline(source="Binance", symbol="B", timeframe="1m", open_ts=1_735_689_600_001),
        a_kline(source="Kraken", symbol="A", timeframe="1m"),
    ]

    assert sorted([by_key[i] for i in (3, 0, 4, 2, 1)]) == by_key
    assert by_key[0] < by_key[1] <= by_key[2]
    assert by_key[4] > by_key[3] >= by_key[2]


def test_a_candle_and_its_correction_have_the_same_rank() -> None:
    first, corrected = a_kline(), a_kline(close=43_251.0)

    assert first != corrected
    assert not first < corrected
    assert not first > corrected
    assert first <= corrected
    assert first >= corrected


def test_a_difference_is_the_distance_of_the_ends() -> None:
    later = a_kline(open_ts=1_735_689_660_000, end_ts=1_735_689_719_999)

    assert later - a_kline() == 60_000
    assert a_kline() - later == -60_000


@pytest.mark.parametrize("operator", ["__lt__", "__le__", "__gt__", "__ge__", "__sub__"])
def test_only_candles_are_compared_with_candles(operator: str) -> None:
    assert getattr(a_kline(), operator)(5) is NotImplemented


def test_map_key_is_symbol_and_timeframe() -> None:
    assert a_kline().map_key() == "BTCUSDT-1m"


# --- The trusted way in ---


def test_a_trusted_candle_equals_a_validated_one_in_every_way() -> None:
    trusted, validated = Kline.trusted(dict(OWN)), a_kline()

    assert trusted == validated
    assert hash(trusted) == hash(validated)
    assert {trusted, validated} == {validated}
    assert repr(trusted) == repr(validated)
    assert trusted.model_fields_set == validated.model_fields_set
    assert trusted.model_extra is validated.model_extra is None


def test_a_trusted_candle_is_written_like_a_validated_one() -> None:
    trusted, validated = Kline.trusted(dict(OWN)), a_kline()

    assert trusted.model_dump() == validated.model_dump()
    assert trusted.model_dump(by_alias=True) == SHORT
    assert trusted.model_dump_json() == validated.model_dump_json()
    assert json.loads(trusted.model_dump_json(by_alias=True)) == SHORT


def test_a_trusted_candle_survives_pickle_and_copies() -> None:
    trusted = Kline.trusted(dict(OWN))

    assert pickle.loads(pickle.dumps(trusted)) == trusted  # noqa: S301 - our own bytes
    assert copy.copy(trusted) == copy.deepcopy(trusted) == trusted.model_copy() == trusted
    assert trusted.model_copy(update={"close": 1.0}).close == 1.0
    assert trusted.close == 43_260.0


def test_a_trusted_candle_is_frozen_too() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Kline.trusted(dict(OWN)).close = 1.0  # type: ignore[misc]  # that is what is refused


# --- The record ---


def test_a_record_holds_the_fourteen_fields_first() -> None:
    assert Record.__struct_fields__[:14] == FIELDS


def test_a_record_becomes_the_candle_it_was_made_from() -> None:
    record = Record.from_kline(a_kline(), provenance="rest", seen_ts=7)

    assert record.to_kline() == a_kline()
    assert record.to_kline().model_fields_set == a_kline().model_fields_set
    assert (record.provenance, record.seen_ts) == ("rest", 7)
    assert (record.revision, record.is_complete, record.seq) == (0, True, 0)


def test_what_a_record_must_know_is_filled_in() -> None:
    record = Record.from_kline(a_kline(source=None, is_closed=None))

    assert (record.source, record.is_closed, record.provenance) == ("", False, "websocket")


def test_a_series_names_what_with_open_ts_is_the_key() -> None:
    assert series_of(a_kline()) == Series("Binance", "BTCUSDT", "1m")
    assert series_of(Record.from_kline(a_kline())) == Series("Binance", "BTCUSDT", "1m")
    assert series_of(a_kline(source=None)) == Series("", "BTCUSDT", "1m")


def test_series_read_well_sort_and_serve_as_keys() -> None:
    later, earlier = Series("Kraken", "BTC/USD", "1m"), Series("Binance", "BTCUSDT", "1m")

    assert str(earlier) == "Binance BTCUSDT 1m"
    assert sorted([later, earlier]) == [earlier, later]
    assert {earlier: 1}[Series("Binance", "BTCUSDT", "1m")] == 1
