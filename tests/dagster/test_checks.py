"""The checks read the store: each must turn red when somebody has gone behind its back."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest
from dagster import AssetKey

from streamforge_core.simulator.faults import Fault
from streamforge_core.simulator.outages import fixed_outages
from tests.support.dagster_world import World, a_world, checks
from tests.support.simulated import at

DAY = "2024-01-02"
KEY = "2024-01-02|BTCUSDT"
ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


def with_value(rows: pa.Table, column: str, index: int, value: float) -> pa.Table:
    values = rows[column].to_pylist()
    values[index] = value
    place = rows.column_names.index(column)
    return rows.set_column(place, rows.schema.field(column), pa.array(values, pa.float64()))


def recheck(world: World) -> dict[str, dg.AssetCheckEvaluation]:
    return checks(world.run("recheck_store"))


@pytest.fixture(scope="module")
def three_days(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world with three good days of BTCUSDT, made once."""
    folder = tmp_path_factory.mktemp("three_days")
    with pytest.MonkeyPatch.context() as patch, a_world(folder, patch) as world:
        assert world.backfill("BTCUSDT", "2024-01-01", "2024-01-03").success
        shutil.copytree(world.store, folder / "good")
        yield world


@pytest.fixture
def filled(three_days: World) -> Iterator[World]:
    """The three good days, for a test to damage."""
    yield three_days
    shutil.rmtree(three_days.store)
    shutil.copytree(three_days.store.parent / "good", three_days.store)


def test_checks_pass_over_an_outage_that_is_proven(world: World) -> None:
    result = world.backfill("BTCUSDT", "2024-01-01", "2024-01-03")

    evaluations = checks(result)
    assert {name: each.passed for name, each in evaluations.items()} == {
        "completeness": True,
        "each_candle_once": True,
        "ohlc_invariants": True,
        "volume_in_base_units": True,
    }
    assert evaluations["completeness"].description == "4,280 candles, 40 proven not to exist."


def test_checks_started_alone_look_at_every_materialized_day(world: World) -> None:
    world.backfill("BTCUSDT", "2024-01-03", "2024-01-03")
    world.backfill("ADABTC", "2024-01-02", "2024-01-02")

    evaluations = recheck(world)

    assert evaluations["completeness"].metadata["found"].value == 1400 + 1440
    assert evaluations["ohlc_invariants"].metadata["checked"].value == 1400 + 1440


def test_rows_that_vanished_are_missing_without_a_reason(filled: World) -> None:
    rows = filled.rows("BTCUSDT", DAY)
    filled.rewrite("BTCUSDT", DAY, pa.concat_tables([rows.slice(0, 600), rows.slice(605)]))

    found = recheck(filled)["completeness"]

    assert (found.passed, found.severity) == (False, ERROR)
    assert found.description == "5 candles are missing without a reason."
    assert found.metadata["bad_days"].value == KEY
    holes = found.metadata["holes"].value.records  # type: ignore[union-attr]  # a table
    assert [(row.data["first_missing"], row.data["verdict"]) for row in holes] == [
        ("2024-01-02 10:00", "pending"),
        ("2024-01-03 10:00", "exchange_outage"),
    ]


def test_a_day_whose_file_was_deleted_is_missing_too(filled: World) -> None:
    filled.file("BTCUSDT", DAY).unlink()

    found = recheck(filled)["completeness"]

    assert (found.passed, found.metadata["unexplained"].value) == (False, 1440)
    assert found.metadata["bad_days"].value == KEY


def test_a_candle_that_is_there_twice_is_found(filled: World) -> None:
    rows = filled.rows("BTCUSDT", DAY)
    filled.rewrite("BTCUSDT", DAY, pa.concat_tables([rows.slice(0, 10), rows.slice(9)]))

    found = recheck(filled)["each_candle_once"]

    assert (found.passed, found.severity) == (False, ERROR)
    assert (found.metadata["wrong"].value, found.metadata["bad_days"].value) == (1, KEY)


def test_candles_out_of_order_are_found(filled: World) -> None:
    rows = filled.rows("BTCUSDT", DAY)
    swapped = pa.concat_tables([rows.slice(1, 1), rows.slice(0, 1), rows.slice(2)])
    filled.rewrite("BTCUSDT", DAY, swapped)

    assert recheck(filled)["each_candle_once"].passed is False


@pytest.mark.parametrize(
    ("column", "value"),
    [("high", 1.0), ("low", 1e9), ("low", -1.0), ("volume", -1.0), ("close", float("nan"))],
)
def test_a_candle_that_cannot_be_true_is_found(filled: World, column: str, value: float) -> None:
    rows = with_value(filled.rows("BTCUSDT", DAY), column, 7, value)
    filled.rewrite("BTCUSDT", DAY, rows)

    found = recheck(filled)["ohlc_invariants"]

    assert (found.passed, found.severity) == (False, ERROR)
    assert (found.metadata["wrong"].value, found.metadata["bad_days"].value) == (1, KEY)


def test_quote_units_in_the_place_of_base_units_are_warned_about(filled: World) -> None:
    rows = filled.rows("BTCUSDT", DAY)
    place = rows.column_names.index("volume")
    field = rows.schema.field("volume")
    filled.rewrite("BTCUSDT", DAY, rows.set_column(place, field, rows["quote_volume"]))

    found = recheck(filled)["volume_in_base_units"]

    assert (found.passed, found.severity, found.metadata["wrong"].value) == (False, WARN, 1440)


def test_derived_candles_wait_for_a_blocking_check(filled: World) -> None:
    rows = filled.rows("BTCUSDT", DAY)
    filled.rewrite("BTCUSDT", DAY, with_value(rows, "high", 7, 1.0))

    result = filled.backfill("BTCUSDT", DAY, DAY)

    assert not result.success
    derived = filled.materialized(AssetKey(["binance", "klines_5m"]))
    assert derived == ["2024-01-01|BTCUSDT", "2024-01-02|BTCUSDT", "2024-01-03|BTCUSDT"]


def test_a_reason_that_waits_for_the_archive_is_a_warning_and_blocks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    yesterday = datetime.now(UTC).date() - timedelta(days=1)  # noqa: TID251 - partitions end today
    day = f"{yesterday}"
    outage = fixed_outages([(at(f"{day}T10:00"), at(f"{day}T10:40"))])
    with a_world(tmp_path, monkeypatch, outage) as world:
        world.exchange.faults.append(Fault(rf"{day}\.zip", status=404, times=100))

        result = world.backfill("BTCUSDT", day, day)

    found = checks(result)["completeness"]
    assert (found.passed, found.severity) == (False, WARN)
    assert found.metadata["bad_days"].value == f"{day}|BTCUSDT"
    assert result.success
