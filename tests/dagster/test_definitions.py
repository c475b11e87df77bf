"""What Dagster loads, by name: a change here is a change that users see."""

from datetime import date
from pathlib import Path

import dagster as dg
import pytest

import streamforge_core as sf
from streamforge_dagster import definitions
from streamforge_dagster.definitions import build_defs
from tests.support.dagster_world import BASE, settings


def names(defs: dg.Definitions) -> dict[str, list[str]]:
    repository = defs.get_repository_def()
    graph = repository.asset_graph
    return {
        "assets": sorted(key.to_user_string() for key in graph.get_all_asset_keys()),
        "checks": sorted(
            f"{key.asset_key.to_user_string()}: {key.name}" for key in graph.asset_check_keys
        ),
        "jobs": sorted(name for name in repository.job_names if not name.startswith("__")),
        "schedules": sorted(each.name for each in repository.schedule_defs),
        "sensors": sorted(each.name for each in repository.sensor_defs),
    }


def test_what_the_repository_declares_can_be_loaded() -> None:
    dg.Definitions.validate_loadable(definitions.defs)


def test_a_source_becomes_assets_checks_a_job_and_a_schedule(tmp_path: Path) -> None:
    assert names(build_defs(settings=settings(tmp_path))) == {
        "assets": [
            "binance/klines_1d",
            "binance/klines_1h",
            "binance/klines_1m",
            "binance/klines_5m",
        ],
        "checks": [
            "binance/klines_1m: completeness",
            "binance/klines_1m: each_candle_once",
            "binance/klines_1m: ohlc_invariants",
            "binance/klines_1m: volume_in_base_units",
        ],
        "jobs": ["binance_backfill", "recheck_store"],
        "schedules": ["binance_catch_up"],
        "sensors": ["symbols_sensor"],
    }


def test_entries_of_one_source_share_partitions_that_begin_with_the_earliest(
    tmp_path: Path,
) -> None:
    def entry(source: str, timeframe: str, start: date) -> sf.SourceSettings:
        return sf.SourceSettings(source, ("BTCUSDT",), timeframe, start)

    declared = sf.Settings(
        store=tmp_path,
        sources=(
            entry("Binance", "1m", date(2024, 3, 1)),
            entry("Binance", "1d", date(2020, 5, 17)),
            entry("Binance-USDM", "1m", date(2023, 1, 1)),
        ),
    )

    repository = build_defs(settings=declared).get_repository_def()

    starts = {}
    for key in repository.asset_graph.get_all_asset_keys():
        partitions = repository.asset_graph.get(key).partitions_def
        assert isinstance(partitions, dg.MultiPartitionsDefinition)
        days = partitions.get_partitions_def_for_dimension("date")
        starts[key.to_user_string()] = days.get_first_partition_key()
    assert starts == {
        "binance/klines_1m": "2020-05-17",
        "binance/klines_1d": "2020-05-17",
        "binance_usdm/klines_1m": "2023-01-01",
    }


def test_work_that_only_waits_for_the_network_runs_in_one_process(tmp_path: Path) -> None:
    repository = build_defs(settings=settings(tmp_path)).get_repository_def()

    executors = {job.name: job.executor_def.name for job in repository.get_all_jobs()}
    assert executors == {
        "__ASSET_JOB": "in_process",
        "binance_backfill": "in_process",
        "recheck_store": "in_process",
    }


def test_the_base_asset_says_what_it_is_before_it_was_ever_filled(tmp_path: Path) -> None:
    node = build_defs(settings=settings(tmp_path)).get_repository_def().asset_graph.get(BASE)

    assert (node.group_name, node.kinds, node.pools) == (
        "binance",
        {"python", "parquet"},
        {"binance_rest"},
    )
    assert node.metadata["dagster/uri"] == f"file://{tmp_path}"
    columns = node.metadata["dagster/column_schema"].columns
    assert [column.name for column in columns] == sf.KLINE_SCHEMA.names
    assert all(column.description for column in columns)


def test_settings_that_cannot_be_are_refused_when_dagster_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "streamforge.yaml"
    file.write_text("sources:\n  - source: Binanse\n")
    monkeypatch.setenv("STREAMFORGE_SETTINGS", str(file))

    with pytest.raises(sf.InvalidSettings, match="Binanse"):
        build_defs()
