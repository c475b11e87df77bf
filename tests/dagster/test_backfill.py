"""Days of the base asset, fetched from a simulated exchange in this process."""

import base64

from dagster import AssetKey

from streamforge_core.simulator.faults import Fault
from tests.support.dagster_world import World, failure


def refuse(world: World, day: str, start_ms: int) -> None:
    """Let the archive lack a day, and REST refuse the question for it."""
    world.exchange.faults.append(Fault(f"{day}.zip", status=404, times=100))
    refusal = '{"code":-1100,"msg":"Illegal characters"}'
    asked = f"/api/v3/klines.*startTime={start_ms}"
    world.exchange.faults.append(Fault(asked, status=400, body=refusal, times=100))


def test_one_day_of_one_symbol_becomes_a_green_partition(world: World) -> None:
    result = world.backfill("BTCUSDT", "2024-01-02", "2024-01-02")

    assert result.success
    assert world.materialized() == ["2024-01-02|BTCUSDT"]
    found = world.metadata("2024-01-02|BTCUSDT")
    assert found["dagster/partition_row_count"] == 1440
    assert (found["first_open"], found["last_open"]) == (
        "2024-01-02 00:00 UTC",
        "2024-01-02 23:59 UTC",
    )
    assert found["archive_sha256"].startswith("- BTCUSDT-1m-2024-01-02.zip `")
    assert world.file("BTCUSDT", "2024-01-02").is_file()


def test_a_ranged_run_tells_of_each_day_exactly_once(world: World) -> None:
    world.backfill("ADABTC", "2024-01-01", "2024-01-04")

    days = ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"]
    expected = [f"{day}|ADABTC" for day in days]
    assert world.materialized() == expected
    assert world.materialized(AssetKey(["binance", "klines_1h"])) == expected
    rows = [world.metadata(key)["dagster/partition_row_count"] for key in expected]
    assert rows == [1440, 1440, 1400, 1440]


def test_an_outage_is_green_with_its_reason_beside_it(world: World) -> None:
    result = world.backfill("ADABTC", "2024-01-03", "2024-01-03")

    assert result.success
    found = world.metadata("2024-01-03|ADABTC")
    counts = [found[name] for name in ("expected", "found", "explained", "unexplained")]
    assert counts == [1440, 1400, 40, 0]
    [hole] = found["holes"].records
    assert hole.data == {
        "first_missing": "2024-01-03 10:00",
        "last_missing": "2024-01-03 10:39",
        "candles": 40,
        "verdict": "exchange_outage",
    }
    assert "archive: no row in ADABTC-1m-2024-01-03.zip" in found["evidence"]
    assert "rest: 0 rows" in found["evidence"]


def test_the_plot_is_a_picture_of_a_few_kilobytes_with_the_hole_shaded(world: World) -> None:
    world.backfill("BTCUSDT", "2024-01-03", "2024-01-03")

    text = world.metadata("2024-01-03|BTCUSDT")["plot"]
    head, _, picture = text.partition("base64,")
    assert head == "![BTCUSDT 2024-01-03](data:image/svg+xml;"
    assert len(text) <= 8192
    drawn = base64.b64decode(picture.removesuffix(")")).decode()
    assert drawn.startswith("<svg ")
    assert "BTCUSDT 2024-01-03 UTC, drawn as 15m, 40 missing candles shaded" in drawn


def test_a_day_that_is_complete_costs_no_further_request(world: World) -> None:
    world.backfill("BTCUSDT", "2024-01-01", "2024-01-03")
    before = len(world.exchange.requests)

    again = world.backfill("BTCUSDT", "2024-01-01", "2024-01-03")

    assert again.success
    assert len(world.exchange.requests) == before


def test_a_day_that_fails_is_red_with_its_reason_and_the_others_are_green(world: World) -> None:
    refuse(world, "2024-01-02", 1_704_153_600_000)

    result = world.backfill("BTCUSDT", "2024-01-01", "2024-01-03")

    assert not result.success
    assert world.materialized() == ["2024-01-01|BTCUSDT", "2024-01-03|BTCUSDT"]
    said = failure(result)
    assert said.description == (
        "1 of 3 days are incomplete, the others are stored. 2024-01-02|BTCUSDT: "
        "2024-01-02 to 2024-01-02T23:59:00Z: Binance refused the request: "
        "Illegal characters (code -1100)"
    )
    [row] = said.failed_days
    assert (row["day"], row["missing"]) == ("2024-01-02|BTCUSDT", 1440)
    assert world.red() == {"2024-01-02|BTCUSDT"}


def test_the_repeat_of_a_failed_run_fetches_only_the_day_that_failed(world: World) -> None:
    refuse(world, "2024-01-02", 1_704_153_600_000)
    world.backfill("BTCUSDT", "2024-01-01", "2024-01-03")
    world.exchange.faults.clear()
    world.exchange.requests.clear()

    again = world.backfill("BTCUSDT", "2024-01-01", "2024-01-03")

    assert again.success
    asked = {request.path.rpartition("/")[2] for request in world.exchange.requests}
    assert asked == {"BTCUSDT-1m-2024-01-02.zip", "BTCUSDT-1m-2024-01-02.zip.CHECKSUM"}
    assert world.red() == set()


def test_a_symbol_the_exchange_does_not_list_fails_at_once_and_says_so(world: World) -> None:
    result = world.backfill("NOSUCHPAIR", "2024-01-01", "2024-01-02")

    said = failure(result)
    assert said.description.startswith(
        "2 of 2 days are incomplete. 2024-01-01|NOSUCHPAIR: UnknownSymbol: Binance lists no symbol"
    )
    assert world.materialized() == []


def test_a_damaged_file_fails_its_day_alone_and_is_named(world: World) -> None:
    world.backfill("BTCUSDT", "2024-01-01", "2024-01-02")
    world.file("BTCUSDT", "2024-01-01").write_bytes(b"no parquet")

    result = world.backfill("BTCUSDT", "2024-01-01", "2024-01-02")

    said = failure(result)
    [row] = said.failed_days
    assert (row["day"], row["missing"]) == ("2024-01-01|BTCUSDT", None)
    assert "part-0.parquet is damaged" in str(row["reason"])


def test_derived_candles_follow_and_know_why_some_are_absent(world: World) -> None:
    world.backfill("BTCUSDT", "2024-01-03", "2024-01-03")

    five = world.metadata("2024-01-03|BTCUSDT", AssetKey(["binance", "klines_5m"]))
    hour = world.metadata("2024-01-03|BTCUSDT", AssetKey(["binance", "klines_1h"]))
    day = world.metadata("2024-01-03|BTCUSDT", AssetKey(["binance", "klines_1d"]))
    # 288 less the eight from 10:00 to 10:35; 10:40 to 11:00 still makes the hour of ten.
    assert (five["found"], five["explained"], five["unexplained"]) == (280, 8, 0)
    assert (hour["found"], hour["explained"], day["found"]) == (24, 0, 1)
