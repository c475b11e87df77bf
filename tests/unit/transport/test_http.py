"""GET over HTTP against a server that drops, cuts, refuses and bans; nothing really sleeps."""

import gzip
import logging
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest

from streamforge_core.errors import ConnectionLost, MalformedMessage, RateLimited, ServerFailure
from streamforge_core.transport.http import HttpClient, Patience, RateBudget
from tests.support.scripted_web import Reply, ScriptedClock, ScriptedWeb, nobody_listens

MINUTE_START = 1_800_000_000_000
"""The scripted clock's start, a whole minute."""

USED = "X-Used"
HIDDEN = "s3cret"
OK = Reply()


@contextmanager
def a_client(
    clock: ScriptedClock | None = None,
    *,
    budget: RateBudget | None = None,
    stop: threading.Event | None = None,
    patience: Patience = Patience(),  # noqa: B008 - frozen
) -> Iterator[HttpClient]:
    clock = clock or ScriptedClock()
    client = HttpClient(clock=clock, budget=budget, stop=stop, patience=patience, draw=lambda: 0.0)
    with closing(client):
        yield client


# --- Answers ---


def test_an_answer_has_status_headers_in_any_case_and_body() -> None:
    reply = Reply(404, b"none", {"X-Thing": "1"})
    with ScriptedWeb(reply) as web, a_client() as client:
        answer = client.get(f"{web.url}/a/b", [("symbol", "BTCUSDT"), ("x", "1 2")])

    assert (answer.status, answer.headers["x-thing"], answer.body) == (404, "1", b"none")
    assert web.paths == ["/a/b?symbol=BTCUSDT&x=1+2"]
    assert web.agents == ["streamforge"]
    assert client.requests == 1


def test_a_redirect_is_not_followed() -> None:
    with (
        ScriptedWeb() as elsewhere,
        ScriptedWeb(Reply(302, b"", {"Location": elsewhere.url})) as web,
        a_client() as client,
    ):
        assert client.get(web.url).status == 302

    assert elsewhere.paths == []


def test_a_compressed_body_is_unpacked() -> None:
    packed = Reply(body=gzip.compress(b"hello"), headers={"Content-Encoding": "gzip"})
    with ScriptedWeb(packed) as web, a_client() as client:
        assert client.get(web.url).body == b"hello"


def test_a_body_above_the_cap_is_refused_once_even_when_it_came_small() -> None:
    bomb = Reply(body=gzip.compress(b"0" * 2_000_000), headers={"Content-Encoding": "gzip"})
    with (
        ScriptedWeb(bomb) as web,
        a_client() as client,
        pytest.raises(MalformedMessage, match="more than 1000000 bytes"),
    ):
        client.get(web.url, max_bytes=1_000_000)

    assert len(web.paths) == 1


# --- Retries ---


@pytest.mark.parametrize(
    "trouble",
    [
        Reply(500),
        Reply(503, b"<html>busy</html>"),
        Reply(hang_up=True),
        Reply(body=b"only half", announced=18),
        Reply(body=b"not gzip", headers={"Content-Encoding": "gzip"}),
    ],
)
def test_trouble_is_retried_with_growing_delays_until_it_passes(trouble: Reply) -> None:
    clock = ScriptedClock()
    with ScriptedWeb(trouble, trouble, trouble, OK) as web, a_client(clock) as client:
        assert client.get(web.url).body == b"ok"

    assert clock.waits == [0.2, 0.4, 0.8]
    assert client.requests == 4


def test_a_server_that_always_fails_is_given_up_after_five_attempts() -> None:
    clock = ScriptedClock()
    with (
        ScriptedWeb(Reply(502)) as web,
        a_client(clock) as client,
        pytest.raises(ServerFailure, match="answered 502") as failure,
    ):
        client.get(web.url)

    assert failure.value.status == 502
    assert len(web.paths) == 5
    assert clock.waits == [0.2, 0.4, 0.8, 1.6]


def test_nobody_listening_is_a_lost_connection_that_names_the_cause() -> None:
    with (
        nobody_listens() as url,
        a_client(patience=Patience(attempts=2)) as client,
        pytest.raises(ConnectionLost, match="no whole answer: NewConnectionError"),
    ):
        client.get(f"{url}/data")

    assert client.requests == 2


def test_an_address_that_is_none_is_a_lost_connection_too() -> None:
    with (
        a_client(patience=Patience(attempts=1)) as client,
        pytest.raises(ConnectionLost, match="InvalidURL"),
    ):
        client.get("http://:1/x")


