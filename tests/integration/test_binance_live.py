"""The whole live path against the simulated Binance, on a clock that runs 240 times as fast."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import pytest
import requests

from streamforge_core.errors import UnknownSymbol
from streamforge_core.model.data_input import DataInput
from streamforge_core.model.kline import Kline
from streamforge_core.model.timeframe import DAY_MS, open_of
from streamforge_core.runners.bindings import BinanceRunner
from streamforge_core.simulator.binance import SimulatedBinance
from streamforge_core.transport.clock import AcceleratedClock, SystemClock
from tests.support.recording_emitter import RecordingEmitter
from tests.support.scripted_socket import until
from tests.support.simulated import NEVER_DOWN, at, simulated_binance

START = "2024-01-02T00:23:30"
MINUTE = 60_000


@pytest.fixture
def exchange() -> Iterator[SimulatedBinance]:
    clock = AcceleratedClock(240.0, real_ms=SystemClock().now_ms(), simulated_ms=at(START))
    with simulated_binance(clock=clock, outages=NEVER_DOWN) as running:
        yield running


def a_runner(exchange: SimulatedBinance, *symbols: str, **options: Any) -> BinanceRunner:  # noqa: ANN401 - any option
    stream = DataInput(
        type="kline",
        symbols=list(symbols or ("BTCUSDT", "ETHUSDT")),
        timeframe="1m",
        aggregate_list=["15m", "5m"],
    )
    return BinanceRunner(
        stream,
        endpoints={"WEBSOCKET": exchange.websocket_url, "REST": exchange.url},
        clock=exchange.clock,
        **options,
    )


def printed(exchange: SimulatedBinance, symbol: str, timeframe: str) -> dict[int, tuple[Any, ...]]:
    """Return what the exchange's own REST says of today, by open: prices, volumes, trades."""
    query: dict[str, str | int] = {
        "symbol": symbol,
        "interval": timeframe,
        "startTime": at(START) // DAY_MS * DAY_MS,
        "limit": 1000,
    }
    rows = requests.get(f"{exchange.url}/api/v3/klines", query, timeout=10).json()
    return {row[0]: (*(float(row[i]) for i in (1, 2, 3, 4, 5, 7)), row[8]) for row in rows}


def values(kline: Kline) -> tuple[Any, ...]:
    prices = (kline.open, kline.high, kline.low, kline.close)
    return (*prices, kline.volume, kline.quote_volume, kline.n_trades)


def assert_as_printed(exchange: SimulatedBinance, klines: list[Kline]) -> None:
    for series in {(kline.symbol, kline.timeframe) for kline in klines}:
        mine = [kline for kline in klines if (kline.symbol, kline.timeframe) == series]
        opens = [kline.open_ts for kline in mine]
        theirs = printed(exchange, *series)
        assert opens == sorted(set(opens)), series
        assert {k.open_ts: values(k) for k in mine} == {ts: theirs[ts] for ts in opens}, series


async def taken(runner: BinanceRunner, last_five: str) -> list[Kline]:
    """Stream until the 5m candle that opens then; return everything before it."""
    klines: list[Kline] = []
    async with asyncio.timeout(30), aclosing(runner.stream()) as stream:
        async for kline in stream:
            klines.append(kline)
            if kline.timeframe == "5m" and kline.open_ts >= at(last_five):
                return klines
    raise AssertionError("the stream ended")


async def test_a_warm_start_makes_the_first_running_candles_whole(
    exchange: SimulatedBinance,
) -> None:
    runner = a_runner(exchange, active_warmup=True)

    klines = await taken(runner, "2024-01-02T00:30")

    first = {k.timeframe: k.open_ts for k in reversed(klines) if k.symbol == "BTCUSDT"}
    started = min(k.open_ts for k in klines if k.timeframe == "1m")
    # The buckets that ran at the start are there although their first minutes came before it.
    assert first["5m"] == open_of(started, "5m")
    assert first["15m"] == open_of(started, "15m")
    assert_as_printed(exchange, klines)
    assert runner.stats().missing == 0


