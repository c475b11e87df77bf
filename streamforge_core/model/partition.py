"""Where the rows of a series lie on disk, and how symbols are written in paths."""

from typing import Final
from urllib.parse import quote, unquote

from streamforge_core.model.kline import Series
from streamforge_core.model.timeframe import HOUR_MS, LENGTH_MS, iso, next_open, open_of

PART_FILE: Final = "part-0.parquet"
COVERAGE_FOLDER: Final = "_coverage"

# "1m" and "1M" are one name on a file system that folds case.
_MONTH_LABEL: Final = "1mo"


def escape(text: str) -> str:
    """Write any symbol as one safe path segment: "XBT/USD" becomes "XBT%2FUSD"."""
    escaped = quote(text, safe="-_")
    return escaped.replace("~", "%7E")


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


def series_path(series: Series) -> str:
    """Return the folder of a series under the store's root."""
    return (
        f"source={escape(series.source)}/symbol={escape(series.symbol)}"
        f"/timeframe={timeframe_label(series.timeframe)}"
    )


def partition_path(series: Series, period: str) -> str:
    """Return the file of one partition under the store's root."""
    return f"{series_path(series)}/period={period}/{PART_FILE}"


def coverage_path(series: Series) -> str:
    """Return the coverage log of a series under the store's root."""
    name = "~".join(
        (escape(series.source), escape(series.symbol), timeframe_label(series.timeframe))
    )
    return f"{COVERAGE_FOLDER}/{name}.jsonl"
