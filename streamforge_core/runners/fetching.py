"""Performs what a venue's history asks for: the archive first, REST for what it lacks."""

import logging
import random
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamforge_core.errors import (
    ExchangeError,
    MalformedMessage,
    StreamForgeError,
    TransportError,
    UnknownSymbol,
)
from streamforge_core.model.columns import (
    KLINE_SCHEMA,
    RECORD_SCHEMA,
    Instants,
    as_records,
    instants,
    opens_between,
    opens_of,
)
from streamforge_core.model.coverage import ArchiveEntry
from streamforge_core.model.exchange import ArchiveFile, HistoryProtocol, Request
from streamforge_core.model.gap import Evidence
from streamforge_core.model.kline import Provenance
from streamforge_core.model.timeframe import DAY_MS, end_of, next_open, open_of
from streamforge_core.runners.archives import ArchiveReader, Reading
from streamforge_core.runners.endpoints import Endpoints, base_url
from streamforge_core.transport.backoff import Backoff
from streamforge_core.transport.clock import Clock
from streamforge_core.transport.http import HttpClient

_log: Final = logging.getLogger(__name__)

TRIES_AT_A_PAGE: Final = 3
"""Requests for one REST page before its nonsense is believed."""

MONTH_LAG_MS: Final = 40 * DAY_MS
"""By then a month's file is published: Binance Vision does it on the month's first Monday."""

MAX_PAGE_BYTES: Final = 16 * 1024 * 1024
"""A longer REST answer is refused; a page of 1,000 candles has 150 kB."""

REST_WINDOW_CANDLES: Final = 10_000
"""Most candles fetched by REST as one piece of work: bounds what one failure costs."""

Span = tuple[int, int]
"""Open times, first inclusive, end exclusive."""

Run = tuple[int, int, int]
"""Neighbouring candles: open of the first, open of the last (inclusive), how many."""


@dataclass(frozen=True, slots=True)
class Window:
    """One piece of work: some spans, and the archive file that may hold them.

    Attributes:
        wanted: Ascending, never empty.
        archive: None where only REST can have it.
    """

    wanted: tuple[Span, ...]
    archive: ArchiveFile | None = None

    def candles(self, timeframe: str) -> int:
        """Return how many candles the wanted spans should hold."""
        return len(self.opens(timeframe))

    def opens(self, timeframe: str) -> Instants:
        """Return the opens that the wanted spans should hold."""
        return np.concatenate([opens_between(*span, timeframe) for span in self.wanted])


@dataclass(frozen=True, slots=True)
class Absent:
    """A run of candles that nobody had when asked.

    Attributes:
        archive_read: Whether the archive, the last witness, was among those asked.
    """

    first_open_ts: int
    last_open_ts: int
    count: int
    archive_read: bool
    evidence: tuple[Evidence, ...]


@dataclass(slots=True)
class Fetched:
    """What one window gave.

    Attributes:
        table: `RECORD_SCHEMA`, ascending, only wanted candles.
        absent: Ascending; none where `failure` is set.
        archives: Files read or quarantined.
        failure: Why some candles could not be asked for; `table` has what could be had.
        unfetched: Those candles, ascending.
        refusal: The venue's word that it lists no such symbol, where REST said so.
    """

    window: Window
    table: pa.Table
    absent: list[Absent] = field(default_factory=list)
    archives: list[ArchiveEntry] = field(default_factory=list)
    failure: StreamForgeError | None = None
    unfetched: list[Run] = field(default_factory=list)
    refusal: UnknownSymbol | None = None


def plan(
    history: HistoryProtocol, symbol: str, timeframe: str, spans: Sequence[Span], *, now_ms: int
) -> list[Window]:
    """Cut spans into windows, ascending: one per archive file, the rest in bounded REST pieces."""
    files: dict[str, tuple[ArchiveFile, list[Span]]] = {}
    rest: list[Span] = []
    for start, end in spans:
        position = start
        for file in history.archives(symbol, timeframe, start, end, now_ms=now_ms):
            if file.start_ms > position:
                rest.append((position, file.start_ms))
            inside = (max(start, file.start_ms), min(end, file.end_ms))
            # A month may begin in the middle of a week: then a short span holds no open of one.
            if len(opens_between(*inside, timeframe)):
                files.setdefault(file.file.path, (file, []))[1].append(inside)
            position = file.end_ms
        if position < end:
            rest.append((position, end))
    windows = [Window(tuple(wanted), file) for file, wanted in files.values()]
    windows += [Window((piece,)) for span in rest for piece in _pieces(span, timeframe)]
    return sorted(windows, key=lambda window: window.wanted)


def _pieces(span: Span, timeframe: str) -> Iterator[Span]:
    opens = opens_between(*span, timeframe)
    cuts = opens[::REST_WINDOW_CANDLES].tolist()
    if cuts:
        yield from zip(cuts, [*cuts[1:], span[1]], strict=True)