async def test_a_cold_start_leaves_the_running_candles_out(exchange: SimulatedBinance) -> None:
    runner = a_runner(exchange)

    klines = await taken(runner, "2024-01-02T00:25")

    started = min(k.open_ts for k in klines if k.timeframe == "1m")
    fives = [k.open_ts for k in klines if k.timeframe == "5m"]
    assert min(fives) >= started
    assert_as_printed(exchange, klines)


async def test_the_past_is_emitted_too_when_asked_for(exchange: SimulatedBinance) -> None:
    runner = a_runner(exchange, "BTCUSDT", emit_warmup=True)

    klines = await taken(runner, "2024-01-02T00:25")

    minutes = [k.open_ts for k in klines if k.timeframe == "1m"]
    midnight = at("2024-01-02")
    assert minutes == list(range(midnight, minutes[-1] + 1, MINUTE))
    assert [k.open_ts for k in klines if k.timeframe == "15m"][:1] == [midnight]
    assert_as_printed(exchange, klines)


async def test_lost_connections_never_double_or_change_a_candle(
    exchange: SimulatedBinance,
) -> None:
    exchange.troubles.repeats_closings = True
    emitter = RecordingEmitter()
    runner = a_runner(exchange, active_warmup=True).register_emitter(emitter)
    task = asyncio.create_task(runner.run())

    for connections in (1, 2, 3):
        await until(
            lambda: runner.stats().connections >= connections and exchange.open_connections > 0,  # noqa: B023 - read at once
            timeout_s=10,
        )
        await asyncio.sleep(0.5)
        await asyncio.to_thread(exchange.drop_sockets)
    fives = at("2024-01-02T00:30")
    await until(lambda: any(k.open_ts >= fives for k in emitter.klines), timeout_s=20)
    stats = runner.stats()
    await runner.stop()
    await task

    assert stats.connections >= 4
    assert_as_printed(exchange, emitter.klines)
    minutes = [k.open_ts for k in emitter.klines if (k.symbol, k.timeframe) == ("BTCUSDT", "1m")]
    absent = set(range(minutes[0], minutes[-1], MINUTE)) - set(minutes)
    assert len(absent) <= stats.missing


async def test_history_can_be_loaded_before_the_run_and_is_not_loaded_again(
    exchange: SimulatedBinance,
) -> None:
    runner = a_runner(exchange, "BTCUSDT")
    emitter = RecordingEmitter()

    loaded = await runner.warmup_run()
    before = exchange.clock.now_ms()
    klines = await taken(runner.register_emitter(emitter), "2024-01-02T00:25")

    assert 23 <= loaded <= (before - at("2024-01-02")) // MINUTE
    # The bucket that ran while history was loaded is whole.
    assert min(k.open_ts for k in klines if k.timeframe == "5m") <= open_of(before, "5m")
    assert_as_printed(exchange, klines)


async def test_history_loaded_before_the_run_is_emitted_when_asked_for(
    exchange: SimulatedBinance,
) -> None:
    emitter = RecordingEmitter()
    runner = a_runner(exchange, "BTCUSDT", emit_warmup=True).register_emitter(emitter)

    loaded = await runner.warmup_run()

    minutes = [k.open_ts for k in emitter.klines if k.timeframe == "1m"]
    midnight = at("2024-01-02")
    assert minutes == [midnight + index * MINUTE for index in range(loaded)]
    assert [k.open_ts for k in emitter.klines if k.timeframe == "15m"] == [midnight]
    assert emitter.calls[-1] == "close"
    assert_as_printed(exchange, emitter.klines)


async def test_a_symbol_the_exchange_does_not_list_is_an_error_with_a_warm_start(
    exchange: SimulatedBinance,
) -> None:
    # Without one, Binance accepts the subscription and stays silent.
    runner = a_runner(exchange, "NOSUCHUSDT", active_warmup=True)

    with pytest.raises(UnknownSymbol, match="NOSUCHUSDT"):
        await asyncio.wait_for(runner.run(), timeout=20)
