"""When the simulated exchange is down: then nothing exists, for any symbol, on any interface."""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from streamforge_core.simulator.boundaries import (
    DAY_MS,
    FIRST_MONDAY_MS,
    MINUTE_MS,
    WEEK_MS,
)
from streamforge_core.simulator.noise import hashed, key_of

_WEDNESDAY: Final = 2 * DAY_MS


class Outage(NamedTuple):
    """A time without an exchange: `start_ms <= t < end_ms`, UTC epoch milliseconds.

    A start inside a minute cuts that minute's candle short.
    """

    start_ms: int
    end_ms: int


OutageRule = Callable[[int, int], list[Outage]]
"""(start_ms, end_ms) -> the outages that touch that span, ascending."""


def weekly_outage(week: int, seed: int) -> Outage:
    """Return the one outage of a week.

    It falls on Wednesday, so that any seven days in a row hold exactly one day with an outage,
    starts between 00:30 and 21:29, lasts about 20 to 90 minutes and ends on a whole minute. Every
    second one starts within a minute.

    Args:
        week: Number of the week, 0 began on Monday 1970-01-05.
        seed: Of the market.
    """
    key = key_of("outage", seed)
    start_minute = 30 + hashed(key, 4 * week) % (21 * 60)
    minutes = 20 + hashed(key, 4 * week + 1) % 71
    cut = hashed(key, 4 * week + 2) % 119_000
    day = FIRST_MONDAY_MS + week * WEEK_MS + _WEDNESDAY
    start = day + start_minute * MINUTE_MS
    return Outage(start + (500 + cut if cut < 59_500 else 0), start + minutes * MINUTE_MS)


def weekly_outages(seed: int) -> OutageRule:
    """Return the rule with one outage every Wednesday."""

    def rule(start_ms: int, end_ms: int) -> list[Outage]:
        weeks = range(
            (start_ms - FIRST_MONDAY_MS) // WEEK_MS, (end_ms - FIRST_MONDAY_MS) // WEEK_MS + 1
        )
        return _touching((weekly_outage(week, seed) for week in weeks), start_ms, end_ms)

    return rule


def fixed_outages(outages: Iterable[tuple[int, int]]) -> OutageRule:
    """Return the rule with these outages and no others."""
    known = sorted(Outage(*outage) for outage in outages)

    def rule(start_ms: int, end_ms: int) -> list[Outage]:
        return _touching(known, start_ms, end_ms)

    return rule


def _touching(outages: Iterable[Outage], start_ms: int, end_ms: int) -> list[Outage]:
    return [outage for outage in outages if outage.start_ms < end_ms and outage.end_ms > start_ms]
