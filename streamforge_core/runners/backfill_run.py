"""One run of a backfill: plan what is missing, fetch it, hand it on in order, explain the holes."""

import itertools
import logging
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

import pyarrow as pa

from streamforge_core.emitters.base import Emitter
from streamforge_core.errors import (
    ConnectionLost,
    EmitterError,
    ExchangeError,
    IncompleteBackfill,
    StreamForgeError,
    TransportError,
    UnknownSymbol,
)
from streamforge_core.model.columns import instants, opens_between, table_to_klines
from streamforge_core.model.coverage import Entry, HoleEntry
from streamforge_core.model.date_range import DateRange, Moment, parse_range
from streamforge_core.model.exchange import HistoryProtocol
from streamforge_core.model.gap import Hole
from streamforge_core.model.kline import Kline, Series
from streamforge_core.model.timeframe import DAY_MS, first_open_from, iso, next_open, open_of
from streamforge_core.pipeline.transformer import Transformer
from streamforge_core.runners.endpoints import Endpoints
from streamforge_core.runners.fetching import Fetched, Fetcher, Span, Window, inside_spans, plan
from streamforge_core.runners.holes import HoleJudge
from streamforge_core.runners.progress import Progress, Tell
from streamforge_core.transport.clock import Clock
from streamforge_core.transport.http import HttpClient, RateBudget

_log = logging.getLogger(__name__)

DOWNLOADS: Final = 4
"""Windows in flight at once: bounds memory, and what one venue sees of us."""

PATIENCE_WITH_NETWORK: Final = 3
"""Windows in a row that may fail for want of a connection before the rest is left for later."""


@dataclass(frozen=True, slots=True)
class BackfillReport:
    """What a backfill did.

    Attributes:
        series: What was filled.
        start_ms: First instant of the range, UTC epoch milliseconds.
        end_ms: First instant after it.
        rows: Candles fetched and handed to an emitter that lacked them.
        holes: Missing candles that were given a verdict in this run.
        pending: Ranges that could not be fetched; a next run tries them again.
        failures: Why, in words, one entry a range.
        requests: HTTP requests sent, retries included.
    """

    series: Series
    start_ms: int
    end_ms: int
    rows: int = 0
    holes: tuple[Hole, ...] = ()
    pending: tuple[Hole, ...] = ()
    failures: tuple[str, ...] = ()
    requests: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """Everything a run needs to know; see `Backfilling`."""

    series: Series
    from_date: Moment
    to_date: Moment | None
    history: HistoryProtocol
    clock: Clock
    endpoints: Endpoints | None
    weight_per_minute: int
    used_weight_header: str
    downloads: int = DOWNLOADS


@dataclass(slots=True)
class _Tally:
    rows: int = 0
    holes: list[Hole] = field(default_factory=list)
    pending: list[Hole] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    unreachable_in_a_row: int = 0


