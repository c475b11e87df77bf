"""`defs`: everything Dagster loads."""

import warnings
from datetime import date
from typing import Any

import dagster as dg

import streamforge_core as sf
from streamforge_dagster.defs.backfill.assets import RETRIES, base_candles
from streamforge_dagster.defs.backfill.jobs import backfill_job
from streamforge_dagster.defs.backfill.schedules import catch_up_schedule
from streamforge_dagster.defs.maintenance.jobs import recheck_job
from streamforge_dagster.defs.maintenance.sensors import symbols_sensor
from streamforge_dagster.defs.quality.checks import checks_of
from streamforge_dagster.defs.rollups.assets import rolled_up_candles
from streamforge_dagster.partitions import day_by_symbol
from streamforge_dagster.resources import Candles


def build_defs(
    *,
    settings: sf.Settings | None = None,
    retries: dg.RetryPolicy = RETRIES,
    resources: dict[str, Any] | None = None,
) -> dg.Definitions:
    """Return the definitions of everything that the settings declare.

    Args:
        settings: What to keep complete; by default `streamforge.yaml` and the environment.
        retries: How often and how late a failed backfill is tried again.
        resources: Replace those of the same name.

    Raises:
        InvalidSettings: The settings cannot be used.
    """
    settings = settings or sf.load_settings()
    with warnings.catch_warnings():
        # Multi-partition backfills and a few labels are beta in the release we pin.
        warnings.simplefilter("ignore", dg.BetaWarning)
        parts = [_defs_of(name, settings, retries) for name in _starts(settings)]
        own = dg.Definitions(
            jobs=[recheck_job],
            sensors=[symbols_sensor],
            resources={"candles": Candles(store=str(settings.store)), **(resources or {})},
            # Backfills launched in the UI use this one: the work is input and output.
            executor=dg.in_process_executor,
        )
        return dg.Definitions.merge(*parts, own)


def _starts(settings: sf.Settings) -> dict[str, date]:
    """Return each source with its earliest day: its assets share their partitions."""
    starts: dict[str, date] = {}
    for source in settings.sources:
        starts[source.source] = min(source.start, starts.get(source.source, source.start))
    return starts


def _defs_of(name: str, settings: sf.Settings, retries: dg.RetryPolicy) -> dg.Definitions:
    start = _starts(settings)[name]
    partitions = day_by_symbol(name, start)
    assets, checks = [], []
    for source in (each for each in settings.sources if each.source == name):
        store = settings.store
        assets.append(base_candles(source, partitions, store=store, retries=retries))
        assets += [
            rolled_up_candles(source, target, partitions, store=store) for target in source.rollups
        ]
        checks += checks_of(source)
    own = dg.Definitions(
        assets=assets, asset_checks=checks, schedules=[catch_up_schedule(name, start)]
    )
    return dg.Definitions.merge(own, backfill_job(name))


defs = build_defs()
