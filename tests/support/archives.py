"""Archive files as Binance publishes them, made by hand."""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
    "taker_buy_volume,taker_buy_quote_volume,ignore"
)


def csv_row(open_ms: int, **values: object) -> str:
    """Return a traded minute as the archive writes it: twelve cells, milliseconds."""
    cells = {
        "open_time": open_ms,
        "open": "100.0",
        "high": "110.0",
        "low": "90.0",
        "close": "105.0",
        "volume": "2.0",
        "close_time": open_ms + 59_999,
        "quote_volume": "208.0",
        "count": 7,
        "taker_buy_volume": "1.0",
        "taker_buy_quote_volume": "104.0",
        "ignore": "0",
    }
    return ",".join(str(cell) for cell in (cells | values).values())


def zip_of(*lines: str, name: str = "BTCUSDT-1m-2024-01-15.csv") -> bytes:
    """Return a zip with one csv."""
    return zip_with({name: "".join(f"{line}\n" for line in lines).encode()})


def zip_with(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip with some members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return buffer.getvalue()


def rows_of_files(paths: Sequence[Path]) -> list[tuple[float | int, ...]]:
    """Read csv files of the archive by hand: open_ts, o, h, l, c, volume, quote volume, trades."""
    rows = []
    for path in paths:
        for line in path.read_text().splitlines():
            cells = line.split(",")
            digits = len(cells[0])
            open_ts = int(cells[0]) // (1_000 if digits > 14 else 1)
            numbers = [float(cell) for cell in [*cells[1:6], cells[7]]]
            rows.append((open_ts, *numbers, int(cells[8])))
    return rows
