"""The base candles of a source: an asset whose partitions are fetched from the exchange."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import dagster as dg

import streamforge_core as sf
from streamforge_dagster.metadata import (
    Facts,
    archive_checksums,
    declared_facts,
    facts,
    plot,
)
from streamforge_dagster.partitions import (
    Days,
    asset_key,
    backfill_policy,
    day_of,
    days_in,
    name_of,
)
from streamforge_dagster.resources import Candles, StoredDay

RETRIES: Final = dg.RetryPolicy(
    max_retries=2, delay=30, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)
"""Beside the retries of every single request, for an exchange that is down for a minute or two."""

_FRESH: Final = dg.FreshnessPolicy.time_window(
    warn_window=timedelta(hours=26), fail_window=timedelta(hours=50)
)

# Asking again changes nothing: somebody has to act first.
_HOPELESS: Final = (sf.ConfigError, sf.UnknownSymbol, sf.EmitterError)


def base_candles(
    source: sf.SourceSettings,
    partitions: dg.PartitionsDefinition[str],
    *,
    store: Path,
    retries: dg.RetryPolicy,
) -> dg.AssetsDefinition:
    """Return the asset of one source's base timeframe."""

    @dg.asset(
        key=asset_key(source.source, source.timeframe),
        description=(
            f"Closed {source.timeframe} candles of {source.source}: the bulk archive first, REST "
            "for what it lacks. A day that is complete is not fetched again; a day with holes "
            "says why."
        ),
        partitions_def=partitions,
        backfill_policy=backfill_policy(),
        retry_policy=retries,
        freshness_policy=_FRESH,
        group_name=name_of(source.source),
        pool=f"{name_of(source.source)}_rest",
        kinds={"python", "parquet"},
        owners=["team:market-data"],
        tags={"streamforge/timeframe": source.timeframe},
        code_version="1",
        metadata=declared_facts(store),
    )
    def klines(context: dg.AssetExecutionContext, candles: Candles) -> None:
        filled = _Filled(context, source, candles, retries)
        for days in days_in(context.partition_keys):
            filled.fill(days)
        filled.tell()

    return klines


@dataclass(frozen=True, slots=True)
class _Failed:
    """A day that could not be completed, and why; `missing` is None where nothing can be read."""

    key: str
    missing: int | None
    reason: str


class _Filled:
    """One run: fills the days it is given, then tells Dagster what became of each."""

    def __init__(
        self,
        context: dg.AssetExecutionContext,
        source: sf.SourceSettings,
        candles: Candles,
        retries: dg.RetryPolicy,
    ) -> None:
        self._context = context
        self._source = source
        self._candles = candles
        self._retries = retries
        self._good: dict[str, Facts] = {}
        self._failed: list[_Failed] = []
        self._may_succeed_later = False

    def fill(self, days: Days) -> None:
        """Fetch what is missing; a day that fails harms no other day."""
        error: sf.StreamForgeError | None = None
        log = self._context.log
        log.info("%s: asking the store what is missing", days)
        try:
            report = self._candles.backfill(
                self._source.source, self._source.timeframe, days, _progress(self._context, days)
            )
            log.info("%s: %d candles in %d requests", days, report.rows, report.requests)
        except sf.StreamForgeError as raised:
            error = raised
            self._may_succeed_later |= not isinstance(error, _HOPELESS)
            log.warning("%s: %s: %s", days, type(error).__name__, error)
        for day in days.each():
            self._judge(Days(days.symbol, day, day), error)

    def _judge(self, day: Days, error: sf.StreamForgeError | None) -> None:
        """Let the store say whether a day is settled, whatever happened around it."""
        key = day.keys()[0]
        try:
            stored = self._candles.stored_day(self._source.source, self._source.timeframe, day)
        except sf.EmitterError as damaged:
            self._failed.append(_Failed(key, None, f"{damaged}"))
            return
        if error is not None and stored.unexplained():
            self._failed.append(_Failed(key, stored.unexplained(), _reason(error, stored)))
            return
        self._good[key] = facts(stored) | plot(stored) | archive_checksums(stored)

    def tell(self) -> None:
        """Record the days that are good, and fail if there are others.

        Raises:
            Failure: It names the days and the reasons.
        """
        if not self._failed:
            for key, found in self._good.items():
                self._context.add_asset_metadata(found, partition_key=key)
            return
        will_retry = self._may_succeed_later and (
            self._context.retry_number < self._retries.max_retries
        )
        if not will_retry:
            self._record_good_days()
        raise self._failure()

    def _record_good_days(self) -> None:
        """Count the good days of a run that fails; by itself Dagster would count none of them."""
        for key, found in self._good.items():
            self._context.log_event(
                dg.AssetMaterialization(
                    asset_key=self._context.asset_key, partition=key, metadata=found
                )
            )

    def _failure(self) -> dg.Failure:
        total = len(self._failed) + len(self._good)
        others = ", the others are stored" if self._good else ""
        first = self._failed[0]
        return dg.Failure(
            f"{len(self._failed)} of {total} days are incomplete{others}. "
            f"{first.key}: {first.reason}",
            metadata={"failed_days": _failed_table(self._failed), "good_days": len(self._good)},
            allow_retries=self._may_succeed_later,
        )


def _reason(error: sf.StreamForgeError, stored: StoredDay) -> str:
    """Return why this day failed, as exactly as the error knows it."""
    if isinstance(error, sf.IncompleteBackfill):
        for hole, failure in zip(error.holes, error.failures, strict=True):
            if day_of(hole.first_open_ts) <= stored.day <= day_of(hole.last_open_ts):
                return failure
    return f"{type(error).__name__}: {error}"


def _failed_table(failed: list[_Failed]) -> dg.TableMetadataValue:
    return dg.MetadataValue.table(
        [
            dg.TableRecord({"day": each.key, "missing": each.missing, "reason": each.reason})
            for each in failed
        ],
        schema=dg.TableSchema(
            columns=[
                dg.TableColumn("day", "string"),
                dg.TableColumn("missing", "int", description="Candles without a reason"),
                dg.TableColumn("reason", "string"),
            ]
        ),
    )


def _progress(context: dg.AssetExecutionContext, days: Days) -> Callable[[sf.Progress], None]:
    """Return a function that logs each further tenth: the event log keeps every line."""
    told = 0

    def tell(progress: sf.Progress) -> None:
        nonlocal told
        tenth = 10 * progress.done // progress.total if progress.total else 10
        if tenth > told:
            told = tenth
            context.log.info("%s: %d of %d candles", days, progress.done, progress.total)

    return tell
