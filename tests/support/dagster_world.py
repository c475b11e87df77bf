"""Dagster in this process over a simulated exchange: what a test needs to launch and to look at."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

import streamforge_core as sf
from streamforge_core.simulator.binance import SimulatedBinance
from streamforge_core.simulator.outages import OutageRule, fixed_outages
from streamforge_dagster.definitions import build_defs
from streamforge_dagster.partitions import Days, range_tags, symbols_of
from tests.support.simulated import at

BASE = dg.AssetKey(["binance", "klines_1m"])

OUTAGE = fixed_outages([(at("2024-01-03T10:00"), at("2024-01-03T10:40"))])
"""Forty minutes of a Wednesday without an exchange."""


class World:
    """Definitions, an instance and a store of their own, and the exchange they read from."""

    def __init__(
        self, exchange: SimulatedBinance, store: Path, instance: dg.DagsterInstance
    ) -> None:
        self.exchange = exchange
        self.store = store
        self.instance = instance
        self.defs = build_defs(settings=settings(store), retries=dg.RetryPolicy(max_retries=0))

    def backfill(self, symbol: str, first: str, last: str) -> dg.ExecuteInProcessResult:
        """Run the backfill job over some days, as the daemon would launch it."""
        days = Days(symbol, date.fromisoformat(first), date.fromisoformat(last))
        return self.run("binance_backfill", range_tags(days))

    def run(self, job: str, tags: dict[str, str] | None = None) -> dg.ExecuteInProcessResult:
        """Run a job in this process; its failure is part of the result."""
        self.instance.add_dynamic_partitions(
            symbols_of("Binance").name or "", ["BTCUSDT", "ADABTC", "NOSUCHPAIR"]
        )
        return self.defs.resolve_job_def(job).execute_in_process(
            instance=self.instance, tags=tags or {}, raise_on_error=False
        )

    def materialized(self, key: dg.AssetKey = BASE) -> list[str]:
        """Return the partition of every materialization there ever was, sorted."""
        records = self.instance.fetch_materializations(key, limit=1000).records
        return sorted(str(record.partition_key) for record in records)

    def metadata(self, partition: str, key: dg.AssetKey = BASE) -> dict[str, Any]:
        """Return what the newest materialization of a partition says."""
        records = self.instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition]), limit=1
        ).records
        found = records[0].asset_materialization
        assert found is not None
        return {name: value.value for name, value in found.metadata.items()}

    def red(self) -> set[str]:
        """Return the partitions of the base asset that the UI paints as failed."""
        partitions = self.defs.get_repository_def().asset_graph.get(BASE).partitions_def
        assert partitions is not None
        cached = get_and_update_asset_status_cache_value(self.instance, BASE, partitions)
        assert cached is not None
        return set(cached.deserialize_failed_partition_subsets(partitions).get_partition_keys())

    def file(self, symbol: str, day: str) -> Path:
        """Return where the store keeps a day."""
        folder = f"source=Binance/symbol={symbol}/timeframe=1m/period={day}"
        return self.store / folder / "part-0.parquet"

    def rewrite(self, symbol: str, day: str, rows: pa.Table) -> None:
        """Put other rows into the store, as somebody might who goes behind its back."""
        pq.write_table(rows, self.file(symbol, day))

    def rows(self, symbol: str, day: str) -> pa.Table:
        """Return the rows in a day's file."""
        return pq.ParquetFile(self.file(symbol, day)).read()


def settings(store: Path, symbols: Sequence[str] = ("BTCUSDT", "ADABTC")) -> sf.Settings:
    """Return settings with one source."""
    source = sf.SourceSettings(
        source="Binance",
        symbols=tuple(symbols),
        timeframe="1m",
        start=date(2024, 1, 1),
        rollups=("5m", "1h", "1d"),
    )
    return sf.Settings(store=store, sources=(source,))


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    """Return the evaluations of a run by the name of the check."""
    return {each.check_name: each for each in result.get_asset_check_evaluations()}


class Failure(NamedTuple):
    """Why the base asset failed, as Dagster shows it."""

    description: str
    failed_days: list[Mapping[str, object]]


def failure(result: dg.ExecuteInProcessResult) -> Failure:
    """Return why the base asset failed."""
    event = next(
        each
        for each in result.all_events
        if each.event_type_value == "STEP_FAILURE" and each.step_key == "binance__klines_1m"
    )
    said = event.step_failure_data.user_failure_data
    assert said is not None
    table = said.metadata["failed_days"]
    assert isinstance(table, dg.TableMetadataValue)
    return Failure(said.description or "", [record.data for record in table.records])


@contextmanager
def a_world(
    folder: Path, patch: pytest.MonkeyPatch, outages: OutageRule = OUTAGE
) -> Iterator[World]:
    """Yield a world; the environment leads its backfills to its exchange."""
    with SimulatedBinance(outages=outages) as exchange, dg.instance_for_test() as instance:
        for name, value in exchange.environment().items():
            patch.setenv(name, value)
        yield World(exchange, folder / "store", instance)
