"""Stream connections, by a clock that moves only when the test says so."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK
from websockets.sync.client import connect

from streamforge_core.simulator import binance_socket
from streamforge_core.simulator.binance import SimulatedBinance
from streamforge_core.simulator.binance_socket import MAX_CONNECTIONS
from streamforge_core.simulator.outages import OutageRule, fixed_outages
from streamforge_core.transport.clock import AcceleratedClock, SystemClock
from tests.support.simulated import NEVER_DOWN, SteppedClock, at, simulated_binance

START = "2024-01-10T12:00"
MINUTE = 60_000
Socket = aiohttp.ClientWebSocketResponse


class Client:
    """A connection, the exchange it is to, and the clock of both."""

    def __init__(self, exchange: SimulatedBinance, socket: Socket) -> None:
        self.exchange = exchange
        self.socket = socket
        assert isinstance(exchange.clock, SteppedClock)
        self.clock = exchange.clock

    async def ask(self, method: str, params: Sequence[object] = (), *, identity: object = 1) -> Any:  # noqa: ANN401 - any JSON
        await self.send(method, params, identity)
        return json.loads(await self.socket.receive_str(timeout=5))

    async def send(self, method: str, params: Sequence[object] = (), identity: object = 1) -> None:
        request = {"method": method, "params": list(params), "id": identity}
        await self.socket.send_str(json.dumps(request))

    async def during(self, seconds: float) -> list[Any]:
        """Return what comes while the clock moves on, a little at a time to answer pings."""
        received: list[Any] = []
        while seconds > 0:
            await self.clock.advance(min(seconds, 15))
            seconds -= 15
            received += await self._waiting()
        return received

    async def _waiting(self) -> list[Any]:
        received = []
        while True:
            try:
                received.append(json.loads(await self.socket.receive_str(timeout=0.03)))
            except TimeoutError:
                return received


@asynccontextmanager
async def connected(
    path: str = "/ws", *, autoping: bool = True, outages: OutageRule = NEVER_DOWN
) -> AsyncIterator[Client]:
    async with (
        simulated_binance(START, outages=outages) as exchange,
        aiohttp.ClientSession() as session,
        session.ws_connect(exchange.websocket_url + path, autoping=autoping) as socket,
    ):
        yield Client(exchange, socket)


def brief(event: dict[str, Any]) -> tuple[str, int, bool]:
    """Return (symbol, minutes from the start to the open, final)."""
    kline = event["k"]
    return kline["s"], (kline["t"] - at(START)) // MINUTE, kline["x"]


async def test_a_subscription_is_acknowledged_and_pushed_every_two_seconds() -> None:
    async with connected() as client:
        ack = await client.ask("SUBSCRIBE", ["btcusdt@kline_1m"], identity=7)
        events = await client.during(10.5)

    assert ack == {"result": None, "id": 7}
    assert [event["E"] - at(START) for event in events] == [2003, 4003, 6003, 8003, 10003]
    assert {brief(event) for event in events} == {("BTCUSDT", 0, False)}


async def test_every_candle_ends_once_right_after_its_last_millisecond() -> None:
    async with connected("/ws/btcusdt@kline_1m/adabtc@kline_3m") as client:
        events = await client.during(181)

    final = [event for event in events if event["k"]["x"]]
    assert [brief(event) for event in final] == [
        ("BTCUSDT", 0, True),
        ("BTCUSDT", 1, True),
        ("BTCUSDT", 2, True),
        ("ADABTC", 0, True),
    ]
    assert [event["E"] - event["k"]["T"] for event in final] == [3, 3, 3, 3]


async def test_the_final_candle_is_the_one_that_rest_and_archive_have() -> None:
    async with connected("/ws/ethusdt@kline_1m") as client:
        events = await client.during(61)
        url = (
            f"{client.exchange.url}/api/v3/klines?symbol=ETHUSDT&interval=1m&startTime={at(START)}"
        )
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            row = (await response.json())[0]

    (final,) = [event["k"] for event in events if event["k"]["x"]]
    assert [final[key] for key in "tohlcvTqnVQB"] == row


async def test_seconds_are_pushed_every_second() -> None:
    async with connected("/ws/btcusdt@kline_1s") as client:
        events = await client.during(3.5)

    final = [(event["k"]["t"] - at(START)) // 1000 for event in events if event["k"]["x"]]
    assert final == [0, 1, 2]


async def test_combined_streams_wrap_events_with_their_name() -> None:
    async with connected("/stream?streams=btcusdt@kline_1m/ethusdt@kline_1m") as client:
        events = await client.during(2.5)
        names = await client.ask("LIST_SUBSCRIPTIONS", identity="list1")

    assert [event["stream"] for event in events] == ["btcusdt@kline_1m", "ethusdt@kline_1m"]
    assert [event["data"]["s"] for event in events] == ["BTCUSDT", "ETHUSDT"]
    assert names == {"result": ["btcusdt@kline_1m", "ethusdt@kline_1m"], "id": "list1"}


async def test_the_combined_property_is_switched_and_asked_for() -> None:
    async with connected("/ws/btcusdt@kline_1m") as client:
        assert await client.ask("GET_PROPERTY", ["combined"]) == {"result": False, "id": 1}
        assert await client.ask("SET_PROPERTY", ["combined", True]) == {"result": None, "id": 1}
        assert await client.ask("GET_PROPERTY", ["combined"]) == {"result": True, "id": 1}
        (event,) = await client.during(2.5)

    assert event["stream"] == "btcusdt@kline_1m"


async def test_an_unsubscribed_stream_falls_silent() -> None:
    async with connected("/ws/btcusdt@kline_1m/ethusdt@kline_1m") as client:
        assert await client.ask("UNSUBSCRIBE", ["btcusdt@kline_1m"]) == {"result": None, "id": 1}
        events = await client.during(4.5)

    assert {event["s"] for event in events} == {"ETHUSDT"}


async def test_unknown_streams_are_acknowledged_and_silent() -> None:
    async with connected() as client:
        ack = await client.ask("SUBSCRIBE", ["BTCUSDT@kline_1m", "nosuch@kline_1m"])
        events = await client.during(62)

    assert ack == {"result": None, "id": 1}
    assert events == []


async def test_requests_that_are_none_get_the_documented_errors() -> None:
    async with connected() as client:
        unknown = await client.ask("SET_PROPERTY", ["nonsense", True], identity=5)
        await client.socket.send_str("hello")
        nonsense = json.loads(await client.socket.receive_str(timeout=5))

    assert unknown == {"code": 0, "msg": "Unknown property", "id": 5}
    assert nonsense == {"code": 3, "msg": "Invalid JSON: expected value at line 1 column 1"}


async def test_times_are_microseconds_if_the_address_asks_for_them() -> None:
    async with connected("/stream?streams=btcusdt@kline_1m&timeUnit=MICROSECOND") as client:
        (event,) = await client.during(2.5)

    assert event["data"]["E"] == (at(START) + 2003) * 1000
    assert event["data"]["k"]["t"] == at(START) * 1000
    assert event["data"]["k"]["T"] == (at(START) + MINUTE) * 1000 - 1


async def test_an_outage_is_silence_and_its_cut_candle_never_ends() -> None:
    down = fixed_outages([(at(START) + 90_500, at(START) + 240_000)])
    async with connected("/ws/btcusdt@kline_1m", outages=down) as client:
        before = await client.during(91)
        during = await client.during(148)
        after = await client.during(63)

    assert [brief(event) for event in before if event["k"]["x"]] == [("BTCUSDT", 0, True)]
    assert during == []
    assert [brief(event) for event in after if event["k"]["x"]] == [("BTCUSDT", 4, True)]


async def test_a_ping_comes_every_20_seconds_and_silence_ends_the_connection() -> None:
    async with connected(autoping=False) as client:
        await client.clock.advance(79)
        pings = [await client.socket.receive(timeout=5) for _ in range(3)]
        assert [ping.type for ping in pings] == [aiohttp.WSMsgType.PING] * 3
        await client.clock.advance(2)

        end = await client.socket.receive(timeout=5)

    assert end.type in {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}


async def test_a_pong_with_the_payload_keeps_the_connection_and_another_does_not() -> None:
    async with connected(autoping=False) as client:
        for _ in range(6):
            await client.clock.advance(20)
            ping = await client.socket.receive(timeout=5)
            await client.socket.pong(ping.data)
            await asyncio.sleep(0.02)
        assert client.exchange.open_connections == 1

        for _ in range(4):
            await client.clock.advance(20)
            await client.socket.receive(timeout=5)
            if not client.socket.closed:
                await client.socket.pong(b"unasked")
            await asyncio.sleep(0.02)

        assert client.exchange.open_connections == 0


async def test_a_ping_of_the_client_is_answered() -> None:
    async with connected(autoping=False) as client:
        await client.socket.ping(b"are you there")
        pong = await client.socket.receive(timeout=5)

    assert (pong.type, bytes(pong.data)) == (aiohttp.WSMsgType.PONG, b"are you there")


async def test_a_sixth_message_within_a_second_ends_the_connection() -> None:
    async with connected() as client:
        for identity in range(5):
            await client.ask("LIST_SUBSCRIPTIONS", identity=identity)
        await client.clock.advance(1)
        await client.ask("LIST_SUBSCRIPTIONS", identity=5)
        for identity in range(6, 11):
            await client.send("LIST_SUBSCRIPTIONS", identity=identity)

        replies = [await client.socket.receive(timeout=5) for _ in range(5)]

    assert [reply.type for reply in replies[:4]] == [aiohttp.WSMsgType.TEXT] * 4
    assert replies[4].type is aiohttp.WSMsgType.CLOSE
    assert (replies[4].data, replies[4].extra) == (1008, "Too many requests")


@pytest.mark.parametrize("how", ["address", "request"])
async def test_a_connection_takes_1024_streams(how: str) -> None:
    names = [f"s{number}@kline_1m" for number in range(1025)]
    path = f"/stream?streams={'/'.join(names[:300])}" if how == "address" else "/ws"
    async with connected(path) as client:
        assert await client.ask("SUBSCRIBE", [*names[:1024]]) == {"result": None, "id": 1}
        await client.send("SUBSCRIBE", names[1024:])
        end = await client.socket.receive(timeout=5)

    assert (end.type, end.extra) == (aiohttp.WSMsgType.CLOSE, "Too many streams")


async def test_a_connection_ends_with_its_lifetime(monkeypatch: pytest.MonkeyPatch) -> None:
    assert binance_socket._LIFETIME_MS == 86_400_000  # noqa: SLF001 - a day, cut short here
    monkeypatch.setattr(binance_socket, "_LIFETIME_MS", 1_800_000)
    async with connected(autoping=False) as client:
        for _ in range(89):
            await client.clock.advance(20)
            ping = await client.socket.receive(timeout=5)
            await client.socket.pong(ping.data)
            await asyncio.sleep(0)
        assert not client.socket.closed
        await client.clock.advance(20)

        end = await client.socket.receive(timeout=5)

    assert (end.type, end.data) == (aiohttp.WSMsgType.CLOSE, 1001)


async def test_a_maintenance_is_announced_on_demand() -> None:
    async with connected("/stream?streams=btcusdt@kline_1m") as client:
        client.exchange.announce_shutdown()
        event = json.loads(await client.socket.receive_str(timeout=5))

    assert event == {
        "stream": "!serverShutdown",
        "data": {"e": "serverShutdown", "E": at(START)},
    }


async def test_all_connections_can_be_cut_at_once() -> None:
    async with connected() as client:
        await client.ask("LIST_SUBSCRIPTIONS")
        client.exchange.drop_sockets()
        end = await client.socket.receive(timeout=5)
        await asyncio.sleep(0.02)

        assert end.type in {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}
        assert client.exchange.open_connections == 0


def test_a_test_without_a_loop_announces_cuts_and_stops() -> None:
    with simulated_binance(START) as exchange:
        with connect(f"{exchange.websocket_url}/ws") as socket:
            exchange.announce_shutdown()
            assert json.loads(socket.recv(5)) == {"e": "serverShutdown", "E": at(START)}
            exchange.drop_sockets()
            with pytest.raises(ConnectionClosedError):
                socket.recv(5)
        with connect(f"{exchange.websocket_url}/ws") as socket:
            exchange.stop()
            with pytest.raises(ConnectionClosedOK) as end:
                socket.recv(5)
        assert end.value.rcvd is not None
        assert end.value.rcvd.code == 1001


async def test_a_stream_can_be_muted_behind_its_acknowledgement() -> None:
    async with connected() as client:
        client.exchange.troubles.muted.add("btcusdt@kline_1m")
        ack = await client.ask("SUBSCRIBE", ["btcusdt@kline_1m", "ethusdt@kline_1m"])
        events = await client.during(2.5)

    assert ack == {"result": None, "id": 1}
    assert [event["s"] for event in events] == ["ETHUSDT"]


async def test_too_many_connections_in_five_minutes_are_refused() -> None:
    async with simulated_binance(START) as exchange, aiohttp.ClientSession() as session:
        for _ in range(MAX_CONNECTIONS):
            async with session.ws_connect(f"{exchange.websocket_url}/ws"):
                pass
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await session.ws_connect(f"{exchange.websocket_url}/ws")
        assert refusal.value.status == 429

        assert isinstance(exchange.clock, SteppedClock)
        await exchange.clock.advance(300)
        async with session.ws_connect(f"{exchange.websocket_url}/ws"):
            pass


async def test_an_accelerated_clock_loses_no_candle() -> None:
    clock = AcceleratedClock(1200, real_ms=SystemClock().now_ms(), simulated_ms=at(START))
    async with (
        SimulatedBinance(clock=clock, outages=NEVER_DOWN) as exchange,
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{exchange.websocket_url}/ws/btcusdt@kline_1m") as socket,
    ):
        final: list[int] = []
        while len(final) < 20:
            kline = json.loads(await socket.receive_str(timeout=5))["k"]
            if kline["x"]:
                final.append(kline["t"])

    assert final == [final[0] + MINUTE * index for index in range(20)]
