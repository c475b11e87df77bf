import asyncio
import logging
import subprocess
import sys
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from streamforge_core import logs
from streamforge_core.errors import ConfigError, EmitterError, RequestRefused
from streamforge_core.exchanges.binance.constants import SPOT
from streamforge_core.model.data_input import DataInput
from streamforge_core.model.exchange import Market
from streamforge_core.model.kline import Kline
from streamforge_core.runners.bindings import BinanceRunner
from tests.support.binance_frames import NEW_YEAR_2025
from tests.support.live import MINUTE, a_runner, an_input, minute, minutes, running, serves
from tests.support.recording_emitter import RecordingEmitter
from tests.support.scripted_socket import Peer, ScriptedSocket, until


def opens(klines: list[Kline], timeframe: str = "1m") -> list[int]:
    """Return which minutes after the start the candles of one timeframe open at."""
    return [(k.open_ts - NEW_YEAR_2025) // MINUTE for k in klines if k.timeframe == timeframe]


async def test_closed_candles_reach_the_emitter_in_their_order() -> None:
    server = ScriptedSocket(serves(*minutes([0, 1, 2])))
    emitter = RecordingEmitter()

    async with server.running():
        runner = a_runner(server).register_emitter(emitter)
        async with running(runner):
            await until(lambda: len(emitter.klines) == 3)

    assert opens(emitter.klines) == [0, 1, 2]
    assert emitter.calls == ["connect", "emit", "flush", "close"]
    first = emitter.klines[0]
    assert (first.source, first.symbol, first.close, first.is_closed) == (
        "Binance",
        "BTCUSDT",
        100.0,
        True,
    )


async def test_the_documented_request_is_sent_to_the_documented_path() -> None:
    heard: list[Any] = []

    async def scene(peer: Peer) -> None:
        heard.extend([peer.path, await peer.acks()])
        await peer.stays()

    server = ScriptedSocket(scene)
    async with server.running(), running(a_runner(server, an_input("BTCUSDT", "ETHUSDT"))):
        await until(lambda: len(heard) == 2)

    assert heard == [
        "/stream",
        {"method": "SUBSCRIBE", "params": ["btcusdt@kline_1m", "ethusdt@kline_1m"], "id": 1},
    ]


async def test_updates_of_a_forming_candle_are_left_out() -> None:
    server = ScriptedSocket(serves(minute(0, closed=False), minute(0), minute(1, closed=False)))

    async with server.running(), a_runner(server) as runner:
        async for kline in runner.stream():
            assert kline.is_closed
            break


async def test_updates_of_a_forming_candle_come_when_asked_for() -> None:
    forming = minute(0, closed=False, price=99)
    server = ScriptedSocket(serves(forming, minute(0, price=100)))
    klines: list[Kline] = []

    async with server.running(), a_runner(server, emit_only_closed_candles=False) as runner:
        async for kline in runner.stream():
            klines.append(kline)
            if kline.is_closed:
                break

    assert [(k.close, k.is_closed) for k in klines] == [(99.0, False), (100.0, True)]


async def test_higher_candles_come_right_after_the_base_candle_that_completes_them() -> None:
    frames = [minute(index, price=100 + index, volume=index) for index in range(6)]
    server = ScriptedSocket(serves(*frames))
    emitter = RecordingEmitter()

    async with server.running():
        runner = a_runner(server, an_input(aggregate=["5m"])).register_emitter(emitter)
        async with running(runner):
            await until(lambda: len(emitter.klines) == 7)

    assert [(k.timeframe, k.open_ts) for k in emitter.klines[4:]] == [
        ("1m", NEW_YEAR_2025 + 4 * MINUTE),
        ("5m", NEW_YEAR_2025),
        ("1m", NEW_YEAR_2025 + 5 * MINUTE),
    ]
    five = emitter.klines[5]
    # Minute 0 has no volume: its price does not count.
    assert (five.open, five.high, five.low, five.close) == (101.0, 104.0, 101.0, 104.0)
    assert (five.volume, five.is_closed, five.end_ts) == (10.0, True, NEW_YEAR_2025 + 299_999)


async def test_data_before_the_ack_is_kept() -> None:
    async def eager(peer: Peer) -> None:
        request = await peer.heard()
        await peer.says(minute(0), {"result": None, "id": request["id"]}, minute(1))
        await peer.stays()

    emitter = RecordingEmitter()
    server = ScriptedSocket(eager)
    async with server.running(), running(a_runner(server).register_emitter(emitter)):
        await until(lambda: len(emitter.klines) == 2)

    assert opens(emitter.klines) == [0, 1]


async def test_a_drop_is_followed_by_a_new_subscription_and_nothing_comes_twice() -> None:
    server = ScriptedSocket(
        serves(*minutes([0, 1]), then_drops=True), serves(*minutes([0, 1, 2, 3, 4]))
    )
    emitter = RecordingEmitter()

    async with server.running():
        runner = a_runner(server, an_input(aggregate=["5m"])).register_emitter(emitter)
        async with running(runner):
            await until(lambda: opens(emitter.klines, "5m") == [0])
            stats = runner.stats()

    assert opens(emitter.klines) == [0, 1, 2, 3, 4]
    assert (stats.connections, stats.lost, stats.duplicates, stats.missing) == (2, 1, 2, 0)
    assert stats.emitted == 6


async def test_a_candle_lost_in_a_drop_is_told_and_withholds_what_holds_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = ScriptedSocket(
        serves(*minutes([0, 1]), then_drops=True), serves(*minutes(range(3, 10)))
    )
    emitter = RecordingEmitter()

    async with server.running():
        runner = a_runner(server, an_input(aggregate=["5m"])).register_emitter(emitter)
        async with running(runner):
            await until(lambda: opens(emitter.klines, "5m") != [])
            stats = runner.stats()

    assert opens(emitter.klines) == [0, 1, 3, 4, 5, 6, 7, 8, 9]
    assert opens(emitter.klines, "5m") == [5]
    assert stats.missing == 1
    assert "Binance BTCUSDT 1m: 1 candles are missing, 2025-01-01T00:02:00Z" in caplog.text


async def test_a_malformed_frame_is_counted_and_kept_aside_and_the_rest_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    other = '{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade"}}'
    server = ScriptedSocket(serves(minute(0), '{"stream":', minute(1, o="nan"), other, minute(1)))
    emitter = RecordingEmitter()

    async with server.running():
        runner = a_runner(server).register_emitter(emitter)
        async with running(runner):
            await until(lambda: len(emitter.klines) == 2)
            stats, aside = runner.stats(), runner.bad_frames()

    assert opens(emitter.klines) == [0, 1]
    assert (stats.malformed, stats.ignored) == (2, {"aggTrade": 1})
    assert [bad.frame for bad in aside] == [b'{"stream":', minute(1, o="nan").encode()]
    assert "Malformed frame (1 so far): Binance: Input data was truncated" in caplog.text


async def test_a_candle_nobody_asked_for_is_ignored() -> None:
    server = ScriptedSocket(
        serves(minute(0, symbol="DOGEUSDT"), minute(0, timeframe="3m"), minute(0))
    )
    emitter = RecordingEmitter()

    async with server.running():
        runner = a_runner(server).register_emitter(emitter)
        async with running(runner):
            await until(lambda: len(emitter.klines) == 1)
            stats = runner.stats()

    assert emitter.klines[0].symbol == "BTCUSDT"
    assert stats.ignored == {"unasked candle": 2}


async def test_of_two_subscriptions_the_refused_one_is_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def refuses_doge(peer: Peer) -> None:
        for _ in range(3):
            request = await peer.heard()
            refused = "dogeusdt@kline_1m" in request["params"]
            error = {"code": 2, "msg": "Invalid request: no such stream"}
            await peer.says((error if refused else {"result": None}) | {"id": request["id"]})
        await peer.says(minute(0))
        await peer.stays()

    emitter = RecordingEmitter()
    async with ScriptedSocket(refuses_doge).running() as server:
        runner = a_runner(server, an_input("DOGEUSDT", "BTCUSDT")).register_emitter(emitter)
        async with running(runner):
            await until(lambda: len(emitter.klines) == 1)
            stats = runner.stats()

    assert stats.refused == 1
    assert "Binance DOGEUSDT 1m is refused and left out: Binance refused a request" in caplog.text


async def test_a_run_whose_every_subscription_is_refused_raises() -> None:
    async def refuses(peer: Peer) -> None:
        request = await peer.heard()
        await peer.says({"code": 2, "msg": "Invalid request: no", "id": request["id"]})
        await peer.stays()

    emitter = RecordingEmitter()
    async with ScriptedSocket(refuses).running() as server:
        runner = a_runner(server).register_emitter(emitter)
        with pytest.raises(RequestRefused, match="Invalid request: no"):
            await runner.run()

    assert emitter.calls == ["connect", "flush", "close"]


async def test_an_announced_shutdown_is_told(caplog: pytest.LogCaptureFixture) -> None:
    server = ScriptedSocket(serves('{"e":"serverShutdown","E":1770123456789}', minute(0)))
    emitter = RecordingEmitter()

    async with server.running(), running(a_runner(server).register_emitter(emitter)):
        await until(lambda: len(emitter.klines) == 1)

    assert "Binance: Binance announces that it will close this connection." in caplog.text


async def test_every_emitter_gets_every_candle() -> None:
    server = ScriptedSocket(serves(*minutes([0, 1])))
    first, second = RecordingEmitter(), RecordingEmitter()

    async with server.running():
        runner = a_runner(server).register_emitter(first).register_emitter(second)
        async with running(runner):
            await until(lambda: len(first.klines) == len(second.klines) == 2)

    assert opens(first.klines) == opens(second.klines) == [0, 1]


async def test_a_failing_emitter_stops_alone_and_is_raised_in_the_end() -> None:
    server = ScriptedSocket(serves(*minutes([0, 1, 2])))
    broken = RecordingEmitter(name="broken", fail=lambda _: EmitterError("disk on fire"))
    healthy = RecordingEmitter(name="healthy")

    async with server.running():
        runner = a_runner(server).register_emitter(broken).register_emitter(healthy)
        task = asyncio.create_task(runner.run())
        await until(lambda: len(healthy.klines) == 3)
        await runner.stop()
        with pytest.raises(EmitterError, match="disk on fire"):
            await task

    assert opens(healthy.klines) == [0, 1, 2]
    assert healthy.calls[-2:] == ["flush", "close"]


async def test_a_run_whose_only_emitter_fails_ends_at_once() -> None:
    server = ScriptedSocket(serves(*minutes(range(3))))
    broken = RecordingEmitter(fail=lambda _: EmitterError("disk on fire"))

    async with server.running():
        runner = a_runner(server).register_emitter(broken)
        with pytest.raises(EmitterError, match="disk on fire"):
            await asyncio.wait_for(runner.run(), timeout=5)

    assert broken.calls == ["connect", "close"]


async def test_an_emitter_that_cannot_work_is_found_before_any_socket_opens() -> None:
    class Unready(RecordingEmitter):
        def connect(self) -> None:
            raise ConfigError("no such folder")

    server = ScriptedSocket(serves())
    async with server.running():
        runner = a_runner(server).register_emitter(Unready())
        for _ in range(2):  # the second one is not "running already"
            with pytest.raises(ConfigError, match="no such folder"):
                await runner.run()

    assert server.connections == 0


async def test_cancelling_a_run_flushes_and_closes_its_emitters() -> None:
    server = ScriptedSocket(serves(*minutes([0, 1])))
    emitter = RecordingEmitter()

    async with server.running():
        runner = a_runner(server).register_emitter(emitter)
        task = asyncio.create_task(runner.run())
        await until(lambda: runner.stats().emitted == 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: server.open == 0)

    assert opens(emitter.klines) == [0, 1]
    assert emitter.calls[-2:] == ["flush", "close"]


async def test_leaving_the_loop_early_closes_the_socket_and_the_emitters() -> None:
    server = ScriptedSocket(serves(*minutes([0, 1, 2])))
    emitter = RecordingEmitter()

    async with server.running():
        runner = a_runner(server).register_emitter(emitter)
        async for kline in runner.stream():
            assert opens([kline]) == [0]
            break
        await until(lambda: server.open == 0)
        await until(lambda: emitter.calls[-1:] == ["close"])

    assert server.connections == 1


async def test_a_runner_can_run_again_after_it_was_stopped() -> None:
    server = ScriptedSocket(serves(minute(0)), serves(minute(1)))
    emitter = RecordingEmitter()

    async with server.running():
        runner = a_runner(server).register_emitter(emitter)
        for count in (1, 2):
            async with running(runner):
                await until(lambda: len(emitter.klines) == count)  # noqa: B023 - read at once

    assert opens(emitter.klines) == [0, 1]
    assert emitter.calls.count("close") == 2


async def test_a_runner_that_runs_cannot_be_started_twice() -> None:
    server = ScriptedSocket(serves())

    async with server.running():
        runner = a_runner(server)
        async with running(runner):
            await until(lambda: server.open == 1)
            with pytest.raises(ConfigError, match="runs already"):
                await runner.run()


async def test_stopping_or_closing_what_does_not_run_does_nothing() -> None:
    runner = BinanceRunner(an_input())

    await runner.stop()
    await runner.close()

    assert runner.stats().frames == 0


async def test_two_runners_in_one_process_do_not_mix() -> None:
    here, there = RecordingEmitter(), RecordingEmitter()
    bitcoin = ScriptedSocket(serves(*minutes([0, 1], symbol="BTCUSDT")))
    ether = ScriptedSocket(serves(*minutes([5, 6], symbol="ETHUSDT")))

    async with bitcoin.running(), ether.running():
        one = a_runner(bitcoin, an_input("BTCUSDT")).register_emitter(here)
        two = a_runner(ether, an_input("ETHUSDT")).register_emitter(there)
        async with running(one), running(two):
            await until(lambda: len(here.klines) == len(there.klines) == 2)

    assert {k.symbol for k in here.klines} == {"BTCUSDT"}
    assert {k.symbol for k in there.klines} == {"ETHUSDT"}
    assert (opens(here.klines), opens(there.klines)) == ([0, 1], [5, 6])


async def test_several_inputs_share_one_connection_and_keep_their_own_aggregates() -> None:
    heard: list[Any] = []

    async def scene(peer: Peer) -> None:
        heard.append((await peer.acks())["params"])
        await peer.says(*minutes(range(5)), *minutes(range(5), symbol="ETHUSDT"))
        await peer.stays()

    emitter = RecordingEmitter()
    inputs = [
        an_input("BTCUSDT", aggregate=["5m"]),
        an_input("BTCUSDT", "ETHUSDT"),
        an_input("BTCUSDT", timeframe="1h"),
    ]
    server = ScriptedSocket(scene)
    async with server.running(), running(a_runner(server, *inputs).register_emitter(emitter)):
        await until(lambda: len(emitter.klines) == 11)

    assert heard == [["btcusdt@kline_1m", "ethusdt@kline_1m", "btcusdt@kline_1h"]]
    assert [k.symbol for k in emitter.klines if k.timeframe == "5m"] == ["BTCUSDT"]


async def test_records_tell_what_is_known_beside_the_candle() -> None:
    server = ScriptedSocket(serves(*minutes(range(5))))

    async with server.running():
        runner = a_runner(server, an_input(aggregate=["5m"]))
        async with aclosing(runner.records()) as records:
            taken = [await anext(records) for _ in range(6)]

    assert [record.seq for record in taken] == [1, 2, 3, 4, 5, 6]
    assert [record.provenance for record in taken] == ["websocket"] * 5 + ["aggregated"]
    assert all(record.seen_ts > NEW_YEAR_2025 for record in taken)


async def test_another_source_s_name_stands_in_the_candles_when_asked_for() -> None:
    server = ScriptedSocket(serves(minute(0)))

    async with server.running(), a_runner(server, source="mine") as runner:
        async for kline in runner.stream():
            assert kline.source == "mine"
            break


async def test_a_cold_start_of_aggregation_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "streamforge_core")
    server = ScriptedSocket(serves(*minutes(range(2, 10))))
    emitter = RecordingEmitter()

    async with server.running():
        inputs = an_input("BTCUSDT", "ETHUSDT", aggregate=["5m", "15m"])
        async with running(a_runner(server, inputs).register_emitter(emitter)):
            await until(lambda: opens(emitter.klines, "5m") == [5])

    assert caplog.text.count("Aggregation starts cold") == 1


