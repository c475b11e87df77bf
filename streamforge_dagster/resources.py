"""From configuration to core objects: the store, and what fills it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import dagster as dg
import pyarrow as pa

import streamforge_core as sf
from streamforge_dagster.partitions import DAY, Days, midnight


@dataclass(frozen=True, slots=True)
class StoredDay:
    """What the store holds of one day of a series.

    Attributes:
        symbol: As the exchange writes it.
        timeframe: Of the candles.
        day: UTC.
        table: The candles, ascending.
        holes: What is missing, each with its verdict.
    """

    symbol: str
    timeframe: str
    day: date
    table: pa.Table
    holes: Sequence[sf.Hole]

    def unexplained(self) -> int:
        """Return how many candles are missing without a reason."""
        return sum(hole.count for hole in self.holes if not hole.is_explained())


class Candles(dg.ConfigurableResource[Any]):
    """The candles at hand, and where more come from.

    Where the exchanges are, their clock too, is said by the environment (`STREAMFORGE_..._URL`).

    Attributes:
        store: Folder of the Parquet store.
    """

    store: str

    def backfill(
        self,
        source: str,
        timeframe: str,
        days: Days,
        progress: Callable[[sf.Progress], None],
    ) -> sf.BackfillReport:
        """Fetch what the store lacks of some days.

        Raises:
            StreamForgeError: Something could not be had; everything else is stored.
        """
        backfilling = sf.backfilling_for(source)(
            days.symbol,
            timeframe,
            days.first.isoformat(),
            days.last.isoformat(),
            progress=progress,
        )
        report: sf.BackfillReport = backfilling.register_emitter(
            sf.ParquetEmitter(self.store)
        ).run()
        return report

    def derive(self, source: str, timeframe: str, target: str, days: Days) -> None:
        """Fold the stored candles of some days into a higher timeframe, in the same store."""
        sf.derive(
            self.store,
            source=source,
            symbol=days.symbol,
            timeframe=timeframe,
            targets=[target],
            start=midnight(days.first),
            end=midnight(days.last + DAY),
        )

    def read(self, source: str, timeframe: str, days: Days) -> pa.Table:
        """Return the stored candles that open in some days, ascending."""
        return self._store().read(
            source=source,
            symbol=days.symbol,
            timeframe=timeframe,
            start=midnight(days.first),
            end=midnight(days.last + DAY),
        )

    def missing(self, source: str, timeframe: str, days: Days) -> list[sf.Hole]:
        """Return what the store lacks of some days, each hole with its verdict."""
        return self._store().missing(
            source=source,
            symbol=days.symbol,
            timeframe=timeframe,
            start=midnight(days.first),
            end=midnight(days.last + DAY),
        )

    def archives(self, source: str, timeframe: str, day: Days) -> list[dict[str, Any]]:
        """Return the bulk files that one day came from: `path` and `sha256` of each."""
        return []

    def stored_day(self, source: str, timeframe: str, day: Days) -> StoredDay:
        """Return what the store holds of one day."""
        table = self.read(source, timeframe, day)
        holes = self.missing(source, timeframe, day)
        return StoredDay(day.symbol, timeframe, day.first, table, holes)

    def _store(self) -> sf.Store:
        return sf.Store(self.store)
