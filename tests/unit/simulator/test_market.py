import time

import pytest

from streamforge_core.simulator.boundaries import DAY_MS, HOUR_MS, LENGTH_MS, MINUTE_MS, next_open
from streamforge_core.simulator.fold import Trades
from streamforge_core.simulator.market import Market
from streamforge_core.simulator.outages import fixed_outages
from streamforge_core.simulator.specs import specs_of
from tests.support.simulated import NEVER_DOWN, at

START = at("2024-01-01")
LATER = at("2024-03-01")
NOW = at("2024-01-17T15:34:56.789")


@pytest.fixture(scope="module")
def market() -> Market:
    return Market()


def by_hand(trades: Trades, open_ms: int, end_ms: int) -> tuple[int, ...]:
    """Fold trades one by one, as the definition of a candle says."""
    inside = [
        row
        for row in zip(
            *(trades.time_ms, trades.price, trades.quantity, trades.quote, trades.taker, trades.id),
            strict=True,
        )
        if open_ms <= row[0] < end_ms
    ]
    prices = [int(row[1]) for row in inside]
    sums = [sum(int(row[column]) for row in inside) for column in (2, 3)]
    taken = [sum(int(row[column] * row[4]) for row in inside) for column in (2, 3)]
    ids = (int(inside[0][5]), int(inside[-1][5]))
    ohlc = (prices[0], max(prices), min(prices), prices[-1])
    return (open_ms, *ohlc, *sums, len(inside), *taken, *ids)


def without_close_time(row: tuple[int, ...]) -> tuple[int, ...]:
    return (row[0], *row[2:])


@pytest.mark.parametrize("timeframe", LENGTH_MS)
def test_every_candle_is_the_fold_of_the_trades_inside_it(market: Market, timeframe: str) -> None:
    span = {"1s": 60_000, "1m": HOUR_MS}.get(timeframe, 3 * LENGTH_MS[timeframe])
    start = at("2024-01-16") if LENGTH_MS[timeframe] < DAY_MS else START
    trades = market.trades("ADABTC", start, NOW + 1)

    rows = market.candles("ADABTC", timeframe, start, start + span, NOW).rows()

    traded = [row for row in rows if row[8]]
    assert traded
    for row in traded:
        end = next_open(row[0], timeframe)
        assert without_close_time(row) == by_hand(trades, row[0], end)


@pytest.mark.parametrize("timeframe", LENGTH_MS)
def test_the_running_candle_holds_the_trades_up_to_now(market: Market, timeframe: str) -> None:
    start = at("2024-01-17") if LENGTH_MS[timeframe] < DAY_MS else START
    row = market.candles("BTCUSDT", timeframe, start, LATER, NOW).rows()[-1]

    trades = market.trades("BTCUSDT", row[0], NOW + 1)
    assert row[0] <= NOW < next_open(row[0], timeframe)
    assert row[8] == len(trades)
    if len(trades):
        assert without_close_time(row) == by_hand(trades, row[0], NOW + 1)


def test_a_trade_counts_from_its_own_millisecond_on(market: Market) -> None:
    hour = at("2024-01-17T15:00")
    third = int(market.trades("BTCUSDT", hour, hour + HOUR_MS).time_ms[2])

    def seen(now: int) -> int:
        return market.candles("BTCUSDT", "1h", hour, hour + 1, now).rows()[0][8]

    assert (seen(third - 1), seen(third)) == (2, 3)


def test_busy_symbols_trade_every_minute_and_the_thin_one_does_not() -> None:
    market = Market(outages=NEVER_DOWN)
    week = (START, START + 7 * DAY_MS, LATER)

    for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT"):
        assert market.candles(symbol, "1m", *week).trades.min() >= 1

    quiet = market.candles("ADABTC", "1m", *week).trades == 0
    runs = "".join("q" if is_quiet else " " for is_quiet in quiet).split()
    assert 0.06 < quiet.mean() < 0.10
    assert max(map(len, runs)) >= 4
    assert "q" in runs


