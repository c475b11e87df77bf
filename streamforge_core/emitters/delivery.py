"""From one stream of records to every emitter, none of which holds up its neighbours."""

import asyncio
import inspect
import logging
import queue
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from streamforge_core.emitters.base import Emitter, Health, Report
from streamforge_core.errors import ConfigError, EmitterError, RecordError
from streamforge_core.model.kline import Kline, Record, Series
from streamforge_core.pipeline.transformer import Transformer

if TYPE_CHECKING:
    import pyarrow as pa

    from streamforge_core.model.coverage import Entry

_log: Final = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class EmitterHolder:
    """The emitters of one runner or backfiller, in the order they were registered.

    Its methods call every emitter even if one fails, and raise afterwards.
    """

    def __init__(self, emitters: Iterable[Emitter] = ()) -> None:
        self._emitters: dict[str, Emitter] = {}
        for emitter in emitters:
            self.register(emitter)

    def register(
        self,
        emitter: Emitter,
        *,
        model: Any = None,  # noqa: ANN401 - the user's own table class
        map_object: Mapping[str, str] | Transformer | None = None,
    ) -> Emitter:
        """Add an emitter and return it.

        Args:
            emitter: May be registered with several runners, once with each.
            model: Handed to its `set_model`.
            map_object: Names to rename (ours -> theirs), or a transformer.

        Raises:
            ConfigError: It is no emitter, or another one has the same name.
        """
        if not isinstance(emitter, Emitter):
            raise ConfigError(
                f"{emitter!r} is not an emitter: subclass sf.Emitter and define emit(self, data)."
            )
        if emitter.name in self._emitters:
            raise ConfigError(
                f"An emitter named {emitter.name!r} is registered already. "
                "Register each one once, and give a second one another name."
            )
        if model is not None:
            emitter.set_model(model)
        if callable(map_object):
            emitter.set_transformer(map_object)
        elif map_object is not None:
            emitter.register_map(map_object)
        self._emitters[emitter.name] = emitter
        return emitter

    @property
    def emitters(self) -> tuple[Emitter, ...]:
        """The registered emitters, in order."""
        return tuple(self._emitters.values())

    def __iter__(self) -> Iterator[Emitter]:
        return iter(self.emitters)

    def __len__(self) -> int:
        return len(self._emitters)

    def connect(self) -> None:
        """Connect all of them; if one cannot, those already open are closed again."""
        opened: list[Emitter] = []
        try:
            for emitter in self:
                emitter.acquire()
                opened.append(emitter)
        except BaseException:
            for emitter in opened:
                emitter.release()
            raise

    def emit(self, data: Kline) -> None:
        """Hand one candle to all of them; blocks until each has accepted it."""
        self._call_all(lambda emitter: emitter.emit_klines([data]))

    def emit_batch(self, batch: "pa.Table") -> None:
        """Hand a table of `RECORD_SCHEMA` or `KLINE_SCHEMA` to all of them."""
        self._call_all(lambda emitter: emitter.emit_batch(batch))

    def flush(self, deadline_s: float | None = None) -> dict[str, Report]:
        """Flush all of them and return what each reports."""
        return self._call_all(lambda emitter: emitter.flush(deadline_s))

    def close(self) -> None:
        """Flush and close all of them."""
        self._call_all(Emitter.release)

    def _call_all(self, call: Callable[[Emitter], T]) -> dict[str, T]:
        results: dict[str, T] = {}
        failures: dict[str, Exception] = {}
        for emitter in self:
            try:
                results[emitter.name] = call(emitter)
            except Exception as error:  # noqa: BLE001 - whatever fails, the others are called
                failures[emitter.name] = error
        raise_failures(failures)
        return results


def raise_failures(failures: Mapping[str, Exception]) -> None:
    """Raise what emitters failed with: a single error as it is, several as one.

    Raises:
        EmitterError: Several failed; names each. The first one is its cause.
    """
    if not failures:
        return
    first = next(iter(failures.values()))
    if len(failures) == 1:
        raise first
    told = "; ".join(f"{name}: {error!r}" for name, error in failures.items())
    raise EmitterError(f"{len(failures)} emitters failed: {told}") from first


