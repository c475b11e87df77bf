import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Self

import pytest

from streamforge_core.emitters.base import Emitter, Health, Report
from streamforge_core.emitters.delivery import Delivery, EmitterHolder, raise_failures
from streamforge_core.errors import ConfigError, EmitterError, RecordError, StorageFull
from streamforge_core.model.coverage import HoleEntry
from streamforge_core.model.kline import Kline, Record
from tests.support.builders import MINUTE, SERIES, START, a_hole, a_minute, a_record, a_table
from tests.support.recording_emitter import RecordingEmitter


def records(*indices: int) -> list[Record]:
    return [a_record(index) for index in indices]


def minutes(emitter: RecordingEmitter) -> list[int]:
    """Return the candles received, in minutes after START."""
    return [(open_ts - START) // MINUTE for open_ts in emitter.opens()]


class Hanging(RecordingEmitter):
    """Hangs in `emit` until it is let go; a thread of its own waits, not the test."""

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - as above it
        super().__init__(**kwargs)
        self.reached, self.let_go = threading.Event(), threading.Event()

    def emit(self, data: Kline) -> None:
        self.reached.set()
        assert self.let_go.wait(30)
        super().emit(data)


class Asynchronous(Emitter):
    def __init__(self) -> None:
        self.rows: list[Kline] = []
        self.loops: set[object] = set()

    async def emit(self, data: Kline) -> None:
        await asyncio.sleep(0)
        self.loops.add(asyncio.get_running_loop())
        self.rows.append(data)


def failing_at(index: int, error: Exception) -> RecordingEmitter:
    open_ts = START + index * MINUTE
    return RecordingEmitter(fail=lambda kline: error if kline.open_ts == open_ts else None)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - it becomes true on another thread
            await asyncio.sleep(0.001)


@contextmanager
def unblocked(emitter: Hanging) -> Iterator[Hanging]:
    try:
        yield emitter
    finally:
        emitter.let_go.set()


# --- The holder ---


def test_registering_hands_on_model_and_map() -> None:
    class WithModel(RecordingEmitter):
        def set_model(self, model: Any, *, inplace: bool = True) -> Self:  # noqa: ANN401 - any table class
            self.model = model
            return super().set_model(model, inplace=inplace)

    holder = EmitterHolder()
    emitter = WithModel()

    returned = holder.register(emitter, model="table", map_object={"close": "last"})

    assert returned is emitter
    assert emitter.model == "table"
    assert emitter.transformed({"close": 1.0}) == {"last": 1.0}
    assert (holder.emitters, len(holder), list(holder)) == ((emitter,), 1, [emitter])


def test_a_map_object_may_be_a_function() -> None:
    emitter = RecordingEmitter()

    EmitterHolder().register(emitter, map_object=lambda row: {**row, "x": 1})

    assert emitter.transformed({}) == {"x": 1}


def test_what_is_no_emitter_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"subclass sf\.Emitter and define emit"):
        EmitterHolder().register(print)  # type: ignore[arg-type]  # the mistake


def test_a_name_may_be_registered_once() -> None:
    holder = EmitterHolder([RecordingEmitter(name="mine")])

    with pytest.raises(ConfigError, match="named 'mine' is registered already"):
        holder.register(RecordingEmitter(name="mine"))


def test_every_emitter_gets_every_candle() -> None:
    first, second = RecordingEmitter(), RecordingEmitter()
    holder = EmitterHolder([first, second])

    holder.connect()
    holder.emit(a_minute(0))
    holder.emit_batch(a_table([a_minute(1)]))
    reports = holder.flush()
    holder.close()

    for emitter in (first, second):
        assert minutes(emitter) == [0, 1]
        assert emitter.calls == ["connect", "emit", "flush", "close"]
    assert reports == {first.name: Report(acked=2), second.name: Report(acked=2)}


def test_one_that_fails_does_not_keep_the_next_from_its_candle() -> None:
    full, good = failing_at(0, StorageFull("no space")), RecordingEmitter()
    holder = EmitterHolder([full, good])

    with pytest.raises(StorageFull, match="no space"):
        holder.emit(a_minute(0))
    with pytest.raises(StorageFull, match="no space"):
        holder.emit_batch(a_table([a_minute(0)]))

    assert minutes(good) == [0, 0]


