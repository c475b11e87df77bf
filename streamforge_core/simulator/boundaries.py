"""When candles open and end: the simulator's own calendar, shared with nothing it is to judge."""

from typing import Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60 * SECOND_MS
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
WEEK_MS: Final = 7 * DAY_MS

# 1970-01-05 was the first Monday; a day-long shift of the epoch would open weeks on a Thursday.
FIRST_MONDAY_MS: Final = 4 * DAY_MS

LENGTH_MS: Final[dict[str, int]] = {
    "1s": SECOND_MS,
    "1m": MINUTE_MS,
    "3m": 3 * MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "30m": 30 * MINUTE_MS,
    "1h": HOUR_MS,
    "2h": 2 * HOUR_MS,
    "4h": 4 * HOUR_MS,
    "6h": 6 * HOUR_MS,
    "8h": 8 * HOUR_MS,
    "12h": 12 * HOUR_MS,
    "1d": DAY_MS,
    "3d": 3 * DAY_MS,
    "1w": WEEK_MS,
    "1M": 31 * DAY_MS,
}
"""Length of each timeframe in milliseconds; of the longest month for "1M"."""


def open_of(ms: int, timeframe: str) -> int:
    """Return the open of the candle that contains an instant, UTC epoch milliseconds.

    "3d" is counted from the epoch: no exchange documents its anchor.
    """
    if timeframe == "1M":
        return _month_ms(np.datetime64(ms, "ms").astype("datetime64[M]"))
    anchor = FIRST_MONDAY_MS if timeframe == "1w" else 0
    length = LENGTH_MS[timeframe]
    return (ms - anchor) // length * length + anchor


def next_open(open_ms: int, timeframe: str) -> int:
    """Return the open of the candle after the one that opens at `open_ms`."""
    if timeframe == "1M":
        month = np.datetime64(open_ms, "ms").astype("datetime64[M]")
        return _month_ms(month + np.timedelta64(1, "M"))
    return open_ms + LENGTH_MS[timeframe]


def opens_between(start_ms: int, end_ms: int, timeframe: str) -> Ints:
    """Return every open with `start_ms <= open < end_ms`, ascending."""
    first = open_of(start_ms, timeframe)
    if first < start_ms:
        first = next_open(first, timeframe)
    if timeframe != "1M":
        return np.arange(first, max(first, end_ms), LENGTH_MS[timeframe], dtype=np.int64)
    months = np.arange(
        np.datetime64(first, "ms").astype("datetime64[M]"),
        np.datetime64(max(first, end_ms) - 1, "ms").astype("datetime64[M]")
        + np.timedelta64(1, "M"),
    )
    opens = _milliseconds(months)
    return opens[opens < end_ms]


def ends_of(opens: Ints, timeframe: str) -> Ints:
    """Return the first instant after each candle."""
    if timeframe != "1M":
        return opens + LENGTH_MS[timeframe]
    months = opens.astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64)
    return _milliseconds((months + 1).astype("datetime64[M]"))


def instant(text: str) -> int:
    """Return a UTC date or time such as "2024-06-15T10:30" in epoch milliseconds.

    Raises:
        ValueError: It is neither.
    """
    return int(np.datetime64(text.removesuffix("Z"), "ms").astype(np.int64))


def date_text(ms: int) -> str:
    """Return the UTC date of an instant as "2024-06-15"."""
    return str(np.datetime64(ms, "ms").astype("datetime64[D]"))


def _month_ms(month: np.datetime64) -> int:
    return int(month.astype("datetime64[ms]").astype(np.int64))


def _milliseconds(months: npt.NDArray[np.datetime64]) -> Ints:
    return months.astype("datetime64[ms]").astype(np.int64)
