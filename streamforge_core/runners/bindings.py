"""What binds the runner to each venue; apart from the backfillers, which need columns."""

from streamforge_core.exchanges.binance.constants import market_of
from streamforge_core.exchanges.binance.protocol import BinanceStream
from streamforge_core.runners.runner import Runner


class BinanceRunner(Runner):
    """Streams Binance's candles."""

    market_of = staticmethod(market_of)
    stream_of = staticmethod(BinanceStream)
    backfilling = "BinanceBackfilling"