def test_all_are_closed_even_if_each_fails() -> None:
    class Stuck(RecordingEmitter):
        def close(self) -> None:
            super().close()
            raise EmitterError(f"{self.name} is stuck")

    holder = EmitterHolder([Stuck(name="a"), Stuck(name="b")])
    holder.connect()

    with pytest.raises(
        EmitterError, match=r"2 emitters failed: a: .*a is stuck.*; b: .*b is"
    ) as at:
        holder.close()

    assert str(at.value.__cause__) == "a is stuck"


def test_if_one_cannot_connect_those_before_it_are_closed() -> None:
    class Broken(RecordingEmitter):
        def connect(self) -> None:
            raise ConfigError("no such folder")

    first, last = RecordingEmitter(), RecordingEmitter()

    with pytest.raises(ConfigError, match="no such folder"):
        EmitterHolder([first, Broken(), last]).connect()

    assert (first.calls, last.calls) == (["connect", "close"], [])


def test_no_failures_are_no_error() -> None:
    raise_failures({})


# --- Delivery ---


async def test_records_reach_every_emitter_in_order_and_are_flushed_and_closed() -> None:
    plain, asynchronous = RecordingEmitter(), Asynchronous()
    delivery = Delivery([plain, asynchronous])

    await delivery.start()
    await delivery.put(records(0, 1))
    await delivery.put(records(2))
    reports = await delivery.close()

    assert minutes(plain) == [0, 1, 2]
    assert [kline.open_ts for kline in asynchronous.rows] == plain.opens()
    assert asynchronous.loops == {asyncio.get_running_loop()}
    assert plain.calls == ["connect", "emit", "flush", "close"]
    assert reports == {plain.name: Report(acked=3), asynchronous.name: Report(acked=3)}


async def test_an_emitter_of_tables_gets_what_is_known_beside_the_candle() -> None:
    class OfRecords(RecordingEmitter):
        def emit_records(self, records: Sequence[Record]) -> None:
            self.seen = [(record.seen_ts, record.revision) for record in records]

    emitter = OfRecords()
    delivery = Delivery([emitter])

    await delivery.start()
    await delivery.put([a_record(0, seen_ts=7, revision=2)])
    await delivery.close()

    assert emitter.seen == [(7, 2)]


async def test_closing_twice_is_harmless() -> None:
    emitter = RecordingEmitter()
    delivery = Delivery([emitter])
    await delivery.start()

    reports = await delivery.close()

    assert await delivery.close() == reports
    assert emitter.calls == ["connect", "flush", "close"]


async def test_a_slow_emitter_does_not_hold_up_its_neighbour() -> None:
    quick = RecordingEmitter()
    with unblocked(Hanging()) as slow:
        delivery = Delivery([slow, quick])
        await delivery.start()

        await delivery.put(records(0))
        await delivery.put(records(1))
        await until(lambda: minutes(quick) == [0, 1])

        assert minutes(slow) == []
        slow.let_go.set()
        await delivery.close()
    assert minutes(slow) == [0, 1]


async def test_a_full_queue_makes_put_wait_and_keeps_the_order_of_the_callers() -> None:
    with unblocked(Hanging()) as slow:
        delivery = Delivery([slow], max_rows=2, batch_rows=1)
        await delivery.start()
        await delivery.put(records(0, 1))

        puts = [asyncio.create_task(delivery.put(records(index))) for index in (2, 3, 4)]
        await asyncio.to_thread(slow.reached.wait, 30)
        assert not any(put.done() for put in puts)

        slow.let_go.set()
        await asyncio.gather(*puts)
        await delivery.close()
    assert minutes(slow) == [0, 1, 2, 3, 4]