async def test_running_without_an_emitter_is_said(caplog: pytest.LogCaptureFixture) -> None:
    server = ScriptedSocket(serves())

    async with server.running(), running(a_runner(server)):
        await until(lambda: server.open == 1)

    assert "No emitter is registered" in caplog.text


def test_verbose_shows_the_changes_of_state() -> None:
    try:
        BinanceRunner(an_input(), verbose=True)
        assert isinstance(logs.config.logger, logs.DefaultLogger)
    finally:
        logs.config.reset()


def test_verbose_leaves_a_chosen_logger_alone() -> None:
    chosen = logs.SilentLogger()
    logs.config.logger = chosen
    try:
        BinanceRunner(an_input(), verbose=True)
        assert logs.config.logger is chosen
    finally:
        logs.config.reset()


async def test_a_runner_without_an_input_says_what_is_missing() -> None:
    with pytest.raises(ConfigError, match="Nothing to stream is set"):
        await BinanceRunner().run()


@pytest.mark.parametrize("wrong", [[], ["BTCUSDT"], "BTCUSDT", [an_input(), None]])
def test_an_input_of_another_kind_is_refused(wrong: Any) -> None:  # noqa: ANN401 - on purpose
    with pytest.raises(ConfigError, match="stream_input is a DataInput or a list of them"):
        BinanceRunner(wrong)


