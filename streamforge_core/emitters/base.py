"""The contract of every destination: `Emitter`, also exported as `DataEmitter`."""

import asyncio
import inspect
import itertools
import logging
import threading
import weakref
from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from pydantic import ConfigDict

from streamforge_core.errors import ConfigError, RecordError
from streamforge_core.model.kline import FIELDS, Kline, Record, Series
from streamforge_core.pipeline.transformer import Row, Transformer, chain, rename

if TYPE_CHECKING:  # a live stream that writes no columns does not pay for pyarrow
    import pyarrow as pa

    from streamforge_core.model.coverage import Entry
    from streamforge_core.model.gap import Hole


_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Report:
    """What became of everything accepted so far.

    Attributes:
        acked: Rows the destination has taken for good.
        pending: Rows accepted and not yet taken.
        spooled: Rows of `pending` that are safe on disk.
        dead: Rows refused for good and kept aside.
    """

    acked: int = 0
    pending: int = 0
    spooled: int = 0
    dead: int = 0


@dataclass(frozen=True, slots=True)
class Health:
    """How a destination is doing.

    Attributes:
        state: "ok", "retrying", "open_circuit" or "stopped".
        last_error: Class name of the last error, None when there was none.
        oldest_pending_s: Age of the oldest row not yet taken, in seconds.
    """

    state: str = "ok"
    last_error: str | None = None
    oldest_pending_s: float = 0.0


class _Transformed(Kline):
    """A candle with the attributes a transformer gave it."""

    model_config = ConfigDict(frozen=True, extra="allow")

    @classmethod
    def holding(cls, row: Row) -> Self:
        kline = cls.trusted({name: row[name] for name in FIELDS if name in row})
        extra = {name: value for name, value in row.items() if name not in FIELDS}
        object.__setattr__(kline, "__pydantic_extra__", extra)
        return kline


