"""Performs what a venue's history asks for: the archive first, REST for what it lacks."""

import hashlib
import logging
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamforge_core.errors import (
    ChecksumMismatch,
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
from streamforge_core.model.timeframe import DAY_MS, next_open
from streamforge_core.runners.endpoints import Endpoints, base_url
from streamforge_core.transport.clock import Clock
from streamforge_core.transport.http import Answer, HttpClient

_log = logging.getLogger(__name__)

NOT_FOUND: Final = 404
TRIES_AT_A_FILE: Final = 3
"""Downloads of one archive before its checksum is believed to be wrong for good."""

REST_WINDOW_CANDLES: Final = 10_000
"""Most candles fetched by REST as one piece of work: bounds what one failure costs."""

_DIGEST: Final = re.compile(rb"([0-9a-fA-F]{64})(?:\s|$)")

Span = tuple[int, int]
"""Open times, first inclusive, end exclusive."""


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
        absent: Ascending.
        archives: Files read or quarantined.
    """

    window: Window
    table: pa.Table
    absent: list[Absent] = field(default_factory=list)
    archives: list[ArchiveEntry] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Reading:
    """An archive file's rows and what is to be recorded of it.

    Neither when it does not exist; no rows when it is quarantined.
    """

    table: pa.Table | None
    entry: ArchiveEntry | None


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

        Raises:
            TransportError: The network failed for longer than we retry.
            UnknownSymbol: Neither archive nor REST knows the symbol.
            ExchangeError: The venue refused, or answered nonsense.
        """
        fetched = Fetched(window, RECORD_SCHEMA.empty_table())
        read = window.archive is not None and self._from_archive(fetched, window.archive, now_ms)
        try:
            self._from_rest(fetched, now_ms, archive_read=read)
        except UnknownSymbol as error:
            if not read:
                raise
            # A delisted pair: the archive still has it, REST no longer knows its name.
            self._note_absent(fetched, f"refused: {error}", archive_read=read)
        return fetched

    def pages(self, first_ms: int, last_ms: int, *, now_ms: int) -> pa.Table:
        """Return the closed candles with `first_ms <= open <= last_ms` by REST, `KLINE_SCHEMA`."""
        tables = [KLINE_SCHEMA.empty_table()]
        position = first_ms
        while position <= last_ms and not self._stop.is_set():
            until = self._page_end(position, last_ms)
            table = self._page(position, until, now_ms)
            tables.append(table)
            opens = instants(table)
            if len(opens) == self._history.page_rows:
                position = int(opens[-1]) + 1
            elif until < last_ms:
                position = until + 1
            else:
                break
        return pa.concat_tables(tables)

    def _page_end(self, first_ms: int, last_ms: int) -> int:
        if self._history.page_span is None:
            return last_ms
        end = first_ms
        for _ in range(self._history.page_span - 1):
            end = next_open(end, self._timeframe)
        return min(end, last_ms)

    def _page(self, first_ms: int, last_ms: int, now_ms: int) -> pa.Table:
        request = self._history.page(self._symbol, self._timeframe, first_ms, last_ms)
        return self._parsed_page(request, now_ms)

    def _parsed_page(self, request: Request, now_ms: int) -> pa.Table:
        for attempt in range(TRIES_AT_A_FILE):
            body = self._rest(request)
            try:
                return self._history.parse_page(body, self._symbol, self._timeframe, now_ms=now_ms)
            except MalformedMessage as error:
                # An error page of something between us and the venue is a passing thing.
                if attempt == TRIES_AT_A_FILE - 1:
                    raise
                _log.warning("%s; asking again", error)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _one_open(self, request: Request, now_ms: int) -> int | None:
        opens = instants(self._parsed_page(request, now_ms))
        return int(opens[-1]) if len(opens) else None

    def _rest(self, request: Request) -> bytes:
        answer = self._get(request)
        error = self._history.error_of(answer.status, answer.body, symbol=self._symbol)
        if error:
            raise error
        return answer.body

    def _get(self, request: Request) -> Answer:
        url = f"{self._base(request.kind)}{request.path}"
        return self._http.get(url, request.params, weight=request.weight)

    def _from_archive(self, fetched: Fetched, file: ArchiveFile, now_ms: int) -> bool:
        """Put the archive's rows into `fetched`; tell whether all of it could be read."""
        whole = self._read(file, now_ms)
        readings = [whole]
        if whole.entry is None and file.parts:
            readings = [self._read(part, now_ms) for part in self._parts(file, now_ms)]
        fetched.archives = [reading.entry for reading in readings if reading.entry]
        tables = [reading.table for reading in readings if reading.table is not None]
        if tables:
            rows = _inside(pa.concat_tables(tables), fetched.window.wanted)
            fetched.table = seen(rows, "archive", now_ms=now_ms)
        return bool(tables) and len(tables) == len(readings)

    def _parts(self, file: ArchiveFile, now_ms: int) -> list[ArchiveFile]:
        """Return those parts of an unpublished file that can have rows."""
        try:
            first = self.oldest_from(file.start_ms, now_ms=now_ms)
        except (UnknownSymbol, TransportError):
            first = file.start_ms  # REST cannot tell: try them all
        return [part for part in file.parts if first is not None and part.end_ms > first]

    def _read(self, file: ArchiveFile, now_ms: int) -> "_Reading":
        failure: StreamForgeError | None = None
        received, published = "", None
        for _ in range(TRIES_AT_A_FILE):
            self._check_running()
            answer = self._get(file.file)
            if answer.status == NOT_FOUND:
                return _Reading(None, None)
            received = hashlib.sha256(answer.body).hexdigest()
            published = self._published_digest(file)
            try:
                self._verify(file, answer, received, published)
                table = self._history.parse_archive(
                    answer.body, self._symbol, self._timeframe, now_ms=now_ms
                )
            except (ChecksumMismatch, MalformedMessage) as error:
                failure = error
                _log.warning("%s; downloading it again", error)
                continue
            entry = self._entry(file, received, published, rows=table.num_rows)
            return _Reading(table, entry)
        _log.error("%s is quarantined, REST is asked instead: %s", file.file.path, failure)
        return _Reading(None, self._entry(file, received, published, rows=None))

    def _check_running(self) -> None:
        if self._stop.is_set():
            raise TransportError("Stopped before everything was read.")

    def _entry(
        self, file: ArchiveFile, sha256: str, published: str | None, *, rows: int | None
    ) -> ArchiveEntry:
        return ArchiveEntry(
            path=file.file.path,
            sha256=sha256,
            published_sha256=published,
            rows=rows or 0,
            quarantined=rows is None,
            read_at=self._clock.now_ms(),
        )

    def _published_digest(self, file: ArchiveFile) -> str | None:
        if file.checksum is None:
            return None
        answer = self._get(file.checksum)
        if answer.status == NOT_FOUND:
            _log.warning("%s has no published checksum", file.file.path)
            return None
        found = _DIGEST.match(answer.body)
        return found.group(1).decode().lower() if found else "unreadable"

    def _verify(
        self, file: ArchiveFile, answer: Answer, received: str, published: str | None
    ) -> None:
        error = self._history.error_of(answer.status, answer.body, symbol=self._symbol)
        if error:
            raise MalformedMessage(f"{file.file.path}: {error}")
        if published is not None and published != received:
            raise ChecksumMismatch(
                f"{file.file.path} has SHA-256 {received}, published is {published}",
                path=file.file.path,
                published=published,
                received=received,
            )

    def _from_rest(self, fetched: Fetched, now_ms: int, *, archive_read: bool) -> None:
        for first, last, _ in _runs(self._absent_opens(fetched), self._timeframe):
            rows = _inside(self.pages(first, last, now_ms=now_ms), fetched.window.wanted)
            fetched.table = _merged(fetched.table, seen(rows, "rest", now_ms=now_ms))
        self._check_running()
        self._note_absent(fetched, "0 rows", archive_read=archive_read)

    def _absent_opens(self, fetched: Fetched) -> Instants:
        present = opens_of(instants(fetched.table), self._timeframe)
        return np.setdiff1d(fetched.window.opens(self._timeframe), present)

    def _note_absent(self, fetched: Fetched, answer: str, *, archive_read: bool) -> None:
        at_ms = self._clock.now_ms()
        evidence = [Evidence("rest", at_ms, answer)]
        if archive_read:
            names = [entry.path.rsplit("/", 1)[-1] for entry in fetched.archives]
            evidence.insert(0, Evidence("archive", at_ms, f"no row in {', '.join(names)}"))
        elif any(entry.quarantined for entry in fetched.archives):
            evidence.insert(0, Evidence("archive", at_ms, "quarantined: its checksum is wrong"))
        fetched.absent = [
            Absent(first, last, count, archive_read, tuple(evidence))
            for first, last, count in _runs(self._absent_opens(fetched), self._timeframe)
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


def _runs(opens: Instants, timeframe: str) -> list[tuple[int, int, int]]:
    """Return runs of neighbouring opens as first, last, count."""
    if not len(opens):
        return []
    span = opens_between(int(opens[0]), int(opens[-1]) + 1, timeframe)
    cuts = np.flatnonzero(np.diff(np.searchsorted(span, opens)) > 1) + 1
    return [(int(run[0]), int(run[-1]), len(run)) for run in np.split(opens, cuts)]
