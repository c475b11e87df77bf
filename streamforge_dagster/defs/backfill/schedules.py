"""The daily catch-up: every symbol, the day just closed and the two before it."""

from collections.abc import Iterator
from datetime import date
from typing import Final

import dagster as dg

from streamforge_dagster.defs.backfill.jobs import backfill_job_name
from streamforge_dagster.partitions import DAY, Days, name_of, range_tags, symbols_of

CATCH_UP_DAYS: Final = 3
"""A day's archive, the last witness of an outage, appears hours after the day: so each day is
looked at again on the next two. A day that is settled costs no request."""


def catch_up_schedule(source: str, start: date) -> dg.ScheduleDefinition:
    """Return the schedule that keeps a source complete; it runs unless it is stopped by hand."""

    @dg.schedule(
        name=f"{name_of(source)}_catch_up",
        job_name=backfill_job_name(source),
        cron_schedule="15 0 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=(
            "One run per symbol for the day just closed; it also settles the two days before, "
            "whose archive was not published yet."
        ),
    )
    def catch_up(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        last = context.scheduled_execution_time.date() - DAY
        first = max(start, last - DAY * (CATCH_UP_DAYS - 1))
        symbols = context.instance.get_dynamic_partitions(symbols_of(source).name or "")
        if not symbols or last < start:
            yield dg.SkipReason("No symbol is known yet, or no day is over.")
            return
        for symbol in symbols:
            days = Days(symbol, first, last)
            yield dg.RunRequest(run_key=f"{symbol}:{last}", tags=range_tags(days))

    return catch_up