async def test_a_failing_emitter_is_stopped_and_named_and_the_others_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    full, good = failing_at(1, StorageFull("no space")), RecordingEmitter()
    delivery = Delivery([full, good], batch_rows=1)
    await delivery.start()

    await delivery.put(records(0, 1, 2))
    reports = await delivery.flush()
    await delivery.put(records(3))

    assert minutes(good) == [0, 1, 2, 3] or not minutes(good)[3:]  # the last is on its way
    assert minutes(full) == [0]
    assert [type(error) for error in delivery.failures.values()] == [StorageFull]
    assert reports[full.name].pending == 2
    assert f"{full.name} is stopped, 2 rows are not written" in caplog.text
    assert delivery.health()[full.name] == Health("stopped", last_error="StorageFull")
    with pytest.raises(StorageFull, match="no space"):
        await delivery.close()
    assert minutes(good) == [0, 1, 2, 3]
    assert full.calls[-1] == good.calls[-1] == "close"
    assert delivery.reports[full.name].pending == 3


async def test_when_every_emitter_has_failed_put_says_so() -> None:
    first, second = failing_at(0, EmitterError("a")), failing_at(0, EmitterError("b"))
    delivery = Delivery([first, second])
    await delivery.start()
    await delivery.put(records(0))
    await delivery.flush()

    with pytest.raises(EmitterError, match="2 emitters failed"):
        await delivery.put(records(1))
    with pytest.raises(EmitterError, match="2 emitters failed"):
        await delivery.close()


async def test_a_failing_async_emit_is_stopped_too() -> None:
    class Breaking(Asynchronous):
        async def emit(self, data: Kline) -> None:
            raise EmitterError(f"no {data.symbol}")

    delivery = Delivery([Breaking(), RecordingEmitter()])
    await delivery.start()
    await delivery.put(records(0))

    with pytest.raises(EmitterError, match="no BTCUSDT"):
        await delivery.close()


async def test_without_emitters_records_go_nowhere() -> None:
    delivery = Delivery([])
    await delivery.start()
    await delivery.put(records(0))

    assert await delivery.close() == {}


async def test_a_refused_row_is_counted_and_the_rest_goes_in() -> None:
    emitter = failing_at(1, RecordError("bad row"))
    delivery = Delivery([emitter])
    await delivery.start()
    await delivery.put(records(0, 1, 2))

    reports = await delivery.close()

    assert minutes(emitter) == [0, 2]
    assert reports[emitter.name] == Report(acked=2, dead=1)


async def test_a_refused_table_is_halved_down_to_the_bad_row() -> None:
    class OfTables(Emitter):
        def __init__(self) -> None:
            self.stored: list[int] = []

        def emit_batch(self, batch: Any) -> None:  # noqa: ANN401 - pa.Table
            opens = batch.column("open_ts").to_pylist()
            if START + 2 * MINUTE in opens:
                raise RecordError("one of these")
            self.stored += opens

        def flush(self, deadline_s: float | None = None) -> Report:
            return replace(super().flush(deadline_s), acked=len(self.stored))

    emitter = OfTables()
    delivery = Delivery([emitter])
    await delivery.start()
    await delivery.put(records(0, 1, 2, 3, 4))

    reports = await delivery.close()

    assert emitter.stored == [START + k * MINUTE for k in (0, 1, 3, 4)]
    assert reports[emitter.name] == Report(acked=4, dead=1)


async def test_rows_are_flushed_after_the_emitters_own_time() -> None:
    emitter = RecordingEmitter()
    emitter.flush_every_s = 0.01
    delivery = Delivery([emitter])
    await delivery.start()
    await delivery.put(records(0))

    await until(lambda: "flush" in emitter.calls)

    assert emitter.calls == ["connect", "emit", "flush"]
    await delivery.close()


async def test_a_failing_flush_stops_the_emitter() -> None:
    class Full(RecordingEmitter):
        def flush(self, deadline_s: float | None = None) -> Report:
            raise StorageFull(f"no space for {deadline_s}")

    emitter = Full()
    delivery = Delivery([emitter])
    await delivery.start()
    await delivery.put(records(0))

    assert (await delivery.flush())[emitter.name] == Report()
    with pytest.raises(StorageFull):
        await delivery.close()