class BackfillRun:
    """Owns the connections of one run; a context manager.

    Args:
        job: What to do.
        stop: Set by another thread to end soon.
    """

    def __init__(self, job: Job, stop: threading.Event) -> None:
        self._job = job
        self._stop = stop
        self._tally = _Tally()
        budget = RateBudget(job.weight_per_minute, job.used_weight_header, clock=job.clock)
        self._http = HttpClient(clock=job.clock, budget=budget, stop=stop)
        self._fetcher = Fetcher(
            job.history,
            job.series.symbol,
            job.series.timeframe,
            http=self._http,
            clock=job.clock,
            endpoints=job.endpoints,
            stop=stop,
        )
        self._now_ms = job.clock.now_ms()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def into(
        self, emitters: Sequence[Emitter], transformer: Transformer | None, tell: Tell
    ) -> BackfillReport:
        """Give each emitter what it lacks.

        Raises:
            IncompleteBackfill: Some ranges could not be fetched; everything else is stored.
            UnknownSymbol: The venue does not list it.
            EmitterError: A destination failed.
        """
        with _connected(emitters, transformer):
            span = self._range()
            lacks = [(emitter, self._lacked(emitter, span)) for emitter in emitters]
            windows = self._plan(_union(spans for _, spans in lacks))
            total = sum(window.candles(self._job.series.timeframe) for window in windows)
            judge, done = self._judge(), 0
            for window, fetched in self._fetched(windows):
                if fetched:
                    self._hand_on(fetched.table, lacks)
                    self._record(judge.judge(fetched), emitters)
                done += window.candles(self._job.series.timeframe)
                tell(Progress(done, total))
            self._record(judge.finish(), emitters)
        return self._report(span)

    def klines(self, batch_size: int) -> Iterator[list[Kline]]:
        """Yield every closed candle of the range in lists of at most `batch_size`.

        Raises:
            IncompleteBackfill: After everything that could be had was yielded.
        """
        span = self._range()
        for _, fetched in self._fetched(self._plan([(span.start_ms, span.end_ms)])):
            klines = table_to_klines(fetched.table) if fetched else iter(())
            while batch := list(itertools.islice(klines, batch_size)):
                yield batch
        self._report(span)

    def _range(self) -> DateRange:
        """Return the range, its end cut to what is closed by the exchange's clock."""
        job = self._job
        span = parse_range(job.from_date, job.to_date, now_ms=self._now_ms)
        timeframe = job.series.timeframe
        # Only a range that ends near now depends on whose clock is asked.
        if next_open(span.end_ms, timeframe) > self._now_ms - DAY_MS:
            self._now_ms = self._fetcher.exchange_now()
            span = parse_range(job.from_date, job.to_date, now_ms=self._now_ms)
        running = open_of(self._now_ms, timeframe)
        return DateRange(first_open_from(span.start_ms, timeframe), min(span.end_ms, running))

    def _lacked(self, emitter: Emitter, span: DateRange) -> list[Span]:
        holes = emitter.missing(self._job.series, span.start_ms, span.end_ms)
        if holes is None:
            return [(span.start_ms, span.end_ms)] if span.start_ms < span.end_ms else []
        timeframe = self._job.series.timeframe
        return [
            (hole.first_open_ts, next_open(hole.last_open_ts, timeframe))
            for hole in holes
            if not hole.is_final()
        ]

    def _plan(self, spans: Sequence[Span]) -> list[Window]:
        series = self._job.series
        return plan(self._job.history, series.symbol, series.timeframe, spans, now_ms=self._now_ms)

    def _judge(self) -> HoleJudge:
        return HoleJudge(
            self._job.series.timeframe,
            self._now_ms,
            newest_before=lambda ts: self._fetcher.newest_before(ts, now_ms=self._now_ms),
            oldest_from=lambda ts: self._fetcher.oldest_from(ts, now_ms=self._now_ms),
        )

    def _fetched(self, windows: Sequence[Window]) -> Iterator[tuple[Window, Fetched | None]]:
        """Yield each window with what it gave, in order, while later ones are downloaded."""
        upcoming = iter(windows)
        flying: deque[tuple[Window, Future[Fetched]]] = deque()
        with ThreadPoolExecutor(self._job.downloads, "streamforge-backfill") as pool:
            try:
                while True:
                    for window in itertools.islice(upcoming, self._job.downloads - len(flying)):
                        flying.append((window, pool.submit(self._fetch, window)))
                    if not flying:
                        return
                    window, future = flying.popleft()
                    yield window, self._result(window, future)
            except BaseException:
                self._stop.set()  # the threads in flight end soon, then the pool closes
                raise
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _fetch(self, window: Window) -> Fetched:
        if self._tally.unreachable_in_a_row >= PATIENCE_WITH_NETWORK:
            raise TransportError("Not tried: the network failed for the ranges before it.")
        return self._fetcher.fetch(window, now_ms=self._now_ms)

    def _result(self, window: Window, future: "Future[Fetched]") -> Fetched | None:
        """Return what a window gave; note why if it gave nothing, the others go on."""
        tally = self._tally
        try:
            fetched = future.result()
        except (TransportError, ExchangeError) as error:
            if isinstance(error, UnknownSymbol) and not tally.rows:
                raise
            tally.unreachable_in_a_row += isinstance(error, ConnectionLost)
            self._note_failure(window, error)
            return None
        tally.unreachable_in_a_row = 0
        tally.rows += fetched.table.num_rows
        return fetched

    def _note_failure(self, window: Window, error: StreamForgeError) -> None:
        timeframe = self._job.series.timeframe
        for span in window.wanted:
            opens = opens_between(*span, timeframe)
            hole = Hole(int(opens[0]), int(opens[-1]), len(opens))
            self._tally.pending.append(hole)
            reason = f"{iso(hole.first_open_ts)} to {iso(hole.last_open_ts)}: {error}"
            self._tally.failures.append(reason)
            _log.error("%s could not be fetched: %s", self._job.series, reason)

    def _hand_on(self, table: pa.Table, lacks: Sequence[tuple[Emitter, list[Span]]]) -> None:
        for emitter, spans in lacks:
            lacked = table.filter(pa.array(inside_spans(instants(table), spans)))
            if not lacked.num_rows:
                continue
            emitter.emit_batch(lacked)
            report = emitter.flush()
            if report.pending:
                raise EmitterError(f"{emitter.name} has not stored {report.pending} candles.")

    def _record(self, entries: Sequence[Entry], emitters: Sequence[Emitter]) -> None:
        if not entries:
            return
        for emitter in emitters:
            emitter.record_holes(self._job.series, entries)
        self._tally.holes += [entry.hole for entry in entries if isinstance(entry, HoleEntry)]

    def _report(self, span: DateRange) -> BackfillReport:
        tally = self._tally
        report = BackfillReport(
            series=self._job.series,
            start_ms=span.start_ms,
            end_ms=span.end_ms,
            rows=tally.rows,
            holes=tuple(tally.holes),
            pending=tuple(tally.pending),
            failures=tuple(tally.failures),
            requests=self._http.requests,
        )
        if tally.pending:
            missing = sum(hole.count for hole in tally.pending)
            raise IncompleteBackfill(
                f"{report.series}: {missing} candles in {len(tally.pending)} ranges could not be "
                f"fetched, {report.rows} were. Run it again to fetch the rest. "
                f"First reason: {tally.failures[0]}",
                holes=report.pending,
            )
        return report


@contextmanager
def _connected(emitters: Sequence[Emitter], transformer: Transformer | None) -> Iterator[None]:
    """Connect all, close all whatever happens."""
    with ExitStack() as stack:
        for emitter in emitters:
            stack.enter_context(emitter.preceded_by(transformer))
            emitter.acquire()
            stack.callback(emitter.release)
        yield


def _union(spans_of_each: Iterator[list[Span]]) -> list[Span]:
    """Return the spans that at least one emitter lacks, ascending, overlaps joined."""
    joined: list[Span] = []
    for start, end in sorted(itertools.chain.from_iterable(spans_of_each)):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
