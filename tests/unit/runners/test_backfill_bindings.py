"""What binds the backfiller to each venue."""

import pytest

from streamforge_core.errors import ConfigError
from streamforge_core.exchanges.binance.history import BinanceHistory
from streamforge_core.model.kline import Series
from streamforge_core.runners.backfill_bindings import BinanceBackfilling


def test_binance_is_read_by_its_own_history_within_its_own_budget() -> None:
    backfiller = BinanceBackfilling("BTCUSDT", "1m", "2024-01-15")

    assert backfiller.series == Series("Binance", "BTCUSDT", "1m")
    assert backfiller.market.name == "SPOT"
    assert BinanceBackfilling.history_of is BinanceHistory
    # binance-spot-api-docs enums.md, "Rate limiters": 6,000 a minute and address.
    assert BinanceBackfilling.weight_per_minute == 6_000
    assert BinanceBackfilling.used_weight_header == "X-MBX-USED-WEIGHT-1M"


def test_a_market_that_is_not_served_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="not a Binance market"):
        BinanceBackfilling("BTCUSDT", "1m", "2024-01-15", market_type="MOON")