async def test_a_hung_emitter_is_given_up_at_the_deadline_with_a_count() -> None:
    quick = RecordingEmitter()
    with unblocked(Hanging()) as hung:
        delivery = Delivery([hung, quick])
        await delivery.start()
        await delivery.put(records(0, 1))

        reports = await delivery.flush(deadline_s=0.05)
        assert reports == {hung.name: Report(pending=2), quick.name: Report(acked=2)}

        with pytest.raises(EmitterError, match=r"2 rows are left after 0\.05 s"):
            await delivery.close(deadline_s=0.05)
    assert quick.calls[-1] == "close"


async def test_an_emitter_that_hangs_in_close_is_given_up_too() -> None:
    let_go = threading.Event()

    class Clinging(RecordingEmitter):
        def close(self) -> None:
            let_go.wait(30)

    delivery = Delivery([Clinging()])
    await delivery.start()

    with pytest.raises(EmitterError, match="did not close in time"):
        await delivery.close(deadline_s=0.05)
    let_go.set()


async def test_an_emitter_that_cannot_be_closed_is_a_failure() -> None:
    class Stuck(RecordingEmitter):
        def close(self) -> None:
            raise EmitterError("stuck")

    good = RecordingEmitter()
    delivery = Delivery([Stuck(), good])
    await delivery.start()

    with pytest.raises(EmitterError, match="stuck"):
        await delivery.close()

    assert good.calls[-1] == "close"


async def test_a_hung_async_emit_is_given_up_at_the_deadline() -> None:
    class Forever(Asynchronous):
        async def emit(self, data: Kline) -> None:
            await asyncio.Event().wait()
            self.rows.append(data)

    emitter = Forever()
    delivery = Delivery([emitter])
    await delivery.start()
    await delivery.put(records(0))

    with pytest.raises(EmitterError, match=r"1 rows are left after 0\.05 s"):
        await delivery.close(deadline_s=0.05)

    assert delivery.reports[emitter.name].pending == 1


async def test_waiting_rows_show_in_health_with_their_age() -> None:
    with unblocked(Hanging()) as slow:
        delivery = Delivery([slow], batch_rows=1)
        await delivery.start()
        assert delivery.health() == {slow.name: Health("ok")}

        await delivery.put(records(0, 1))
        await asyncio.to_thread(slow.reached.wait, 30)
        await asyncio.sleep(0.01)

        health = delivery.health()[slow.name]
        assert health.state == "ok"
        assert health.oldest_pending_s >= 0.01
        slow.let_go.set()
        await delivery.close()


async def test_what_is_stored_can_be_asked_and_holes_be_recorded() -> None:
    knowing, unknowing = RecordingEmitter(knows_its_rows=True), Asynchronous()
    delivery = Delivery([knowing, unknowing])
    await delivery.start()
    await delivery.put(records(3))
    await delivery.flush()

    last = await delivery.last_open_ts(SERIES)
    await delivery.record_holes(SERIES, [HoleEntry(a_hole(0, 1))])
    await delivery.close()

    assert last == {knowing.name: START + 3 * MINUTE, unknowing.name: None}
    assert knowing.entries == {SERIES: [HoleEntry(a_hole(0, 1))]}


async def test_if_one_cannot_connect_the_others_are_closed_and_nothing_runs() -> None:
    class Broken(RecordingEmitter):
        def connect(self) -> None:
            raise ConfigError("no such folder")

    good = RecordingEmitter()

    with pytest.raises(ConfigError, match="no such folder"):
        await Delivery([good, Broken()]).start()

    assert good.calls == ["connect", "close"]


async def test_an_emitter_shared_by_two_runs_is_closed_by_the_last() -> None:
    shared = RecordingEmitter()
    first, second = Delivery([shared]), Delivery([shared])
    await first.start()
    await second.start()

    await first.put(records(0))
    await first.close()
    await second.put(records(1))
    await second.close()

    assert minutes(shared) == [0, 1]
    assert shared.calls.count("connect") == shared.calls.count("close") == 1
    assert shared.calls[-1] == "close"
