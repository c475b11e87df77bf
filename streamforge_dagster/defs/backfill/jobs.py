"""One job per source: base candles, their checks, everything derived."""

import dagster as dg

from streamforge_dagster.partitions import name_of


def backfill_job_name(source: str) -> str:
    """Return what the job of a source is called."""
    return f"{name_of(source)}_backfill"


def backfill_job(source: str) -> dg.Definitions:
    """Return the job that fills days of a source."""
    job = dg.define_asset_job(
        backfill_job_name(source),
        selection=dg.AssetSelection.groups(name_of(source)),
        description=f"Fetch, check and derive days of {source}.",
        executor_def=dg.in_process_executor,
    )
    return dg.Definitions(jobs=[job])
