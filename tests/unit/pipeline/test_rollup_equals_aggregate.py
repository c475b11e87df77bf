"""The batch and the live aggregator are one rule: held to each other and to a plain third."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from streamforge_core.model.columns import klines_to_table, table_to_klines
from streamforge_core.model.gap import Hole, Verdict
from streamforge_core.model.kline import Kline
from streamforge_core.model.timeframe import LENGTH_MS, open_of
from streamforge_core.pipeline.aggregator import aggregate
from streamforge_core.pipeline.rollup import rollup
from tests.support.builders import a_candle, ts
from tests.support.plain_fold import plain_fold

STARTS = [ts("2023-12-30 21:57"), ts("2024-01-15"), ts("2024-02-29 23:00"), ts("2018-02-08")]
MOST_ROWS = 40

TARGETS = {
    "1s": ["1m", "3m", "5m", "15m"],
    "1m": ["3m", "5m", "15m", "30m", "1h", "2h", "4h"],
    "5m": ["15m", "30m", "1h", "2h", "4h", "1d"],
    "1h": ["2h", "4h", "6h", "8h", "12h", "1d", "1w"],
    "6h": ["12h", "1d", "1w", "1M"],
    "1d": ["1w", "1M"],
}

decimals = st.integers(0, 8)
amounts = st.one_of(
    st.just(0.0),
    st.builds(lambda units, places: units / 10**places, st.integers(1, 10**9), decimals),
    st.floats(1e-9, 1e9),
    st.floats(1e9, 1e16),
)
prices = st.builds(lambda units, places: units / 10**places, st.integers(1, 10**7), decimals)


@st.composite
def a_base_candle(draw: st.DrawFn, open_ts: int, timeframe: str, gaps: dict[str, bool]) -> Kline:
    first, last = draw(prices), draw(prices)
    volume = draw(amounts)
    quote = draw(amounts) if volume else 0.0
    values: dict[str, Any] = {
        "quote_volume": None if gaps["quote"] and draw(st.booleans()) else quote,
        "vwap": None if gaps["vwap"] and draw(st.booleans()) else draw(prices),
        "n_trades": None if gaps["trades"] and draw(st.booleans()) else draw(st.integers(0, 99)),
    }
    return a_candle(
        open_ts,
        timeframe,
        open=first,
        close=last,
        high=max(first, last) + draw(st.sampled_from([0.0, 0.5])),
        low=min(first, last) * draw(st.sampled_from([1.0, 0.5])),
        volume=volume,
        is_closed=draw(st.sampled_from([True, True, True, True, None, False])),
        **values,
    )


@st.composite
def a_series(draw: st.DrawFn) -> list[Kline]:
    timeframe = draw(st.sampled_from(sorted(TARGETS)))
    length = LENGTH_MS[timeframe]
    gaps = {name: draw(st.booleans()) for name in ("quote", "vwap", "trades")}
    steps = st.sampled_from([0, 0, 0, 0, 0, 0, 1, 7])
    shift = st.sampled_from([0, 0, 0, 0, 0, 788]) if draw(st.booleans()) else st.just(0)
    open_ts = open_of(draw(st.sampled_from(STARTS)), timeframe)
    klines = []
    for _ in range(draw(st.integers(1, MOST_ROWS))):
        klines.append(draw(a_base_candle(open_ts + draw(shift), timeframe, gaps)))
        repeat = draw(st.integers(0, 9)) == 0
        open_ts += 0 if repeat else length * (1 + draw(steps))
    return sorted(klines, key=lambda kline: kline.open_ts)


@st.composite
def some_holes(draw: st.DrawFn, klines: list[Kline]) -> list[Hole]:
    length = LENGTH_MS[klines[0].timeframe]
    start = open_of(klines[0].open_ts, klines[0].timeframe) - 10 * length
    width = (klines[-1].open_ts - start) // length + 20
    verdict: st.SearchStrategy[Verdict] = st.sampled_from(
        ["exchange_outage", "no_trades", "pending", "our_loss"]
    )
    holes = []
    for _ in range(draw(st.integers(0, 6))):
        first = start + draw(st.integers(0, width)) * length
        count = draw(st.integers(1, 20))
        provisional = draw(st.integers(0, 4)) == 0
        holes.append(
            Hole(first, first + (count - 1) * length, count, draw(verdict), provisional=provisional)
        )
    return holes


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_columns_one_by_one_and_by_hand_give_the_same_candles(data: st.DataObject) -> None:
    klines = data.draw(a_series())
    holes = data.draw(some_holes(klines))
    possible = TARGETS[klines[0].timeframe]
    targets = data.draw(st.lists(st.sampled_from(possible), min_size=1, unique=True))
    options: dict[str, Any] = {
        "holes": holes,
        "absent": data.draw(st.sampled_from(["unknown", "no_trades"])),
        "emit_incomplete": data.draw(st.booleans()),
    }
    shuffled = data.draw(st.permutations(_without_repeats(klines)))

    by_columns = rollup(klines_to_table(klines), targets, **options)
    unsorted = rollup(klines_to_table(shuffled), targets, **options)
    one_by_one = list(aggregate(klines, targets, **options))

    for target in targets:
        by_hand = plain_fold(klines, target, **options)
        assert list(table_to_klines(by_columns[target])) == by_hand
        assert [kline for kline in one_by_one if kline.timeframe == target] == by_hand
        assert unsorted[target].column("open_ts").to_pylist() == [k.open_ts for k in by_hand]


def _without_repeats(klines: list[Kline]) -> list[Kline]:
    """Keep of several with one open the last closed one, so that their order has no meaning."""
    ranked = sorted(klines, key=lambda kline: kline.is_closed is not False)
    return list({kline.open_ts: kline for kline in ranked}.values())
