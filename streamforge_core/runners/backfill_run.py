"""One run of a backfill: plan what is missing, fetch it, hand it on in order, explain the holes."""

import itertools
import logging
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
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
    TransportError,
    UnknownSymbol,
)
from streamforge_core.model.columns import instants, table_to_klines
from streamforge_core.model.coverage import Entry, HoleEntry
from streamforge_core.model.date_range import DateRange, Moment, parse_range
from streamforge_core.model.exchange import HistoryProtocol
from streamforge_core.model.gap import Hole
from streamforge_core.model.kline import Kline, Series
from streamforge_core.model.timeframe import (
    DAY_MS,
    MINUTE_MS,
    first_open_from,
    iso,
    next_open,
    open_of,
)
from streamforge_core.pipeline.transformer import Transformer
from streamforge_core.runners.endpoints import Endpoints
from streamforge_core.runners.fetching import (
    Fetched,
    Fetcher,
    Run,
    Span,
    Window,
    inside_spans,
    plan,
    runs_of,
)
from streamforge_core.runners.holes import HoleJudge
from streamforge_core.runners.memory import release_memory
from streamforge_core.runners.progress import Progress, Tell
from streamforge_core.transport.clock import Clock
from streamforge_core.transport.http import HttpClient, RateBudget

_log: Final = logging.getLogger(__name__)

DOWNLOADS: Final = 4
"""Windows in flight at once: bounds memory, and what one venue sees of us."""

PATIENCE_WITH_NETWORK: Final = 3
"""Windows in a row that may fail for want of a connection before the rest is left for later.

Counted in the order of the windows; the count is read when a window is handed to the threads,
which is when the one `downloads` places before it is done. So it does not matter which was faster.
"""

CLOCK_DOUBT_MS: Final = 5 * MINUTE_MS
"""How far the machine's clock may be ahead where the exchange's own cannot be asked."""


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
    known: bool = False
    """Whether a candle of the series was ever seen: then its symbol exists, or did."""
    refusal: UnknownSymbol | None = None
    """The venue's word that there is no such symbol; of a delisted one the archive has candles."""