class _OwnLoop:
    """An event loop on a daemon thread, for an async `emit` that is fed from blocking code."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._work, name=f"{name}-loop", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        self._loop.run_forever()
        self._loop.close()

    def run(self, waiting: Awaitable[None]) -> None:
        asyncio.run_coroutine_threadsafe(_awaited(waiting), self._loop).result()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


async def _awaited(waiting: Awaitable[None]) -> None:
    await waiting


class Emitter:
    """A destination. A custom one needs `emit(self, data: Kline)` only, sync or async.

    `emit` may be called with duplicates after a crash; a store writes by identity (source, symbol,
    timeframe, open_ts). An exception from `emit` means the destination failed and is loud; raise
    `RecordError` for a row that can never pass. Where a transformer is set, `emit` gets a candle
    whose attributes are what the transformer returned.

    One instance may be registered with several runners: `emit` and `flush` may then be called from
    several threads at once.
    """

    applies_transformer: ClassVar[bool] = False
    """True where `emit` itself calls `transformed`; else it is applied before `emit`."""

    appends_only: ClassVar[bool] = False
    """True where a hole cannot be filled later: a backfill stops at the first it leaves open."""

    flush_every_s: float = 1.0
    """How long a live stream lets accepted rows wait before it calls `flush`."""

    _counters: ClassVar[dict[str, Iterator[int]]] = {}

    name: str
    dead: int
    """Rows refused for good so far."""

    _acked: int
    _users: int
    _sharing: threading.RLock
    _transformer: Transformer | None = None
    _own_loop: "_OwnLoop | None" = None

    def __init_subclass__(cls) -> None:
        """Refuse an async method that blocking code calls: it would silently never run."""
        super().__init_subclass__()
        for method in ("connect", "emit_batch", "emit_records", "flush", "close"):
            if inspect.iscoroutinefunction(getattr(cls, method)):
                raise ConfigError(
                    f"{cls.__name__}.{method} is async; only `emit` may be. Write `def {method}`."
                )

    def __new__(cls, *args: object, **kwargs: object) -> Self:  # noqa: ARG004 - __init__ reads them
        """Name the instance, so that a subclass need not call this class' `__init__`."""
        emitter = super().__new__(cls)
        counter = cls._counters.setdefault(cls.__name__, itertools.count(1))
        emitter.name = f"{cls.__name__}-{next(counter)}"
        emitter.dead = emitter._acked = emitter._users = 0
        emitter._sharing = threading.RLock()
        return emitter

    def __init__(self, *, name: str | None = None) -> None:
        if name:
            self.name = name

    def connect(self) -> None:
        """Open the destination and check it.

        Raises:
            ConfigError: It cannot work as configured.
        """

    def emit(self, data: Kline) -> Awaitable[None] | None:
        """Take one candle.

        Raises:
            NotImplementedError: The subclass defines none, which every destination must.
        """
        raise NotImplementedError(f"{type(self).__name__} must define emit(self, data)")

    def emit_batch(self, batch: "pa.Table") -> None:
        """Take a table of `RECORD_SCHEMA` or `KLINE_SCHEMA`; the default calls `emit` row by row.

        A row that is refused (`RecordError`) is counted and logged, its neighbours go in. Rows
        before one on which the destination failed count as done. An async `emit` runs on an event
        loop of the emitter's own.
        """
        from streamforge_core.model.columns import table_to_klines

        self.emit_klines(table_to_klines(batch))

    def emit_records(self, records: Sequence[Record]) -> None:
        """Take records, as a live stream hands them over; blocks until they are accepted.

        The default makes a table of them for an own `emit_batch`, else calls `emit` row by row.
        """
        if type(self).emit_batch is Emitter.emit_batch:
            self.emit_klines(record.to_kline() for record in records)
            return
        from streamforge_core.model.columns import records_to_table

        self.emit_batch(records_to_table(records))

    async def emit_each(self, klines: Iterable[Kline]) -> None:
        """Call `emit` row by row and await it where it is asynchronous."""
        for kline in self._offered(klines):
            try:
                waiting = self.emit(kline)
                if inspect.isawaitable(waiting):
                    await waiting
            except RecordError as error:
                self.refuse(error)
            else:
                self._acked += 1

    def emit_klines(self, klines: Iterable[Kline]) -> None:
        """Call `emit` row by row from blocking code; see `emit_batch`."""
        if inspect.iscoroutinefunction(self.emit):
            self._run(self.emit_each(klines))
            return
        for kline in self._offered(klines):
            try:
                waiting = self.emit(kline)
                if inspect.isawaitable(waiting):
                    self._run(waiting)
            except RecordError as error:
                self.refuse(error)
            else:
                self._acked += 1

    def _run(self, waiting: Awaitable[None]) -> None:
        if self._own_loop is None:
            self._own_loop = _OwnLoop(self.name)
            weakref.finalize(self, self._own_loop.close)
        self._own_loop.run(waiting)

    def _offered(self, klines: Iterable[Kline]) -> Iterator[Kline]:
        """Yield candles as `emit` is to see them, transformed where `emit` does not do it."""
        if self._transformer is None or self.applies_transformer:
            yield from klines
            return
        for kline in klines:
            try:
                row = self.transformed(kline.__dict__)
            except RecordError as error:
                self.refuse(error)
                continue
            if row is not None:
                yield _Transformed.holding(row)

    def refuse(self, error: RecordError) -> None:
        """Count and log a row that can never be stored; nothing of it reaches the destination."""
        self.dead += 1
        _log.error("%s refused a row: %s", self.name, error)

    def acquire(self) -> None:
        """Connect on behalf of one more user: the first call connects."""
        with self._sharing:
            if self._users == 0:
                self.connect()
            self._users += 1

    def release(self) -> None:
        """Flush on behalf of one user; the last call closes."""
        with self._sharing:
            self._users = max(0, self._users - 1)
            if self._users:
                self.flush()
            else:
                self.close()

    def flush(self, deadline_s: float | None = None) -> Report:
        """Hand everything accepted to the destination.

        Args:
            deadline_s: Seconds after which what is left is reported as pending; None waits.
        """
        del deadline_s
        return Report(acked=self._acked, dead=self.dead)

    def close(self) -> None:
        """Flush and release; a second call does nothing."""

    def last_open_ts(self, series: Series) -> int | None:
        """Return the newest stored candle's open; None where the destination cannot tell."""
        del series
        return None

    def missing(self, series: Series, start_ms: int, end_ms: int) -> "Sequence[Hole] | None":
        """Return what it lacks with `start_ms <= open < end_ms`; None where it cannot tell."""
        del series, start_ms, end_ms
        return None

    def record_holes(self, series: Series, entries: "Sequence[Entry]") -> None:
        """Keep verdicts on missing candles and what is known beside them; the default does not."""
        del series, entries

    def health(self) -> Health:
        """Tell how the destination is doing."""
        return Health()

    def set_transformer(self, transformer: Transformer, *, inplace: bool = True) -> Self:
        """Apply a function to every row before it is stored; several are applied in turn.

        Call it before the first row: rows on their way are not transformed again.


        Args:
            transformer: dict -> dict; None drops the row for this emitter alone.
            inplace: Accepted for compatibility; the emitter itself is always changed.
        """
        del inplace
        self._transformer = chain(self._transformer, transformer)
        return self

    def set_model(self, model: Any, *, inplace: bool = True) -> Self:  # noqa: ANN401 - the user's own class
        """Take a table model; destinations without tables ignore it."""
        del model, inplace
        return self

    def register_map(self, names: Mapping[str, str]) -> Self:
        """Rename columns before they are stored, our name -> theirs."""
        return self.set_transformer(rename(dict(names)))

    @contextmanager
    def preceded_by(self, transformer: Transformer | None) -> Iterator[None]:
        """Apply a function before the emitter's own ones, for as long as the context lasts."""
        own = self._transformer
        if transformer is not None:
            self._transformer = transformer if own is None else chain(transformer, own)
        try:
            yield
        finally:
            self._transformer = own

    def transformed(self, row: Row) -> Row | None:
        """Return what is to be stored of a row, None if nothing.

        Raises:
            RecordError: The transformer failed on it.
        """
        if self._transformer is None:
            return row
        try:
            return self._transformer(dict(row))
        except Exception as error:
            what = f"{row.get('symbol')} {row.get('timeframe')} open_ts={row.get('open_ts')}"
            raise RecordError(
                f"{self.name}: the transformer failed on {what}: {error!r}"
            ) from error

    def transformed_rows(self, batch: "pa.Table") -> list[Row]:
        """Return a table's candles as rows to be stored, dropped ones left out."""
        rows = (self.transformed(row) for row in batch.select(list(FIELDS)).to_pylist())
        return [row for row in rows if row is not None]

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
