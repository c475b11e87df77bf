"""Today's closed candles by REST, before the live ones: imported only by runs that want them."""

import threading
from dataclasses import dataclass, field

from streamforge_core.model.columns import table_to_records
from streamforge_core.model.exchange import Market
from streamforge_core.model.kline import Record, Series
from streamforge_core.model.timeframe import next_open
from streamforge_core.pipeline.aggregator import warm_from
from streamforge_core.runners import backfill_bindings
from streamforge_core.runners.backfilling import Backfilling
from streamforge_core.runners.endpoints import Endpoints
from streamforge_core.runners.fetching import Fetcher, seen
from streamforge_core.transport.clock import Clock
from streamforge_core.transport.http import HttpClient, RateBudget


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a warm start needs of one series.

    Attributes:
        series: The base series.
        targets: Higher timeframes folded from it.
        after_ms: Open of the newest candle that is there already, None if none is.
        first_live_ms: Open of the first live candle; None while none has come.
    """

    series: Series
    targets: tuple[str, ...]
    after_ms: int | None = None
    first_live_ms: int | None = None


@dataclass(slots=True)
class Warmed:
    """What REST had.

    Attributes:
        records: Closed candles, ascending.
        is_whole: False when the candle right before the first live one is not among them.
    """

    records: list[Record] = field(default_factory=list)
    is_whole: bool = True


class WarmHistory:
    """Loads what a warm start needs; blocking, from any thread.

    Args:
        binding: Name of the venue's backfiller, which knows its history and request budget.
        market: As the runner has it.
        endpoints: Base URLs that stand in for the venue's.
        clock: The time.
    """

    def __init__(
        self, binding: str, market: Market, *, endpoints: Endpoints | None, clock: Clock
    ) -> None:
        venue: type[Backfilling] = getattr(backfill_bindings, binding)
        self._history = venue.history_of(market)
        self._endpoints = endpoints
        self._clock = clock
        self._stop = threading.Event()
        budget = RateBudget(venue.weight_per_minute, venue.used_weight_header, clock=clock)
        self._http = HttpClient(clock=clock, budget=budget, stop=self._stop)

    def load(self, wanted: Wanted) -> Warmed:
        """Return the closed candles that come before the first live one, or before now.

        They start at 00:00 UTC today or, if that is earlier, where the largest running bucket
        opens. The forming candle is refused by the exchange's own clock, as REST tells it: REST
        lags the socket, so that a live candle does not prove its row of the one before final.

        Raises:
            TransportError: REST could not be asked.
            ExchangeError: It refused, or answered nonsense.
        """
        fetcher = self._fetcher(wanted.series)
        now_ms = fetcher.exchange_now()
        live_ms = wanted.first_live_ms
        until_ms = now_ms if live_ms is None else live_ms
        first_ms = warm_from(until_ms, wanted.targets)
        if wanted.after_ms is not None:
            first_ms = max(first_ms, wanted.after_ms + 1)
        if first_ms >= until_ms:
            return Warmed()
        table = fetcher.pages(first_ms, until_ms - 1, now_ms=now_ms)
        records = list(table_to_records(seen(table, "rest", now_ms=now_ms)))
        end_ms = next_open(records[-1].open_ts, wanted.series.timeframe) if records else first_ms
        return Warmed(records, is_whole=live_ms is None or end_ms >= live_ms)

    def _fetcher(self, series: Series) -> Fetcher:
        return Fetcher(
            self._history,
            series.symbol,
            series.timeframe,
            http=self._http,
            clock=self._clock,
            endpoints=self._endpoints,
            stop=self._stop,
        )

    def close(self) -> None:
        """End what is under way; threads inside `load` raise soon after."""
        self._stop.set()
        self._http.close()
