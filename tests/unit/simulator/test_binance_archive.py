import hashlib
import io
import zipfile

import pytest

from streamforge_core.simulator.binance_archive import Archive, asked_file, checksum_line, zipped
from streamforge_core.simulator.feeds import MarketFeed
from streamforge_core.simulator.market import Market
from streamforge_core.simulator.outages import fixed_outages
from tests.support.simulated import NEVER_DOWN, at

NOW = at("2025-06-01")
ROOT = "/data/spot"


@pytest.fixture(scope="module")
def archive() -> Archive:
    return archive_of(Market(outages=NEVER_DOWN))


def archive_of(market: Market) -> Archive:
    return Archive({spec.symbol: MarketFeed(market, spec) for spec in market.specs.values()})


def path_of(symbol: str, interval: str, date: str) -> str:
    span = "daily" if len(date) == 10 else "monthly"
    return f"{ROOT}/{span}/klines/{symbol}/{interval}/{symbol}-{interval}-{date}.zip"


def lines_of(archive: Archive, symbol: str, interval: str, date: str) -> list[list[str]]:
    content = archive.read(path_of(symbol, interval, date), NOW)
    assert content is not None
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        assert file.namelist() == [f"{symbol}-{interval}-{date}.csv"]
        text = file.read(file.namelist()[0]).decode()
    assert text.endswith("\n")
    return [line.split(",") for line in text.splitlines()]


def test_a_day_has_a_row_for_every_minute_and_no_header(archive: Archive) -> None:
    rows = lines_of(archive, "BTCUSDT", "1m", "2024-03-05")

    start = at("2024-03-05")
    assert [int(row[0]) for row in rows] == [start + 60_000 * i for i in range(1440)]
    assert [int(row[6]) for row in rows] == [start + 60_000 * i + 59_999 for i in range(1440)]
    assert {len(row) for row in rows} == {12}
    assert {row[11] for row in rows} == {"0"}
    assert {len(row[4].partition(".")[2]) for row in rows} == {8}


def test_times_are_microseconds_from_2025_on(archive: Archive) -> None:
    (last,) = lines_of(archive, "BTCUSDT", "1d", "2024-12-31")
    (first,) = lines_of(archive, "BTCUSDT", "1d", "2025-01-01")

    assert (last[0], last[6]) == ("1735603200000", "1735689599999")
    assert (first[0], first[6]) == ("1735689600000000", "1735775999999999")


def test_the_unit_goes_by_row_and_not_by_file(archive: Archive) -> None:
    # The week of 2024-12-30 ends in 2025; its row opens in 2024.
    rows = lines_of(archive, "BTCUSDT", "1w", "2024-12")

    assert [row[0] for row in rows][-1] == "1735516800000"
    assert rows[-1][6] == "1736121599999"


def test_a_month_is_the_days_of_it(archive: Archive) -> None:
    month = lines_of(archive, "ADABTC", "4h", "2024-02")

    days = [lines_of(archive, "ADABTC", "4h", f"2024-02-{day:02d}") for day in range(1, 30)]
    assert month == [row for day in days for row in day]


def test_the_month_interval_is_spelled_1mo(archive: Archive) -> None:
    (row,) = lines_of(archive, "BTCUSDT", "1mo", "2024-02")

    assert (int(row[0]), int(row[6])) == (at("2024-02-01"), at("2024-03-01") - 1)
    assert archive.read(path_of("BTCUSDT", "1M", "2024-02"), NOW) is None


@pytest.mark.parametrize("interval", ["3d", "1w", "1mo"])
def test_long_intervals_are_monthly_only(archive: Archive, interval: str) -> None:
    assert archive.read(path_of("BTCUSDT", interval, "2024-02-05"), NOW) is None
    assert archive.read(path_of("BTCUSDT", interval, "2024-02"), NOW) is not None


def test_the_rows_of_an_outage_are_absent_and_the_one_before_is_cut() -> None:
    down = fixed_outages([(at("2024-03-05T10:00:30"), at("2024-03-05T10:05"))])

    rows = lines_of(archive_of(Market(outages=down)), "ETHUSDT", "1m", "2024-03-05")

    assert len(rows) == 1436
    cut, resumed = rows[600], rows[601]
    assert (int(cut[0]), int(cut[6])) == (at("2024-03-05T10:00"), at("2024-03-05T10:00:29.999"))
    assert int(resumed[0]) == at("2024-03-05T10:05")


