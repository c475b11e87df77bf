"""What is known about a series beside its rows: verdicts on holes, archives read, first candle.

An append-only log of JSON lines. What is done is always judged from rows and this log together;
the log alone never makes a range count as done.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

import msgspec
import numpy as np

from streamforge_core.errors import MalformedMessage
from streamforge_core.model.columns import Instants, ends_of, opens_between, opens_of
from streamforge_core.model.gap import Hole
from streamforge_core.model.timeframe import LENGTH_MS, first_open_from, next_open

PIECE_CANDLES: Final = 100_000
"""Candles looked at together: ten years of minutes must not need their memory all at once."""


class HoleEntry(msgspec.Struct, frozen=True, tag="hole", tag_field="kind"):
    """A verdict on a run of missing candles; a later entry overrides an earlier one."""

    hole: Hole


class ArchiveEntry(msgspec.Struct, frozen=True, tag="archive", tag_field="kind"):
    """An archive file that was read, or quarantined.

    Attributes:
        path: Path under the venue's archive root.
        sha256: Digest of the bytes received, hex.
        published_sha256: Digest the venue published; None when it published none.
        rows: Rows inside; 0 when quarantined.
        quarantined: True when the digests differ: its rows were not used.
        read_at: UTC epoch milliseconds.
    """

    path: str
    sha256: str
    published_sha256: str | None
    rows: int
    quarantined: bool
    read_at: int


class BoundsEntry(msgspec.Struct, frozen=True, tag="bounds", tag_field="kind"):
    """Where the venue's own history of a series begins or ends; outside nothing is a hole.

    Attributes:
        first_open_ts: Open of the first candle the venue has, None if not asked; refuted as soon
            as an earlier candle is stored.
        last_open_ts: Open of the last one; refuted as soon as a later candle is stored.
        known_at: UTC epoch milliseconds: `last_open_ts` says nothing about later instants.
    """

    first_open_ts: int | None
    last_open_ts: int | None
    known_at: int


Entry = HoleEntry | ArchiveEntry | BoundsEntry

_decoder: Final = msgspec.json.Decoder(Entry)


def encode_entry(entry: Entry) -> bytes:
    """Write one line of the log, newline included."""
    return msgspec.json.encode(entry) + b"\n"


def decode_entries(text: bytes) -> list[Entry]:
    """Read a log; a torn last line (a crash while appending) is left out.

    Raises:
        MalformedMessage: A line before the last is not an entry.
    """
    lines = text.split(b"\n")
    entries: list[Entry] = []
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            entries.append(_decoder.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if number == len(lines):  # no newline behind it: the append was cut
                break
            raise MalformedMessage(f"Line {number} of a coverage log: {error}") from error
    return entries


@dataclass(slots=True)
class Coverage:
    """The log's state after reading it to its end.

    Attributes:
        holes: Verdicts in the order they were given.
        archives: Latest entry per archive path.
        first_open_ts: The venue's first candle, None while unknown.
        ended: Latest claim that the venue has nothing after a candle, None while there is none.
    """

    holes: list[Hole] = field(default_factory=list)
    archives: dict[str, ArchiveEntry] = field(default_factory=dict)
    first_open_ts: int | None = None
    ended: BoundsEntry | None = None

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> "Coverage":
        """Fold the entries in order."""
        coverage = cls()
        for entry in entries:
            coverage.add(entry)
        return coverage

    def add(self, entry: Entry) -> None:
        """Take one more entry into account."""
        match entry:
            case HoleEntry(hole=hole):
                self.holes.append(hole)
            case ArchiveEntry(path=path):
                self.archives[path] = entry
            case _:  # the third kind: BoundsEntry
                if entry.first_open_ts is not None:
                    self.first_open_ts = entry.first_open_ts
                if entry.last_open_ts is not None:
                    self.ended = entry


def find_missing(
    present: Instants, start_ms: int, end_ms: int, timeframe: str, coverage: Coverage
) -> list[Hole]:
    """Return the runs of candles that should exist with `start_ms <= open < end_ms` and do not.

    A candle off the grid (Binance 2017-12, 2018-02) fills the interval that contains its open.
    Neighbouring runs with the same verdict are one hole; runs nobody judged are "pending".

    Args:
        present: Opens of the closed candles at hand, any order.
        start_ms: First instant asked about, UTC epoch milliseconds.
        end_ms: First instant not asked about.
        timeframe: Of the series.
        coverage: What is known about the series.
    """
    start_ms, end_ms = _existing(present, start_ms, end_ms, coverage)
    present = np.sort(present)
    holes: list[Hole] = []
    for piece in _pieces(start_ms, end_ms, timeframe):
        first, after = np.searchsorted(present, piece)
        inside = opens_of(present[first:after], timeframe)
        missing = np.setdiff1d(opens_between(*piece, timeframe), inside)
        for run in _runs(missing, timeframe, coverage.holes):
            _join(holes, run, timeframe)
    return holes


def _pieces(start_ms: int, end_ms: int, timeframe: str) -> Iterator[tuple[int, int]]:
    """Cut a span into pieces on the grid: what is worked on at once does not grow with the span."""
    if start_ms >= end_ms:
        return
    first = first_open_from(start_ms, timeframe)
    step = LENGTH_MS.get(timeframe, end_ms) * PIECE_CANDLES
    for start in range(first, end_ms, step):
        yield start, min(start + step, end_ms)


def _runs(missing: Instants, timeframe: str, holes: Sequence[Hole]) -> Iterator[Hole]:
    """Yield runs of neighbouring opens with one verdict."""
    if not len(missing):
        return
    verdict_of = np.full(len(missing), -1)
    for index, hole in enumerate(holes):
        first, after = np.searchsorted(missing, [hole.first_open_ts, hole.last_open_ts + 1])
        verdict_of[first:after] = index
    apart = missing[1:] != ends_of(missing[:-1], timeframe) + 1
    cuts = np.flatnonzero(apart | (verdict_of[1:] != verdict_of[:-1])) + 1
    for start, stop in pairwise([0, *cuts.tolist(), len(missing)]):
        yield _judged(holes, int(verdict_of[start]), missing[start:stop])


def _existing(present: Instants, start_ms: int, end_ms: int, coverage: Coverage) -> tuple[int, int]:
    """Cut a span to where the venue has candles at all."""
    first = coverage.first_open_ts
    if first is not None and not (len(present) and int(present.min()) < first):
        start_ms = max(start_ms, first)
    ended = coverage.ended
    if ended is not None and ended.last_open_ts is not None and end_ms <= ended.known_at:
        refuted = bool(len(present)) and int(present.max()) > ended.last_open_ts
        if not refuted:
            end_ms = min(end_ms, ended.last_open_ts + 1)
    return start_ms, end_ms


def _judged(holes: Sequence[Hole], index: int, missing: Instants) -> Hole:
    first, last = int(missing[0]), int(missing[-1])
    if index < 0:
        return Hole(first, last, len(missing))
    return replace(holes[index], first_open_ts=first, last_open_ts=last, count=len(missing))


def _join(holes: list[Hole], run: Hole, timeframe: str) -> None:
    """Append a run, or lengthen the last hole by it if it follows with the same verdict."""
    before = holes[-1] if holes else None
    if (
        before
        and next_open(before.last_open_ts, timeframe) == run.first_open_ts
        and (before.verdict, before.provisional) == (run.verdict, run.provisional)
    ):
        holes[-1] = replace(
            before,
            last_open_ts=run.last_open_ts,
            count=before.count + run.count,
            evidence=tuple(dict.fromkeys(before.evidence + run.evidence)),
        )
    else:
        holes.append(run)


def is_news(entry: Entry, known: Coverage, timeframe: str) -> bool:
    """Tell whether an entry adds to what is known; that it was asked again adds nothing."""
    match entry:
        case HoleEntry(hole=hole):
            span = (hole.first_open_ts, hole.last_open_ts + 1)
            runs = find_missing(np.empty(0, np.int64), *span, timeframe, Coverage(known.holes))
            said = {(run.verdict, run.provisional) for run in runs}
            return said != {(hole.verdict, hole.provisional)}
        case ArchiveEntry():
            before = known.archives.get(entry.path)
            return before is None or msgspec.structs.replace(before, read_at=entry.read_at) != entry
        case _:  # the third kind: BoundsEntry
            return _is_new_bound(entry, known)


def _is_new_bound(entry: BoundsEntry, known: Coverage) -> bool:
    if entry.first_open_ts not in (None, known.first_open_ts):
        return True
    if entry.last_open_ts is None:
        return False
    ended = known.ended
    if ended is None or ended.last_open_ts != entry.last_open_ts:
        return True
    return entry.known_at > ended.known_at  # the same end, and true of a longer range
