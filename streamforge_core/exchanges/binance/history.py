"""Binance's past: REST klines and the Vision archive. Asks for both, reads both into columns."""

import io
import logging
import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from streamforge_core.errors import (
    ExchangeError,
    MalformedMessage,
    RequestRefused,
    UnknownSymbol,
)
from streamforge_core.exchanges.binance.constants import (
    ARCHIVE_TIMEFRAMES,
    DAILY_ARCHIVE_TIMEFRAMES,
    KLINES_WEIGHT,
    REST_PAGE_ROWS,
    TIME_WEIGHT,
    check_served,
    check_symbol,
)
from streamforge_core.exchanges.binance.messages import (
    REST_ERROR,
    REST_KLINES,
    REST_TIME,
)
from streamforge_core.model.columns import (
    KLINE_SCHEMA,
    Instants,
    ends_of,
    instants,
    opens_of,
    repeated,
)
from streamforge_core.model.exchange import ArchiveFile, Market, Request
from streamforge_core.model.timeframe import (
    DAY_MS,
    EARLIEST_MS,
    iso,
    next_open,
    open_of,
)

try:  # the extra `fast`: inflates two to three times as fast, with the same interface
    from isal import isal_zlib as inflation
except ImportError:
    import zlib as inflation  # type: ignore[no-redef]  # either of the two

Floats = npt.NDArray[np.float64]

_log: Final = logging.getLogger(__name__)

KLINES_PATH: Final = "/api/v3/klines"

MAX_CSV_BYTES: Final = 128 * 1024 * 1024
"""A zip that holds more is refused; the largest we ask for, a day of 1s, has 13 MB."""

_BLOCK_BYTES: Final = 16 * 1024 * 1024

# Binance Vision README, read 2026-11-21: the column order of a kline file, spot files unnamed.
ARCHIVE_COLUMNS: Final = (
    "open_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close_time",
    "quote_volume",
    "count",
    "taker_buy_volume",
    "taker_buy_quote_volume",
    "ignore",
)
_NEEDED: Final = ARCHIVE_COLUMNS[:9]
_TYPES: Final = {
    name: pa.int64() if name in {"open_time", "close_time", "count"} else pa.float64()
    for name in _NEEDED
}
_LOCAL_HEADER_BYTES: Final = 30
_LENGTHS_AT: Final = 26
_RAW_DEFLATE: Final = -15

_UNKNOWN_SYMBOL: Final = -1121
_HTTP_ERROR: Final = 400
_ODD_NAMED: Final = 5