def test_a_listing_day_begins_with_the_listing(archive: Archive) -> None:
    rows = lines_of(archive, "NEWUSDT", "1m", "2024-06-15")

    assert int(rows[0][0]) == at("2024-06-15T10:30")
    assert len(rows) == 13 * 60 + 30
    assert archive.read(path_of("NEWUSDT", "1m", "2024-06-14"), NOW) is None
    assert archive.read(path_of("NEWUSDT", "1m", "2024-05"), NOW) is None


@pytest.mark.parametrize(
    ("path", "published"),
    [
        (path_of("BTCUSDT", "1m", "2024-03-05"), "2024-03-06T02:00"),
        # 2024-05-06 is the first Monday of May; 2024-07-01 is a Monday itself.
        (path_of("BTCUSDT", "1m", "2024-04"), "2024-05-06T02:00"),
        (path_of("BTCUSDT", "1w", "2024-04"), "2024-05-06T02:00"),
        (path_of("BTCUSDT", "1m", "2024-06"), "2024-07-01T02:00"),
        # 2024-04-01 is a Monday too, and the three days from 2024-03-30 on hold it.
        (path_of("BTCUSDT", "3d", "2024-03"), "2024-04-02T02:00"),
    ],
)
def test_a_file_appears_when_its_candles_are_over(
    archive: Archive, path: str, published: str
) -> None:
    assert archive.read(path, at(published) - 1) is None
    assert archive.read(path, at(published)) is not None


@pytest.mark.parametrize(
    "path",
    [
        f"{ROOT}/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-03.zip",
        f"{ROOT}/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-03-05.zip",
        f"{ROOT}/daily/klines/BTCUSDT/1m/ETHUSDT-1m-2024-03-05.zip",
        f"{ROOT}/daily/klines/BTCUSDT/1m/BTCUSDT-5m-2024-03-05.zip",
        f"{ROOT}/daily/klines/BTCUSDT/7m/BTCUSDT-7m-2024-03-05.zip",
        f"{ROOT}/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-02-30.zip",
        f"{ROOT}/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-03-05.csv",
        f"{ROOT}/daily/klines/NOSUCH/1m/NOSUCH-1m-2024-03-05.zip",
        "/data/futures/um/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-03-05.zip",
        f"{ROOT}/daily/klines/DELISTUSDT/1m/DELISTUSDT-1m-2024-03-11.zip",
    ],
)
def test_where_the_exchange_has_nothing_there_is_nothing(archive: Archive, path: str) -> None:
    assert archive.read(path, NOW) is None


def test_the_checksum_beside_a_zip_is_its_digest(archive: Archive) -> None:
    path = path_of("SOLUSDT", "1h", "2024-03-05")
    content = archive.read(path, NOW)
    line = archive.read(f"{path}.CHECKSUM", NOW)

    assert content is not None
    assert line == f"{hashlib.sha256(content).hexdigest()}  SOLUSDT-1h-2024-03-05.zip\n".encode()


def test_another_archive_has_the_same_bytes(archive: Archive) -> None:
    path = path_of("SOLUSDT", "1h", "2024-03-05")

    assert archive_of(Market(outages=NEVER_DOWN)).read(path, NOW) == archive.read(path, NOW)


def test_few_files_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamforge_core.simulator.binance_archive._FILES_CACHED", 1)
    archive = archive_of(Market())

    first = archive.read(path_of("BTCUSDT", "1d", "2024-03-05"), NOW)
    archive.read(path_of("BTCUSDT", "1d", "2024-03-06"), NOW)

    assert archive.read(path_of("BTCUSDT", "1d", "2024-03-05"), NOW) == first


def test_paths_are_read_into_what_they_ask_for() -> None:
    asked = asked_file(path_of("BTCUSDT", "1mo", "2024-02") + ".CHECKSUM")

    assert asked is not None
    assert (asked.symbol, asked.timeframe, asked.name) == ("BTCUSDT", "1M", "BTCUSDT-1mo-2024-02")
    assert (asked.start_ms, asked.end_ms) == (at("2024-02-01"), at("2024-03-01"))
    assert (asked.is_daily, asked.is_checksum) == (False, True)


def test_a_checksum_line_is_what_sha256sum_prints() -> None:
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

    assert checksum_line(b"abc", "abc.zip") == f"{digest}  abc.zip\n".encode()


def test_the_same_content_gives_the_same_zip() -> None:
    assert zipped("a.csv", b"1,2\n") == zipped("a.csv", b"1,2\n")
    assert zipped("a.csv", b"1,2\n") != zipped("a.csv", b"1,3\n")
