import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamforge_core.errors import ConfigError, MalformedMessage, UnsupportedTimeframe
from streamforge_core.exchanges.binance.protocol import BinanceStream
from streamforge_core.model.exchange import Ack, Ignored, Notice, Refusal, Subscription
from streamforge_core.model.kline import Record
from tests.support.binance_frames import NEW_YEAR_2025, kline_event, kline_frame
from tests.support.market_data import market_data
from tests.support.recordings import recorded, recorded_json, recordings

SEEN = NEW_YEAR_2025 + 60_020


def parsed(frame: str | bytes) -> list[Any]:
    return BinanceStream().parse(frame, seen_ts=SEEN)


def test_the_combined_stream_is_connected_to() -> None:
    assert BinanceStream().path() == "/stream"


def test_a_subscription_is_the_documented_request() -> None:
    wanted = [Subscription("BTCUSDT", "1m"), Subscription("ETHUSDT", "1m")]

    frames = BinanceStream().subscribe(wanted, first_id=1)

    assert [json.loads(frame) for frame in frames] == [
        recorded_json("binance", "ws_subscribe_request")
    ]


def test_ending_a_subscription_is_the_documented_request() -> None:
    frames = BinanceStream().unsubscribe([Subscription("ETHUSDT", "1m")], first_id=312)

    assert [json.loads(frame) for frame in frames] == [
        recorded_json("binance", "ws_unsubscribe_request")
    ]


def test_a_minute_and_a_month_are_different_streams() -> None:
    wanted = [Subscription("BTCUSDT", "1m"), Subscription("BTCUSDT", "1M")]

    (frame,) = BinanceStream().subscribe(wanted, first_id=1)

    assert json.loads(frame)["params"] == ["btcusdt@kline_1m", "btcusdt@kline_1M"]


def test_many_streams_are_asked_for_200_at_a_time_with_ids_counted_up() -> None:
    wanted = [Subscription(f"A{number}USDT", "1m") for number in range(450)]

    frames = [json.loads(frame) for frame in BinanceStream().subscribe(wanted, first_id=7)]

    assert [frame["id"] for frame in frames] == [7, 8, 9]
    assert [len(frame["params"]) for frame in frames] == [200, 200, 50]
    assert [name for frame in frames for name in frame["params"]] == [
        f"a{number}usdt@kline_1m" for number in range(450)
    ]


def test_nothing_wanted_is_nothing_sent() -> None:
    assert BinanceStream().subscribe([], first_id=1) == []


def test_a_symbol_in_another_venue_s_form_is_refused_before_any_socket() -> None:
    with pytest.raises(ConfigError, match="Write 'BTCUSDT'"):
        BinanceStream().check(Subscription("BTC/USDT", "1m"))


def test_a_timeframe_of_another_venue_is_refused_before_any_socket() -> None:
    with pytest.raises(UnsupportedTimeframe, match="serves no 15d"):
        BinanceStream().check(Subscription("BTCUSDT", "15d"))


def test_a_served_subscription_passes() -> None:
    BinanceStream().check(Subscription("BTCUSDT", "1M"))


@pytest.mark.parametrize("name", recordings("binance", "kline_*.json"))
def test_every_recorded_kline_is_one_candle_wrapped_or_not(name: str) -> None:
    (candle,) = parsed(recorded("binance", name))

    assert isinstance(candle, Record)
    assert candle.symbol in {"BTCUSDT", "ETHUSDT"}
    assert candle.seen_ts == SEEN


def test_a_wrapped_candle_equals_the_raw_one() -> None:
    assert parsed(recorded("binance", "kline_combined")) == parsed(
        recorded("binance", "kline_closed")
    )


def test_text_and_bytes_say_the_same() -> None:
    frame = kline_frame(price=93_610.93)

    assert parsed(frame) == parsed(frame.encode())


def test_odd_whitespace_changes_nothing() -> None:
    spaced = json.dumps(recorded_json("binance", "kline_combined"), indent=4)

    assert parsed(f"\n {spaced}\n") == parsed(recorded("binance", "kline_combined"))


def test_every_item_of_a_list_is_read_in_its_order() -> None:
    first, second = kline_event(), kline_event(NEW_YEAR_2025 + 60_000, closed=False)
    wrapped = {"stream": "!all@arr", "data": [first, {"e": "other"}, second]}

    events = parsed(json.dumps(wrapped))

    assert [getattr(event, "open_ts", event) for event in events] == [
        NEW_YEAR_2025,
        Ignored("other"),
        NEW_YEAR_2025 + 60_000,
    ]
    assert parsed(json.dumps([first])) == [events[0]]


@pytest.mark.parametrize(
    ("name", "request_id"),
    [
        ("ws_subscribe_ack", 1),
        ("ws_unsubscribe_ack", 312),
        ("ws_list_subscriptions_response", 3),
    ],
)
def test_a_reply_is_an_ack_of_its_request(name: str, request_id: int) -> None:
    assert parsed(recorded("binance", name)) == [Ack(request_id)]