class Fetcher:
    """Fetches windows of one series, from any number of threads."""

    def __init__(
        self,
        history: HistoryProtocol,
        symbol: str,
        timeframe: str,
        *,
        http: HttpClient,
        clock: Clock,
        endpoints: Endpoints | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self._history = history
        self._symbol = symbol
        self._timeframe = timeframe
        self._http = http
        self._clock = clock
        self._stop = stop or threading.Event()
        self._base = partial(base_url, history.market, endpoints=endpoints)
        self._archives = ArchiveReader(
            history, symbol, timeframe, http=http, clock=clock, base=self._base
        )

    def exchange_now(self) -> int:
        """Return the exchange's clock in UTC epoch milliseconds.

        Raises:
            TransportError: It could not be asked.
            ExchangeError: It refused.
        """
        return self._history.parse_clock(self._rest(self._history.clock()))

    def newest_before(self, before_ms: int, *, now_ms: int) -> int | None:
        """Return the open of the newest candle the exchange has before an instant."""
        request = self._history.newest_before(self._symbol, self._timeframe, before_ms)
        return self._one_open(request, now_ms)

    def oldest_from(self, from_ms: int, *, now_ms: int) -> int | None:
        """Return the open of the oldest closed candle the exchange has from an instant on."""
        request = self._history.oldest_from(self._symbol, self._timeframe, from_ms)
        return self._one_open(request, now_ms)

    def fetch(self, window: Window, *, now_ms: int) -> Fetched:
        """Return a window's closed candles, and which of them nobody has.

        Never raises for want of an answer: `Fetched.failure` says why something is left open.
        """
        fetched = Fetched(window, RECORD_SCHEMA.empty_table())
        readings = self._from_archive(fetched, now_ms)
        # The last witness was heard only if each of its files was read to the end.
        read = bool(readings) and all(reading.table is not None for reading in readings)
        try:
            self._from_rest(fetched, now_ms)
            self._note_absent(fetched, "0 rows", archive_read=read)
        except UnknownSymbol as error:
            fetched.refusal = error
            self._refused(fetched, readings, error, archive_read=read)
        except (TransportError, ExchangeError) as error:
            self._failed(fetched, error)
        return fetched

    def _refused(
        self,
        fetched: Fetched,
        readings: Sequence[Reading],
        error: UnknownSymbol,
        *,
        archive_read: bool,
    ) -> None:
        """REST does not know the symbol: it was delisted, and the archive alone can speak."""
        unheard = [reading.failure for reading in readings if reading.failure]
        if unheard:
            self._failed(fetched, TransportError(f"{error} The archive: {unheard[0]}"))
        else:
            self._note_absent(fetched, f"refused: {error}", archive_read=archive_read)

    def _failed(self, fetched: Fetched, error: StreamForgeError) -> None:
        fetched.unfetched = runs_of(self._absent_opens(fetched), self._timeframe)
        fetched.failure = error if fetched.unfetched else None

    def pages(self, first_ms: int, last_ms: int, *, now_ms: int) -> pa.Table:
        """Return the closed candles with `first_ms <= open <= last_ms` by REST, `KLINE_SCHEMA`."""
        return pa.concat_tables(
            [KLINE_SCHEMA.empty_table(), *self._pages(first_ms, last_ms, now_ms)]
        )

    def _pages(self, first_ms: int, last_ms: int, now_ms: int) -> Iterator[pa.Table]:
        """Yield pages until the last interval was reached or nothing more came.

        A short page is no end: a venue may count rows that we drop, such as the running candle.
        """
        position = first_ms
        while position <= last_ms and not self._stop.is_set():
            until = self._page_end(position, last_ms)
            request = self._history.page(self._symbol, self._timeframe, position, until)
            # Trimmed: an answer beside the question must not make the position go back.
            table = _inside(self._parsed_page(request, now_ms), [(position, until + 1)])
            yield table
            opens = instants(table)
            newest = int(opens[-1]) if len(opens) else until
            if next_open(open_of(newest, self._timeframe), self._timeframe) > last_ms:
                return
            position = newest + 1

    def _page_end(self, first_ms: int, last_ms: int) -> int:
        if self._history.page_span is None:
            return last_ms
        end = first_ms
        for _ in range(self._history.page_span - 1):
            end = next_open(end, self._timeframe)
        return min(end, last_ms)

    def _parsed_page(self, request: Request, now_ms: int) -> pa.Table:
        backoff = Backoff(first_s=0.2, cap_s=2.0, draw=random.random)
        attempt = 0
        while True:
            attempt += 1
            body = self._rest(request)
            try:
                return self._history.parse_page(body, self._symbol, self._timeframe, now_ms=now_ms)
            except MalformedMessage as error:
                # An error page of something between us and the venue is a passing thing.
                if attempt == TRIES_AT_A_PAGE:
                    raise
                _log.warning("%s; asking again", error)
                self._clock.wait(backoff.delay_s(attempt), self._stop)

    def _one_open(self, request: Request, now_ms: int) -> int | None:
        opens = instants(self._parsed_page(request, now_ms))
        return int(opens[-1]) if len(opens) else None

    def _rest(self, request: Request) -> bytes:
        url = f"{self._base(request.kind)}{request.path}"
        answer = self._http.get(
            url, request.params, weight=request.weight, max_bytes=MAX_PAGE_BYTES
        )
        error = self._history.error_of(answer.status, answer.body, symbol=self._symbol)
        if error:
            raise error
        return answer.body

    def _from_archive(self, fetched: Fetched, now_ms: int) -> list[Reading]:
        """Put the archive's rows into `fetched`; return what each of its files gave."""
        file = fetched.window.archive
        if file is None:
            return []
        whole = self._archives.read(file, now_ms=now_ms)
        readings = [whole]
        if file.parts and not whole.exists:
            parts = self._parts(file, now_ms)
            readings = [self._archives.read(part, now_ms=now_ms) for part in parts]
        fetched.archives = [reading.entry for reading in readings if reading.entry]
        tables = [reading.table for reading in readings if reading.table is not None]
        if tables:
            rows = _inside(pa.concat_tables(tables), fetched.window.wanted)
            fetched.table = seen(rows, "archive", now_ms=now_ms)
        return readings

    def _parts(self, file: ArchiveFile, now_ms: int) -> list[ArchiveFile]:
        """Return those parts of an unpublished file that can have rows."""
        try:
            first = self.oldest_from(file.start_ms, now_ms=now_ms)
        except UnknownSymbol:
            # Delisted or a typing error: of a month long past there are no days without a month.
            first = file.start_ms if now_ms - file.end_ms < MONTH_LAG_MS else None
        except (TransportError, ExchangeError):
            first = file.start_ms  # REST cannot tell: try them all
        return [part for part in file.parts if first is not None and part.end_ms > first]

    def _from_rest(self, fetched: Fetched, now_ms: int) -> None:
        """Ask for what is absent so far; what came before a failure stays."""
        for first, last, _ in runs_of(self._absent_opens(fetched), self._timeframe):
            # To the end of the last interval: a candle off the grid opens inside it.
            for page in self._pages(first, end_of(last, self._timeframe), now_ms):
                rows = _inside(page, fetched.window.wanted)
                fetched.table = _merged(fetched.table, seen(rows, "rest", now_ms=now_ms))
        if self._stop.is_set():
            raise TransportError("Stopped before everything was read.")

    def _absent_opens(self, fetched: Fetched) -> Instants:
        present = opens_of(instants(fetched.table), self._timeframe)
        return np.setdiff1d(fetched.window.opens(self._timeframe), present)

    def _note_absent(self, fetched: Fetched, answer: str, *, archive_read: bool) -> None:
        at_ms = self._clock.now_ms()
        evidence = [Evidence("rest", at_ms, answer)]
        names = [entry.path.rsplit("/", 1)[-1] for entry in fetched.archives]
        if archive_read:
            evidence.insert(0, Evidence("archive", at_ms, f"no row in {', '.join(names)}"))
        elif any(entry.quarantined for entry in fetched.archives):
            evidence.insert(0, Evidence("archive", at_ms, f"quarantined: {', '.join(names)}"))
        fetched.absent = [
            Absent(*run, archive_read, tuple(evidence))
            for run in runs_of(self._absent_opens(fetched), self._timeframe)
        ]


def seen(table: pa.Table, provenance: Provenance, *, now_ms: int) -> pa.Table:
    """Return closed history as records.

    `seen_ts` is the end of the candle's UTC day plus 24 h, the time by which its archive is
    published: the same rows give the same bytes whenever and out of whichever file they are read.
    By REST it is now where that is earlier, so that a later correction can win.
    """
    settled = opens_of(instants(table, "end_ts"), "1d") + 2 * DAY_MS
    stamps = np.minimum(settled, now_ms) if provenance == "rest" else settled
    return as_records(table.append_column("seen_ts", pa.array(stamps)), provenance=provenance)


def _inside(table: pa.Table, wanted: Sequence[Span]) -> pa.Table:
    return table.filter(pa.array(inside_spans(instants(table), wanted)))


def inside_spans(opens: Instants, spans: Sequence[Span]) -> npt.NDArray[np.bool_]:
    """Tell, for each open, whether one of the ascending spans holds it."""
    edges = np.array(spans, np.int64).reshape(-1, 2)
    position = np.searchsorted(edges[:, 0], opens, side="right") - 1
    ends = np.append(edges[:, 1], np.iinfo(np.int64).min)  # position -1: before the first span
    return opens < ends[position]


def _merged(first: pa.Table, second: pa.Table) -> pa.Table:
    if not second.num_rows:
        return first
    table = pa.concat_tables([first, second])
    _, index = np.unique(instants(table), return_index=True)
    return table.take(index)


def runs_of(opens: Instants, timeframe: str) -> list[Run]:
    """Return runs of neighbouring opens."""
    if not len(opens):
        return []
    span = opens_between(int(opens[0]), int(opens[-1]) + 1, timeframe)
    cuts = np.flatnonzero(np.diff(np.searchsorted(span, opens)) > 1) + 1
    return [(int(run[0]), int(run[-1]), len(run)) for run in np.split(opens, cuts)]