def test_a_quiet_minute_is_flat_at_the_last_traded_price(market: Market) -> None:
    rows = market.candles("ADABTC", "1m", START, START + DAY_MS, LATER).rows()

    last_close = rows[0][5]
    for row in rows[1:]:
        if not row[8]:
            assert row[2:] == (*(last_close,) * 4, 0, 0, 0, 0, 0, -1, -1)
        last_close = row[5]


def test_a_flat_price_is_found_days_back() -> None:
    spec = specs_of()[3]
    market = Market([spec], outages=fixed_outages([(at("2024-01-02"), at("2024-01-05"))]))
    last = market.trades("ADABTC", START, at("2024-01-02")).price[-1]

    row = market.candles("ADABTC", "1s", at("2024-01-05"), at("2024-01-05") + 1, LATER).rows()[0]

    assert row[8] == 0
    assert row[2] == last


def test_a_month_without_the_exchange_is_skipped() -> None:
    market = Market(outages=fixed_outages([(at("2024-01-02"), at("2024-02-20"))]))

    days = market.candles("BTCUSDT", "12h", START, at("2024-02-21"), LATER)

    opens = ["2024-01-01", "2024-01-01T12:00", "2024-02-20", "2024-02-20T12:00"]
    assert days.open_ms.tolist() == [at(text) for text in opens]


def test_prices_stay_in_a_plausible_band_and_near_each_other() -> None:
    candles = Market(outages=NEVER_DOWN).candles("BTCUSDT", "1d", at("2023-01-01"), LATER, LATER)

    assert candles.low.min() > 4_300_000 * 0.3
    assert candles.high.max() < 4_300_000 * 1.7
    assert (candles.low <= candles.open).all()
    assert (candles.close <= candles.high).all()


@pytest.fixture(scope="module")
def outage() -> tuple[Market, int, int]:
    """A market that is down on 2024-01-03 from 10:07:12.345 to 10:31."""
    start, end = at("2024-01-03T10:07:12.345"), at("2024-01-03T10:31")
    return Market(outages=fixed_outages([(start, end)])), start, end


