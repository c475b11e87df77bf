import json

import pytest

from streamforge_core.errors import RequestRefused
from streamforge_core.exchanges.binance.protocol import BinanceStream
from streamforge_core.model.exchange import Ack, Refusal, Subscription
from streamforge_core.runners.subscriptions import Subscriptions

A, B, C, D = (Subscription(f"{name}USDT", "1m") for name in "ABCD")
NO = RequestRefused("no", code=2)


def names(frames: list[str]) -> list[list[str]]:
    return [[name[0] for name in json.loads(frame)["params"]] for frame in frames]


def ids(frames: list[str]) -> list[int]:
    return [json.loads(frame)["id"] for frame in frames]


def test_everything_is_asked_for_anew_on_every_connection_with_new_ids() -> None:
    asked = Subscriptions(BinanceStream(), [A, B])

    first, second = asked.ask(), asked.ask()

    assert names(first) == names(second) == [["a", "b"]]
    assert ids(first + second) == [1, 2]


def test_an_ack_settles_its_request() -> None:
    asked = Subscriptions(BinanceStream(), [A, B])
    asked.ask()

    assert asked.take(Ack(1)) == []
    assert asked.take(Refusal(1, NO)) == []
    assert asked.wanted == (A, B)


def test_a_refused_request_for_one_gives_that_one_up(caplog: pytest.LogCaptureFixture) -> None:
    asked = Subscriptions(BinanceStream(), [A])
    asked.ask()

    assert asked.take(Refusal(1, NO)) == []

    assert asked.refused == {A: NO}
    assert asked.wanted == ()
    assert "Binance AUSDT 1m is refused and left out: no" in caplog.text


def test_a_refused_request_for_several_is_split_until_the_guilty_one_is_alone() -> None:
    asked = Subscriptions(BinanceStream(), [A, B, C, D])
    asked.ask()

    halves = asked.take(Refusal(1, NO))
    assert names(halves) == [["a", "b"], ["c", "d"]]
    asked.take(Ack(ids(halves)[0]))
    singles = asked.take(Refusal(ids(halves)[1], NO))
    assert names(singles) == [["c"], ["d"]]
    asked.take(Refusal(ids(singles)[0], NO))
    asked.take(Ack(ids(singles)[1]))

    assert asked.wanted == (A, B, D)
    assert names(asked.ask()) == [["a", "b", "d"]]


def test_a_refusal_without_an_id_is_the_oldest_request_s() -> None:
    asked = Subscriptions(BinanceStream(), [A])
    asked.ask()

    asked.take(Refusal(None, NO))

    assert list(asked.refused) == [A]


@pytest.mark.parametrize("request_id", [None, 99, "text"])
def test_a_refusal_of_something_else_changes_nothing(
    request_id: int | str | None, caplog: pytest.LogCaptureFixture
) -> None:
    asked = Subscriptions(BinanceStream(), [A])
    asked.ask()
    asked.take(Ack(1))

    assert asked.take(Refusal(request_id, NO)) == []

    assert asked.wanted == (A,)
    assert "not known here was refused: no" in caplog.text


def test_of_many_frames_each_knows_what_it_asked_for() -> None:
    many = [Subscription(f"A{number}USDT", "1m") for number in range(450)]
    asked = Subscriptions(BinanceStream(), many)

    frames = asked.ask()

    assert ids(frames) == [1, 2, 3]
    assert [len(json.loads(frame)["params"]) for frame in frames] == [150, 150, 150]
    halves = asked.take(Refusal(2, NO))
    assert [json.loads(frame)["params"][0] for frame in halves] == [
        "a150usdt@kline_1m",
        "a225usdt@kline_1m",
    ]
