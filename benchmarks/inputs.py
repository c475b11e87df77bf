"""What the contenders are fed: minutes of BTCUSDT, as Binance prints them.

Real days where the captured market data lies beside the repository, else the simulator's. A few
whole days are repeated with the times moved on: the numbers keep the digits and sizes of real ones.
"""

import hashlib
import io
import zipfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from benchmarks.measuring import ROOT
from streamforge_core.exchanges.binance.constants import SPOT
from streamforge_core.exchanges.binance.history import BinanceHistory
from streamforge_core.model.timeframe import iso, next_open
from streamforge_core.simulator.binance_archive import csv_of
from streamforge_core.simulator.feeds import MarketFeed
from streamforge_core.simulator.market import Market
from streamforge_core.transport.clock import SystemClock

SYMBOL: Final = "BTCUSDT"
MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
DAY_MINUTES: Final = 1_440
TIMEFRAMES: Final = ("5m", "15m", "1h", "4h", "1d")

FIRST_MS: Final = 1_672_531_200_000
"""2023-01-01 00:00 UTC, a Sunday."""

FIRST_MONTH_MS: Final = 1_420_070_400_000
"""2015-01-01 00:00 UTC: ten years from here end before Binance's change to microseconds."""

_REAL_DAYS: Final = ROOT.parent / "shared" / "market-data" / "binance_spot_daily"
_SIMULATED_DAYS: Final = 6

Line = tuple[str, str]
"""A row of an archive file: what stands between its two times, and what follows them."""


@cache
def days() -> tuple[str, list[list[Line]]]:
    """Return where the days are from, and the lines of each."""
    real = [_lines(path.read_text()) for path in sorted(_REAL_DAYS.glob(f"{SYMBOL}-1m-*.csv"))]
    whole = [lines for lines in real if len(lines) == DAY_MINUTES]
    if whole:
        return f"{len(whole)} real days of {SYMBOL}, repeated", whole
    made = [_lines(text) for text in _simulated()]
    return f"{len(made)} simulated days of {SYMBOL}, repeated", made


def _lines(text: str) -> list[Line]:
    cells = [line.split(",") for line in text.splitlines()]
    return [(",".join(row[1:6]), ",".join(row[7:])) for row in cells]


def _simulated() -> Iterator[str]:
    market = Market(outages=lambda *_: [])
    feed = MarketFeed(market, market.specs[SYMBOL])
    for day in range(_SIMULATED_DAYS):
        start_ms = FIRST_MS + day * DAY_MS
        yield csv_of(feed.rows("1m", start_ms, start_ms + DAY_MS, start_ms + 2 * DAY_MS)).decode()


