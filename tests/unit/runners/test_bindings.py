from streamforge_core.exchanges.binance.constants import SPOT
from streamforge_core.exchanges.binance.protocol import BinanceStream
from streamforge_core.runners import backfill_bindings
from streamforge_core.runners.backfilling import Backfilling
from streamforge_core.runners.bindings import BinanceRunner


def test_binance_is_bound_to_its_market_and_its_language() -> None:
    market = BinanceRunner.market_of("DEFAULT")

    assert market is SPOT
    assert isinstance(BinanceRunner.stream_of(market), BinanceStream)


def test_a_runner_s_warm_start_is_its_own_venue_s_backfiller() -> None:
    backfilling = getattr(backfill_bindings, BinanceRunner.backfilling)

    assert issubclass(backfilling, Backfilling)
    assert backfilling.market_of("SPOT") is BinanceRunner.market_of("SPOT")
