"""What binds the backfiller to each venue; apart from the live ones, which need no columns."""

from streamforge_core.exchanges.binance.constants import (
    USED_WEIGHT_HEADER,
    WEIGHT_PER_MINUTE,
    market_of,
)
from streamforge_core.exchanges.binance.history import BinanceHistory
from streamforge_core.runners.backfilling import Backfilling


class BinanceBackfilling(Backfilling):
    """Loads Binance's past: the Vision archive first, REST for what it lacks."""

    market_of = staticmethod(market_of)
    history_of = staticmethod(BinanceHistory)
    weight_per_minute = WEIGHT_PER_MINUTE
    used_weight_header = USED_WEIGHT_HEADER
