import asyncio
import gc
import threading
from collections.abc import Awaitable
from typing import Any

import pytest

from streamforge_core.emitters.base import Emitter, Health, Report
from streamforge_core.errors import ConfigError, EmitterError, RecordError
from streamforge_core.model.kline import Kline
from tests.support.builders import MINUTE, SERIES, START, a_minute, a_record, a_table
from tests.support.recording_emitter import RecordingEmitter


class Plain(Emitter):
    """As a user writes it: `emit` alone, and no call of our `__init__`."""

    def __init__(self) -> None:
        self.rows: list[Kline] = []

    def emit(self, data: Kline) -> None:
        self.rows.append(data)


class Asynchronous(Plain):
    async def emit(self, data: Kline) -> None:  # type: ignore[override]  # either is allowed
        await asyncio.sleep(0)
        self.rows.append(data)


class Promising(Plain):
    """A plain function that returns something to await."""

    def emit(self, data: Kline) -> Awaitable[None]:  # type: ignore[override]  # either is allowed
        async def later() -> None:
            self.rows.append(data)

        return later()


class OfTables(Emitter):
    def __init__(self) -> None:
        self.tables: list[Any] = []

    def emit_batch(self, batch: Any) -> None:  # noqa: ANN401 - pa.Table
        self.tables.append(batch)


def test_instances_are_named_after_their_class_and_counted() -> None:
    class Printer(Emitter):
        pass

    assert [Printer().name, Printer().name, Printer(name="mine").name] == [
        "Printer-1",
        "Printer-2",
        "mine",
    ]


def test_an_emitter_without_emit_says_what_is_lacking() -> None:
    with pytest.raises(NotImplementedError, match=r"must define emit\(self, data\)"):
        Emitter().emit(a_minute(0))


@pytest.mark.parametrize("method", ["connect", "close", "flush", "emit_batch", "emit_records"])
def test_an_async_method_that_would_never_run_is_refused_with_the_class(method: str) -> None:
    async def never(*_: object) -> None: ...

    with pytest.raises(ConfigError, match=rf"Odd\.{method} is async; only `emit` may be"):
        type("Odd", (Emitter,), {method: never})


@pytest.mark.parametrize("kind", [Plain, Asynchronous, Promising])
def test_a_batch_reaches_a_custom_emit_candle_by_candle(kind: type[Plain]) -> None:
    emitter = kind()

    emitter.emit_batch(a_table([a_minute(0), a_minute(1)]))
    emitter.emit_records([a_record(2)])

    assert emitter.rows == [a_minute(0), a_minute(1), a_minute(2)]
    assert emitter.flush() == Report(acked=3)


def test_an_async_emit_is_fed_from_inside_a_running_loop_too() -> None:
    emitter = Asynchronous()

    async def backfill_in_a_coroutine() -> None:
        emitter.emit_batch(a_table([a_minute(0)]))

    asyncio.run(backfill_in_a_coroutine())

    assert emitter.rows == [a_minute(0)]


def test_all_candles_of_an_async_emit_run_on_one_loop_that_ends_with_the_emitter() -> None:
    loops: list[object] = []

    class Watching(Asynchronous):
        async def emit(self, data: Kline) -> None:  # type: ignore[override]  # either is allowed
            await super().emit(data)
            loops.append(asyncio.get_running_loop())

    emitter = Watching()
    emitter.name = "watching"
    emitter.emit_batch(a_table([a_minute(0)]))
    emitter.emit_batch(a_table([a_minute(1)]))
    assert loops[0] is loops[1]

    del emitter
    gc.collect()

    assert "watching-loop" not in [thread.name for thread in threading.enumerate()]


def test_records_reach_an_emitter_of_tables_as_a_table() -> None:
    emitter = OfTables()

    emitter.emit_records([a_record(0, seen_ts=5)])

    assert emitter.tables[0].select(["open_ts", "seen_ts"]).to_pylist() == [
        {"open_ts": START, "seen_ts": 5}
    ]


@pytest.mark.parametrize("kind", [Plain, Asynchronous])
def test_a_refused_row_is_counted_and_logged_and_its_neighbours_go_in(
    kind: type[Plain], caplog: pytest.LogCaptureFixture
) -> None:
    class Picky(kind):  # type: ignore[valid-type, misc]  # both kinds, one after the other
        def emit(self, data: Kline) -> Any:  # noqa: ANN401 - either is allowed
            if data.open_ts == START + MINUTE:
                raise RecordError("not this one")
            return super().emit(data)

    emitter = Picky()

    emitter.emit_batch(a_table([a_minute(0), a_minute(1), a_minute(2)]))

    assert emitter.rows == [a_minute(0), a_minute(2)]
    assert emitter.flush() == Report(acked=2, dead=1)
    assert "refused a row: not this one" in caplog.text


def test_a_refused_row_of_an_async_emit_is_counted_too() -> None:
    class Picky(Asynchronous):
        async def emit(self, data: Kline) -> None:  # type: ignore[override]  # either is allowed
            raise RecordError(f"never {data.symbol}")

    emitter = Picky()

    emitter.emit_batch(a_table([a_minute(0)]))

    assert emitter.flush() == Report(acked=0, dead=1)