def test_each_retry_is_one_line_with_its_delay(caplog: pytest.LogCaptureFixture) -> None:
    with ScriptedWeb(Reply(500), OK) as web, a_client() as client:
        client.get(f"{web.url}/a")

    assert caplog.messages == [f"GET {web.url}/a answered 500; try 2 again in 0.2 s"]


# --- Secrets ---


@pytest.mark.parametrize("trouble", [Reply(500), Reply(hang_up=True), Reply(429), Reply(418)])
def test_credentials_in_a_url_reach_no_message(
    trouble: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    patience = Patience(attempts=2)
    with ScriptedWeb(trouble) as web, a_client(patience=patience) as client:
        with pytest.raises((ServerFailure, ConnectionLost, RateLimited)) as failure:
            client.get(f"http://user:{HIDDEN}@{web.host}/a")
        with pytest.raises(ConnectionLost) as invalid:
            client.get(f"http://user:{HIDDEN}@:1/a")

    told = [*caplog.messages]
    for error in (failure.value, invalid.value):
        told += traceback.format_exception(error)
    assert HIDDEN not in "\n".join(told)
    assert f"GET http://{web.host}/a" in str(failure.value)


def test_credentials_do_not_show_when_a_body_is_too_long() -> None:
    with (
        ScriptedWeb(OK) as web,
        a_client() as client,
        pytest.raises(MalformedMessage) as failure,
    ):
        client.get(f"http://user:{HIDDEN}@{web.host}/a", max_bytes=1)

    assert HIDDEN not in str(failure.value)


# --- Limits ---


def test_retry_after_is_obeyed_to_the_second() -> None:
    clock = ScriptedClock()
    slow_down = Reply(429, b"", {"Retry-After": "17"})
    with ScriptedWeb(slow_down, OK) as web, a_client(clock) as client:
        assert client.get(web.url).body == b"ok"

    assert clock.waits == [17.0]


@pytest.mark.parametrize("told", [{}, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}])
def test_a_429_that_names_no_seconds_is_backed_off(told: dict[str, str]) -> None:
    clock = ScriptedClock()
    with ScriptedWeb(Reply(429, b"", told), OK) as web, a_client(clock) as client:
        client.get(web.url)

    assert clock.waits == [0.2]


def test_a_429_that_never_ends_is_raised_with_what_was_asked() -> None:
    with (
        ScriptedWeb(Reply(429, b"", {"Retry-After": "3"})) as web,
        a_client() as client,
        pytest.raises(RateLimited, match="retry after 3 s") as failure,
    ):
        client.get(web.url)

    assert failure.value.retry_after_s == 3.0
    assert len(web.paths) == 5


def test_a_ban_longer_than_our_patience_is_raised_at_once() -> None:
    clock = ScriptedClock()
    with (
        ScriptedWeb(Reply(418, b"", {"Retry-After": "259200"})) as web,
        a_client(clock) as client,
        pytest.raises(RateLimited) as failure,
    ):
        client.get(web.url)

    assert failure.value.retry_after_s == 259_200
    assert (len(web.paths), clock.waits) == (1, [])


def test_while_a_ban_lasts_nothing_is_sent_that_costs_weight() -> None:
    clock = ScriptedClock(MINUTE_START)
    budget = RateBudget(6_000, USED, clock=clock)
    with (
        ScriptedWeb(Reply(418, b"", {"Retry-After": "600"}), OK) as web,
        a_client(clock, budget=budget) as client,
    ):
        with pytest.raises(RateLimited):
            client.get(f"{web.url}/rest", weight=2)
        with pytest.raises(RateLimited, match="wants 600 s of silence") as refusal:
            client.get(f"{web.url}/rest", weight=2)
        client.get(f"{web.url}/archive")
        clock.wait(600)
        client.get(f"{web.url}/later", weight=2)

    assert refusal.value.retry_after_s == 600
    assert web.paths == ["/rest", "/archive", "/later"]


def test_a_429_of_a_host_outside_the_budget_blocks_nobody_else() -> None:
    clock = ScriptedClock(MINUTE_START)
    budget = RateBudget(6_000, USED, clock=clock)
    with (
        ScriptedWeb(Reply(429, b"", {"Retry-After": "600"}), OK) as web,
        a_client(clock, budget=budget) as client,
    ):
        with pytest.raises(RateLimited):
            client.get(f"{web.url}/archive")
        client.get(f"{web.url}/rest", weight=2)

    assert web.paths == ["/archive", "/rest"]


