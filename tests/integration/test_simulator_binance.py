"""REST, archive and the server around them, asked over HTTP as a client would."""

import io
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from streamforge_core.errors import ConfigError
from streamforge_core.simulator.binance import SimulatedBinance
from streamforge_core.simulator.outages import fixed_outages
from streamforge_core.transport.clock import AcceleratedClock
from tests.support.market_data import market_data
from tests.support.simulated import NEVER_DOWN, SteppedClock, at, simulated_binance

NOW = "2025-06-01T12:30:30"
DOWN = fixed_outages([(at("2024-03-06T10:00:30"), at("2024-03-06T10:45"))])
KLINES = "/api/v3/klines"


@pytest.fixture(scope="module")
def exchange() -> Iterator[SimulatedBinance]:
    with simulated_binance(NOW, outages=DOWN) as exchange:
        yield exchange


def got(exchange: SimulatedBinance, path: str, **parameters: object) -> requests.Response:
    texts = {name: str(value) for name, value in parameters.items()}
    return requests.get(exchange.url + path, params=texts, timeout=20)


def rows_of(exchange: SimulatedBinance, **parameters: object) -> list[list[Any]]:
    response = got(exchange, KLINES, **{"symbol": "BTCUSDT", "interval": "1m", **parameters})
    assert response.status_code == 200, response.text
    rows: list[list[Any]] = response.json()
    return rows


def archived(exchange: SimulatedBinance, symbol: str, date: str) -> list[list[str]]:
    name = f"{symbol}-1m-{date}"
    response = got(exchange, f"/data/spot/daily/klines/{symbol}/1m/{name}.zip")
    assert response.status_code == 200
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        return [line.split(",") for line in archive.read(f"{name}.csv").decode().splitlines()]


@pytest.mark.parametrize("date", ["2024-03-06", "2025-03-05"])
@pytest.mark.parametrize("symbol", ["BTCUSDT", "ADABTC"])
def test_archive_and_rest_agree_to_the_last_digit(
    exchange: SimulatedBinance, symbol: str, date: str
) -> None:
    unit = 1000 if date >= "2025" else 1
    bounds = {"startTime": at(date), "endTime": at(date) + 86_400_000 - 1, "limit": 1000}
    first = rows_of(exchange, symbol=symbol, **bounds)
    rest = first + rows_of(
        exchange, symbol=symbol, **{**bounds, "startTime": first[-1][0] + 60_000}
    )

    archive = archived(exchange, symbol, date)

    assert len(archive) == (1396 if date == "2024-03-06" else 1440)
    for theirs, ours in zip(archive, rest, strict=True):
        assert int(theirs[0]) == ours[0] * unit
        assert int(theirs[6]) == (ours[6] + 1) * unit - 1
        assert theirs[1:6] == ours[1:6]
        assert theirs[7:] == [str(field) for field in ours[7:]]


def test_an_outage_is_a_hole_in_rest_as_in_the_archive(exchange: SimulatedBinance) -> None:
    rows = rows_of(exchange, startTime=at("2024-03-06T10:00"), limit=2)

    assert [row[0] for row in rows] == [at("2024-03-06T10:00"), at("2024-03-06T10:45")]
    assert rows[0][6] == at("2024-03-06T10:00:29.999")


def test_the_listing_the_time_and_the_ping_answer(exchange: SimulatedBinance) -> None:
    assert got(exchange, "/api/v3/ping").json() == {}
    assert got(exchange, "/api/v3/time").json() == {"serverTime": at(NOW)}
    (symbol,) = got(exchange, "/api/v3/exchangeInfo", symbol="NEWUSDT").json()["symbols"]
    assert (symbol["symbol"], symbol["status"]) == ("NEWUSDT", "TRADING")


def test_times_are_microseconds_on_request(exchange: SimulatedBinance) -> None:
    headers = {"X-MBX-TIME-UNIT": "MICROSECOND"}

    time = requests.get(f"{exchange.url}/api/v3/time", headers=headers, timeout=20).json()
    (row,) = requests.get(
        f"{exchange.url}{KLINES}?symbol=BTCUSDT&interval=1m&startTime={at('2024-03-06')}&limit=1",
        headers=headers,
        timeout=20,
    ).json()

    assert time == {"serverTime": at(NOW) * 1000}
    assert (row[0], row[6]) == (1709683200000000, 1709683259999999)


def test_errors_have_the_documented_bodies(exchange: SimulatedBinance) -> None:
    symbol = got(exchange, KLINES, symbol="NOSUCH", interval="1m")
    interval = got(exchange, KLINES, symbol="BTCUSDT", interval="7m")
    missing = got(exchange, KLINES, interval="1m")

    assert (symbol.status_code, symbol.json()) == (400, {"code": -1121, "msg": "Invalid symbol."})
    assert interval.json() == {"code": -1120, "msg": "Invalid interval."}
    assert missing.json() == {
        "code": -1102,
        "msg": "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.",
    }