class BackfillRun:
    """Owns the connections of one run; a context manager.

    Args:
        job: What to do.
        stop: Set by another thread to end soon.
        http: What performs its requests; by default one with the venue's request budget.
    """

    def __init__(self, job: Job, stop: threading.Event, *, http: HttpClient | None = None) -> None:
        self._job = job
        self._stop = stop
        self._tally = _Tally()
        budget = RateBudget(job.weight_per_minute, job.used_weight_header, clock=job.clock)
        self._http = http or HttpClient(clock=job.clock, budget=budget, stop=stop)
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
            series = self._job.series
            self._tally.known = any(
                emitter.last_open_ts(series) is not None for emitter in emitters
            )
            windows = self._plan(_union(spans for _, spans in lacks))
            total = sum(window.candles(series.timeframe) for window in windows)
            judge, done = self._judge(), 0
            with closing(self._fetched(windows)) as results:
                for window, fetched in results:
                    self._store(fetched, judge, lacks)
                    done += window.candles(series.timeframe)
                    tell(Progress(done, total))
            self._check_known()
            self._record(judge.finish(), emitters)
        return self._report(span)

    def klines(self, batch_size: int) -> Generator[list[Kline], None, None]:
        """Yield every closed candle of the range in lists of at most `batch_size`.

        Raises:
            IncompleteBackfill: After everything that could be had was yielded.
            UnknownSymbol: The venue does not list it.
        """
        span = self._range()
        windows = self._plan([(span.start_ms, span.end_ms)])
        with closing(self._fetched(windows)) as results:
            for _, fetched in results:
                klines = table_to_klines(fetched.table) if fetched else iter(())
                while batch := list(itertools.islice(klines, batch_size)):
                    yield batch
        self._check_known()
        self._report(span)

    def _range(self) -> DateRange:
        """Return the range, its end cut to what is closed by the exchange's clock."""
        job = self._job
        span = parse_range(job.from_date, job.to_date, now_ms=self._now_ms)
        timeframe = job.series.timeframe
        # Only a range that ends near now depends on whose clock is asked.
        if next_open(span.end_ms, timeframe) > self._now_ms - DAY_MS:
            self._now_ms = self._exchange_now()
            span = parse_range(job.from_date, job.to_date, now_ms=self._now_ms)
        running = open_of(self._now_ms, timeframe)
        return DateRange(first_open_from(span.start_ms, timeframe), min(span.end_ms, running))

    def _exchange_now(self) -> int:
        try:
            return self._fetcher.exchange_now()
        except (TransportError, ExchangeError) as error:
            _log.warning("The exchange's clock cannot be asked, the machine's is taken: %s", error)
            return self._job.clock.now_ms() - CLOCK_DOUBT_MS

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

    def _fetched(
        self, windows: Sequence[Window]
    ) -> Generator[tuple[Window, Fetched | None], None, None]:
        """Yield each window with what it gave, in order, while later ones are downloaded.

        None where it was not tried. At most `downloads` windows are on their way or waiting to be
        yielded.
        """
        upcoming = iter(windows)
        flying: deque[tuple[Window, Future[Fetched] | None]] = deque()
        with ThreadPoolExecutor(self._job.downloads, "streamforge-backfill") as pool:
            try:
                while True:
                    for window in itertools.islice(upcoming, self._job.downloads - len(flying)):
                        flying.append((window, self._submitted(pool, window)))
                    if not flying:
                        return
                    window, future = flying.popleft()
                    yield window, self._result(window, future)
                    release_memory()
            except BaseException:
                self._stop.set()  # the threads in flight end soon, then the pool closes
                raise
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _submitted(self, pool: ThreadPoolExecutor, window: Window) -> "Future[Fetched] | None":
        if self._why_not():
            return None
        return pool.submit(self._fetcher.fetch, window, now_ms=self._now_ms)

    def _why_not(self) -> str | None:
        """Return why no further window is tried, None while they are."""
        if self._stop.is_set():
            return "not tried: stopped"
        if self._tally.unreachable_in_a_row >= PATIENCE_WITH_NETWORK:
            return "not tried: the network failed for the ranges before it"
        return None

    def _result(self, window: Window, future: "Future[Fetched] | None") -> Fetched | None:
        """Return what a window gave; note why if it did not give all, the others go on."""
        tally, timeframe = self._tally, self._job.series.timeframe
        if future is None:
            self._note_failure(runs_of(window.opens(timeframe), timeframe), self._why_not() or "")
            return None
        fetched = future.result()
        tally.known |= fetched.table.num_rows > 0
        tally.refusal = fetched.refusal or tally.refusal
        tally.rows += fetched.table.num_rows
        unreachable = isinstance(fetched.failure, ConnectionLost)
        tally.unreachable_in_a_row = tally.unreachable_in_a_row + 1 if unreachable else 0
        if fetched.failure:
            self._note_failure(fetched.unfetched, str(fetched.failure))
            _log.error("%s: %s", self._job.series, tally.failures[-1])
        return fetched

    def _check_known(self) -> None:
        # Only now: a range may begin years before a delisted symbol was listed.
        if self._tally.refusal and not self._tally.known:
            raise self._tally.refusal

    def _note_failure(self, runs: Sequence[Run], reason: str) -> None:
        for first, last, count in runs:
            self._tally.pending.append(Hole(first, last, count))
            self._tally.failures.append(f"{iso(first)} to {iso(last)}: {reason}")

    def _store(
        self,
        fetched: Fetched | None,
        judge: HoleJudge,
        lacks: Sequence[tuple[Emitter, list[Span]]],
    ) -> None:
        if fetched is None:
            judge.skip()
            return
        self._hand_on(fetched.table, lacks)
        # After the rows: a verdict that is lost in a crash between is only asked for again.
        self._record(judge.judge(fetched), [emitter for emitter, _ in lacks])

    def _hand_on(self, table: pa.Table, lacks: Sequence[tuple[Emitter, list[Span]]]) -> None:
        opens = instants(table)
        open_hole = min((hole.first_open_ts for hole in self._tally.pending), default=None)
        for emitter, spans in lacks:
            asked = inside_spans(opens, spans)
            if emitter.appends_only and open_hole is not None:
                # What belongs into the hole could not follow; the next run brings it all.
                asked &= opens < open_hole
            lacked = table.filter(pa.array(asked))
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
                failures=report.failures,
            )
        return report


@contextmanager
def _connected(emitters: Sequence[Emitter], transformer: Transformer | None) -> Iterator[None]:
    """Connect all, close all whatever happens."""
    with ExitStack() as stack:
        for emitter in emitters:
            # None must not touch a shared emitter: another run may have put its own there.
            if transformer is not None:
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
