"""Where the rows of a series lie on disk, and how symbols are written in paths."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final
from urllib.parse import quote, unquote

from streamforge_core.model.kline import Series
from streamforge_core.model.timeframe import HOUR_MS, LENGTH_MS, SECOND_MS, iso, next_open, open_of

PART_FILE: Final = "part-0.parquet"
PERIOD_PREFIX: Final = "period="
COVERAGE_FOLDER: Final = "_coverage"

# "1m" and "1M" are one name on a file system that folds case.
_MONTH_LABEL: Final = "1mo"


def escape(text: str) -> str:
    """Write any symbol as one safe path segment: "XBT/USD" becomes "XBT%2FUSD"."""
    escaped = quote(text, safe="-_").replace("~", "%7E")
    # `quote` never touches dots: alone, "." and ".." would name a folder, ".x" a hidden file.
    return f"%2E{escaped[1:]}" if escaped.startswith(".") else escaped


def unescape(segment: str) -> str:
    """Read a segment written by `escape`."""
    return unquote(segment)


def timeframe_label(timeframe: str) -> str:
    """Write a timeframe as a path segment: a month is "1mo"."""
    return _MONTH_LABEL if timeframe == "1M" else timeframe


def timeframe_of(label: str) -> str:
    """Read a segment written by `timeframe_label`."""
    return "1M" if label == _MONTH_LABEL else label


def period_timeframe(timeframe: str) -> str:
    """Return the length of one partition: a day up to 1h, a month above."""
    return "1d" if LENGTH_MS.get(timeframe, HOUR_MS + 1) <= HOUR_MS else "1M"


def period_of(open_ts: int, timeframe: str) -> str:
    """Return the partition that holds a candle: "2024-01-15", or "2024-01" above 1h."""
    day = iso(open_of(open_ts, period_timeframe(timeframe)))
    return day if period_timeframe(timeframe) == "1d" else day[:7]


def period_bounds(open_ts: int, timeframe: str) -> tuple[int, int]:
    """Return the first instant of a candle's partition and the first instant after it."""
    unit = period_timeframe(timeframe)
    start = open_of(open_ts, unit)
    return start, next_open(start, unit)


def span_of(period: str) -> tuple[int, int] | None:
    """Return the first instant of a day or month ("2024-01-15", "2024-01") and the first after it.

    None for any other text: it names no partition.
    """
    unit = "1M" if len(period) == len("2024-01") else "1d"
    day = f"{period}-01" if unit == "1M" else period
    try:
        start = int(datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp()) * SECOND_MS
    except ValueError:
        return None
    return start, next_open(start, unit)


def periods_between(folders: Iterable[str], start_ms: int, end_ms: int) -> list[str]:
    """Return which of a series' folders can hold an open with `start_ms <= open < end_ms`.

    Ascending by their first instant; a month comes before its first day.
    """
    spans = []
    for folder in folders:
        span = span_of(folder.removeprefix(PERIOD_PREFIX))
        if folder.startswith(PERIOD_PREFIX) and span and span[0] < end_ms and span[1] > start_ms:
            spans.append((span[0], -span[1], folder))
    return [folder for _, _, folder in sorted(spans)]


def series_path(series: Series) -> str:
    """Return the folder of a series under the store's root."""
    return (
        f"source={escape(series.source)}/symbol={escape(series.symbol)}"
        f"/timeframe={timeframe_label(series.timeframe)}"
    )


def partition_path(series: Series, period: str) -> str:
    """Return the file of one partition under the store's root."""
    return f"{series_path(series)}/{PERIOD_PREFIX}{period}/{PART_FILE}"


def coverage_path(series: Series) -> str:
    """Return the coverage log of a series under the store's root."""
    name = "~".join(
        (escape(series.source), escape(series.symbol), timeframe_label(series.timeframe))
    )
    return f"{COVERAGE_FOLDER}/{name}.jsonl"
