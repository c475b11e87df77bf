from collections.abc import Mapping

import pytest

from streamforge_core.simulator.binance_rest import (
    Refusal,
    exchange_info,
    klines,
    klines_request,
)
from streamforge_core.simulator.feeds import Feed, MarketFeed
from streamforge_core.simulator.market import Market
from tests.support.simulated import NEVER_DOWN, at

NOW = at("2024-01-10T12:30:30")
MINUTE = 60_000


@pytest.fixture(scope="module")
def feeds() -> Mapping[str, Feed]:
    market = Market(outages=NEVER_DOWN)
    return {spec.symbol: MarketFeed(market, spec) for spec in market.specs.values()}


def asked(feeds: Mapping[str, Feed], **parameters: object) -> list[int]:
    """Return the open times that a klines request gets."""
    texts = {name: str(value) for name, value in parameters.items()}
    request = klines_request(feeds, {"symbol": "BTCUSDT", "interval": "1m", **texts}, NOW)
    return [row[0] for row in klines(request, NOW)]


def refused(feeds: Mapping[str, Feed], parameters: dict[str, str]) -> tuple[int, str]:
    with pytest.raises(Refusal) as refusal:
        klines_request(feeds, parameters, NOW)
    assert refusal.value.status == 400
    return refusal.value.code, refusal.value.text


def test_without_bounds_the_latest_500_come_with_the_running_one_last(
    feeds: Mapping[str, Feed],
) -> None:
    opens = asked(feeds)

    running = at("2024-01-10T12:30")
    assert opens == [running - MINUTE * i for i in range(499, -1, -1)]


def test_a_start_alone_gives_the_oldest_from_it(feeds: Mapping[str, Feed]) -> None:
    start = at("2024-01-09")

    assert asked(feeds, startTime=start, limit=3) == [start + MINUTE * i for i in range(3)]


def test_an_end_alone_gives_the_latest_up_to_it(feeds: Mapping[str, Feed]) -> None:
    end = at("2024-01-09")

    assert asked(feeds, endTime=end, limit=3) == [end - 2 * MINUTE, end - MINUTE, end]


def test_both_bounds_are_inclusive_and_give_the_oldest(feeds: Mapping[str, Feed]) -> None:
    start = at("2024-01-09")
    end = start + 2 * MINUTE

    assert asked(feeds, startTime=start, endTime=end) == [start, start + MINUTE, end]
    assert asked(feeds, startTime=start, endTime=end, limit=2) == [start, start + MINUTE]
    assert asked(feeds, startTime=start, endTime=start) == [start]
    assert asked(feeds, startTime=start + 1, endTime=end) == [start + MINUTE, end]
    assert asked(feeds, startTime=start, endTime=start - 1) == []


def test_the_documented_pair_of_bounds_names_one_candle(feeds: Mapping[str, Feed]) -> None:
    bounds = {"startTime": 1639496580000, "endTime": 1639496580999, "limit": 1}

    assert asked(feeds, **bounds) == [1639496580000]


def test_bounds_may_be_microseconds(feeds: Mapping[str, Feed]) -> None:
    start = at("2024-01-09")

    opens = asked(feeds, startTime=start * 1000, endTime=(start + MINUTE) * 1000 + 999)
    assert opens == [start, start + MINUTE]
    assert asked(feeds, startTime=start * 1000 + 1, limit=1) == [start + MINUTE]


def test_the_future_is_empty(feeds: Mapping[str, Feed]) -> None:
    assert asked(feeds, startTime=NOW + MINUTE) == []
    assert asked(feeds, startTime=NOW - MINUTE, endTime=NOW + 10**9) == [at("2024-01-10T12:30")]


def test_paging_by_the_next_open_gives_every_candle_once(feeds: Mapping[str, Feed]) -> None:
    start, end = at("2024-01-08"), at("2024-01-10") - 1
    opens: list[int] = []
    while page := asked(feeds, startTime=start, endTime=end, limit=1000):
        opens += page
        start = page[-1] + MINUTE

    assert opens == [at("2024-01-08") + MINUTE * i for i in range(2 * 1440)]


def test_a_row_has_the_twelve_documented_fields(feeds: Mapping[str, Feed]) -> None:
    request = klines_request(
        feeds, {"symbol": "ADABTC", "interval": "1h", "startTime": str(at("2024-01-09"))}, NOW
    )

    row = klines(request, NOW)[0]
    in_microseconds = klines(request, NOW, microseconds=True)[0]

    kinds = [int, str, str, str, str, str, int, str, int, str, str, str]
    assert [type(field) for field in row] == kinds
    assert row[6] - row[0] == 3_599_999
    assert row[11] == "0"
    assert in_microseconds[0] == row[0] * 1000
    assert in_microseconds[6] == row[6] * 1000 + 999
    assert in_microseconds[1:6] == row[1:6]


