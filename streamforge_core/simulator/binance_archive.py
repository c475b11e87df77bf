"""Binance's bulk archive: a path to the bytes of a zip or of its checksum, without a server.

Source: binance-public-data `README.md`, `python/enums.py`, text of 2025-01; the switch to
microseconds on 2025-01-01 as seen in the published files.
"""

import hashlib
import io
import re
import zipfile
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from streamforge_core.simulator.binance_rest import fields
from streamforge_core.simulator.boundaries import (
    DAY_MS,
    HOUR_MS,
    LENGTH_MS,
    WEEK_MS,
    instant,
    next_open,
    open_of,
)
from streamforge_core.simulator.feeds import Feed, Row

MICROSECONDS_FROM_MS: Final = instant("2025-01-01")
_MONTHLY_ONLY: Final = {"3d", "1w", "1mo"}
_PATH: Final = re.compile(
    r"/data/spot/(?P<span>daily|monthly)/klines/(?P<symbol>[A-Z0-9]+)/(?P<interval>\w+)/"
    r"(?P=symbol)-(?P=interval)-(?P<date>\d{4}-\d{2}(?:-\d{2})?)\.zip(?P<checksum>\.CHECKSUM)?"
)
_FILES_CACHED: Final = 48
# Any fixed moment does: the same rows must always give the same bytes, hence the same checksum.
_ZIP_DATE: Final = (2020, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """What a path of the archive asks for.

    Attributes:
        symbol: As the exchange writes it.
        timeframe: Label as in REST: "1M" although the path says "1mo".
        start_ms: First instant of its day or month.
        end_ms: First instant after it.
        name: File name without ".zip".
        is_daily: Whether it holds one day.
        is_checksum: Whether the checksum beside the zip is asked for.
    """

    symbol: str
    timeframe: str
    start_ms: int
    end_ms: int
    name: str
    is_daily: bool
    is_checksum: bool

    def published_ms(self, lag_ms: int) -> int:
        """Return when it appears: after its day, or on the first Monday after its month.

        Three-day and weekly candles that open in a month may end after that Monday; then it waits.
        """
        if self.is_daily:
            return self.end_ms + lag_ms
        monday = open_of(self.end_ms + WEEK_MS - 1, "1w")
        last_open = open_of(self.end_ms - 1, self.timeframe)
        return max(monday, next_open(last_open, self.timeframe)) + lag_ms


def asked_file(path: str) -> ArchiveFile | None:
    """Return what a path asks for, None if nothing can lie there."""
    match = _PATH.fullmatch(path)
    if match is None:
        return None
    interval, is_daily = match["interval"], match["span"] == "daily"
    timeframe = "1M" if interval == "1mo" else interval
    if timeframe not in LENGTH_MS or interval == "1M" or (is_daily and interval in _MONTHLY_ONLY):
        return None
    if is_daily != (len(match["date"]) == len("2024-01-01")):
        return None
    try:
        start = instant(match["date"])
    except ValueError:
        return None
    end = start + DAY_MS if is_daily else next_open(start, "1M")
    name = f"{match['symbol']}-{interval}-{match['date']}"
    return ArchiveFile(
        *(match["symbol"], timeframe, start, end, name, is_daily, match["checksum"] is not None)
    )


class Archive:
    """Files of simulated symbols, made when asked for.

    Args:
        feeds: Symbol -> its candles.
        lag_ms: How long after its day a file appears.
    """

    def __init__(self, feeds: Mapping[str, Feed], *, lag_ms: int = 2 * HOUR_MS) -> None:
        self._feeds = feeds
        self._lag_ms = lag_ms
        self._zips: OrderedDict[str, bytes] = OrderedDict()

    def read(self, path: str, now_ms: int) -> bytes | None:
        """Return the bytes at a path, None where there is no file (yet)."""
        asked = asked_file(path)
        if asked is None or now_ms < asked.published_ms(self._lag_ms):
            return None
        content = self._zip(asked)
        if content is None or not asked.is_checksum:
            return content
        return checksum_line(content, f"{asked.name}.zip")

    def _zip(self, asked: ArchiveFile) -> bytes | None:
        if asked.name in self._zips:
            return self._zips[asked.name]
        feed = self._feeds.get(asked.symbol)
        if feed is None:
            return None
        published = asked.published_ms(0)
        rows = feed.rows(asked.timeframe, asked.start_ms, asked.end_ms, published)
        if not rows:
            return None
        content = zipped(f"{asked.name}.csv", csv_of(rows))
        self._zips[asked.name] = content
        if len(self._zips) > _FILES_CACHED:
            self._zips.popitem(last=False)
        return content


def csv_of(rows: Iterable[Row]) -> bytes:
    """Return rows as the archive writes them: no header, microseconds from 2025-01-01 on."""
    lines = (
        ",".join(map(str, fields(row, microseconds=row.open_ms >= MICROSECONDS_FROM_MS)))
        for row in rows
    )
    return ("\n".join(lines) + "\n").encode()


def zipped(name: str, content: bytes) -> bytes:
    """Return a zip with one file; the same content gives the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(_entry(name), content)
    return buffer.getvalue()


def checksum_line(content: bytes, name: str) -> bytes:
    """Return the line that `sha256sum -c` reads."""
    return f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _ZIP_DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry
