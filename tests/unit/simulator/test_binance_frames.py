import json
from typing import Any

import pytest

from streamforge_core.simulator.binance_frames import (
    FrameError,
    check_property,
    check_streams,
    client_request,
    closing_event,
    running_event,
    shutdown_event,
    stream_of,
)
from streamforge_core.simulator.feeds import Row

MINUTE = Row(
    open_ms=1735689600000,
    open="93576.00000000",
    high="93610.93000000",
    low="93537.50000000",
    close="93610.93000000",
    volume="8.21827000",
    close_ms=1735689659999,
    quote_volume="768978.64410220",
    trades=639,
    taker_volume="4.95213000",
    taker_quote_volume="463414.22097100",
    first_id=4359120100,
    last_id=4359120738,
)


def answer_to(text: str) -> dict[str, object]:
    with pytest.raises(FrameError) as error:
        client_request(text)
    return error.value.answer


def property_answer(method: str, *params: object) -> dict[str, object]:
    request = client_request(json.dumps({"method": method, "params": params, "id": 5}))
    with pytest.raises(FrameError) as error:
        check_property(request)
    return error.value.answer


@pytest.mark.parametrize(
    ("name", "stream"),
    [
        ("btcusdt@kline_1m", ("BTCUSDT", "1m")),
        ("ethbtc@kline_1M", ("ETHBTC", "1M")),
        ("BTCUSDT@kline_1m", None),
        ("btcusdt@kline_7m", None),
        ("btcusdt@trade", None),
        ("btcusdt@kline_1d@+08:00", None),
    ],
)
def test_only_lowercase_kline_streams_are_known(name: str, stream: tuple[str, str] | None) -> None:
    assert stream_of(name) == stream


def test_a_request_is_read() -> None:
    text = '{"method":"SUBSCRIBE","params":["btcusdt@kline_1m","ethusdt@kline_1m"],"id":1}'

    request = client_request(text)

    assert request.method == "SUBSCRIBE"
    assert check_streams(request) == ["btcusdt@kline_1m", "ethusdt@kline_1m"]
    assert request.id == 1


@pytest.mark.parametrize("identity", [0, -(2**63), 2**63 - 1, "abc123", None])
def test_an_id_is_a_number_a_short_text_or_null(identity: object) -> None:
    text = json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": identity})

    assert client_request(text).id == identity


@pytest.mark.parametrize("identity", [2**63, 1.5, "a-b", "x" * 37, True, [1]])
def test_any_other_id_is_refused(identity: object) -> None:
    assert answer_to(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": identity})) == {
        "code": 2,
        "msg": "Invalid request: request ID must be an unsigned integer",
    }


def test_text_that_is_no_json_is_refused() -> None:
    assert answer_to("hello") == {
        "code": 3,
        "msg": "Invalid JSON: expected value at line 1 column 1",
    }


def test_an_unknown_method_is_refused_as_documented() -> None:
    text = '{"method": "SUBSCRIB", "params": [], "id": 1}'

    assert answer_to(text) == {
        "code": 2,
        "msg": "Invalid request: unknown variant SUBSCRIB, expected one of `SUBSCRIBE`, "
        "`UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY` "
        "at line 1 column 21",
    }


def test_a_request_without_a_method_is_refused() -> None:
    assert answer_to('{"id":1}') == {
        "code": 2,
        "msg": "Invalid request: missing field `method` at line 1 column 8",
    }
    assert answer_to("[]")["code"] == 2


def test_parameters_are_a_list_of_texts() -> None:
    assert answer_to('{"method":"SUBSCRIBE","params":"a"}')["code"] == 2
    with pytest.raises(FrameError, match="must be a string"):
        check_streams(client_request('{"method":"SUBSCRIBE","params":[1]}'))


def test_the_combined_property_is_set_and_asked_for() -> None:
    switched = client_request('{"method":"SET_PROPERTY","params":["combined",true],"id":5}')
    asked = client_request('{"method":"GET_PROPERTY","params":["combined"],"id":2}')

    assert check_property(switched) is True
    assert check_property(asked) is None


@pytest.mark.parametrize(
    ("params", "answer"),
    [
        (["nonsense", True], {"code": 0, "msg": "Unknown property", "id": 5}),
        (["combined", "yes"], {"code": 1, "msg": "Invalid value type: expected Boolean"}),
        (["combined"], {"code": 1, "msg": "Invalid value type: expected Boolean"}),
        ([7, True], {"code": 2, "msg": "Invalid request: property name must be a string"}),
        ([], {"code": 2, "msg": "Invalid request: property name must be a string"}),
        (["combined", True, 1], {"code": 2, "msg": "Invalid request: too many parameters"}),
    ],
)
def test_property_errors_are_the_documented_ones(params: list[Any], answer: object) -> None:
    assert property_answer("SET_PROPERTY", *params) == answer


def test_a_closing_event_has_the_documented_shape() -> None:
    event = closing_event("BTCUSDT", "1m", MINUTE, microseconds=False)

    assert event == {
        "e": "kline",
        "E": 1735689660002,
        "s": "BTCUSDT",
        "k": {
            "t": 1735689600000,
            "T": 1735689659999,
            "s": "BTCUSDT",
            "i": "1m",
            "f": 4359120100,
            "L": 4359120738,
            "o": "93576.00000000",
            "c": "93610.93000000",
            "h": "93610.93000000",
            "l": "93537.50000000",
            "v": "8.21827000",
            "n": 639,
            "x": True,
            "q": "768978.64410220",
            "V": "4.95213000",
            "Q": "463414.22097100",
            "B": "0",
        },
    }


def test_in_microseconds_a_candle_ends_one_microsecond_before_the_next() -> None:
    event = running_event("BTCUSDT", "1m", MINUTE, 1735689640013, microseconds=True)

    assert event["E"] == 1735689640013000
    assert (event["k"]["t"], event["k"]["T"]) == (1735689600000000, 1735689659999999)
    assert event["k"]["x"] is False


def test_a_shutdown_is_announced_with_its_time() -> None:
    announced = {"e": "serverShutdown", "E": 1770123456789}

    assert shutdown_event(1770123456789, microseconds=False) == announced
    assert shutdown_event(1770123456789, microseconds=True)["E"] == 1770123456789000