class BinanceHistory:
    """The past of one Binance market; implements `HistoryProtocol`."""

    # Spot answers the oldest rows from startTime on: an empty answer speaks for the whole span.
    page_span: int | None = None
    page_rows = REST_PAGE_ROWS

    def __init__(self, market: Market) -> None:
        self.market = market

    def check(self, symbol: str, timeframe: str) -> None:
        """Refuse a symbol or timeframe that cannot be.

        Raises:
            ConfigError: With the venue's format, or the timeframes it serves.
        """
        check_symbol(symbol)
        check_served(timeframe, self.market)

    def page(self, symbol: str, timeframe: str, first_ms: int, last_ms: int) -> Request:
        """Ask for the oldest candles with `first_ms <= open <= last_ms`, one page."""
        span = {"startTime": first_ms, "endTime": last_ms, "limit": REST_PAGE_ROWS}
        return self._klines(symbol, timeframe, span)

    def newest_before(self, symbol: str, timeframe: str, before_ms: int) -> Request:
        """Ask for the one newest candle with `open < before_ms`."""
        return self._klines(symbol, timeframe, {"endTime": before_ms - 1, "limit": 1})

    def oldest_from(self, symbol: str, timeframe: str, from_ms: int) -> Request:
        """Ask for the one oldest candle with `open >= from_ms`."""
        return self._klines(symbol, timeframe, {"startTime": from_ms, "limit": 1})

    def _klines(self, symbol: str, timeframe: str, params: Mapping[str, int]) -> Request:
        query = [("symbol", symbol), ("interval", self.market.timeframes[timeframe])]
        query += [(name, str(value)) for name, value in params.items()]
        return Request("REST", KLINES_PATH, tuple(query), weight=KLINES_WEIGHT)

    def parse_page(self, body: bytes, symbol: str, timeframe: str, *, now_ms: int) -> pa.Table:
        """Return a page's closed candles as `KLINE_SCHEMA`, ascending by open.

        Args:
            body: As received.
            symbol: That was asked for.
            timeframe: That was asked for.
            now_ms: The exchange's clock. The forming candle stands in the answer unmarked; it is
                known by its end, not by its looks.

        Raises:
            MalformedMessage: It is not what the venue documents.
        """
        try:
            rows = REST_KLINES.decode(body)
            named = {name: [getattr(row, name) for row in rows] for name in _NEEDED}
            columns = pa.table({name: pa.array(named[name], _TYPES[name]) for name in _NEEDED})
        except (ValueError, RecursionError, OverflowError) as error:
            raise MalformedMessage(f"Binance answered no kline page: {error}") from error
        return self._candles(columns, symbol, timeframe, now_ms)

    def archives(
        self, symbol: str, timeframe: str, start_ms: int, end_ms: int, *, now_ms: int
    ) -> list[ArchiveFile]:
        """Return the files that may hold a span, ascending.

        A month that lies wholly inside the span is asked for as one file, with its days as parts
        in case it is not published yet. Timeframes above a day have monthly files only.
        """
        files: list[ArchiveFile] = []
        month = open_of(start_ms, "1M")
        while month < end_ms:
            after = next_open(month, "1M")
            days = list(self._days(symbol, timeframe, max(month, start_ms), min(after, end_ms)))
            # 1s months unpack to a quarter of a gigabyte: their days bound the memory.
            whole = start_ms <= month and after <= end_ms and timeframe != "1s"
            if after <= now_ms and (whole or timeframe not in DAILY_ARCHIVE_TIMEFRAMES):
                files.append(self._archive("monthly", symbol, timeframe, month, after, days))
            else:
                files += [day for day in days if day.end_ms <= now_ms]
            month = after
        return files

    def _days(
        self, symbol: str, timeframe: str, start_ms: int, end_ms: int
    ) -> Iterator[ArchiveFile]:
        if timeframe not in DAILY_ARCHIVE_TIMEFRAMES:
            return
        for day in range(open_of(start_ms, "1d"), end_ms, DAY_MS):
            yield self._archive("daily", symbol, timeframe, day, day + DAY_MS)

    def _archive(
        self,
        period: str,
        symbol: str,
        timeframe: str,
        start_ms: int,
        end_ms: int,
        parts: Sequence[ArchiveFile] = (),
    ) -> ArchiveFile:
        label = ARCHIVE_TIMEFRAMES.get(timeframe, timeframe)
        date = iso(start_ms) if period == "daily" else iso(start_ms)[:7]
        path = f"/data/spot/{period}/klines/{symbol}/{label}/{symbol}-{label}-{date}.zip"
        # The archive is another host: it costs nothing of the REST budget.
        file, checksum = (Request("ARCHIVE", path + end, weight=0) for end in ("", ".CHECKSUM"))
        return ArchiveFile(file, checksum, start_ms, end_ms, tuple(parts))

    def parse_archive(
        self, content: bytes, symbol: str, timeframe: str, *, now_ms: int
    ) -> pa.Table:
        """Return an archive's closed candles as `KLINE_SCHEMA`, ascending by open.

        Candles off the grid (2017-12, 2018-02) keep their own open; those and cut close times are
        logged once a file.

        Raises:
            MalformedMessage: The file is corrupt, or not what the venue documents.
        """
        text = _unpacked(content)
        if not text or text.isspace():
            return KLINE_SCHEMA.empty_table()
        columns = _read_csv(text)
        table = self._candles(columns, symbol, timeframe, now_ms)
        _note_oddities(columns, f"{symbol} {timeframe}", timeframe)
        return table

    def _candles(self, columns: pa.Table, symbol: str, timeframe: str, now_ms: int) -> pa.Table:
        opens = _milliseconds(columns.column("open_time").to_numpy(), now_ms)
        _check(columns, opens)
        rows, ends = len(opens), ends_of(opens, timeframe)
        by_name = {name: columns.column(name) for name in _NEEDED}
        arrays: list[pa.Array[Any] | pa.ChunkedArray[Any]] = [
            *(repeated(text, rows) for text in (self.market.source, symbol, timeframe)),
            pa.array(opens),
            # Always computed: an outage leaves a cut close_time (2018-02-08, 2023-03-24).
            pa.array(ends),
            *(by_name[name] for name in _NEEDED[1:6]),
            by_name["quote_volume"],
            _vwaps(by_name["quote_volume"].to_numpy(), by_name["volume"].to_numpy()),
            by_name["count"],
            pa.repeat(pa.scalar(True), rows),  # noqa: FBT003 - a value
        ]
        table = pa.Table.from_arrays(arrays, schema=KLINE_SCHEMA)
        return _ascending(_closed(table, ends, now_ms))

    def clock(self) -> Request:
        """Ask for the exchange's clock."""
        return Request("REST", "/api/v3/time", weight=TIME_WEIGHT)

    def parse_clock(self, body: bytes) -> int:
        """Return the exchange's clock in UTC epoch milliseconds.

        Raises:
            MalformedMessage: It is not what the venue documents.
        """
        try:
            return REST_TIME.decode(body).serverTime
        except (ValueError, RecursionError) as error:
            raise MalformedMessage(f"Binance answered no time: {error}") from error

    def error_of(self, status: int, body: bytes, *, symbol: str) -> ExchangeError | None:
        """Return what an answer refuses, None if it is no refusal."""
        if status < _HTTP_ERROR:
            return None
        try:
            refusal = REST_ERROR.decode(body)
        except (ValueError, RecursionError):
            return RequestRefused(
                f"{self.market.source} answered HTTP {status} without its error body.",
                status=status,
            )
        if refusal.code == _UNKNOWN_SYMBOL:
            return UnknownSymbol(
                f"{self.market.source} lists no symbol {symbol!r}. It writes them without a "
                "separator, such as BTCUSDT."
            )
        return RequestRefused(
            f"{self.market.source} refused the request: {refusal.msg} (code {refusal.code})",
            status=status,
            code=refusal.code,
        )


