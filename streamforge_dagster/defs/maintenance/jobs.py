"""The whole store, judged again."""

import dagster as dg

recheck_job = dg.define_asset_job(
    "recheck_store",
    selection=dg.AssetSelection.all_asset_checks(),
    description="Run every check over everything that is stored, from the first declared day on.",
    executor_def=dg.in_process_executor,
)
