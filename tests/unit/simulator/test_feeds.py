import pytest

from streamforge_core.simulator.feeds import Feed, MarketFeed, newest, oldest, printed
from streamforge_core.simulator.market import Market
from streamforge_core.simulator.outages import fixed_outages
from tests.support.simulated import NEVER_DOWN, at

NOW = at("2024-01-10T12:30:30")
MINUTE = 60_000


def feed_of(symbol: str, market: Market) -> Feed:
    return MarketFeed(market, market.specs[symbol])


@pytest.fixture(scope="module")
def bitcoin() -> Feed:
    return feed_of("BTCUSDT", Market(outages=NEVER_DOWN))


@pytest.fixture(scope="module")
def interrupted() -> Feed:
    """Down on 2024-01-10 from 10:00:30 to 11:15."""
    down = fixed_outages([(at("2024-01-10T10:00:30"), at("2024-01-10T11:15"))])
    return feed_of("BTCUSDT", Market(outages=down))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0.00000000"), (1, "0.00000001"), (2808000000000, "28080.00000000")],
)
def test_numbers_are_printed_with_eight_decimals(value: int, text: str) -> None:
    assert printed(value) == text


def test_a_row_prints_what_the_market_counts() -> None:
    market = Market(outages=NEVER_DOWN)
    start = at("2024-01-10")

    row = feed_of("ADABTC", market).rows("1h", start, start + 1, NOW)[0]

    candle = market.candles("ADABTC", "1h", start, start + 1, NOW).rows()[0]
    assert row.open_ms == candle[0] == start
    assert row.close_ms == candle[1] == at("2024-01-10T00:59:59.999")
    assert row.open == f"0.{candle[2]:08d}"
    assert row.volume == f"{candle[6] // 10}.{candle[6] % 10}0000000"
    assert row.quote_volume == f"{candle[7] // 10**8}.{candle[7] % 10**8:08d}"
    assert (row.trades, row.first_id, row.last_id) == (candle[8], *candle[11:])


def test_the_smallest_steps_are_printed(bitcoin: Feed) -> None:
    assert (bitcoin.tick, bitcoin.step) == ("0.01000000", "0.00001000")
    assert (bitcoin.base, bitcoin.quote) == ("BTC", "USDT")


def test_the_status_follows_the_life_of_a_symbol() -> None:
    market = Market()
    new, gone = feed_of("NEWUSDT", market), feed_of("DELISTUSDT", market)

    assert new.status(at("2024-06-15T10:29:59.999")) is None
    assert new.status(at("2024-06-15T10:30")) == "TRADING"
    assert gone.status(at("2024-03-10T02:59")) == "TRADING"
    assert gone.status(at("2024-03-10T03:00")) == "BREAK"


def test_the_oldest_rows_begin_at_the_first_open_from_the_start(bitcoin: Feed) -> None:
    start = at("2024-01-10T10:00:00.001")

    rows = oldest(bitcoin, "1m", start, NOW + 1, NOW, limit=3)

    assert [row.open_ms for row in rows] == [start - 1 + MINUTE * i for i in (1, 2, 3)]


def test_the_oldest_rows_of_all_begin_with_the_listing(bitcoin: Feed) -> None:
    rows = oldest(bitcoin, "1h", 0, NOW + 1, NOW, limit=2)

    assert [row.open_ms for row in rows] == [at("2017-08-17T04:00"), at("2017-08-17T05:00")]


def test_a_page_is_filled_across_an_outage(interrupted: Feed) -> None:
    rows = oldest(interrupted, "1m", at("2024-01-10T09:59"), NOW + 1, NOW, limit=4)

    opens = ["09:59", "10:00", "11:15", "11:16"]
    assert [row.open_ms for row in rows] == [at(f"2024-01-10T{time}") for time in opens]


def test_the_newest_rows_reach_back_across_an_outage(interrupted: Feed) -> None:
    rows = newest(interrupted, "1m", at("2024-01-10T11:16:30"), NOW, limit=4)

    opens = ["09:59", "10:00", "11:15", "11:16"]
    assert [row.open_ms for row in rows] == [at(f"2024-01-10T{time}") for time in opens]


def test_an_hour_that_was_interrupted_is_found_from_both_sides(interrupted: Feed) -> None:
    hours = [at(f"2024-01-10T{hour}:00") for hour in ("10", "11", "12")]

    forward = oldest(interrupted, "1h", hours[0], NOW + 1, NOW, limit=9)
    backward = newest(interrupted, "1h", NOW + 1, NOW, limit=3)

    assert [row.open_ms for row in forward] == hours
    assert [row.open_ms for row in backward] == hours
    assert [row.is_cut("1h") for row in forward] == [True, False, False]


def test_the_newest_rows_end_with_the_running_one(bitcoin: Feed) -> None:
    rows = newest(bitcoin, "1M", NOW + 1, NOW, limit=3)

    months = ["2023-11-01", "2023-12-01", "2024-01-01"]
    assert [row.open_ms for row in rows] == [at(month) for month in months]


def test_the_newest_rows_stop_at_the_listing(bitcoin: Feed) -> None:
    end = at("2017-08-17T06:00")

    rows = newest(bitcoin, "1h", end, end, limit=500)

    assert [row.open_ms for row in rows] == [at("2017-08-17T04:00"), at("2017-08-17T05:00")]


def test_nothing_is_found_after_the_end_or_in_the_future(bitcoin: Feed) -> None:
    gone = feed_of("DELISTUSDT", Market())

    assert oldest(gone, "1m", at("2024-03-10T03:00"), NOW * 2, NOW * 2, limit=5) == []
    assert oldest(bitcoin, "1m", NOW + 1, NOW + 10 * MINUTE, NOW, limit=5) == []
    assert newest(bitcoin, "1m", at("2017-08-17T04:00"), NOW, limit=5) == []


def test_an_instant_without_trading_is_known(interrupted: Feed) -> None:
    assert not interrupted.is_up(at("2024-01-10T10:30"))
    assert interrupted.is_up(at("2024-01-10T11:15"))
    assert interrupted.live_from(at("2024-01-10T10:30")) == at("2024-01-10T11:15")
    assert interrupted.live_until(at("2024-01-10T10:30")) == at("2024-01-10T10:00:29.999")
