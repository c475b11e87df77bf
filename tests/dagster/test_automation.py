"""The daily schedule and the sensor of symbols, evaluated by hand."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest

from streamforge_dagster.defs.backfill.schedules import catch_up_schedule
from streamforge_dagster.defs.maintenance.sensors import symbols_sensor

SETTINGS = """
sources:
  - {{source: Binance, symbols: [{symbols}], timeframe: 1m, start: 2024-01-01}}
"""


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as each:
        yield each


@pytest.fixture
def declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A settings file with two symbols, which this process reads."""
    file = tmp_path / "streamforge.yaml"
    file.write_text(SETTINGS.format(symbols="BTCUSDT, ETHUSDT"))
    monkeypatch.setenv("STREAMFORGE_SETTINGS", str(file))
    return file


def tick(instance: dg.DagsterInstance, when: datetime) -> tuple[list[dg.RunRequest], str | None]:
    """Return what the schedule asks for at an instant, and why it asks for nothing."""
    schedule = catch_up_schedule("Binance", date(2024, 1, 1))
    context = dg.build_schedule_context(instance=instance, scheduled_execution_time=when)
    data = schedule.evaluate_tick(context)
    return list(data.run_requests or []), data.skip_message


def _range(request: dg.RunRequest) -> tuple[str, str]:
    tags = request.tags
    prefix = "dagster/asset_partition_range"
    return tags[f"{prefix}_start"], tags[f"{prefix}_end"]


def look(instance: dg.DagsterInstance) -> dg.SensorResult | dg.SkipReason:
    result = symbols_sensor(dg.build_sensor_context(instance=instance))
    assert isinstance(result, dg.SensorResult | dg.SkipReason)
    return result


def test_after_midnight_each_symbol_gets_one_run_for_the_days_just_closed(
    instance: dg.DagsterInstance,
) -> None:
    instance.add_dynamic_partitions("binance_symbols", ["BTCUSDT", "ETHUSDT"])

    requests, _ = tick(instance, datetime(2024, 1, 16, 0, 15, tzinfo=UTC))

    assert [each.run_key for each in requests] == ["BTCUSDT:2024-01-15", "ETHUSDT:2024-01-15"]
    assert [_range(each) for each in requests] == [
        ("2024-01-13|BTCUSDT", "2024-01-15|BTCUSDT"),
        ("2024-01-13|ETHUSDT", "2024-01-15|ETHUSDT"),
    ]


def test_no_day_before_the_first_is_asked_for(instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions("binance_symbols", ["BTCUSDT"])

    requests, _ = tick(instance, datetime(2024, 1, 3, 0, 15, tzinfo=UTC))

    assert _range(requests[0]) == ("2024-01-01|BTCUSDT", "2024-01-02|BTCUSDT")


@pytest.mark.parametrize("symbols", [[], ["BTCUSDT"]])
def test_nothing_is_asked_for_before_the_first_day_is_over(
    instance: dg.DagsterInstance, symbols: list[str]
) -> None:
    instance.add_dynamic_partitions("binance_symbols", symbols)

    requests, reason = tick(instance, datetime(2024, 1, 1, 0, 15, tzinfo=UTC))

    assert requests == []
    assert reason == "No symbol is known yet, or no day is over."


def test_the_schedule_and_the_sensor_run_without_being_switched_on() -> None:
    assert catch_up_schedule("Binance", date(2024, 1, 1)).default_status.value == "RUNNING"
    assert symbols_sensor.default_status.value == "RUNNING"


def test_declared_symbols_become_known(instance: dg.DagsterInstance, declared: Path) -> None:
    del declared

    result = look(instance)

    assert isinstance(result, dg.SensorResult)
    [request] = result.dynamic_partitions_requests or []
    assert request.partitions_def_name == "binance_symbols"
    assert request.partition_keys == ["BTCUSDT", "ETHUSDT"]


def test_a_symbol_added_to_the_file_needs_no_reload(
    instance: dg.DagsterInstance, declared: Path
) -> None:
    instance.add_dynamic_partitions("binance_symbols", ["BTCUSDT", "ETHUSDT"])
    assert isinstance(look(instance), dg.SkipReason)

    declared.write_text(SETTINGS.format(symbols="BTCUSDT, ETHUSDT, ADABTC"))

    result = look(instance)
    assert isinstance(result, dg.SensorResult)
    assert [each.partition_keys for each in result.dynamic_partitions_requests or []] == [
        ["ADABTC"]
    ]


def test_a_symbol_taken_out_of_the_file_keeps_its_history(
    instance: dg.DagsterInstance, declared: Path
) -> None:
    del declared
    instance.add_dynamic_partitions("binance_symbols", ["BTCUSDT", "ETHUSDT", "DELISTUSDT"])

    assert isinstance(look(instance), dg.SkipReason)
