"""A higher timeframe of a source: an asset folded from the stored base candles."""

from pathlib import Path

import dagster as dg

import streamforge_core as sf
from streamforge_dagster.metadata import declared_facts, facts
from streamforge_dagster.partitions import Days, asset_key, backfill_policy, days_in, name_of
from streamforge_dagster.resources import Candles


def rolled_up_candles(
    source: sf.SourceSettings,
    target: str,
    partitions: dg.PartitionsDefinition[str],
    *,
    store: Path,
) -> dg.AssetsDefinition:
    """Return the asset of one derived timeframe."""

    @dg.asset(
        key=asset_key(source.source, target),
        deps=[asset_key(source.source, source.timeframe)],
        description=(
            f"{target} candles of {source.source}, folded from the stored {source.timeframe} ones. "
            "A candle stands only where every minute inside it is known or proven empty; a "
            "partition refreshes each candle that contains some of its day."
        ),
        partitions_def=partitions,
        backfill_policy=backfill_policy(),
        group_name=name_of(source.source),
        kinds={"python", "parquet"},
        owners=["team:market-data"],
        tags={"streamforge/timeframe": target},
        code_version="1",
        metadata=declared_facts(store),
    )
    def klines(context: dg.AssetExecutionContext, candles: Candles) -> None:
        for days in days_in(context.partition_keys):
            candles.derive(source.source, source.timeframe, target, days)
            for day in days.each():
                stored = candles.stored_day(source.source, target, Days(days.symbol, day, day))
                key = Days(days.symbol, day, day).keys()[0]
                context.add_asset_metadata(facts(stored), partition_key=key)

    return klines
