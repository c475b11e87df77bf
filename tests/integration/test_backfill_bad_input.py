"""What an exchange, a network or a disk can do to a backfill: nothing half, nothing hidden."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamforge_core.errors import (
    ConfigError,
    IncompleteBackfill,
    UnknownSymbol,
)
from streamforge_core.model.gap import Hole
from streamforge_core.simulator.binance import SimulatedBinance
from streamforge_core.simulator.faults import Fault
from streamforge_core.store.reader import Store
from tests.support.archives import csv_row, zip_of
from tests.support.backfill_process import LARGEST_FILE
from tests.support.backfills import (
    BTC_1M,
    a_backfiller,
    asked_files,
    backfill,
    backfill_process,
    pages,
    parquet_files,
    run_into,
    stored_opens,
)
from tests.support.instants import utc
from tests.support.scripted_web import Reply, ScriptedWeb, nobody_listens
from tests.support.simulated import NEVER_DOWN, simulated_binance

MINUTE = 60_000
SPAN = ("2024-01-15", "2024-01-17")
OPENS = list(range(utc("2024-01-15 00:00"), utc("2024-01-18 00:00"), MINUTE))
HTML = "<!DOCTYPE html><html><body>Service unavailable</body></html>"
ALWAYS = 1_000_000


@pytest.fixture(scope="module")
def server() -> Iterator[SimulatedBinance]:
    with simulated_binance("2024-03-01T00:00", outages=NEVER_DOWN) as simulated:
        yield simulated


@pytest.fixture
def exchange(server: SimulatedBinance) -> SimulatedBinance:
    server.faults.clear()
    server.requests.clear()
    return server


def of_16th(kind: str) -> str:
    """Return a pattern for what is asked about 2024-01-16: its file or its REST pages."""
    return {
        "zip": r"2024-01-16\.zip$",
        "checksum": r"2024-01-16\.zip\.CHECKSUM$",
        "rest": rf"klines\?.*startTime={utc('2024-01-16 00:00')}",
    }[kind]


def provenances(store: Path) -> dict[str, set[str | None]]:
    """Return the provenances of each day's rows."""
    found: dict[str, set[str | None]] = {}
    for row in Store(store).records(**BTC_1M).to_pylist():
        day = f"2024-01-{15 + (row['open_ts'] - OPENS[0]) // 86_400_000}"
        found.setdefault(day, set()).add(row["provenance"])
    return found


