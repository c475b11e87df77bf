"""Day x symbol: the partitions of every source, and what their keys say."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

import dagster as dg

DATE: Final = "date"
SYMBOL: Final = "symbol"

PARTITIONS_PER_RUN_VARIABLE: Final = "STREAMFORGE_PARTITIONS_PER_RUN"
PARTITIONS_PER_RUN: Final = 30
"""Days one run of a backfill covers: failures stay small, overhead stays far below the work."""

_RANGE_START_TAG: Final = "dagster/asset_partition_range_start"
_RANGE_END_TAG: Final = "dagster/asset_partition_range_end"

DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Days:
    """Consecutive days of one symbol.

    Attributes:
        symbol: As the exchange writes it.
        first: First day, UTC.
        last: Last day, inclusive.
    """

    symbol: str
    first: date
    last: date

    def each(self) -> list[date]:
        """Return the days, ascending."""
        return [self.first + DAY * offset for offset in range((self.last - self.first).days + 1)]

    def keys(self) -> list[str]:
        """Return the partition keys, ascending."""
        return [partition_key(self.symbol, day) for day in self.each()]

    def __str__(self) -> str:
        ends = f"{self.first}" if self.first == self.last else f"{self.first} to {self.last}"
        return f"{self.symbol} {ends}"


def name_of(source: str) -> str:
    """Write a source as a part of keys and groups, which allow no dashes."""
    return source.lower().replace("-", "_")


def symbols_of(source: str) -> dg.DynamicPartitionsDefinition:
    """Return the symbols of a source; a sensor keeps them as configured."""
    return dg.DynamicPartitionsDefinition(name=f"{name_of(source)}_symbols")


def day_by_symbol(source: str, start: date) -> dg.MultiPartitionsDefinition:
    """Return the partitions of a source: every whole UTC day since `start`, times every symbol."""
    days = dg.DailyPartitionsDefinition(start_date=start.isoformat(), timezone="UTC")
    return dg.MultiPartitionsDefinition({DATE: days, SYMBOL: symbols_of(source)})


def backfill_policy() -> dg.BackfillPolicy:
    """Return how a backfill is cut into runs; the environment may tune how many days each has."""
    per_run = int(os.environ.get(PARTITIONS_PER_RUN_VARIABLE) or PARTITIONS_PER_RUN)
    return dg.BackfillPolicy.multi_run(max_partitions_per_run=per_run)


def partition_key(symbol: str, day: date) -> str:
    """Write the key of one partition, such as "2024-01-02|BTCUSDT"."""
    return str(dg.MultiPartitionKey({DATE: day.isoformat(), SYMBOL: symbol}))


def days_in(keys: Iterable[str]) -> list[Days]:
    """Group partition keys into the longest runs of consecutive days, symbol by symbol."""
    found: list[Days] = []
    for symbol, day in sorted(_parsed(key) for key in keys):
        last = found[-1] if found else None
        if last and last.symbol == symbol and last.last + DAY == day:
            found[-1] = Days(symbol, last.first, day)
        else:
            found.append(Days(symbol, day, day))
    return found


def _parsed(key: str) -> tuple[str, date]:
    day, _, symbol = key.partition("|")
    return symbol, date.fromisoformat(day)


def range_tags(days: Days) -> dict[str, str]:
    """Return the tags that make one run cover all the days."""
    keys = days.keys()
    return {_RANGE_START_TAG: keys[0], _RANGE_END_TAG: keys[-1]}


def day_of(ts: int) -> date:
    """Return the UTC day of an instant in epoch milliseconds."""
    return datetime.fromtimestamp(ts // 1000, UTC).date()


def midnight(day: date) -> datetime:
    """Return a day's first instant, UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def milliseconds(day: date) -> int:
    """Return a day's first instant in epoch milliseconds."""
    return 1000 * int(midnight(day).timestamp())


def asset_key(source: str, timeframe: str) -> dg.AssetKey:
    """Return the key of a source's candles, such as binance/klines_1m."""
    # "1m" and "1M" would differ by case alone.
    label = "1mo" if timeframe == "1M" else timeframe
    return dg.AssetKey([name_of(source), f"klines_{label}"])