class Delivery:
    """Hands records to every emitter, each through a queue and a worker of its own.

    A blocking emitter runs on its own thread, an async `emit` as a task of the running loop. An
    emitter that fails is stopped and named in `failures`; the others go on.

    Args:
        emitters: An `EmitterHolder` or any emitters.
        max_rows: Rows that may wait for one emitter before `put` waits.
        batch_rows: Rows handed over in one call at most.

    Attributes:
        failures: Why an emitter was stopped, by its name.
        reports: What became of the rows by the last `flush` or `close`, by name.
    """

    def __init__(
        self, emitters: Iterable[Emitter], *, max_rows: int = 10_000, batch_rows: int = 1_000
    ) -> None:
        self.failures: dict[str, Exception] = {}
        self.reports: dict[str, Report] = {}
        self._workers = [
            _Worker(emitter, self.failures, max_rows=max_rows, batch_rows=batch_rows)
            for emitter in emitters
        ]

    async def start(self) -> None:
        """Connect every emitter and start taking rows.

        Raises:
            ConfigError: One cannot work as configured; those already open are closed again.
        """
        outcomes = await asyncio.gather(
            *(worker.start() for worker in self._workers), return_exceptions=True
        )
        errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if errors:
            await asyncio.gather(*(worker.stop(None) for worker in self._workers))
            raise errors[0]

    async def put(self, records: Sequence[Record]) -> None:
        """Queue records for every emitter; waits while one that works has its queue full.

        Raises:
            EmitterError: Every emitter has failed; there is nothing left to write to.
        """
        full = [worker for worker in self._workers if not worker.offer(records)]
        if full:
            await asyncio.gather(*(worker.put(records) for worker in full))
        if self._workers and len(self.failures) == len(self._workers):
            raise_failures(self.failures)

    async def last_open_ts(self, series: Series) -> dict[str, int | None]:
        """Ask every emitter for its newest stored candle of a series."""
        return {
            worker.emitter.name: await worker.call(worker.emitter.last_open_ts, series)
            for worker in self._workers
        }

    async def record_holes(self, series: Series, entries: "Sequence[Entry]") -> None:
        """Hand verdicts on missing candles to every emitter that works."""
        for worker in self._workers:
            await worker.try_call(worker.emitter.record_holes, series, entries)

    async def flush(self, deadline_s: float | None = None) -> dict[str, Report]:
        """Drain every queue and flush every emitter.

        Returns:
            By name: what was taken for good and what is left. An emitter that has failed or does
            not answer before the deadline reports its rows as pending.
        """
        reports = await asyncio.gather(*(worker.flush(deadline_s) for worker in self._workers))
        names = (worker.emitter.name for worker in self._workers)
        self.reports |= zip(names, reports, strict=True)
        return dict(self.reports)

    def health(self) -> dict[str, Health]:
        """Tell how each emitter is doing; one that has failed is "stopped"."""
        return {worker.emitter.name: worker.health() for worker in self._workers}

    async def close(self, deadline_s: float | None = 30.0) -> dict[str, Report]:
        """Flush and close every emitter, also the failed ones; twice is harmless.

        Returns:
            What became of the rows, by name.

        Raises:
            EmitterError: An emitter had failed, failed now or did not answer before the deadline.
                A single error is raised as it is.
        """
        workers, self._workers = self._workers, []
        reports = await asyncio.gather(*(worker.close(deadline_s) for worker in workers))
        names = (worker.emitter.name for worker in workers)
        self.reports |= zip(names, reports, strict=True)
        if workers:
            raise_failures(self.failures)
        return dict(self.reports)


