from datetime import UTC, date, datetime

import dagster as dg
import pytest

from streamforge_dagster import partitions
from streamforge_dagster.partitions import Days, asset_key, days_in, range_tags


def test_keys_are_grouped_into_consecutive_days_symbol_by_symbol() -> None:
    keys = [
        "2024-01-02|ETHUSDT",
        "2024-02-29|BTCUSDT",
        "2024-03-01|BTCUSDT",
        "2024-03-03|BTCUSDT",
        "2024-02-28|BTCUSDT",
    ]

    grouped = days_in(keys)

    assert grouped == [
        Days("BTCUSDT", date(2024, 2, 28), date(2024, 3, 1)),
        Days("BTCUSDT", date(2024, 3, 3), date(2024, 3, 3)),
        Days("ETHUSDT", date(2024, 1, 2), date(2024, 1, 2)),
    ]
    assert [str(days) for days in grouped] == [
        "BTCUSDT 2024-02-28 to 2024-03-01",
        "BTCUSDT 2024-03-03",
        "ETHUSDT 2024-01-02",
    ]


def test_days_name_their_partitions_as_dagster_does() -> None:
    days = Days("BTCUSDT", date(2023, 12, 31), date(2024, 1, 1))

    assert days.keys() == ["2023-12-31|BTCUSDT", "2024-01-01|BTCUSDT"]
    assert range_tags(days) == {
        "dagster/asset_partition_range_start": "2023-12-31|BTCUSDT",
        "dagster/asset_partition_range_end": "2024-01-01|BTCUSDT",
    }


def test_partitions_are_whole_utc_days_times_the_symbols_that_are_known() -> None:
    definition = partitions.day_by_symbol("Binance-USDM", date(2024, 1, 30))

    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions("binance_usdm_symbols", ["BTCUSDT", "ETHUSDT"])
        keys = definition.get_partition_keys(
            current_time=datetime(2024, 2, 1, 0, 15, tzinfo=UTC),
            dynamic_partitions_store=instance,
        )

    assert sorted(keys) == [
        "2024-01-30|BTCUSDT",
        "2024-01-30|ETHUSDT",
        "2024-01-31|BTCUSDT",
        "2024-01-31|ETHUSDT",
    ]


def test_the_environment_tunes_how_many_days_a_run_covers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert partitions.backfill_policy().max_partitions_per_run == 30

    monkeypatch.setenv("STREAMFORGE_PARTITIONS_PER_RUN", "7")

    assert partitions.backfill_policy().max_partitions_per_run == 7


def test_a_minute_and_a_month_have_keys_that_differ_by_more_than_case() -> None:
    assert asset_key("Binance-USDM", "1m").path == ["binance_usdm", "klines_1m"]
    assert asset_key("Binance-USDM", "1M").path == ["binance_usdm", "klines_1mo"]
