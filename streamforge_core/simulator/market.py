"""A market as a pure function of (symbol, time): no state, so all interfaces agree at any instant.

What happens are a few trades a minute. Every candle of every timeframe, the running one too, is
the fold of exactly the trades inside it up to now.
"""

import itertools
import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

import numpy as np

from streamforge_core.simulator.boundaries import (
    DAY_MS,
    LENGTH_MS,
    MINUTE_MS,
    Ints,
    ends_of,
    open_of,
    opens_between,
)
from streamforge_core.simulator.fold import QUOTE_DECIMALS, Candles, Trades, as_candles, fold
from streamforge_core.simulator.noise import drift, hashed_all, key_of, uniform
from streamforge_core.simulator.outages import Outage, OutageRule, weekly_outages
from streamforge_core.simulator.specs import DEFAULT_SPECS, SymbolSpec

_MINUTES_OF_DAY: Final = DAY_MS // MINUTE_MS
_SLOTS: Final = 64
_DAYS_AT_ONCE: Final = 16
_DAYS_CACHED: Final = 160
_DAY_CANDLES_CACHED: Final = 50_000
_QUIET_BLOCK_MINUTES: Final = 4


class Market:
    """The trades and candles of some symbols.

    Args:
        specs: What trades.
        seed: Another number gives another market.
        outages: When it is down; None is one outage every Wednesday.
    """

    def __init__(
        self,
        specs: Iterable[SymbolSpec] = DEFAULT_SPECS,
        *,
        seed: int = 0,
        outages: OutageRule | None = None,
    ) -> None:
        self.specs = {spec.symbol: spec for spec in specs}
        self.seed = seed
        self.outages = outages or weekly_outages(seed)
        self._days: OrderedDict[tuple[str, int], Trades] = OrderedDict()
        self._days_cached = max(_DAYS_CACHED, 3 * len(self.specs))
        self._day_candles: OrderedDict[tuple[str, int], tuple[int, ...] | None] = OrderedDict()
        self._lock = threading.RLock()

    def trades(self, symbol: str, start_ms: int, end_ms: int) -> Trades:
        """Return the trades with `start_ms <= time < end_ms`."""
        days = range(start_ms // DAY_MS, (max(start_ms, end_ms - 1)) // DAY_MS + 1)
        return _joined([self._day(symbol, day) for day in days]).between(start_ms, end_ms)

    def candles(
        self, symbol: str, timeframe: str, start_ms: int, end_ms: int, now_ms: int
    ) -> Candles:
        """Return the candles with `start_ms <= open < end_ms` as they are at `now_ms`.

        The running candle is the last one. A candle without a trade is flat at the last price; one
        without an instant of trading time (outage, before the listing) does not exist.
        """
        spec = self.specs[symbol]
        start_ms = max(start_ms, open_of(spec.listed_ms, timeframe))
        end_ms = min(end_ms, now_ms + 1, spec.ended_ms or now_ms + 1)
        opens = opens_between(start_ms, end_ms, timeframe)
        ends = ends_of(opens, timeframe)
        exists, closes = self._existing(spec, opens, ends, now_ms)
        opens, ends, closes = opens[exists], ends[exists], closes[exists]
        if not len(opens):
            return Candles.empty()
        if LENGTH_MS[timeframe] >= DAY_MS:
            parts = self._day_parts(symbol, int(opens[0]), int(ends[-1]), now_ms)
            return fold(parts, opens, ends, closes, self._price_before(spec, int(opens[0])))
        return self._folded(spec, (opens, ends, closes), now_ms)

    def is_up(self, symbol: str, ms: int) -> bool:
        """Tell whether the symbol can trade at an instant."""
        spec = self.specs[symbol]
        ended = spec.ended_ms is not None and ms >= spec.ended_ms
        return spec.listed_ms <= ms and not ended and not self.outages(ms, ms + 1)

    def live_from(self, symbol: str, ms: int) -> int | None:
        """Return the first instant of trading time from `ms` on, None if there is none."""
        spec = self.specs[symbol]
        ms = max(ms, spec.listed_ms)
        for outage in self.outages(ms, ms + 1):
            ms = outage.end_ms
        return None if spec.ended_ms is not None and ms >= spec.ended_ms else ms

    def live_until(self, symbol: str, ms: int) -> int | None:
        """Return the last instant of trading time up to `ms`, None if there is none."""
        spec = self.specs[symbol]
        ms = ms if spec.ended_ms is None else min(ms, spec.ended_ms - 1)
        for outage in self.outages(ms, ms + 1):
            ms = outage.start_ms - 1
        return None if ms < spec.listed_ms else ms

    def _existing(
        self, spec: SymbolSpec, opens: Ints, ends: Ints, now_ms: int
    ) -> tuple[np.ndarray[tuple[int], np.dtype[np.bool_]], Ints]:
        """Return which candles have trading time, and the close time of each."""
        stop = min(now_ms + 1, spec.ended_ms or now_ms + 1)
        live_from, live_to = np.maximum(opens, spec.listed_ms), np.minimum(ends, stop)
        live_ms, closes = live_to - live_from, ends - 1
        outages: list[Outage] = []
        if len(opens):
            outages = self.outages(int(opens[0]), int(live_to[-1]))
        for start, end in outages:
            lost = np.minimum(live_to, end) - np.maximum(live_from, start)
            live_ms = live_ms - np.maximum(lost, 0)
            cut = (opens < start) & (start < ends) & (ends <= end)
            closes = np.where(cut, start - 1, closes)
        return live_ms > 0, closes

    def _folded(self, spec: SymbolSpec, spans: tuple[Ints, Ints, Ints], now_ms: int) -> Candles:
        """Fold candles of less than a day, some days at a time to bound the memory."""
        opens = spans[0]
        days = opens // DAY_MS
        cuts = np.arange(days[0], days[-1] + 1, _DAYS_AT_ONCE)
        edges = [*np.searchsorted(days, cuts).tolist(), len(opens)]
        parts = []
        for first, after in itertools.pairwise(edges):
            if first == after:
                continue
            some, ends, closes = (column[first:after] for column in spans)
            start, end = int(some[0]), int(ends[-1])
            trades = self.trades(spec.symbol, start, min(end, now_ms + 1))
            previous = self._price_before(spec, start)
            parts.append(fold(as_candles(trades), some, ends, closes, previous))
        return Candles.joined(parts)

    def _day_parts(self, symbol: str, start_ms: int, end_ms: int, now_ms: int) -> Candles:
        """Return the days that have trades as candles; the one of now only up to it."""
        days = range(start_ms // DAY_MS, min(end_ms - 1, now_ms) // DAY_MS + 1)
        rows = (self._day_candle(symbol, day, now_ms) for day in days)
        return Candles.of_rows([row for row in rows if row is not None])

    def _day_candle(self, symbol: str, day: int, now_ms: int) -> tuple[int, ...] | None:
        if now_ms < (day + 1) * DAY_MS - 1:
            return _whole(self._day(symbol, day).between(day * DAY_MS, now_ms + 1), day)
        with self._lock:
            if (symbol, day) in self._day_candles:
                return self._day_candles[symbol, day]
        candle = _whole(self._day(symbol, day), day)
        with self._lock:
            self._day_candles[symbol, day] = candle
            if len(self._day_candles) > _DAY_CANDLES_CACHED:
                self._day_candles.popitem(last=False)
        return candle

    def _price_before(self, spec: SymbolSpec, ms: int) -> int:
        """Return the price of the last trade before an instant."""
        day = ms // DAY_MS
        while (day + 1) * DAY_MS > spec.listed_ms:
            trades = self._day(spec.symbol, day)
            position = int(np.searchsorted(trades.time_ms, ms))
            if position:
                return int(trades.price[position - 1])
            day -= 1
        return spec.base_price

    def _day(self, symbol: str, day: int) -> Trades:
        """Return all trades of a UTC day, those after now too: callers cut them off."""
        with self._lock:
            if (symbol, day) in self._days:
                self._days.move_to_end((symbol, day))
                return self._days[symbol, day]
        trades = self._happened(self.specs[symbol], day)
        with self._lock:
            self._days[symbol, day] = trades
            if len(self._days) > self._days_cached:
                self._days.popitem(last=False)
        return trades

    def _happened(self, spec: SymbolSpec, day: int) -> Trades:
        minutes = np.arange(_MINUTES_OF_DAY, dtype=np.int64) + day * _MINUTES_OF_DAY
        counts = self._counts(spec, minutes)
        minute = np.repeat(minutes, counts)
        nth = np.arange(len(minute)) - np.repeat(np.cumsum(counts) - counts, counts)
        slot = minute * _SLOTS + nth
        times = np.sort(minute * MINUTE_MS + self._part(spec, "time", slot, MINUTE_MS))
        if len(times) and minutes[0] <= spec.listed_ms // MINUTE_MS <= minutes[-1]:
            times[0] = spec.listed_ms
        up = np.ones(len(times), bool)
        for start, end in self.outages(day * DAY_MS, (day + 1) * DAY_MS):
            up &= (times < start) | (times >= end)
        return self._priced(spec, times[up], slot[up])

    def _counts(self, spec: SymbolSpec, minutes: Ints) -> Ints:
        """Return how many trades each minute has, outages not yet considered."""
        counts = 1 + self._part(spec, "count", minutes, 2 * spec.trades_per_minute - 1)
        blocks = uniform(self._key(spec, "quiet block"), minutes // _QUIET_BLOCK_MINUTES)
        single = uniform(self._key(spec, "quiet minute"), minutes)
        counts[(blocks < 0.6 * spec.quiet_share) | (single < 0.4 * spec.quiet_share)] = 0
        opens = minutes * MINUTE_MS
        counts[opens == spec.listed_ms] |= 1
        counts[opens < spec.listed_ms] = 0
        if spec.ended_ms is not None:
            counts[opens >= spec.ended_ms] = 0
        return counts

    def _priced(self, spec: SymbolSpec, times: Ints, slot: Ints) -> Trades:
        key = self._key(spec, "price")
        bounce = (uniform(self._key(spec, "bounce"), slot) - 0.5) * 0.0004
        share = 1.0 + drift(key, times) + bounce
        price = np.maximum(1, np.rint(spec.base_price * share).astype(np.int64))
        size = uniform(self._key(spec, "quantity"), slot)
        # The cube has mean 1/4: many small trades, few large ones.
        larger = (3.8 * spec.mean_quantity * size * size * size).astype(np.int64)
        # No exchange lets a trade be tiny: its quote amount, cut at 1e-8, would be off the price.
        quantity = 1 + spec.mean_quantity // 20 + larger
        taker = (hashed_all(self._key(spec, "taker"), slot) & np.uint64(1)).astype(np.int64)
        identity = slot - spec.listed_ms // MINUTE_MS * _SLOTS
        return Trades(times, identity, price, quantity, _quote(spec, price * quantity), taker)

    def _key(self, spec: SymbolSpec, purpose: str) -> int:
        return key_of(self.seed, spec.symbol, purpose)

    def _part(self, spec: SymbolSpec, purpose: str, numbers: Ints, below: int) -> Ints:
        """Return an integer in [0, below) for each number."""
        part: Ints = (uniform(self._key(spec, purpose), numbers) * below).astype(np.int64)
        return part


def _quote(spec: SymbolSpec, product: Ints) -> Ints:
    """Return ticks times steps in 1e-8; each trade is cut there, so sums of trades are exact."""
    decimals = spec.price_decimals + spec.quantity_decimals
    quote: Ints = product * 10 ** max(0, QUOTE_DECIMALS - decimals)
    quote //= 10 ** max(0, decimals - QUOTE_DECIMALS)
    return quote


def _whole(trades: Trades, day: int) -> tuple[int, ...] | None:
    """Return the candle of a day's trades, None without any."""
    if not len(trades):
        return None
    start = np.array([day * DAY_MS])
    return fold(as_candles(trades), start, start + DAY_MS, start + (DAY_MS - 1), 0).rows()[0]


def _joined(days: list[Trades]) -> Trades:
    if len(days) == 1:
        return days[0]
    names = ("time_ms", "id", "price", "quantity", "quote", "taker")
    return Trades(*(np.concatenate([getattr(day, name) for day in days]) for name in names))
