import pytest

from streamforge_core.errors import ConfigError, UnknownTimeframe, UnsupportedTimeframe
from streamforge_core.exchanges.binance.constants import (
    ARCHIVE_TIMEFRAMES,
    DAILY_ARCHIVE_TIMEFRAMES,
    SPOT,
    check_served,
    check_symbol,
    market_of,
)
from streamforge_core.model.exchange import Market


@pytest.mark.parametrize("market_type", ["DEFAULT", "SPOT"])
def test_the_default_market_is_spot(market_type: str) -> None:
    assert market_of(market_type) is SPOT


@pytest.mark.parametrize("market_type", ["spot", "USD-M", "COIN-M", ""])
def test_a_market_that_is_not_served_is_refused_with_the_ones_that_are(market_type: str) -> None:
    with pytest.raises(ConfigError, match=r"Use one of DEFAULT, SPOT\.") as caught:
        market_of(market_type)

    assert repr(market_type) in str(caught.value)


@pytest.mark.parametrize("symbol", ["BTCUSDT", "1000SATSUSDT", "币安人生USDT"])
def test_a_symbol_in_binance_s_own_form_passes(symbol: str) -> None:
    assert check_symbol(symbol) == symbol


@pytest.mark.parametrize("symbol", ["BTC/USDT", "btcusdt", "BTC-USDT", " BTCUSDT", "btc_usdt"])
def test_a_symbol_in_another_form_is_refused_with_the_right_one(symbol: str) -> None:
    with pytest.raises(ConfigError, match="Write 'BTCUSDT'") as caught:
        check_symbol(symbol)

    assert repr(symbol) in str(caught.value)


def test_a_symbol_without_a_letter_is_refused_with_an_example() -> None:
    with pytest.raises(ConfigError, match="Write 'BTCUSDT'"):
        check_symbol("/")


def test_all_sixteen_documented_timeframes_are_served() -> None:
    minutes = ["1m", "3m", "5m", "15m", "30m"]
    hours = ["1h", "2h", "4h", "6h", "8h", "12h"]
    documented = ["1s", *minutes, *hours, "1d", "3d", "1w", "1M"]

    assert [check_served(label) for label in documented] == documented
    assert list(SPOT.timeframes) == documented


def test_a_timeframe_of_another_venue_is_refused_with_the_served_ones() -> None:
    with pytest.raises(UnsupportedTimeframe, match=r"serves no 15d candles \(it serves 1s, 1m,"):
        check_served("15d")


def test_a_market_serves_its_own_timeframes_only() -> None:
    minutes_only = Market("Binance-X", "X", "x", {}, {"1m": "1m"})

    with pytest.raises(UnsupportedTimeframe, match=r"Binance-X serves no 1s candles"):
        check_served("1s", minutes_only)


def test_a_label_that_is_no_timeframe_is_unknown() -> None:
    with pytest.raises(UnknownTimeframe):
        check_served("7m")


def test_the_archive_spells_the_month_its_own_way() -> None:
    assert (ARCHIVE_TIMEFRAMES["1M"], ARCHIVE_TIMEFRAMES["1m"]) == ("1mo", "1m")


def test_timeframes_above_a_day_have_no_daily_files() -> None:
    assert set(SPOT.timeframes) - DAILY_ARCHIVE_TIMEFRAMES == {"3d", "1w", "1M"}
