import pytest

from streamforge_core.simulator.binance_push import StreamTroubles, Subscriptions
from streamforge_core.simulator.feeds import Feed, MarketFeed
from streamforge_core.simulator.market import Market
from streamforge_core.simulator.outages import OutageRule, fixed_outages
from tests.support.simulated import NEVER_DOWN, at

START = at("2024-01-10T12:00")
MINUTE = 60_000


def feeds_of(outages: OutageRule = NEVER_DOWN) -> dict[str, Feed]:
    market = Market(outages=outages)
    return {spec.symbol: MarketFeed(market, spec) for spec in market.specs.values()}


def subscribed(
    *names: str, now: int = START, outages: OutageRule = NEVER_DOWN
) -> tuple[Subscriptions, StreamTroubles]:
    troubles = StreamTroubles()
    subscriptions = Subscriptions(feeds_of(outages), troubles, microseconds=False)
    for name in names:
        subscriptions.add(name, now)
    return subscriptions, troubles


def seen(subscriptions: Subscriptions, now: int) -> list[tuple[str, int, bool]]:
    """Return (stream, minutes from the start to the open, final) of each event."""
    return [
        (name, (event["k"]["t"] - START) // MINUTE, event["k"]["x"])
        for name, event in subscriptions.events(now)
    ]


def test_a_running_candle_is_pushed() -> None:
    subscriptions, _ = subscribed("btcusdt@kline_1m")

    assert seen(subscriptions, START + 2_003) == [("btcusdt@kline_1m", 0, False)]


def test_the_end_of_a_candle_comes_once_and_before_the_next_one() -> None:
    subscriptions, _ = subscribed("btcusdt@kline_1m")

    name = "btcusdt@kline_1m"
    assert seen(subscriptions, START + MINUTE + 3) == [(name, 0, True), (name, 1, False)]
    assert seen(subscriptions, START + MINUTE + 2_003) == [(name, 1, False)]


def test_after_a_leap_every_end_is_told_in_order_of_time() -> None:
    subscriptions, _ = subscribed("ethusdt@kline_3m", "btcusdt@kline_1m")

    three, one = "ethusdt@kline_3m", "btcusdt@kline_1m"
    assert seen(subscriptions, START + 3 * MINUTE + 3) == [
        (one, 0, True),
        (one, 1, True),
        (three, 0, True),
        (one, 2, True),
        (three, 3, False),
        (one, 3, False),
    ]


def test_a_final_event_is_what_rest_has() -> None:
    subscriptions, _ = subscribed("adabtc@kline_1m")

    ((_, event), _) = subscriptions.events(START + MINUTE + 3)

    row = feeds_of()["ADABTC"].rows("1m", START, START + 1, START + MINUTE)[0]
    kline = event["k"]
    assert [kline[key] for key in "tohlcvTqnVQfL"] == list(row)


def test_a_minute_without_trades_is_pushed_and_ended() -> None:
    feed = feeds_of()["ADABTC"]
    rows = feed.rows("1m", START, START + 300 * MINUTE, START + 400 * MINUTE)
    quiet = next(row for row in rows if not row.trades)
    subscriptions, _ = subscribed("adabtc@kline_1m", now=quiet.open_ms)

    ((_, event), _) = subscriptions.events(quiet.open_ms + MINUTE + 3)

    kline = event["k"]
    assert (kline["x"], kline["n"], kline["f"], kline["L"]) == (True, 0, -1, -1)
    assert kline["o"] == kline["h"] == kline["l"] == kline["c"]
    assert {kline[key] for key in "vqVQ"} == {"0.00000000"}


def test_seconds_are_pushed_every_second_and_others_every_other() -> None:
    subscriptions, _ = subscribed("btcusdt@kline_1s", "btcusdt@kline_1m")

    assert subscriptions.period_ms() == 1_000
    odd = [(name, final) for name, _, final in seen(subscriptions, START + 1_003)]
    even = [(name, final) for name, _, final in seen(subscriptions, START + 2_003)]
    second, minute = "btcusdt@kline_1s", "btcusdt@kline_1m"
    assert odd == [(second, True), (second, False)]
    assert even == [(second, True), (second, False), (minute, False)]


def test_a_late_push_is_still_the_push_of_its_second() -> None:
    subscriptions, _ = subscribed("btcusdt@kline_1m")

    events = subscriptions.events(START + 3_200, START + 2_003)

    assert [event["E"] for _, event in events] == [START + 3_200]
    assert subscriptions.events(START + 4_100, START + 3_003) == []


def test_without_seconds_two_of_them_lie_between_pushes() -> None:
    assert subscribed("btcusdt@kline_1m", "unknown")[0].period_ms() == 2_000


@pytest.mark.parametrize("name", ["BTCUSDT@kline_1m", "nosuch@kline_1m", "btcusdt@trade"])
def test_unknown_streams_are_listed_and_stay_silent(name: str) -> None:
    subscriptions, _ = subscribed(name)

    assert subscriptions.names == [name]
    assert seen(subscriptions, START + 10 * MINUTE) == []


def test_a_symbol_not_yet_listed_begins_with_its_listing() -> None:
    listed = at("2024-06-15T10:30")
    subscriptions, _ = subscribed("newusdt@kline_1m", now=listed - 5 * MINUTE)

    assert seen(subscriptions, listed - 2_000) == []
    events = subscriptions.events(listed + MINUTE + 3)
    assert [event["k"]["t"] for _, event in events] == [listed, listed + MINUTE]


def test_in_an_outage_nothing_is_pushed_and_the_cut_candle_never_ends() -> None:
    down = fixed_outages([(START + 90_500, START + 5 * MINUTE)])
    subscriptions, _ = subscribed("btcusdt@kline_1m", outages=down)
    name = "btcusdt@kline_1m"

    assert seen(subscriptions, START + 62_003) == [(name, 0, True), (name, 1, False)]
    for second in range(92, 300, 2):
        assert seen(subscriptions, START + second * 1_000 + 3) == []
    assert seen(subscriptions, START + 5 * MINUTE + 3) == [(name, 5, False)]


def test_an_hour_with_an_outage_inside_ends_as_usual() -> None:
    down = fixed_outages([(START + 90_500, START + 5 * MINUTE)])
    subscriptions, _ = subscribed("btcusdt@kline_1h", outages=down)
    name = "btcusdt@kline_1h"

    assert seen(subscriptions, START + 60 * MINUTE + 3) == [(name, 0, True), (name, 60, False)]


def test_an_unsubscribed_stream_is_forgotten() -> None:
    subscriptions, _ = subscribed("btcusdt@kline_1m", "ethusdt@kline_1m")

    subscriptions.remove("btcusdt@kline_1m")
    subscriptions.remove("never there")

    assert subscriptions.names == ["ethusdt@kline_1m"]


def test_a_second_subscription_changes_nothing() -> None:
    subscriptions, _ = subscribed("btcusdt@kline_1m")

    subscriptions.add("btcusdt@kline_1m", START + 10 * MINUTE)

    assert seen(subscriptions, START + MINUTE + 3)[0] == ("btcusdt@kline_1m", 0, True)


def test_a_muted_stream_loses_what_happens_meanwhile() -> None:
    subscriptions, troubles = subscribed("btcusdt@kline_1m")
    name = "btcusdt@kline_1m"

    troubles.muted.add(name)
    assert seen(subscriptions, START + MINUTE + 3) == []
    troubles.muted.clear()
    assert seen(subscriptions, START + 2 * MINUTE + 3) == [(name, 1, True), (name, 2, False)]


def test_ends_can_be_told_twice() -> None:
    subscriptions, troubles = subscribed("btcusdt@kline_1m")
    name = "btcusdt@kline_1m"

    troubles.repeats_closings = True

    events = seen(subscriptions, START + MINUTE + 3)
    assert events == [(name, 0, True), (name, 0, True), (name, 1, False)]
