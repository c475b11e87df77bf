"""Keeps the symbols that Dagster knows as `streamforge.yaml` declares them."""

import dagster as dg

import streamforge_core as sf
from streamforge_dagster.partitions import symbols_of


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Adds symbols that streamforge.yaml declares. One that is no longer declared stays: "
        "deleting it would forget what was stored of it. Delete it in the UI if that is wanted."
    ),
)
def symbols_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Read the settings anew at each tick, so that a symbol needs no reload."""
    requests = []
    for source in {each.source for each in sf.load_settings().sources}:
        partitions = symbols_of(source)
        known = context.instance.get_dynamic_partitions(partitions.name or "")
        if new := [symbol for symbol in declared_symbols(source) if symbol not in known]:
            requests.append(partitions.build_add_request(new))
    if not requests:
        return dg.SkipReason("Every declared symbol is known.")
    return dg.SensorResult(dynamic_partitions_requests=requests)


def declared_symbols(source: str) -> list[str]:
    """Return the symbols of every entry of a source, each once."""
    entries = (each for each in sf.load_settings().sources if each.source == source)
    return list(dict.fromkeys(symbol for each in entries for symbol in each.symbols))