def archive_entries(store: Path) -> dict[str, dict[str, object]]:
    """Return what the coverage log says about each archive file, by its day."""
    lines = (store / "_coverage" / "Binance~BTCUSDT~1m.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    return {e["path"][-14:-4]: e for e in entries if e["kind"] == "archive"}


# --- One file is bad, for a while or for ever ---


@pytest.mark.parametrize(
    "fault",
    [
        Fault(r"2024-01-16\.zip$", corrupt=True),
        Fault(r"2024-01-16\.zip$", body=HTML),
        Fault(r"2024-01-16\.zip$", truncate_bytes=1_000),
        Fault(r"2024-01-16\.zip$", drop_connection=True, times=2),
        Fault(r"2024-01-16\.zip$", status=500, times=3),
        Fault(r"2024-01-16\.zip$", status=429, headers={"Retry-After": "7"}),
        Fault(r"2024-01-16\.zip\.CHECKSUM", body=HTML),
        Fault(r"2024-01-16\.zip\.CHECKSUM", body="0" * 64 + "  BTCUSDT-1m-2024-01-16.zip\n"),
        Fault(r"2024-01-16\.zip\.CHECKSUM", status=503, times=4),
    ],
)
def test_a_file_that_is_bad_for_a_while_is_read_in_the_end(
    exchange: SimulatedBinance, tmp_path: Path, fault: Fault
) -> None:
    exchange.faults.append(Fault(**{name: getattr(fault, name) for name in Fault.__slots__}))

    backfill(exchange, *SPAN, into=tmp_path)

    assert stored_opens(tmp_path) == OPENS
    assert provenances(tmp_path)["2024-01-16"] == {"archive"}
    assert pages(exchange) == []


@pytest.mark.parametrize(
    "fault",
    [
        Fault(r"2024-01-16\.zip$", corrupt=True, times=ALWAYS),
        Fault(r"2024-01-16\.zip$", body=HTML, times=ALWAYS),
        Fault(r"2024-01-16\.zip\.CHECKSUM", body=HTML, times=ALWAYS),
        Fault(r"2024-01-16\.zip\.CHECKSUM", body="0" * 64 + "  x.zip\n", times=ALWAYS),
    ],
)
def test_a_file_that_never_fits_its_checksum_is_quarantined_and_rest_serves_the_day(
    exchange: SimulatedBinance, tmp_path: Path, fault: Fault
) -> None:
    exchange.faults.append(Fault(**{name: getattr(fault, name) for name in Fault.__slots__}))

    report = backfill(exchange, *SPAN, into=tmp_path)

    assert stored_opens(tmp_path) == OPENS
    assert provenances(tmp_path) == {
        "2024-01-15": {"archive"},
        "2024-01-16": {"rest"},
        "2024-01-17": {"archive"},
    }
    entries = archive_entries(tmp_path)
    assert {day: entry["quarantined"] for day, entry in entries.items()} == {
        "2024-01-15": False,
        "2024-01-16": True,
        "2024-01-17": False,
    }
    assert entries["2024-01-15"]["sha256"] == entries["2024-01-15"]["published_sha256"]
    assert (report.pending, report.holes) == ((), ())


@pytest.mark.parametrize(
    "fault",
    [
        Fault(r"2024-01-16\.zip$", status=500, times=ALWAYS),
        Fault(r"2024-01-16\.zip$", status=403, body=HTML, times=ALWAYS),
        Fault(r"2024-01-16\.zip$", status=418, headers={"Retry-After": "86400"}, times=ALWAYS),
        Fault(r"2024-01-16\.zip$", drop_connection=True, times=ALWAYS),
        Fault(r"2024-01-16\.zip\.CHECKSUM", status=500, times=ALWAYS),
        Fault(r"2024-01-16\.zip", status=404, times=ALWAYS),
    ],
)
def test_a_file_that_cannot_be_had_is_replaced_by_rest(
    exchange: SimulatedBinance, tmp_path: Path, fault: Fault
) -> None:
    exchange.faults.append(Fault(**{name: getattr(fault, name) for name in Fault.__slots__}))

    backfill(exchange, *SPAN, into=tmp_path)

    assert stored_opens(tmp_path) == OPENS
    assert provenances(tmp_path)["2024-01-16"] == {"rest"}
    assert sorted(archive_entries(tmp_path)) == ["2024-01-15", "2024-01-17"]


def test_a_truncated_csv_inside_a_valid_zip_is_quarantined_and_rest_serves(tmp_path: Path) -> None:
    folder, store = tmp_path / "vision", tmp_path / "store"
    folder.mkdir()
    minutes = OPENS[:1_440]
    rows = [csv_row(open_ts) for open_ts in minutes]
    content = zip_of(*rows[:700], rows[700][:50])
    (folder / "BTCUSDT-1m-2024-01-15.csv").write_text("\n".join(rows) + "\n")

    digest = hashlib.sha256(content).hexdigest()
    replies = [Reply(body=content), Reply(body=f"{digest}  x.zip\n".encode())] * 3
    with (
        simulated_binance("2024-03-01T00:00", archive_dir=folder) as exchange,
        ScriptedWeb(*replies) as vision,
    ):
        backfiller = a_backfiller(exchange, "2024-01-15", "2024-01-15", archive=vision.url)
        report = run_into(backfiller, store)

    assert stored_opens(store) == minutes
    assert provenances(store) == {"2024-01-15": {"rest"}}
    assert archive_entries(store)["2024-01-15"]["sha256"] == digest
    assert report.pending == ()


# --- Hosts are down ---


def test_a_dead_archive_host_does_not_stop_a_backfill(
    exchange: SimulatedBinance, tmp_path: Path
) -> None:
    with nobody_listens() as nowhere:
        run_into(a_backfiller(exchange, *SPAN, archive=nowhere), tmp_path)

    assert stored_opens(tmp_path) == OPENS
    assert {frozenset(each) for each in provenances(tmp_path).values()} == {frozenset({"rest"})}


def test_a_dead_rest_host_costs_only_what_the_archive_lacks(
    exchange: SimulatedBinance, tmp_path: Path
) -> None:
    exchange.faults.append(Fault(of_16th("zip"), status=404, times=ALWAYS))
    with nobody_listens() as nowhere, pytest.raises(IncompleteBackfill) as failure:
        run_into(a_backfiller(exchange, *SPAN, rest=nowhere), tmp_path)

    first, last = utc("2024-01-16 00:00"), utc("2024-01-16 23:59")
    assert failure.value.holes == (Hole(first, last, 1_440),)
    assert stored_opens(tmp_path) == [ts for ts in OPENS if not first <= ts <= last]


def test_404_for_everything_is_a_refusal_that_names_the_range(
    exchange: SimulatedBinance, tmp_path: Path
) -> None:
    exchange.faults.append(Fault(".", status=404, body="not found", times=ALWAYS))

    with pytest.raises(IncompleteBackfill, match=r"2024-01-15 to .*HTTP 404") as failure:
        backfill(exchange, *SPAN, into=tmp_path)

    assert len(failure.value.holes) == 3
    assert parquet_files(tmp_path) == {}


def test_nobody_at_all_is_told_once_and_stores_nothing(
    exchange: SimulatedBinance, tmp_path: Path
) -> None:
    with nobody_listens() as nowhere, pytest.raises(IncompleteBackfill) as failure:
        run_into(a_backfiller(exchange, *SPAN, rest=nowhere, archive=nowhere), tmp_path)

    assert sum(hole.count for hole in failure.value.holes if isinstance(hole, Hole)) == 4_320
    assert "Run it again to fetch the rest" in str(failure.value)


def test_permanent_5xx_for_one_day_leaves_the_others_and_the_next_run_repairs_it(
    exchange: SimulatedBinance, tmp_path: Path
) -> None:
    for kind in ("zip", "rest"):
        exchange.faults.append(Fault(of_16th(kind), status=503, body=HTML, times=ALWAYS))

    with pytest.raises(IncompleteBackfill, match=r"2024-01-16 to 2024-01-16T23:59:00Z: .* 503"):
        backfill(exchange, *SPAN, into=tmp_path)

    assert sorted(provenances(tmp_path)) == ["2024-01-15", "2024-01-17"]
    (hole,) = Store(tmp_path).missing(**BTC_1M, start=SPAN[0], end="2024-01-18")
    assert (hole.count, hole.verdict) == (1_440, "pending")

    exchange.faults.clear()
    exchange.requests.clear()
    report = backfill(exchange, *SPAN, into=tmp_path)

    assert (report.rows, asked_files(exchange)) == (1_440, ["2024-01-16"])
    assert stored_opens(tmp_path) == OPENS


# --- REST ---


@pytest.fixture
def rest_only(exchange: SimulatedBinance) -> SimulatedBinance:
    """Return an exchange without archive files."""
    exchange.faults.append(Fault(r"/data/", status=404, times=ALWAYS))
    return exchange


@pytest.mark.parametrize(
    "fault",
    [
        Fault("klines", body=HTML),
        Fault("klines", status=429, headers={"Retry-After": "3"}, times=2),
        Fault("klines", status=418, headers={"Retry-After": "120"}),
        Fault("klines", status=503, times=4),
        Fault("klines", truncate_bytes=500),
        Fault("klines", drop_connection=True, times=3),
    ],
)
def test_rest_trouble_that_passes_costs_no_row(
    rest_only: SimulatedBinance, tmp_path: Path, fault: Fault
) -> None:
    rest_only.faults.append(Fault(**{name: getattr(fault, name) for name in Fault.__slots__}))

    backfill(rest_only, *SPAN, into=tmp_path, downloads=1)

    assert stored_opens(tmp_path) == OPENS


def test_an_error_page_for_ever_is_named(rest_only: SimulatedBinance, tmp_path: Path) -> None:
    rest_only.faults.append(Fault("klines", body=HTML, times=ALWAYS))

    with pytest.raises(IncompleteBackfill, match="answered no kline page"):
        backfill(rest_only, *SPAN, into=tmp_path)


def test_a_long_ban_is_not_asked_against(rest_only: SimulatedBinance, tmp_path: Path) -> None:
    ban = Fault("klines", status=418, headers={"Retry-After": "259200"}, times=ALWAYS)
    rest_only.faults.append(ban)

    with pytest.raises(IncompleteBackfill, match="too many requests, retry after 259200 s"):
        backfill(rest_only, *SPAN, into=tmp_path, downloads=1)

    assert len(pages(rest_only)) == 1


def test_an_address_that_others_have_used_up_waits_for_the_next_minute(tmp_path: Path) -> None:
    # Six pages of weight 2, where the exchange grants 7 a minute: 429 twice, each waited out.
    with simulated_binance("2024-03-01T00:00:30", outages=NEVER_DOWN, weight_limit=7) as exchange:
        exchange.faults.append(Fault(r"/data/", status=404, times=ALWAYS))
        report = backfill(exchange, *SPAN, into=tmp_path, downloads=1)

        assert exchange.clock.now_ms() >= utc("2024-03-01 00:01")
        assert len(pages(exchange)) <= 8
    assert stored_opens(tmp_path) == OPENS
    assert report.pending == ()


# --- Callers' mistakes ---


def test_an_unknown_symbol_is_named_and_nothing_is_written(
    exchange: SimulatedBinance, tmp_path: Path
) -> None:
    with pytest.raises(UnknownSymbol, match="lists no symbol 'NOPEUSDT'"):
        backfill(exchange, "NOPEUSDT", "1m", *SPAN, into=tmp_path)

    assert parquet_files(tmp_path) == {}


@pytest.mark.parametrize(
    ("symbol", "timeframe", "start", "end", "message"),
    [
        ("BTC-USDT", "1m", *SPAN, "Write 'BTCUSDT'"),
        ("BTCUSDT", "7m", *SPAN, "not a timeframe"),
        ("BTCUSDT", "1m", "2024-01-17", "2024-01-15", "Nothing lies between"),
        ("BTCUSDT", "1m", "2025-01-17", "now", "lies in the future"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_asked(
    exchange: SimulatedBinance, symbol: str, timeframe: str, start: str, end: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        a_backfiller(exchange, symbol, timeframe, start, end)

    assert len(exchange.requests) == 0


# --- The disk ---


def test_a_full_disk_leaves_nothing_half_written_and_the_next_run_goes_on(tmp_path: Path) -> None:
    with simulated_binance(outages=NEVER_DOWN) as exchange:
        starved = backfill_process(exchange, tmp_path, "BTCUSDT", *SPAN, **{LARGEST_FILE: "30000"})
        told, errors = starved.communicate(timeout=60)

        assert (told, starved.returncode) == ("StorageFull", 0), errors
        assert parquet_files(tmp_path) == {}
        assert list((tmp_path / "_tmp").iterdir()) == []

        backfill(exchange, *SPAN, into=tmp_path)

    assert stored_opens(tmp_path) == OPENS
