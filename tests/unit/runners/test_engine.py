import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from streamforge_core.errors import ConnectionLost, UnknownSymbol
from streamforge_core.exchanges.binance.protocol import BinanceStream
from streamforge_core.model.exchange import Event
from streamforge_core.model.kline import Record, Series
from streamforge_core.runners.engine import Engine
from streamforge_core.runners.flow import Flow
from streamforge_core.runners.warmup import Wanted, Warmed, WarmHistory
from tests.support.binance_frames import NEW_YEAR_2025
from tests.support.builders import a_candle
from tests.support.live import MINUTE, fast_clock, minute, minutes, serves
from tests.support.scripted_socket import Peer, Scene, ScriptedSocket, until

BITCOIN = Series("Binance", "BTCUSDT", "1m")
ETHER = Series("Binance", "ETHUSDT", "1m")


def past(*indices: int, symbol: str = "BTCUSDT") -> list[Record]:
    """Return closed minutes by REST, counted from the start of 2025, as the socket tells them."""
    return [
        Record.from_kline(
            a_candle(
                NEW_YEAR_2025 + index * MINUTE,
                symbol=symbol,
                volume=2.0,
                quote_volume=200.0,
                vwap=100.0,
                n_trades=3,
            ),
            provenance="rest",
        )
        for index in indices
    ]


class FakeHistory:
    """Answers every warm start by a function; blocks like the real one if told to."""

    def __init__(self, answer: Callable[[Wanted], Warmed]) -> None:
        self.asked: list[Wanted] = []
        self.closed = False
        self.gate = threading.Event()
        self.gate.set()
        self._answer = answer

    def load(self, wanted: Wanted) -> Warmed:
        self.asked.append(wanted)
        self.gate.wait(5)
        return self._answer(wanted)

    def close(self) -> None:
        self.closed = True
        self.gate.set()


@asynccontextmanager
async def engine_on(
    scene: Scene,
    history: FakeHistory | None = None,
    *,
    targets: dict[Series, list[str]] | None = None,
    **options: Any,  # noqa: ANN401 - any option of an engine
) -> AsyncIterator[Engine]:
    async with ScriptedSocket(scene).running() as server:
        engine = Engine(
            BinanceStream(),
            server.url + "/stream",
            Flow(targets or {BITCOIN: []}),
            clock=fast_clock(),
            history=cast(WarmHistory | None, history),
            **options,
        )
        engine.start()
        try:
            yield engine
        finally:
            await engine.stop()