@pytest.mark.parametrize("kind", [Plain, Asynchronous])
def test_a_failing_destination_is_loud_and_the_rows_before_are_done(kind: type[Plain]) -> None:
    class Breaking(kind):  # type: ignore[valid-type, misc]  # both kinds, one after the other
        def emit(self, data: Kline) -> Any:  # noqa: ANN401 - either is allowed
            if data.open_ts > START:
                raise EmitterError("disk on fire")
            return super().emit(data)

    emitter = Breaking()

    with pytest.raises(EmitterError, match="disk on fire"):
        emitter.emit_batch(a_table([a_minute(0), a_minute(1)]))

    assert emitter.flush().acked == 1


# --- Transformers ---


def test_a_custom_emit_gets_a_candle_with_what_the_transformer_returned() -> None:
    emitter = Plain()
    emitter.set_transformer(lambda row: {**row, "spread": row["high"] - row["low"]})
    emitter.register_map({"symbol": "ticker"})

    emitter.emit_batch(a_table([a_minute(0, open=90.0, close=100.0)]))

    (candle,) = emitter.rows
    assert isinstance(candle, Kline)
    assert (candle.open, candle.spread, candle.ticker) == (90.0, 10.0, "BTCUSDT")  # type: ignore[attr-defined]  # its own fields
    assert candle.model_dump()["spread"] == 10.0
    assert not hasattr(candle, "symbol")


def test_none_drops_the_row_for_this_emitter_alone() -> None:
    filtered, other = Plain(), Plain()
    filtered.set_transformer(lambda row: row if row["close"] > 100 else None)

    for emitter in (filtered, other):
        emitter.emit_batch(a_table([a_minute(0, close=99.0), a_minute(1, close=101.0)]))

    assert [kline.close for kline in filtered.rows] == [101.0]
    assert [kline.close for kline in other.rows] == [99.0, 101.0]
    assert filtered.flush() == Report(acked=1)


def test_a_failing_transformer_costs_its_own_row_and_names_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    emitter = Plain()
    emitter.set_transformer(lambda row: row if row["open_ts"] == START else row["oops"])

    emitter.emit_batch(a_table([a_minute(0), a_minute(1)]))

    assert [kline.open_ts for kline in emitter.rows] == [START]
    assert emitter.dead == 1
    assert f"the transformer failed on BTCUSDT 1m open_ts={START + MINUTE}: KeyError('oops')" in (
        caplog.text
    )


def test_transformers_are_applied_in_turn_and_one_can_precede_for_a_while() -> None:
    emitter = Plain()
    emitter.set_transformer(lambda row: {**row, "note": row.get("note", "") + "b"})

    with emitter.preceded_by(lambda row: {**row, "note": "a"}):
        assert emitter.transformed({}) == {"note": "ab"}
    with emitter.preceded_by(None):
        assert emitter.transformed({}) == {"note": "b"}
    with Plain().preceded_by(lambda row: {**row, "x": 1}):
        pass
    assert emitter.transformed({}) == {"note": "b"}


def test_a_transformer_never_changes_the_callers_row() -> None:
    emitter = Plain()

    def spoil(row: dict[str, Any]) -> dict[str, Any]:
        row.clear()
        return row

    emitter.set_transformer(spoil)
    row = {"close": 1.0}

    assert emitter.transformed(row) == {}
    assert row == {"close": 1.0}


def test_rows_to_be_stored_leave_out_what_was_dropped() -> None:
    emitter = Plain()
    emitter.set_transformer(lambda row: {"t": row["open_ts"]} if row["open_ts"] > START else None)

    assert emitter.transformed_rows(a_table([a_minute(0), a_minute(1)])) == [{"t": START + MINUTE}]


# --- One emitter, several users ---


def test_the_first_user_connects_and_the_last_closes() -> None:
    emitter = RecordingEmitter()

    for step in (emitter.acquire, emitter.acquire, emitter.release, emitter.release):
        step()

    assert emitter.calls == ["connect", "flush", "close"]


def test_releasing_once_too_often_closes_again_and_harms_nothing() -> None:
    emitter = RecordingEmitter()

    emitter.release()
    emitter.acquire()

    assert emitter.calls == ["close", "connect"]


def test_who_could_not_connect_is_no_user() -> None:
    class Broken(RecordingEmitter):
        def connect(self) -> None:
            super().connect()
            raise ConfigError("no such folder")

    emitter = Broken()
    for _ in range(2):
        with pytest.raises(ConfigError):
            emitter.acquire()

    assert emitter.calls == ["connect", "connect"]


def test_with_connects_and_closes() -> None:
    with RecordingEmitter() as emitter:
        emitter.emit(a_minute(0))

    assert emitter.calls == ["connect", "emit", "close"]


def test_what_a_custom_emitter_does_not_say_is_unknown_or_well() -> None:
    emitter = Plain()

    emitter.connect()
    emitter.record_holes(SERIES, [])
    emitter.close()

    assert emitter.last_open_ts(SERIES) is None
    assert emitter.missing(SERIES, START, START + MINUTE) is None
    assert emitter.health() == Health("ok")
    assert emitter.set_model(object) is emitter
