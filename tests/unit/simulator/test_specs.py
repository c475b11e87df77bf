import pytest

from streamforge_core.errors import ConfigError
from streamforge_core.simulator.specs import DEFAULT_SPECS, spec_of, specs_of, split_symbol


def test_the_default_symbols_have_different_habits() -> None:
    specs = {spec.symbol: spec for spec in DEFAULT_SPECS}

    assert list(specs) == ["BTCUSDT", "ETHUSDT", "SOLUSDT", "ADABTC", "NEWUSDT", "DELISTUSDT"]
    assert specs["BTCUSDT"].quiet_share == 0
    assert specs["ADABTC"].quiet_share > 0.08
    assert specs["NEWUSDT"].listed_ms == 1718447400000  # 2024-06-15 10:30 UTC
    assert specs["DELISTUSDT"].ended_ms == 1710039600000  # 2024-03-10 03:00 UTC


def test_further_symbols_are_made_from_their_names() -> None:
    symbols = [spec.symbol for spec in specs_of(["FOOUSDT", "BTCUSDT", "BARBTC"])]

    assert symbols[6:] == ["FOOUSDT", "BARBTC"]
    assert spec_of("FOOUSDT") == spec_of("FOOUSDT")
    assert spec_of("FOOUSDT").base_price != spec_of("FOZUSDT").base_price


@pytest.mark.parametrize(
    ("symbol", "base", "quote"),
    [
        ("BTCUSDT", "BTC", "USDT"),
        ("ADABTC", "ADA", "BTC"),
        ("ETHFDUSD", "ETH", "FDUSD"),
        ("ABCDEFGH", "ABCD", "EFGH"),
    ],
)
def test_a_symbol_is_split_at_its_quote(symbol: str, base: str, quote: str) -> None:
    assert split_symbol(symbol) == (base, quote)


@pytest.mark.parametrize("symbol", ["btcusdt", "BTC-USDT", "BTC", ""])
def test_what_is_no_symbol_is_refused(symbol: str) -> None:
    with pytest.raises(ConfigError, match="not a symbol"):
        spec_of(symbol)