class _Worker:
    """One emitter, its queue, and the task that empties it; all state belongs to the loop."""

    def __init__(
        self,
        emitter: Emitter,
        failures: dict[str, Exception],
        *,
        max_rows: int,
        batch_rows: int,
    ) -> None:
        self.emitter = emitter
        self._failures = failures
        self._max_rows = max_rows
        self._batch_rows = batch_rows
        self._thread = _Thread(emitter.name)
        self._waiting: deque[tuple[float, Record]] = deque()
        self._in_flight = 0
        self._lost = 0
        self._report = Report()
        self._filled, self._room, self._idle = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._put_in_turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._mark()

    async def start(self) -> None:
        await self.call(self.emitter.acquire)
        self._task = asyncio.create_task(self._work(), name=f"{self.emitter.name}-delivery")

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking function on the emitter's own thread, after what it does already."""
        return await self._thread.call(lambda: function(*args, **kwargs))

    async def try_call(
        self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T | None:
        """Likewise; a failure stops the emitter instead of the caller."""
        if self._failed:
            return None
        try:
            return await self.call(function, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - any error of one destination stops that one
            self._fail(error)
            return None

    @property
    def _failed(self) -> bool:
        return self.emitter.name in self._failures

    @property
    def _rows(self) -> int:
        return len(self._waiting) + self._in_flight

    def offer(self, records: Sequence[Record]) -> bool:
        """Queue records if there is room now and nobody waits for it."""
        if self._put_in_turn.locked() or not self._room.is_set():
            return False
        self._queue(records)
        return True

    async def put(self, records: Sequence[Record]) -> None:
        """Queue records as soon as there is room, in the order of the callers."""
        async with self._put_in_turn:
            await self._room.wait()
            self._queue(records)

    def _queue(self, records: Sequence[Record]) -> None:
        if self._failed:
            self._lost += len(records)
            return
        now_s = asyncio.get_running_loop().time()
        self._waiting.extend((now_s, record) for record in records)
        self._mark()

    def _mark(self) -> None:
        _set(self._filled, bool(self._waiting))
        _set(self._room, self._failed or self._rows < self._max_rows)
        _set(self._idle, self._failed or not self._rows)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        due_s: float | None = None
        while not self._failed:
            batch = await self._next_batch(None if due_s is None else due_s - loop.time())
            if batch:
                await self._deliver(batch)
                due_s = due_s or loop.time() + self.emitter.flush_every_s
            if due_s is not None and loop.time() >= due_s:
                await self.try_call(self.emitter.flush)
                due_s = None

    async def _next_batch(self, timeout_s: float | None) -> list[Record]:
        """Wait for rows; none when the time is over."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._filled.wait()
        except TimeoutError:
            return []
        size = min(len(self._waiting), self._batch_rows)
        self._in_flight = size
        batch = [self._waiting.popleft()[1] for _ in range(size)]
        self._mark()
        return batch

    async def _deliver(self, batch: Sequence[Record]) -> None:
        try:
            await self._hand_over(batch)
        except Exception as error:  # noqa: BLE001 - any error of one destination stops that one
            self._fail(error)
        self._in_flight = 0
        self._mark()

    async def _hand_over(self, batch: Sequence[Record]) -> None:
        """Give a batch to the emitter; one that is refused is halved down to the refused row."""
        try:
            if inspect.iscoroutinefunction(self.emitter.emit):
                await self.emitter.emit_each(record.to_kline() for record in batch)
            else:
                await self.call(self.emitter.emit_records, batch)
        except RecordError as error:
            if len(batch) == 1:
                self.emitter.refuse(error)
                return
            middle = len(batch) // 2
            await self._hand_over(batch[:middle])
            await self._hand_over(batch[middle:])

    def _fail(self, error: Exception) -> None:
        name = self.emitter.name
        self._failures.setdefault(name, error)
        self._lost += self._rows
        self._waiting.clear()
        self._in_flight = 0
        self._mark()
        _log.error("%s is stopped, %d rows are not written: %r", name, self._lost, error)

    async def flush(self, deadline_s: float | None) -> Report:
        report = None
        try:
            async with asyncio.timeout(deadline_s) as limit:
                await self._idle.wait()
                report = await self.try_call(self.emitter.flush, _left_s(limit))
        except TimeoutError:
            _log.warning("%s did not flush within %s s", self.emitter.name, deadline_s)
        if report is not None:
            self._report = replace(report, dead=max(report.dead, self.emitter.dead))
        return replace(self._report, pending=self._report.pending + self._rows + self._lost)

    def health(self) -> Health:
        error = self._failures.get(self.emitter.name)
        if error is not None:
            return Health("stopped", last_error=type(error).__name__)
        health = self.emitter.health()
        if not self._waiting:
            return health
        age_s = asyncio.get_running_loop().time() - self._waiting[0][0]
        return replace(health, oldest_pending_s=max(age_s, health.oldest_pending_s))

    async def close(self, deadline_s: float | None) -> Report:
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        report = await self.flush(deadline_s)
        if self._rows:
            self._fail(
                EmitterError(
                    f"{self.emitter.name}: {self._rows} rows are left after {deadline_s} s."
                )
            )
        spent_s = loop.time() - start_s
        await self.stop(None if deadline_s is None else max(deadline_s - spent_s, deadline_s / 10))
        return report

    async def stop(self, deadline_s: float | None) -> None:
        """Stop taking rows and close the emitter, if it was opened."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            await self._release(deadline_s)
        self._thread.stop()

    async def _release(self, deadline_s: float | None) -> None:
        try:
            async with asyncio.timeout(deadline_s):
                await self.call(self.emitter.release)
        except TimeoutError:
            self._fail(EmitterError(f"{self.emitter.name} did not close in time."))
        except Exception as error:  # noqa: BLE001 - reported with the other failures
            self._fail(error)


def _set(event: asyncio.Event, state: bool) -> None:  # noqa: FBT001 - the event's new state
    if state:
        event.set()
    else:
        event.clear()


def _left_s(limit: asyncio.Timeout) -> float | None:
    """Return the seconds left of a time limit, None if it has none."""
    end_s = limit.when()
    return None if end_s is None else max(0.0, end_s - asyncio.get_running_loop().time())


class _Thread:
    """One daemon thread that runs calls in turn; a call that hangs does not keep the process up."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def call(self, function: Callable[[], T]) -> Awaitable[T]:
        future: Future[T] = Future()
        self._calls.put(lambda: _settle(future, function))
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        return asyncio.wrap_future(future)

    def _work(self) -> None:
        while call := self._calls.get():
            call()

    def stop(self) -> None:
        self._calls.put(None)


def _settle(future: Future[T], function: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(function())
    except BaseException as error:  # noqa: BLE001 - carried to the thread that waits
        future.set_exception(error)