def _unpacked(content: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _only_member(archive, content)
    # A damaged zip also shows as an encrypted one (RuntimeError), as one of an unknown method
    # (NotImplementedError is one) or as a header beyond the end of the file (struct.error).
    except (zipfile.BadZipFile, struct.error, EOFError, RuntimeError, ValueError, OSError) as error:
        raise MalformedMessage(f"The archive is no readable zip: {error}") from error


def _only_member(archive: zipfile.ZipFile, content: bytes) -> bytes:
    entries = archive.infolist()
    sizes = [entry.file_size for entry in entries]
    if len(entries) != 1 or sizes[0] > MAX_CSV_BYTES:
        raise MalformedMessage(f"An archive holds one csv; this holds sizes {sizes}.")
    if entries[0].compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise MalformedMessage("The archive is not deflated: its unpacked size cannot be bounded.")
    # Read by name, never extracted: a path inside a zip cannot reach the disk. Bounded once more,
    # for the size that a zip announces may be a lie.
    with archive.open(entries[0]) as member:
        if entries[0].compress_type == zipfile.ZIP_STORED:
            return member.read(sizes[0] + 1)
    return _inflated(entries[0], content)


def _inflated(entry: zipfile.ZipInfo, content: bytes) -> bytes:
    """Inflate a member whose local header was found to be sound."""
    # zipfile has no place for another inflater. The header's own lengths count: its extra field
    # may differ from the one in the directory (APPNOTE.TXT 4.3.7, read 2026-11-21).
    lengths = struct.unpack_from("<HH", content, entry.header_offset + _LENGTHS_AT)
    start = entry.header_offset + _LOCAL_HEADER_BYTES + sum(lengths)
    deflated = memoryview(content)[start : start + entry.compress_size]
    try:
        inflater = inflation.decompressobj(wbits=_RAW_DEFLATE)
        text: bytes = inflater.decompress(deflated, max_length=entry.file_size + 1)
    except inflation.error as error:  # type: ignore[misc]  # isal's stubs call its class an instance
        raise zipfile.BadZipFile(f"{entry.filename!r}: {error}") from error
    if len(text) != entry.file_size or inflation.crc32(text) != entry.CRC:
        raise zipfile.BadZipFile(f"{entry.filename!r} is not what the zip announces")
    return text


def _read_csv(text: bytes) -> pa.Table:
    names = _header(text)
    try:
        return pyarrow.csv.read_csv(
            pa.BufferReader(text),  # type: ignore[arg-type]  # the stubs know no Arrow reader
            read_options=pyarrow.csv.ReadOptions(
                column_names=list(names or ARCHIVE_COLUMNS),
                skip_rows=1 if names else 0,
                # Several files are read at once as it is: more threads only hold more memory.
                use_threads=False,
                # One block makes one chunk a column, which NumPy sees without a copy.
                block_size=min(len(text), _BLOCK_BYTES) + 1,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=_TYPES, include_columns=list(_NEEDED), null_values=[]
            ),
        )
    except pa.ArrowInvalid as error:
        raise MalformedMessage(f"The archive's csv cannot be read: {error}") from error


def _header(text: bytes) -> list[str] | None:
    """Return the column names if the first line has them: its first cell is no number then."""
    end = text.find(b"\n")
    first_line = text[: len(text) if end < 0 else end].decode("utf-8", "replace")
    cells = [cell.strip() for cell in first_line.split(",")]
    if cells[0].isdecimal():
        return None
    unknown = sorted(set(cells) - set(ARCHIVE_COLUMNS))
    if unknown or not set(_NEEDED) <= set(cells) or len(set(cells)) < len(cells):
        raise MalformedMessage(
            f"The archive's header {first_line[:200]!r} is not {','.join(ARCHIVE_COLUMNS)}; "
            f"unknown: {unknown[:12]}."
        )
    return cells


def _note_oddities(columns: pa.Table, series: str, timeframe: str) -> None:
    """Log candles off the grid, and those whose end an outage cut short."""
    opens = _in_ms(columns.column("open_time").to_numpy())
    closes = _in_ms(columns.column("close_time").to_numpy())
    odd = {
        "open off the grid": (opens, opens != opens_of(opens, timeframe)),
        "have a cut end": (closes, closes != ends_of(opens, timeframe)),
    }
    for what, (moments, where) in odd.items():
        if where.any():
            text = ", ".join(map(str, moments[where][:_ODD_NAMED].tolist()))
            _log.info("%s: %d of %d candles %s: %s", series, where.sum(), len(where), what, text)


def _milliseconds(values: Instants, now_ms: int) -> Instants:
    """Return opens in milliseconds, the unit of each judged by its own magnitude."""
    ms, latest = _in_ms(values), now_ms + DAY_MS
    if len(ms) and not (ms.min() >= EARLIEST_MS and ms.max() <= latest):
        bad = values[(ms < EARLIEST_MS) | (ms > latest)][0]
        raise MalformedMessage(f"{bad} is no instant between 2009 and tomorrow in any unit.")
    return ms


def _in_ms(values: Instants) -> Instants:
    # Nearly every file is in milliseconds throughout: then nothing is divided or copied.
    if len(values) and values.min() >= 10**11 and values.max() < 10**14:
        return values
    return np.select(
        [values < 10**11, values < 10**14, values < 10**17],
        [values * 1_000, values, values // 1_000],
        values // 10**6,
    )


def _check(columns: pa.Table, opens: Instants) -> None:
    """Refuse values that no candle can have, naming the first one."""
    names = ("open", "high", "low", "close", "volume", "quote_volume", "count")
    o, h, low, c, *amounts = values = [columns.column(name).to_numpy() for name in names]
    if not len(opens) or _is_sound(o, h, low, c, amounts):
        return
    finite = np.logical_and.reduce([np.isfinite(column) for column in values])
    positive = np.logical_and.reduce([amount >= 0 for amount in amounts])
    bad = ~(finite & positive & (low <= np.minimum(o, c)) & (np.maximum(o, c) <= h))
    row = int(np.flatnonzero(bad)[0])
    told = {name: columns.column(name)[row].as_py() for name in _NEEDED}
    raise MalformedMessage(f"No candle can be {told} (open at {iso(int(opens[row]))}).")


def _is_sound(o: Floats, h: Floats, low: Floats, c: Floats, amounts: Sequence[Floats]) -> bool:
    """Tell whether every value is one that a candle can have: bounds alone, no flag per value."""
    # The bounds of values with a NaN among them are NaN, of which no comparison is true.
    return (
        bool((low <= np.minimum(o, c)).all() and (np.maximum(o, c) <= h).all())
        and bool(low.min() > -np.inf and h.max() < np.inf)
        and all(amount.min() >= 0 and amount.max() < np.inf for amount in amounts)
    )


def _vwaps(quote_volume: Floats, volume: Floats) -> "pa.Array[Any]":
    """Return the mean prices, None where nothing traded."""
    traded = volume > 0
    if traded.all():
        return pa.array(quote_volume / volume)
    means = np.divide(quote_volume, volume, out=np.zeros(len(volume)), where=traded)
    return pa.array(means, mask=~traded)


def _closed(table: pa.Table, ends: Instants, now_ms: int) -> pa.Table:
    closed = ends < now_ms
    return table if closed.all() else table.filter(pa.array(closed))


def _ascending(table: pa.Table) -> pa.Table:
    opens = instants(table)
    if np.all(opens[1:] > opens[:-1]):
        return table
    _, first = np.unique(opens, return_index=True)
    return table.take(first)