async def took(engine: Engine, count: int) -> list[tuple[str, int]]:
    """Wait for so many records; return timeframe and minutes after the start of each."""
    records: list[Record] = []
    async with asyncio.timeout(5):
        while len(records) < count:
            records += await engine.outbox.take()
    return [(one.timeframe, (one.open_ts - NEW_YEAR_2025) // MINUTE) for one in records]


async def test_live_candles_wait_for_the_past_before_them() -> None:
    history = FakeHistory(lambda _: Warmed(past(0, 1, 2)))
    history.gate.clear()
    frames = [minute(3, closed=False), minute(3), minute(4)]

    async with engine_on(serves(*frames), history, targets={BITCOIN: ["5m"]}) as engine:
        await until(lambda: engine.stats().candles == 3)
        assert engine.stats().emitted == 0
        history.gate.set()
        taken = await took(engine, 3)

    assert taken == [("1m", 3), ("1m", 4), ("5m", 0)]
    assert history.asked == [
        Wanted(BITCOIN, ("5m",), after_ms=None, first_live_ms=NEW_YEAR_2025 + 3 * MINUTE)
    ]
    assert history.closed


async def test_the_past_goes_on_too_when_asked_for_and_nothing_comes_twice() -> None:
    # REST and the socket overlap in minute 2.
    history = FakeHistory(lambda _: Warmed(past(0, 1, 2)))

    async with engine_on(
        serves(*minutes([2, 3, 4])), history, targets={BITCOIN: ["5m"]}, emit_warmup=True
    ) as engine:
        taken = await took(engine, 6)

    assert taken == [("1m", 0), ("1m", 1), ("1m", 2), ("1m", 3), ("1m", 4), ("5m", 0)]
    assert engine.stats().missing == 0


async def test_of_the_forming_candle_held_only_the_newest_update_is_kept() -> None:
    history = FakeHistory(lambda _: Warmed(past(0)))
    history.gate.clear()
    frames = [minute(1, closed=False, price=price) for price in (98, 99)]
    flow_frames = [*frames, minute(1, price=100), minute(2, closed=False, price=101)]

    async with engine_on(serves(*flow_frames), history) as engine:
        await until(lambda: engine.stats().candles == 4)
        history.gate.set()
        taken = await took(engine, 1)

    assert taken == [("1m", 1)]


async def test_rest_is_asked_again_for_the_candle_it_does_not_have_yet() -> None:
    answers = iter([Warmed(past(0), is_whole=False), Warmed(past(0, 1))])
    history = FakeHistory(lambda _: next(answers))

    async with engine_on(serves(minute(2)), history, emit_warmup=True) as engine:
        taken = await took(engine, 3)

    assert taken == [("1m", 0), ("1m", 1), ("1m", 2)]
    assert len(history.asked) == 2


async def test_a_candle_that_rest_never_has_is_a_gap_not_an_endless_wait() -> None:
    history = FakeHistory(lambda _: Warmed(past(0), is_whole=False))

    async with engine_on(serves(minute(2)), history) as engine:
        taken = await took(engine, 1)
        stats = engine.stats()

    assert taken == [("1m", 2)]
    assert (len(history.asked), stats.missing) == (3, 1)


async def test_a_series_without_a_live_candle_is_loaded_up_to_now() -> None:
    history = FakeHistory(lambda _: Warmed(past(0, 1)))

    async with engine_on(serves(), history, emit_warmup=True) as engine:
        taken = await took(engine, 2)

    assert taken == [("1m", 0), ("1m", 1)]
    assert history.asked[0].first_live_ms is None


async def test_a_failed_warm_start_is_told_and_the_stream_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails(wanted: Wanted) -> Warmed:
        raise ConnectionLost(f"no REST for {wanted.series.symbol}")

    async with engine_on(serves(minute(0)), FakeHistory(fails)) as engine:
        taken = await took(engine, 1)

    assert taken == [("1m", 0)]
    assert "no warm start, aggregation starts cold: no REST for BTCUSDT" in caplog.text


async def test_an_unknown_symbol_found_by_rest_is_left_out_and_the_others_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def answers(wanted: Wanted) -> Warmed:
        if wanted.series == ETHER:
            raise UnknownSymbol("Binance lists no symbol 'ETHUSDT'")
        return Warmed(past(0))

    async with engine_on(
        serves(minute(1)), FakeHistory(answers), targets={BITCOIN: [], ETHER: []}
    ) as engine:
        taken = await took(engine, 1)
        await until(lambda: engine.stats().refused == 1)

    assert taken == [("1m", 1)]
    assert "Binance ETHUSDT 1m is refused and left out" in caplog.text


async def test_a_run_of_unknown_symbols_alone_ends_with_that_error() -> None:
    def unknown(wanted: Wanted) -> Warmed:
        raise UnknownSymbol(f"Binance lists no symbol {wanted.series.symbol!r}")

    async with engine_on(serves(), FakeHistory(unknown)) as engine:
        with pytest.raises(UnknownSymbol, match="BTCUSDT"):
            await took(engine, 1)


async def test_stopping_while_the_past_is_loaded_does_not_wait_for_it() -> None:
    history = FakeHistory(lambda _: Warmed())
    history.gate.clear()

    async with engine_on(serves(minute(0)), history):
        await until(lambda: bool(history.asked))

    assert history.closed


async def test_more_subscriptions_than_one_connection_holds_are_spread_over_several() -> None:
    heard: list[list[str]] = []

    async def scene(peer: Peer) -> None:
        params = (await peer.acks())["params"]
        heard.append(params)
        await peer.says(minute(0, symbol=params[0].partition("@")[0].upper()))
        await peer.stays()

    protocol = BinanceStream()
    protocol.max_subscriptions = 2
    names = ["AUSDT", "BUSDT", "CUSDT"]
    flow = Flow({Series("Binance", name, "1m"): [] for name in names})
    async with ScriptedSocket(scene).running() as server:
        engine = Engine(protocol, server.url + "/stream", flow, clock=fast_clock())
        engine.start()
        await took(engine, 2)
        await engine.stop()

    assert sorted(heard) == [["ausdt@kline_1m", "busdt@kline_1m"], ["cusdt@kline_1m"]]
    assert engine.stats().connections == 2


async def test_a_full_outbox_holds_up_the_socket_and_loses_nothing() -> None:
    async with engine_on(serves(*minutes(range(600)))) as engine:
        engine.outbox._max_waiting = 50  # noqa: SLF001 - 10,000 frames would only take longer
        await until(lambda: engine.stats().emitted >= 50)
        await asyncio.sleep(0.05)
        held_up_at = engine.stats().emitted
        taken = await took(engine, 600)

    assert held_up_at == 50
    assert taken == [("1m", index) for index in range(600)]


async def test_a_bug_while_reading_ends_the_run_loudly() -> None:
    class Broken(BinanceStream):
        def parse(self, frame: str | bytes, *, seen_ts: int) -> list[Event]:
            raise KeyError("a bug of ours", frame, seen_ts)

    async with ScriptedSocket(serves(minute(0))).running() as server:
        flow = Flow({BITCOIN: []})
        engine = Engine(Broken(), server.url + "/stream", flow, clock=fast_clock())
        engine.start()
        with pytest.raises(KeyError, match="a bug of ours"):
            await took(engine, 1)
        await engine.stop()
