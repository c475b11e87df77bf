"""What may be asked for, and how each mistake is answered before a socket opens."""

from typing import Any

import pytest

from streamforge_core.errors import ConfigError, UnknownTimeframe
from streamforge_core.model.data_input import DataInput


def an_input(**changes: Any) -> DataInput:  # noqa: ANN401 - wrong types are tested too
    values: dict[str, Any] = {"type": "kline", "symbols": ["BTCUSDT"], "timeframe": "1m"}
    return DataInput(**(values | changes))


def test_the_documented_call_works() -> None:
    stream = DataInput(
        type="kline",
        symbols=["BTCUSDT", "ETHUSDT"],
        timeframe="1m",
        aggregate_list=["5m", "15m", "1h"],
    )

    assert stream.symbols == ["BTCUSDT", "ETHUSDT"]
    assert stream.aggregate_list == ["5m", "15m", "1h"]
    assert stream.market_type == "DEFAULT"


def test_its_arguments_have_a_documented_order() -> None:
    stream = DataInput("ohlc", ["BTC/USD"], "1m", "DEFAULT", ["5m"])

    assert stream == an_input(type="ohlc", symbols=["BTC/USD"], aggregate_list=["5m"])


@pytest.mark.parametrize("name", ["kline", "klines", "candle", "candles", "ohlc", "ohlcv"])
def test_every_venues_name_for_candles_is_accepted(name: str) -> None:
    assert an_input(type=name).type == name


@pytest.mark.parametrize("name", ["trades", "Kline", "", None, ["kline"]])
def test_other_types_are_refused_with_the_accepted_ones(name: object) -> None:
    with pytest.raises(ConfigError, match="Use one of kline, klines, candle, candles, ohlc, ohlcv"):
        an_input(type=name)


def test_a_lone_symbol_is_not_read_letter_by_letter() -> None:
    with pytest.raises(ConfigError, match=r"Write symbols=\['BTCUSDT'\]"):
        an_input(symbols="BTCUSDT")


def test_a_lone_target_is_not_read_letter_by_letter() -> None:
    with pytest.raises(ConfigError, match=r"Write aggregate_list=\['5m'\]"):
        an_input(aggregate_list="5m")


@pytest.mark.parametrize("symbols", [None, 5, [["BTCUSDT"]]])
def test_symbols_that_are_no_list_of_texts_are_refused(symbols: object) -> None:
    with pytest.raises(ConfigError, match=r'symbols=.* is not a list of texts such as \["BTCUSDT'):
        an_input(symbols=symbols)


@pytest.mark.parametrize("symbol", ["", "  ", 5, None])
def test_symbols_that_are_no_text_are_refused(symbol: object) -> None:
    with pytest.raises(ConfigError, match=r"symbols holds .*; every entry is a text"):
        an_input(symbols=["BTCUSDT", symbol])


def test_no_symbols_are_refused() -> None:
    with pytest.raises(ConfigError, match="symbols is empty"):
        an_input(symbols=[])


@pytest.mark.parametrize("timeframe", ["1x", "5M", "60"])
def test_an_unknown_timeframe_is_refused(timeframe: str) -> None:
    with pytest.raises(UnknownTimeframe, match=f"'{timeframe}' is not a timeframe"):
        an_input(timeframe=timeframe)


@pytest.mark.parametrize("timeframe", [5, None, ["1m"]])
def test_a_timeframe_that_is_no_text_is_refused(timeframe: object) -> None:
    with pytest.raises(ConfigError, match="timeframe"):
        an_input(timeframe=timeframe)


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(UnknownTimeframe, match="'5x' is not a timeframe"):
        an_input(aggregate_list=["5x"])


def test_targets_below_the_base_are_refused() -> None:
    with pytest.raises(ConfigError, match="5m candles cannot be aggregated from 1h"):
        an_input(timeframe="1h", aggregate_list=["5m"])


def test_the_base_itself_is_no_target() -> None:
    with pytest.raises(ConfigError, match="1m candles cannot be aggregated from 1m"):
        an_input(aggregate_list=["1m"])


def test_repeated_entries_count_once() -> None:
    stream = an_input(symbols=["A", "B", "A"], aggregate_list=["1h", "5m", "1h"])

    assert (stream.symbols, stream.aggregate_list) == (["A", "B"], ["1h", "5m"])


def test_the_callers_lists_are_copied() -> None:
    symbols, targets = ["BTCUSDT"], ["5m"]
    stream = an_input(symbols=symbols, aggregate_list=targets)

    symbols.append("ETHUSDT")
    targets.clear()

    assert (stream.symbols, stream.aggregate_list) == (["BTCUSDT"], ["5m"])


def test_any_iterable_of_texts_will_do_and_none_means_no_targets() -> None:
    stream = an_input(symbols=(s for s in ("A", "B")), aggregate_list=None)

    assert (stream.symbols, stream.aggregate_list) == (["A", "B"], [])


def test_an_input_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        an_input().timeframe = "5m"  # type: ignore[misc]  # that is what is refused