def archive_csv(start_ms: int, day_count: int) -> bytes:
    """Return minutes as an archive file has them: twelve columns, no header, milliseconds."""
    _, known = days()
    lines: list[str] = []
    for day in range(day_count):
        open_ms = start_ms + day * DAY_MS
        # By the calendar, not by position: the same day is the same whichever file it lies in.
        for between, after in known[open_ms // DAY_MS % len(known)]:
            lines.append(f"{open_ms},{between},{open_ms + MINUTE_MS - 1},{after}\n")
            open_ms += MINUTE_MS
    return "".join(lines).encode()


def archive_zip(name: str, text: bytes, *, level: int = 6) -> bytes:
    """Return an archive's csv, zipped."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        archive.writestr(f"{name}.csv", text)
    return buffer.getvalue()


def candles(day_count: int) -> pa.Table:
    """Return minutes from `FIRST_MS` on as a `KLINE_SCHEMA` table, none missing."""
    content = archive_zip(SYMBOL, archive_csv(FIRST_MS, day_count), level=1)
    table = BinanceHistory(SPOT).parse_archive(content, SYMBOL, "1m", now_ms=SystemClock().now_ms())
    return table.combine_chunks()


def thinned(table: pa.Table, *, every_minutes: int = 30_000, gap_minutes: int = 80) -> pa.Table:
    """Return candles of a thin pair: one minute in twelve without trades, some runs missing.

    The minutes without trades are flat at the close before, as Binance prints them.
    """
    rows = np.arange(table.num_rows)
    quiet = (rows % 12 == 7) | (rows % 97 < 3)
    closes = table.column("close").to_numpy()
    last_traded = np.maximum.accumulate(np.where(quiet, 0, rows))
    changed = {name: table.column(name).to_numpy().copy() for name in ("open", "high", "low")}
    for values in changed.values():
        values[quiet] = closes[last_traded][quiet]
    changed["close"] = np.where(quiet, closes[last_traded], closes)
    for name in ("volume", "quote_volume", "n_trades"):
        changed[name] = np.where(quiet, 0, table.column(name).to_numpy())
    for name, values in changed.items():
        index = table.column_names.index(name)
        table = table.set_column(index, table.schema.field(index), pa.array(values))
    vwap = pa.array(table.column("vwap").to_numpy(), mask=quiet)
    table = table.set_column(table.column_names.index("vwap"), "vwap", vwap)
    kept = rows % every_minutes < every_minutes - gap_minutes
    return table.filter(pa.array(kept)).combine_chunks()


def kline_frames(
    symbols: Sequence[str], minutes: int, *, updates: int = 1, is_closed: bool = True
) -> list[bytes]:
    """Return frames of the combined stream as they would arrive, symbols interleaved.

    Args:
        symbols: All of them get the same candles.
        minutes: From `FIRST_MS` on.
        updates: Frames of each minute; the last one alone is closed.
        is_closed: Whether even that one is.
    """
    _, known = days()
    lines = [line for day in known for line in day]
    return [
        _frame(
            symbol,
            FIRST_MS + minute * MINUTE_MS,
            lines[minute % len(lines)],
            "true" if is_closed and update == updates - 1 else "false",
        )
        for minute in range(minutes)
        for update in range(updates)
        for symbol in symbols
    ]


def _frame(symbol: str, open_ms: int, line: Line, flag: str) -> bytes:
    o, h, low, c, v = line[0].split(",")
    q, n, taker_v, taker_q, _ = line[1].split(",")
    return (
        f'{{"stream":"{symbol.lower()}@kline_1m","data":{{"e":"kline","E":{open_ms + 60_012},'
        f'"s":"{symbol}","k":{{"t":{open_ms},"T":{open_ms + 59_999},"s":"{symbol}","i":"1m",'
        f'"f":4359120100,"L":4359120738,"o":"{o}","c":"{c}","h":"{h}","l":"{low}","v":"{v}",'
        f'"n":{n},"x":{flag},"q":"{q}","V":"{taker_v}","Q":"{taker_q}","B":"0"}}}}}}'
    ).encode()


def rest_page(rows: int) -> bytes:
    """Return a page of `/api/v3/klines`, its rows closed."""
    _, known = days()
    lines = [line for day in known for line in day]
    parts = []
    for index in range(rows):
        open_ms = FIRST_MS + index * MINUTE_MS
        between, after = lines[index % len(lines)]
        prices = '","'.join(between.split(","))
        q, n, taker_v, taker_q, _ = after.split(",")
        parts.append(
            f'[{open_ms},"{prices}",{open_ms + 59_999},"{q}",{n},"{taker_v}","{taker_q}","0"]'
        )
    return f"[{','.join(parts)}]".encode()


def write_months(folder: Path, count: int) -> None:
    """Write monthly archives and their checksums from `FIRST_MONTH_MS` on, named as Binance's."""
    start_ms = FIRST_MONTH_MS
    for _ in range(count):
        after_ms = next_open(start_ms, "1M")
        name = f"{SYMBOL}-1m-{iso(start_ms)[:7]}"
        content = archive_zip(name, archive_csv(start_ms, (after_ms - start_ms) // DAY_MS), level=1)
        digest = hashlib.sha256(content).hexdigest()
        (folder / f"{name}.zip").write_bytes(content)
        (folder / f"{name}.zip.CHECKSUM").write_text(f"{digest}  {name}.zip\n")
        start_ms = after_ms
