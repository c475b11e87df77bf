"""One meaning of from and to for every backfiller: `from <= open_ts < to`, in UTC."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from streamforge_core.errors import ConfigError
from streamforge_core.model.timeframe import DAY_MS, is_bare_date, iso

Moment = str | date | datetime
"""What a caller may write: ISO text, a date, a datetime. An integer's unit would be a guess."""

_EXAMPLES: Final = '"2024-01-15", "2024-01-15 10:30:00", a date, a datetime'
_DATE_LENGTH: Final = len("2024-01-15")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class DateRange:
    """Half-open span of open times.

    Attributes:
        start_ms: First instant inside, UTC epoch milliseconds.
        end_ms: First instant outside.
    """

    start_ms: int
    end_ms: int

    def __str__(self) -> str:
        return f"{iso(self.start_ms)} to {iso(self.end_ms)} (exclusive)"


def parse_range(from_date: Moment, to_date: Moment | None = "now", *, now_ms: int) -> DateRange:
    """Return the span that two dates mean.

    A bare date is its first instant as `from_date` and includes its whole day as `to_date`; an
    instant is inclusive as `from_date` and exclusive as `to_date`. Naive values are UTC, offsets
    are converted. "now", None and the future mean `now_ms`: which candles are closed by then is
    the caller's to decide.

    Raises:
        ConfigError: A value is no date, or nothing lies between the two.
    """
    start_ms = instant(from_date, name="from_date", now_ms=now_ms)
    end_ms = now_ms
    if to_date is not None:
        end_ms = min(now_ms, instant(to_date, name="to_date", now_ms=now_ms, end_of_day=True))
    if start_ms >= end_ms:
        raise ConfigError(
            f"Nothing lies between from_date={from_date!s} and to_date={to_date!s}: the range "
            f"would run from {iso(start_ms)} to {iso(end_ms)}. Give an earlier from_date"
            f"{' (it lies in the future)' if start_ms >= now_ms else ' or a later to_date'}."
        )
    return DateRange(start_ms, end_ms)


def instant(value: Moment, *, name: str, now_ms: int, end_of_day: bool = False) -> int:
    """Return what one date means in UTC epoch milliseconds.

    Args:
        value: ISO text, a date, a datetime or "now".
        name: How the caller's argument is called, for the message.
        now_ms: The clock's reading, the meaning of "now".
        end_of_day: Whether a bare date means its end rather than its start.

    Raises:
        ConfigError: The value is none of these.
    """
    if value == "now":
        return now_ms
    moment = _parsed(value, name)
    if isinstance(moment, datetime):
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        # Rounded up: opens are whole milliseconds, so `from <= open < to` holds for ceilings too.
        return -((_EPOCH - aware) // timedelta(milliseconds=1))
    midnight = datetime.combine(moment, time(), UTC)
    # Added in milliseconds: 9999-12-31, "for ever", has no next day that a datetime could hold.
    return (midnight - _EPOCH) // timedelta(milliseconds=1) + end_of_day * DAY_MS


def _parsed(value: Moment, name: str) -> date | datetime:
    if isinstance(value, date):  # a datetime is a date too
        return value
    if isinstance(value, str):
        text = value.strip()
        # `fromisoformat` alone reads "1705103012345", an instant in ms, as a day of the year 1705.
        dashed = is_bare_date(text[:_DATE_LENGTH])
        with suppress(ValueError):
            if dashed and len(text) == _DATE_LENGTH:
                return date.fromisoformat(text)
            if dashed and text[_DATE_LENGTH] in "T ":
                return datetime.fromisoformat(text)
    raise ConfigError(f"{name}={value!r} is not a date. Write it as {_EXAMPLES}.")