def test_mandatory_parameters_are_named(feeds: Mapping[str, Feed]) -> None:
    text = "Mandatory parameter '{}' was not sent, was empty/null, or malformed."

    assert refused(feeds, {"interval": "1m"}) == (-1102, text.format("symbol"))
    assert refused(feeds, {"symbol": "", "interval": "1m"}) == (-1102, text.format("symbol"))
    assert refused(feeds, {"symbol": "BTCUSDT"}) == (-1102, text.format("interval"))


def test_unknown_symbols_and_intervals_are_refused(feeds: Mapping[str, Feed]) -> None:
    assert refused(feeds, {"symbol": "NOSUCH", "interval": "1m"}) == (-1121, "Invalid symbol.")
    assert refused(feeds, {"symbol": "BTCUSDT", "interval": "7m"}) == (-1120, "Invalid interval.")
    # Not yet listed on 2024-01-10.
    assert refused(feeds, {"symbol": "NEWUSDT", "interval": "1m"}) == (-1121, "Invalid symbol.")


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("symbol", "btcusdt", -1100),
        ("startTime", "yesterday", -1100),
        ("endTime", "-1", -1100),
        ("limit", "ten", -1100),
        ("limit", "0", -1130),
        ("limit", "1001", -1130),
        ("timeZone", "8", -1130),
        ("start", "1704067200000", -1104),
    ],
)
def test_malformed_parameters_are_refused(
    feeds: Mapping[str, Feed], name: str, value: str, code: int
) -> None:
    parameters = {"symbol": "BTCUSDT", "interval": "1m", name: value}

    assert refused(feeds, parameters)[0] == code


def test_the_utc_time_zone_is_accepted(feeds: Mapping[str, Feed]) -> None:
    assert len(asked(feeds, timeZone="0", limit=1)) == 1


def symbols_of(feeds: Mapping[str, Feed], now: int = NOW, **parameters: str) -> list[str]:
    info = exchange_info(feeds, parameters, now, 6000)
    return [symbol["symbol"] for symbol in info["symbols"]]


def test_the_listing_names_what_is_listed(feeds: Mapping[str, Feed]) -> None:
    first = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "ADABTC"]

    assert symbols_of(feeds) == [*first, "DELISTUSDT"]
    later = at("2024-07-01")
    assert symbols_of(feeds, later, symbolStatus="TRADING") == [*first, "NEWUSDT"]
    assert symbols_of(feeds, later, symbolStatus="BREAK") == ["DELISTUSDT"]


def test_the_listing_can_be_asked_for_some_symbols(feeds: Mapping[str, Feed]) -> None:
    assert symbols_of(feeds, symbol="ADABTC") == ["ADABTC"]
    assert symbols_of(feeds, symbols='["ETHUSDT","BTCUSDT"]') == ["ETHUSDT", "BTCUSDT"]


def test_a_listed_symbol_has_its_assets_and_steps(feeds: Mapping[str, Feed]) -> None:
    info = exchange_info(feeds, {"symbol": "ADABTC"}, NOW, 1200)

    (symbol,) = info["symbols"]
    filters = {entry["filterType"]: entry for entry in symbol["filters"]}
    assert (symbol["status"], symbol["baseAsset"], symbol["quoteAsset"]) == (
        "TRADING",
        "ADA",
        "BTC",
    )
    assert filters["PRICE_FILTER"]["tickSize"] == "0.00000001"
    assert filters["LOT_SIZE"]["stepSize"] == "0.10000000"
    assert info["serverTime"] == NOW
    assert info["rateLimits"][0] == {
        "rateLimitType": "REQUEST_WEIGHT",
        "interval": "MINUTE",
        "intervalNum": 1,
        "limit": 1200,
    }


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"symbol": "NOSUCH"}, -1121),
        ({"symbols": '["BTCUSDT","NOSUCH"]'}, -1121),
        ({"symbols": "BTCUSDT"}, -1100),
        ({"symbols": '["btcusdt"]'}, -1100),
        ({"symbols": '"BTCUSDT"'}, -1100),
        ({"symbol": "BTCUSDT", "symbols": '["BTCUSDT"]'}, -1128),
        ({"smybol": "BTCUSDT"}, -1104),
    ],
)
def test_one_wrong_name_fails_the_whole_listing(
    feeds: Mapping[str, Feed], parameters: dict[str, str], code: int
) -> None:
    with pytest.raises(Refusal) as refusal:
        exchange_info(feeds, parameters, NOW, 6000)

    assert refusal.value.code == code
