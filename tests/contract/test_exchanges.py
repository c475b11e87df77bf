"""What every venue's parts owe the rest, whichever the venue."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from streamforge_core.errors import ConfigError, MalformedMessage
from streamforge_core.exchanges.binance.instruments import BinanceInstruments
from streamforge_core.exchanges.binance.protocol import BinanceStream
from streamforge_core.model.exchange import (
    Ignored,
    InstrumentsProtocol,
    StreamProtocol,
    Subscription,
)
from streamforge_core.model.kline import Kline, Record
from streamforge_core.model.timeframe import TIMEFRAMES, end_of
from tests.support.binance_frames import NEW_YEAR_2025, kline_frame
from tests.support.recordings import recorded, recordings


@dataclass(frozen=True)
class Venue:
    """What the suite needs to know of one venue.

    Attributes:
        frame: Builds a frame with one closed candle of `symbol` from its open and timeframe.
        candle_recordings: Pattern of the recordings that hold candles.
    """

    name: str
    stream: StreamProtocol
    instruments: InstrumentsProtocol
    symbol: str
    wrong_symbols: tuple[str, ...]
    frame: Callable[[int, str], str]
    candle_recordings: str
    listing: str


BINANCE = Venue(
    name="binance",
    stream=BinanceStream(),
    instruments=BinanceInstruments(),
    symbol="BTCUSDT",
    wrong_symbols=("BTC/USDT", "BTC-USDT", "btcusdt", ""),
    frame=lambda open_ts, timeframe: kline_frame(open_ts, timeframe=timeframe),
    candle_recordings="kline_*.json",
    listing="rest_exchangeinfo",
)
SEEN = NEW_YEAR_2025 + 40 * 86_400_000

pytestmark = pytest.mark.parametrize("venue", [BINANCE], ids=lambda venue: venue.name)


def candles(venue: Venue, frame: str | bytes) -> list[Record]:
    events = venue.stream.parse(frame, seen_ts=SEEN)
    return [event for event in events if isinstance(event, Record)]


def test_its_endpoints_are_base_urls_without_a_path(venue: Venue) -> None:
    for url in venue.stream.market.endpoints.values():
        assert url.count("/") == 2, url
    assert venue.stream.path().startswith("/")


def test_its_timeframes_are_ours(venue: Venue) -> None:
    assert set(venue.stream.market.timeframes) <= {*TIMEFRAMES, "15d"}


def test_every_served_timeframe_is_subscribed_to_and_read(venue: Venue) -> None:
    for timeframe in venue.stream.market.timeframes:
        wanted = Subscription(venue.symbol, timeframe)
        venue.stream.check(wanted)
        assert len(venue.stream.subscribe([wanted], first_id=1)) == 1

        (candle,) = candles(venue, venue.frame(NEW_YEAR_2025, timeframe))

        assert (candle.symbol, candle.timeframe) == (venue.symbol, timeframe)
        assert (candle.open_ts, candle.end_ts) == (
            NEW_YEAR_2025,
            end_of(NEW_YEAR_2025, timeframe),
        )


def test_a_timeframe_it_does_not_serve_is_refused(venue: Venue) -> None:
    for timeframe in {*TIMEFRAMES, "15d"} - set(venue.stream.market.timeframes):
        with pytest.raises(ConfigError, match="serves no"):
            venue.stream.check(Subscription(venue.symbol, timeframe))


def test_a_symbol_of_another_form_is_refused_with_the_right_one(venue: Venue) -> None:
    for wrong in venue.wrong_symbols:
        with pytest.raises(ConfigError, match=venue.symbol):
            venue.stream.check(Subscription(wrong, "1m"))


def test_requests_are_numbered_from_the_id_they_are_given(venue: Venue) -> None:
    wanted = [Subscription(venue.symbol, "1m")]

    for ask in (venue.stream.subscribe, venue.stream.unsubscribe):
        assert '"id":41' in ask(wanted, first_id=41)[0].replace(" ", "")


def test_every_recorded_candle_is_a_valid_kline_that_names_its_source(venue: Venue) -> None:
    for name in recordings(venue.name, venue.candle_recordings):
        found = candles(venue, recorded(venue.name, name))
        assert found, name
        for candle in found:
            assert (candle.source, candle.provenance) == (venue.stream.market.source, "websocket")
            assert candle.seen_ts == SEEN
            assert Kline.model_validate(candle.to_kline().model_dump()) == candle.to_kline()


def test_no_other_recorded_frame_is_a_candle(venue: Venue) -> None:
    others = set(recordings(venue.name, "ws_*.json")) - set(
        recordings(venue.name, venue.candle_recordings)
    )
    assert others
    for name in others:
        assert candles(venue, recorded(venue.name, name)) == []


def test_every_truncation_of_a_candle_is_malformed(venue: Venue) -> None:
    whole = venue.frame(NEW_YEAR_2025, "1m").encode()

    for length in range(len(whole)):
        with pytest.raises(MalformedMessage):
            venue.stream.parse(whole[:length], seen_ts=SEEN)


def test_an_event_nobody_knows_is_ignored(venue: Venue) -> None:
    unknown: dict[str, Any] = {"something": "else", "list": [1, 2, {"a": None}]}

    (event,) = venue.stream.parse(json.dumps(unknown), seen_ts=SEEN)

    assert isinstance(event, Ignored)


def test_a_listing_is_asked_for_by_a_documented_path_and_read(venue: Venue) -> None:
    request = venue.instruments.listing([venue.symbol])
    listed = venue.instruments.parse_listing(recorded(venue.name, venue.listing))

    assert request.path.startswith("/")
    assert request.weight > 0
    assert venue.symbol in {instrument.symbol for instrument in listed}
