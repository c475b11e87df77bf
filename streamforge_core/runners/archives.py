"""Downloads a venue's archive files and verifies them; what cannot be had or trusted is told."""

import hashlib
import logging
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
from msgspec.structs import replace

from streamforge_core.errors import (
    ChecksumMismatch,
    ConnectionLost,
    ExchangeError,
    MalformedMessage,
    TransportError,
)
from streamforge_core.model.coverage import ArchiveEntry
from streamforge_core.model.exchange import ArchiveFile, EndpointKind, HistoryProtocol, Request
from streamforge_core.runners.memory import release_memory
from streamforge_core.transport.clock import Clock
from streamforge_core.transport.http import Answer, HttpClient

_log: Final = logging.getLogger(__name__)

NOT_FOUND: Final = 404

TRIES_AT_A_FILE: Final = 3
"""Downloads of one archive before its checksum is believed to be wrong for good."""

PATIENCE_WITH_ARCHIVE: Final = 3
"""Files in a row that nobody answers for before the archive is not asked any more in a run."""

UNREADABLE: Final = "unreadable"
"""In place of a published digest that is none: an error page, an empty file."""

_DIGEST: Final = re.compile(rb"([0-9a-fA-F]{64})(?:\s|$)")


@dataclass(frozen=True, slots=True)
class Reading:
    """What an archive file gave.

    Attributes:
        table: Its candles, None when they cannot be had or trusted.
        entry: What is to be recorded of it, None when it was not downloaded.
        failure: Why it could not be asked for, in words.
        exists: False where the venue has no such file (yet).
    """

    table: pa.Table | None = None
    entry: ArchiveEntry | None = None
    failure: str | None = None
    exists: bool = True


class ArchiveReader:
    """Reads archive files of one series, from any number of threads.

    A file that cannot be downloaded never ends the work: REST may have its candles.
    """

    def __init__(
        self,
        history: HistoryProtocol,
        symbol: str,
        timeframe: str,
        *,
        http: HttpClient,
        clock: Clock,
        base: Callable[[EndpointKind], str],
    ) -> None:
        self._history = history
        self._symbol = symbol
        self._timeframe = timeframe
        self._http = http
        self._clock = clock
        self._base = base
        self._lock = threading.Lock()
        # Downloads overlap, decoding does not: it would only multiply the memory it needs.
        self._decoding = threading.Lock()
        self._unanswered_in_a_row = 0

    def read(self, file: ArchiveFile, *, now_ms: int) -> Reading:
        """Return a file's closed candles, its checksum verified."""
        with self._lock:
            if self._unanswered_in_a_row >= PATIENCE_WITH_ARCHIVE:
                return Reading(failure="not asked: it did not answer for the files before")
        try:
            reading = self._read(file, now_ms)
        except (TransportError, ExchangeError) as error:
            self._count(answered=not isinstance(error, ConnectionLost))
            _log.warning("%s cannot be had, REST is asked instead: %s", file.file.path, error)
            return Reading(failure=str(error))
        self._count(answered=True)
        return reading

    def _count(self, *, answered: bool) -> None:
        with self._lock:
            self._unanswered_in_a_row = 0 if answered else self._unanswered_in_a_row + 1

    def _read(self, file: ArchiveFile, now_ms: int) -> Reading:
        entry: ArchiveEntry | None = None
        for attempt in range(1, TRIES_AT_A_FILE + 1):
            answer = self._get(file.file)
            if answer.status == NOT_FOUND:
                return Reading(exists=False)
            entry = self._entry(file, answer)
            try:
                self._verify(entry)
                with self._decoding:
                    table = self._history.parse_archive(
                        answer.body, self._symbol, self._timeframe, now_ms=now_ms
                    )
                    release_memory()
            except (ChecksumMismatch, MalformedMessage) as error:
                _log.warning("Download %d of %s: %s", attempt, file.file.path, error)
            else:
                return Reading(table, replace(entry, rows=table.num_rows, quarantined=False))
        _log.error("%s is quarantined, REST is asked instead", file.file.path)
        return Reading(entry=entry)

    def _get(self, request: Request) -> Answer:
        """Return the answer; raise what refuses, except that there is no such file."""
        url = f"{self._base(request.kind)}{request.path}"
        answer = self._http.get(url, request.params, weight=request.weight)
        error = self._history.error_of(answer.status, answer.body, symbol=self._symbol)
        if error and answer.status != NOT_FOUND:
            raise error
        return answer

    def _entry(self, file: ArchiveFile, answer: Answer) -> ArchiveEntry:
        """Return what is known before the file is read: it counts as bad until it proves good."""
        return ArchiveEntry(
            path=file.file.path,
            sha256=hashlib.sha256(answer.body).hexdigest(),
            published_sha256=self._published_digest(file),
            rows=0,
            quarantined=True,
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
        return found.group(1).decode().lower() if found else UNREADABLE

    def _verify(self, entry: ArchiveEntry) -> None:
        if entry.published_sha256 not in {None, entry.sha256}:
            raise ChecksumMismatch(
                f"its SHA-256 is {entry.sha256}, published is {entry.published_sha256}",
                path=entry.path,
                published=entry.published_sha256 or "",
                received=entry.sha256,
            )