def test_sha256sum_accepts_the_published_checksum(
    exchange: SimulatedBinance, tmp_path: Path
) -> None:
    if shutil.which("sha256sum") is None:
        pytest.skip("sha256sum is not installed")
    path = "/data/spot/monthly/klines/SOLUSDT/1d/SOLUSDT-1d-2024-03.zip"
    for suffix in ("", ".CHECKSUM"):
        file = tmp_path / f"SOLUSDT-1d-2024-03.zip{suffix}"
        file.write_bytes(got(exchange, path + suffix).content)

    check = subprocess.run(
        ["sha256sum", "-c", "SOLUSDT-1d-2024-03.zip.CHECKSUM"],  # noqa: S607 - found above
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert check.stdout == "SOLUSDT-1d-2024-03.zip: OK\n"


def test_a_file_that_is_not_there_is_404(exchange: SimulatedBinance) -> None:
    response = got(exchange, "/data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2025-06-01.zip")

    assert response.status_code == 404
    assert "NoSuchKey" in response.text


def test_weight_is_counted_then_refused_then_banned() -> None:
    with simulated_binance(NOW, weight_limit=24) as exchange:
        info = got(exchange, "/api/v3/exchangeInfo")
        klines = got(exchange, KLINES, symbol="BTCUSDT", interval="1m", limit=1)
        assert info.headers["X-MBX-USED-WEIGHT-1M"] == "20"
        assert klines.headers["X-MBX-USED-WEIGHT-1M"] == "22"

        refused = [got(exchange, "/api/v3/exchangeInfo") for _ in range(11)]

    assert [response.status_code for response in refused] == [429] * 10 + [418]
    assert refused[0].headers["Retry-After"] == "30"
    assert refused[0].json()["code"] == -1003
    assert refused[10].headers["Retry-After"] == "120"
    assert "IP banned until" in refused[10].json()["msg"]


def test_the_real_files_of_a_folder_are_answered_from() -> None:
    folder = market_data("binance_spot_daily")
    with simulated_binance("2025-06-01", archive_dir=folder) as exchange:
        for date in ("2018-02-08", "2023-03-24", "2025-01-01"):
            text = (folder / f"BTCUSDT-1m-{date}.csv").read_text()
            stored = [line.split(",") for line in text.splitlines()]
            assert archived(exchange, "BTCUSDT", date) == stored

            day = {"startTime": at(date), "endTime": at(date) + 86_400_000 - 1, "limit": 1000}
            rest = rows_of(exchange, **day)
            unit = 1000 if date >= "2025" else 1
            assert [row[0] * unit for row in rest] == [int(row[0]) for row in stored[:1000]]
            assert [row[1:6] for row in rest] == [row[1:6] for row in stored[:1000]]
            assert [row[6] for row in rest] == [int(row[6]) // unit for row in stored[:1000]]

        down = {"startTime": at("2023-03-24T12:40"), "endTime": at("2023-03-24T13:59:59")}
        assert rows_of(exchange, **down) == []
        assert (
            rows_of(exchange, interval="1h", **{**down, "startTime": at("2023-03-24T13:00")}) == []
        )
        missing = "/data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2023-03-26.zip"
        assert got(exchange, missing).status_code == 404
        assert rows_of(exchange, startTime=at("2023-03-26"), endTime=at("2023-03-27")) == []
        # The other symbols are simulated as ever.
        assert len(rows_of(exchange, symbol="ETHUSDT", startTime=at("2023-03-26"), limit=5)) == 5


def test_further_symbols_can_be_named() -> None:
    with simulated_binance(NOW, symbols=["FOOUSDT"], outages=NEVER_DOWN) as exchange:
        rows = rows_of(exchange, symbol="FOOUSDT", startTime=at("2024-05-01"), limit=2)

    assert [row[0] for row in rows] == [at("2024-05-01"), at("2024-05-01T00:01")]


def test_the_environment_points_the_library_at_it() -> None:
    clock = AcceleratedClock(60, real_ms=1_000, simulated_ms=2_000)
    with SimulatedBinance(clock=clock) as exchange:
        port = exchange.port

        assert exchange.environment() == {
            "STREAMFORGE_BINANCE_REST_URL": f"http://127.0.0.1:{port}",
            "STREAMFORGE_BINANCE_ARCHIVE_URL": f"http://127.0.0.1:{port}",
            "STREAMFORGE_BINANCE_WEBSOCKET_URL": f"ws://127.0.0.1:{port}",
            "STREAMFORGE_CLOCK": "60@1000/2000",
        }


def test_it_can_be_stopped_and_started_on_the_same_port() -> None:
    exchange = simulated_binance(NOW)
    with exchange:
        url = exchange.url
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{url}/api/v3/ping", timeout=5)

    with exchange:
        assert exchange.url == url
        assert got(exchange, "/api/v3/ping").status_code == 200
    exchange.stop()


def test_a_port_that_is_taken_is_refused(exchange: SimulatedBinance) -> None:
    with pytest.raises(ConfigError, match="Give it another port"):
        SimulatedBinance(port=exchange.port).start()


def test_what_needs_it_running_says_so() -> None:
    with pytest.raises(ConfigError, match="does not run"):
        simulated_binance(NOW).drop_sockets()


async def test_it_runs_in_the_loop_of_a_test_as_well() -> None:
    async with simulated_binance(NOW) as exchange:
        exchange.drop_sockets()
        exchange.announce_shutdown()

        assert isinstance(exchange.clock, SteppedClock)
        assert exchange.port > 0
        assert exchange.open_connections == 0