@pytest.mark.parametrize(
    ("symbol", "timeframe", "words"),
    [("BTC/USDT", "1m", "Write 'BTCUSDT'"), ("BTCUSDT", "15d", "serves no 15d")],
)
def test_what_the_venue_cannot_have_is_refused_before_any_socket(
    symbol: str, timeframe: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        BinanceRunner(an_input(symbol, timeframe=timeframe))


def test_a_market_that_is_not_served_is_refused() -> None:
    with pytest.raises(ConfigError, match="'USD-M' is not a Binance market"):
        BinanceRunner(DataInput("kline", ["BTCUSDT"], "1m", market_type="USD-M"))
    with pytest.raises(ConfigError, match="'COIN-M' is not a Binance market"):
        BinanceRunner(market_type="COIN-M")


def test_the_default_and_spot_are_one_market() -> None:
    spot = DataInput("kline", ["ETHUSDT"], "1m", market_type="SPOT")

    BinanceRunner([an_input(), spot], market_type="SPOT")


def test_one_runner_streams_one_market() -> None:
    other = replace(SPOT, name="OTHER", source="Binance-OTHER")

    class TwoMarkets(BinanceRunner):
        @staticmethod
        def market_of(market_type: str) -> Market:
            return {"DEFAULT": SPOT, "SPOT": SPOT, "OTHER": other}[market_type]

    elsewhere = DataInput("kline", ["ETHUSDT"], "1m", market_type="OTHER")

    TwoMarkets([an_input(), an_input("ETHUSDT")], market_type="OTHER")
    with pytest.raises(ConfigError, match="One runner streams one market, not OTHER, SPOT"):
        TwoMarkets([an_input(), elsewhere])
    with pytest.raises(ConfigError, match="One runner streams one market, not OTHER, SPOT"):
        TwoMarkets(elsewhere, market_type="SPOT")


def test_an_endpoint_with_a_path_is_refused() -> None:
    with pytest.raises(ConfigError, match="the path that the venue documents stays"):
        BinanceRunner(an_input(), endpoints={"WEBSOCKET": "ws://127.0.0.1:1/stream"})


def test_an_unknown_option_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="emit_warm_up"):
        BinanceRunner(an_input(), emit_warm_up=True)  # type: ignore[call-arg]  # on purpose


def test_an_emitter_registered_twice_is_refused() -> None:
    emitter = RecordingEmitter()
    runner = BinanceRunner(an_input()).register_emitter(emitter)

    with pytest.raises(ConfigError, match="registered already"):
        runner.register_emitter(emitter)


def test_a_plain_stream_imports_no_columns() -> None:
    program = (
        "import sys; from streamforge_core.runners.bindings import BinanceRunner;"
        "print(sorted({'pyarrow', 'pandas', 'numpy', 'requests'} & set(sys.modules)))"
    )

    told = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert told.stdout.strip() == "[]"
