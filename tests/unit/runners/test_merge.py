import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from streamforge_core.errors import ConfigError, ConnectionLost
from streamforge_core.model.kline import Kline
from streamforge_core.runners.merge import MAX_WAITING, merge_streams
from tests.support.builders import a_minute
from tests.support.live import a_runner, an_input, minutes, serves
from tests.support.scripted_socket import ScriptedSocket, until


class Source:
    """A stream of some minutes; it ends, fails or waits for ever after them."""

    def __init__(
        self, symbol: str, count: int, *, fails: Exception | None = None, ends: bool = True
    ) -> None:
        self.given = 0
        self.closed = False
        self._symbol, self._count, self._fails, self._ends = symbol, count, fails, ends

    async def stream(self) -> AsyncGenerator[Kline, None]:
        try:
            for index in range(self._count):
                self.given += 1
                yield a_minute(index, symbol=self._symbol)
            if self._fails:
                raise self._fails
            if not self._ends:
                await asyncio.Event().wait()
        finally:
            self.closed = True


async def test_every_candle_of_every_stream_comes_and_the_end_with_the_last() -> None:
    a, b = Source("A", 3), Source("B", 2)

    klines = [kline async for kline in merge_streams(a.stream(), b.stream())]

    for symbol, count in (("A", 3), ("B", 2)):
        mine = [k.open_ts for k in klines if k.symbol == symbol]
        assert mine == [a_minute(index).open_ts for index in range(count)]
    assert len(klines) == 5


async def test_any_asynchronous_iterator_can_be_merged() -> None:
    class Twice:
        def __init__(self) -> None:
            self._left = [a_minute(1), a_minute(0)]

        def __aiter__(self) -> "Twice":
            return self

        async def __anext__(self) -> Kline:
            if not self._left:
                raise StopAsyncIteration
            return self._left.pop()

    assert [kline async for kline in merge_streams(Twice())] == [a_minute(0), a_minute(1)]


async def test_nothing_merged_ends_at_once() -> None:
    assert [kline async for kline in merge_streams()] == []


async def test_runners_are_merged_by_their_streams() -> None:
    bitcoin = ScriptedSocket(serves(*minutes([0, 1])))
    ether = ScriptedSocket(serves(*minutes([0, 1], symbol="ETHUSDT")))
    symbols: list[str] = []

    async with bitcoin.running(), ether.running():
        runners = a_runner(bitcoin), a_runner(ether, an_input("ETHUSDT"))
        async for kline in merge_streams(*runners):
            symbols.append(kline.symbol)
            if len(symbols) == 4:
                break
        await until(lambda: bitcoin.open == ether.open == 0)

    assert sorted(symbols) == ["BTCUSDT", "BTCUSDT", "ETHUSDT", "ETHUSDT"]


async def test_one_failure_ends_all_after_the_candles_before_it() -> None:
    failing = Source("A", 2, fails=ConnectionLost("gone"))
    endless = Source("B", 1, ends=False)
    merged = merge_streams(failing.stream(), endless.stream())

    taken = [await anext(merged), await anext(merged)]
    with pytest.raises(ConnectionLost, match="gone"):
        await anext(merged)

    assert [kline.symbol for kline in taken] == ["A", "A"]
    assert failing.closed
    assert endless.closed


async def test_a_failure_can_be_left_behind_while_the_others_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failing = Source("A", 0, fails=ConnectionLost("gone"))
    whole = Source("B", 3)

    merged = merge_streams(failing.stream(), whole.stream(), on_error="continue")
    symbols = [kline.symbol async for kline in merged]

    assert symbols == ["B", "B", "B"]
    assert "One of 2 merged streams failed: ConnectionLost('gone')" in caplog.text


async def test_when_all_have_failed_the_last_failure_is_raised() -> None:
    first = Source("A", 0, fails=ConnectionLost("first"))
    second = Source("B", 1, fails=ConnectionLost("second"))

    merged = merge_streams(first.stream(), second.stream(), on_error="continue")

    assert (await anext(merged)).symbol == "B"
    with pytest.raises(ConnectionLost, match="second"):
        await anext(merged)


async def test_a_slow_consumer_holds_the_streams_up() -> None:
    fast = Source("A", 5 * MAX_WAITING)

    merged = merge_streams(fast.stream())
    await anext(merged)
    for _ in range(5):
        await asyncio.sleep(0)
    given = fast.given
    await merged.aclose()

    assert given <= MAX_WAITING + 2
    assert fast.closed


async def test_an_unknown_way_to_take_errors_is_refused() -> None:
    wrong: Any = "ignore"

    with pytest.raises(ConfigError, match='Use "raise" or "continue"'):
        await anext(merge_streams(Source("A", 1).stream(), on_error=wrong))