def test_in_an_outage_nothing_exists(outage: tuple[Market, int, int]) -> None:
    market, start, end = outage
    hour = at("2024-01-03T10:00")

    for symbol in market.specs:
        if symbol == "NEWUSDT":
            continue
        minutes = market.candles(symbol, "1m", hour, hour + HOUR_MS, LATER)
        present = [(int(ms) - hour) // MINUTE_MS for ms in minutes.open_ms]
        assert present == [*range(8), *range(31, 60)]
        assert len(market.trades(symbol, start, end)) == 0


def test_the_minute_before_an_outage_is_cut_short(outage: tuple[Market, int, int]) -> None:
    market, start, _ = outage
    minute = at("2024-01-03T10:07")

    row = market.candles("BTCUSDT", "1m", minute, minute + 1, LATER).rows()[0]

    assert row[1] == start - 1 == at("2024-01-03T10:07:12.344")


def test_higher_timeframes_hold_what_existed(outage: tuple[Market, int, int]) -> None:
    market, start, _ = outage
    hour = at("2024-01-03T10:00")

    fives = market.candles("BTCUSDT", "5m", hour, hour + HOUR_MS, LATER)
    hours = market.candles("BTCUSDT", "1h", hour, hour + HOUR_MS, LATER)

    assert [(int(ms) - hour) // MINUTE_MS for ms in fives.open_ms] == [0, 5, 30, 35, 40, 45, 50, 55]
    assert int(fives.close_ms[1]) == start - 1
    # Trading went on before the hour ended, so the hour is not cut.
    assert hours.close_ms.tolist() == [hour + HOUR_MS - 1]


def test_before_a_cut_nobody_knows_of_it(outage: tuple[Market, int, int]) -> None:
    market, start, _ = outage
    minute = at("2024-01-03T10:07")

    row = market.candles("BTCUSDT", "1m", minute, minute + 1, start - 1).rows()[0]

    assert row[1] == minute + MINUTE_MS - 1


def test_a_symbol_begins_with_a_trade_at_its_listing(market: Market) -> None:
    listed = at("2024-06-15T10:30")
    now = at("2024-07-01")

    minutes = market.candles("NEWUSDT", "1m", 0, listed + 3 * MINUTE_MS, now)
    days = market.candles("NEWUSDT", "1d", 0, listed + DAY_MS, now)

    assert minutes.open_ms.tolist() == [listed + i * MINUTE_MS for i in range(3)]
    assert int(market.trades("NEWUSDT", listed, now).time_ms[0]) == listed
    assert days.open_ms.tolist() == [at("2024-06-15"), at("2024-06-16")]
    assert len(market.candles("NEWUSDT", "1m", 0, now, listed - 1)) == 0


def test_a_symbol_that_ended_has_no_later_candle(market: Market) -> None:
    end = at("2024-03-10T03:00")

    last = market.candles("DELISTUSDT", "1m", end - HOUR_MS, end + DAY_MS, end + DAY_MS)

    assert int(last.open_ms[-1]) == end - MINUTE_MS
    assert len(market.trades("DELISTUSDT", end, end + DAY_MS)) == 0
    assert market.live_from("DELISTUSDT", end) is None
    assert market.live_until("DELISTUSDT", end + DAY_MS) == end - 1
    assert not market.is_up("DELISTUSDT", end)


def test_trading_time_is_known_around_an_outage(outage: tuple[Market, int, int]) -> None:
    market, start, end = outage

    assert market.is_up("BTCUSDT", start - 1)
    assert not market.is_up("BTCUSDT", start)
    assert market.live_from("BTCUSDT", start) == end
    assert market.live_from("BTCUSDT", end) == end
    assert market.live_until("BTCUSDT", end - 1) == start - 1
    assert market.live_until("NEWUSDT", start) is None
    assert market.live_from("NEWUSDT", start) == at("2024-06-15T10:30")


def test_a_listing_inside_an_outage_starts_flat_at_the_base_price() -> None:
    spec = specs_of()[4]
    market = Market([spec], outages=fixed_outages([(spec.listed_ms, spec.listed_ms + MINUTE_MS)]))
    second = spec.listed_ms + MINUTE_MS

    row = market.candles("NEWUSDT", "1s", second, second + 1, LATER * 2).rows()[0]

    assert row[2] == 12_500


def test_the_same_question_has_the_same_answer_in_another_market_object(market: Market) -> None:
    question = ("ADABTC", "3m", START, START + DAY_MS, LATER)

    assert Market().candles(*question).rows() == market.candles(*question).rows()
    assert Market(seed=1).candles(*question).rows() != market.candles(*question).rows()


def test_trade_ids_rise(market: Market) -> None:
    ids = market.trades("SOLUSDT", START, START + 2 * DAY_MS).id

    assert (ids[1:] > ids[:-1]).all()


def test_the_caches_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamforge_core.simulator.market._DAYS_CACHED", 3)
    monkeypatch.setattr("streamforge_core.simulator.market._DAY_CANDLES_CACHED", 2)
    market = Market([specs_of()[3]])

    once = market.candles("ADABTC", "1d", START, START + 9 * DAY_MS, LATER).rows()
    again = market.candles("ADABTC", "1d", START, START + 9 * DAY_MS, LATER).rows()

    assert once == again
    assert len(market._days) == 3  # noqa: SLF001 - the bound is the point
    assert len(market._day_candles) == 2  # noqa: SLF001 - likewise


def test_a_month_of_minutes_takes_a_moment() -> None:
    market = Market()
    market.candles("ETHUSDT", "1m", START, START + DAY_MS, LATER)

    before = time.process_time()
    candles = market.candles("BTCUSDT", "1m", START, START + 31 * DAY_MS, LATER)

    assert len(candles) > 44_000
    assert time.process_time() - before < 0.5