@pytest.mark.parametrize(
    ("name", "request_id", "code", "words"),
    [
        ("ws_error_unknown_property", 5, 0, "Unknown property"),
        ("ws_error_invalid_request", None, 2, "request ID must be an unsigned integer"),
        ("ws_error_unknown_method", None, 2, "unknown variant SUBSCRIB"),
        ("ws_error_invalid_json", None, 3, "Invalid JSON"),
    ],
)
def test_an_error_is_a_refusal_with_its_code(
    name: str, request_id: int | None, code: int, words: str
) -> None:
    (refusal,) = parsed(recorded("binance", name))

    assert isinstance(refusal, Refusal)
    assert refusal.request_id == request_id
    assert getattr(refusal.error, "code", None) == code
    assert words in str(refusal.error)


def test_a_wrapped_error_is_a_refusal_too() -> None:
    (refusal,) = parsed('{"error":{"code":2,"msg":"Invalid request"},"id":"a1"}')

    assert (refusal.request_id, refusal.error.code) == ("a1", 2)


@pytest.mark.parametrize("name", ["ws_server_shutdown_raw", "ws_server_shutdown_combined"])
def test_a_shutdown_is_announced(name: str) -> None:
    (notice,) = parsed(recorded("binance", name))

    assert isinstance(notice, Notice)
    assert notice.kind == "shutdown"


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        ('{"stream":"a@depth@100ms","data":{"e":"depthUpdate","U":1}}', "depthUpdate"),
        ('{"stream":"a@bookTicker","data":{"u":400900217,"s":"A","b":"1"}}', "bookTicker"),
        ('{"e":"aggTrade","k":"not a candle"}', "aggTrade"),
        ('{"stream":"x","data":{}}', "unknown"),
        ("{}", "unknown"),
    ],
)
def test_another_event_is_ignored_by_name(frame: str, kind: str) -> None:
    assert parsed(frame) == [Ignored(kind)]


WHOLE = recorded("binance", "kline_combined")


@given(st.integers(min_value=0, max_value=len(WHOLE) - 1))
def test_a_truncated_frame_is_malformed_and_nothing_else(length: int) -> None:
    with pytest.raises(MalformedMessage):
        parsed(WHOLE[:length])


@given(st.binary(max_size=40) | st.text(max_size=40))
def test_noise_is_malformed_or_ignored_and_nothing_else(frame: bytes | str) -> None:
    try:
        events = parsed(frame)
    except MalformedMessage:
        return
    assert all(isinstance(event, Ignored) for event in events)


@pytest.mark.parametrize(
    "frame",
    [
        "5",
        "null",
        '"kline"',
        '{"stream":"btcusdt@kline_1m","data":5}',
        '{"stream":"btcusdt@kline_1m","data":{"e":"kline"}}',
        '{"e":"kline","k":{}}',
        '{"e":7}',
        kline_frame(o="12,5"),
        kline_frame(h="nan"),
        kline_frame(x="perhaps"),
        kline_frame(t="soon"),
        '{"data":' * 100_000 + "1" + "}" * 100_000,
        b"\xff\xfe\x00",
    ],
)
def test_what_binance_does_not_document_is_malformed(frame: str | bytes) -> None:
    with pytest.raises(MalformedMessage):
        parsed(frame)


def test_a_real_capture_gives_exactly_its_candles() -> None:
    path = market_data("websocket_frames", "binance_spot_mixed_2021-10-12.txt")
    lines = [line for line in path.read_text().splitlines() if line[:1].isdigit()]
    frames = [(float(at), text) for at, _, text in (line.partition(": ") for line in lines)]
    stream = BinanceStream()

    events = [event for at, text in frames for event in stream.parse(text, seen_ts=int(at * 1_000))]

    sent = [json.loads(text)["data"] for _, text in frames]
    klines = [data["k"] for data in sent if data.get("e") == "kline"]
    candles = [event for event in events if isinstance(event, Record)]
    assert len(candles) == 2
    assert [
        (c.symbol, c.open_ts, c.end_ts, c.open, c.high, c.low, c.close, c.volume) for c in candles
    ] == [
        (k["s"], k["t"], k["T"], *(float(k[name]) for name in ("o", "h", "l", "c", "v")))
        for k in klines
    ]
    assert [(c.quote_volume, c.n_trades, c.is_closed) for c in candles] == [
        (float(k["q"]), k["n"], k["x"]) for k in klines
    ]
    ignored = Counter(event.kind for event in events if isinstance(event, Ignored))
    assert ignored == {"depthUpdate": 177, "bookTicker": 84, "aggTrade": 2}
    assert len(events) == len(frames) == 265
