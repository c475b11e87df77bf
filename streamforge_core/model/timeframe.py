"""Timeframe labels, their calendar in UTC, and instants written in other units."""

import re
from datetime import UTC, datetime
from typing import Final

from streamforge_core.errors import ConfigError, MalformedMessage, UnknownTimeframe

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60 * SECOND_MS
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS

# The epoch was a Thursday, but every exchange we read opens its week on a Monday.
WEEK_ANCHOR_MS: Final = 4 * DAY_MS

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
    "1w": 7 * DAY_MS,
    "15d": 15 * DAY_MS,
}
"""Length in milliseconds of every timeframe that has one; "1M" is a calendar month and has none."""

TIMEFRAMES: Final = (*(label for label in LENGTH_MS if label != "15d"), "1M")
"""Every label StreamForge promises, ascending."""

# Binance's 3d and Kraken's 15d start where no document says: their given opens are passed through.
UNDOCUMENTED_ANCHOR: Final = frozenset({"3d", "15d"})

EARLIEST_MS: Final = 1_230_768_000_000
"""2009-01-01: nothing was traded before the first block of Bitcoin."""

_EPOCH_YEAR: Final = 1970


def check_timeframe(label: str) -> str:
    """Return the label, or say which labels exist.

    Raises:
        UnknownTimeframe: `label` is not in the table; "1m" is a minute and "1M" a month.
    """
    if label == "1M" or label in LENGTH_MS:
        return label
    known = ", ".join(TIMEFRAMES)
    raise UnknownTimeframe(f"{label!r} is not a timeframe. Use one of {known}.")


def open_of(ts: int, timeframe: str) -> int:
    """Return the open of the candle that contains an instant.

    Args:
        ts: UTC epoch milliseconds.
        timeframe: Label such as "5m", "1w" (Monday 00:00 UTC) or "1M" (the 1st, 00:00 UTC).

    Raises:
        UnknownTimeframe: `timeframe` is not a label of the table in this module.
    """
    if timeframe == "1M":
        return month_open(month_index(ts))
    length = LENGTH_MS[check_timeframe(timeframe)]
    anchor = WEEK_ANCHOR_MS if timeframe == "1w" else 0
    # Floor division, not truncation: instants before the anchor must round down too.
    return (ts - anchor) // length * length + anchor


def next_open(open_ts: int, timeframe: str) -> int:
    """Return the open of the following candle; `open_ts` may lie off the grid."""
    if timeframe == "1M":
        return month_open(month_index(open_ts) + 1)
    return open_ts + LENGTH_MS[check_timeframe(timeframe)]


def end_of(open_ts: int, timeframe: str) -> int:
    """Return the last millisecond inside a candle: 59,999 for the minute that opens at 0."""
    return next_open(open_ts, timeframe) - 1


def first_open_from(ts: int, timeframe: str) -> int:
    """Return the first open at or after an instant."""
    opened = open_of(ts, timeframe)
    return opened if opened == ts else next_open(opened, timeframe)


def month_index(ts: int) -> int:
    """Return the months between 1970-01 and the month that contains an instant."""
    moment = datetime.fromtimestamp(ts // SECOND_MS, UTC)
    return (moment.year - _EPOCH_YEAR) * 12 + moment.month - 1


def month_open(index: int) -> int:
    """Return the first millisecond of the month that lies `index` months after 1970-01."""
    year, month = divmod(index, 12)
    return int(datetime(_EPOCH_YEAR + year, month + 1, 1, tzinfo=UTC).timestamp()) * SECOND_MS


def tiles(base: str, target: str) -> bool:
    """Tell whether whole `base` candles fill every `target` candle exactly.

    Raises:
        UnknownTimeframe: One of the two is not a label.
    """
    check_timeframe(base)
    check_timeframe(target)
    if base == target or {base, target} & UNDOCUMENTED_ANCHOR or base == "1M":
        return False
    if target == "1M":
        return DAY_MS % LENGTH_MS[base] == 0
    return LENGTH_MS[base] < LENGTH_MS[target] and LENGTH_MS[target] % LENGTH_MS[base] == 0


def check_tiles(base: str, targets: list[str]) -> None:
    """Refuse targets that candles of `base` cannot fill.

    Raises:
        ConfigError: A target is not above its base, or not a whole multiple of it.
        UnknownTimeframe: One of the labels is not in the table.
    """
    for target in targets:
        if tiles(base, target):
            continue
        possible = ", ".join(label for label in TIMEFRAMES if tiles(base, label))
        raise ConfigError(
            f"{target} candles cannot be aggregated from {base}: a target must be above its base "
            f"and filled exactly by it. From {base} you can have: {possible or 'none'}."
        )


_UNIT_LIMITS: Final = ((10**11, 1_000, 1), (10**14, 1, 1), (10**17, 1, 1_000), (10**20, 1, 10**6))


def to_ms(value: int, *, now_ms: int) -> int:
    """Return an epoch instant in milliseconds, its unit judged by magnitude, value by value.

    Below 1e11 it is seconds, below 1e14 milliseconds, below 1e17 microseconds, below 1e20
    nanoseconds (Binance's spot archives changed from ms to us on 2025-01-01, mid-series).

    Raises:
        MalformedMessage: The result is before 2009 or more than a day after `now_ms`.
    """
    for limit, multiplier, divisor in _UNIT_LIMITS:
        if 0 <= value < limit:
            result = value * multiplier // divisor
            if EARLIEST_MS <= result <= now_ms + DAY_MS:
                return result
            break
    raise MalformedMessage(f"{value} is not an instant between 2009 and tomorrow in any unit.")


def iso(ts: int) -> str:
    """Write an instant as the shortest UTC text: "2024-01-15", "2024-01-15T10:33:20Z"."""
    moment = datetime.fromtimestamp(ts // SECOND_MS, UTC)
    if ts % DAY_MS == 0:
        return moment.strftime("%Y-%m-%d")
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{ts % SECOND_MS:03d}Z" if ts % SECOND_MS else f"{text}Z"


_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


def is_bare_date(text: str) -> bool:
    """Tell a calendar date ("2024-01-15") from an instant ("2024-01-15 00:00:00")."""
    return _DATE.fullmatch(text.strip()) is not None