# --- The budget ---


def test_a_budget_gives_until_it_is_spent_and_is_full_again_next_minute() -> None:
    clock = ScriptedClock(MINUTE_START + 45_000)
    budget = RateBudget(5, USED, clock=clock)

    assert [budget.spend(2), budget.spend(2), budget.spend(2)] == [0.0, 0.0, 15.0]
    assert budget.spend(1) == 0.0
    clock.wait(15)
    assert budget.spend(5) == 0.0


def test_the_servers_count_corrects_ours_upwards_only() -> None:
    clock = ScriptedClock(MINUTE_START)
    budget = RateBudget(100, USED, clock=clock)
    budget.spend(50)

    budget.learn({USED: "10"})
    assert budget.spend(50) == 0.0
    budget.learn({USED: "many"})
    budget.learn({})
    clock.wait(60)
    budget.spend(1)
    budget.learn({USED: "99"})
    assert budget.spend(2) == 60.0


def test_the_count_is_learned_from_every_answer() -> None:
    clock = ScriptedClock(MINUTE_START)
    budget = RateBudget(100, USED, clock=clock)
    with (
        ScriptedWeb(Reply(headers={USED: "99"}), OK) as web,
        a_client(clock, budget=budget) as client,
    ):
        client.get(web.url, weight=1)
        assert clock.waits == []
        client.get(web.url, weight=2)

    assert clock.waits == [60.0]


def test_one_budget_is_shared_by_all_threads() -> None:
    clock = ScriptedClock(MINUTE_START)
    budget = RateBudget(10, USED, clock=clock)
    sent_at: list[int] = []
    with ScriptedWeb(OK) as web, a_client(clock, budget=budget) as client:
        web.before_reply = lambda: sent_at.append(clock.now_ms() // 60_000)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: client.get(web.url, weight=2), range(20)))

    per_minute = {minute: sent_at.count(minute) for minute in sent_at}
    assert client.requests == 20
    assert max(per_minute.values()) <= 5 + 3  # a reply may be noted a minute late by three others
    assert len(per_minute) >= 4


def test_one_threads_429_is_every_threads() -> None:
    clock = ScriptedClock(MINUTE_START)
    budget = RateBudget(6_000, USED, clock=clock)

    budget.block(30)
    budget.block(10)

    assert budget.spend(1) == 30.0
    clock.wait(30)
    assert budget.spend(1) == 0.0


def test_waiting_for_the_budget_is_told(caplog: pytest.LogCaptureFixture) -> None:
    clock = ScriptedClock(MINUTE_START)
    budget = RateBudget(1, USED, clock=clock)
    with (
        caplog.at_level(logging.INFO),
        ScriptedWeb(OK) as web,
        a_client(clock, budget=budget) as client,
    ):
        client.get(web.url, weight=1)
        client.get(web.url, weight=1)

    assert caplog.messages == ["The request budget is spent; waiting 60.0 s"]


# --- Stop and close ---


def test_after_stop_nothing_is_sent() -> None:
    stop = threading.Event()
    stop.set()
    with (
        ScriptedWeb(OK) as web,
        a_client(stop=stop) as client,
        pytest.raises(ConnectionLost, match="Stopped"),
    ):
        client.get(web.url)

    assert web.paths == []


def test_stop_ends_a_wait_between_two_tries() -> None:
    stop = threading.Event()
    with ScriptedWeb(Reply(500)) as web, a_client(stop=stop) as client:
        web.before_reply = stop.set
        with pytest.raises(ConnectionLost, match="Stopped while waiting"):
            client.get(web.url)

    assert len(web.paths) == 1


def test_stop_ends_a_wait_for_the_budget() -> None:
    stop, clock = threading.Event(), ScriptedClock()
    budget = RateBudget(1, USED, clock=clock)
    budget.spend(1)
    stop.set()
    with (
        a_client(clock, budget=budget, stop=stop) as client,
        pytest.raises(ConnectionLost, match="Stopped while waiting"),
    ):
        client.get("http://127.0.0.1:9/never", weight=1)


def test_a_closed_client_holds_no_connections_and_may_be_closed_twice() -> None:
    with ScriptedWeb(OK) as web, a_client() as client:
        client.get(web.url)
        client.close()
        client.close()

    assert len(web.paths) == 1
