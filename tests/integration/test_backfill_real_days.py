"""Real Vision days through the whole path: exactly the files' rows, and outages to the minute."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from streamforge_core.runners.backfill_run import BackfillReport
from streamforge_core.store.reader import Store
from tests.support.archives import rows_of_files
from tests.support.backfills import BTC_1M, asked_files, backfill, pages
from tests.support.instants import utc
from tests.support.market_data import market_data
from tests.support.simulated import simulated_binance

MINUTE = 60_000
VALUES = ("open_ts", "open", "high", "low", "close", "volume", "quote_volume", "n_trades")


class Filled(NamedTuple):
    """What a backfill of some real days left behind."""

    store: Store
    report: BackfillReport
    files: list[str]
    pages: list[dict[str, str]]


def filled(path: Path, start: str, end: str) -> Filled:
    folder = market_data("binance_spot_daily")
    with simulated_binance("2026-01-10T00:00", archive_dir=folder) as exchange:
        report = backfill(exchange, start, end, into=path)
        return Filled(Store(path), report, asked_files(exchange), pages(exchange))


def rows(store: Store) -> list[tuple[float | int, ...]]:
    table = store.read(**BTC_1M)
    columns = [table.column(name).to_pylist() for name in VALUES]
    return list(zip(*columns, strict=True))


def files_rows(days: Sequence[str]) -> list[tuple[float | int, ...]]:
    names = [f"BTCUSDT-1m-{day}.csv" for day in days]
    return rows_of_files([market_data("binance_spot_daily", name) for name in names])


def holes(store: Store, start: str, end: str) -> list[tuple[int, int, int, str, bool]]:
    """Return first, last, count, verdict of what a store misses, and whether that is proven."""
    missing = store.missing(**BTC_1M, start=start, end=end)
    return [(h.first_open_ts, h.last_open_ts, h.count, h.verdict, h.is_final()) for h in missing]


def test_the_outage_of_2018_is_three_holes_of_2060_minutes(tmp_path: Path) -> None:
    days = ["2018-02-08", "2018-02-09", "2018-02-10", "2018-02-11"]

    done = filled(tmp_path, days[0], days[-1])

    assert rows(done.store) == files_rows(days)
    assert (len(rows(done.store)), done.report.rows) == (3_700, 3_700)
    found = holes(done.store, "2018-02-08", "2018-02-12")
    assert [hole[2:] for hole in found] == [
        (2_011, "exchange_outage", True),
        (15, "exchange_outage", True),
        (34, "exchange_outage", True),
    ]
    assert found[0][:2] == (utc("2018-02-08 00:29"), utc("2018-02-09 09:59"))
    present = {row[0] for row in rows(done.store)}
    absent = [ts for hole in found for ts in range(hole[0], hole[1] + MINUTE, MINUTE)]
    assert (len(absent), present & set(absent)) == (2_060, set())


def test_the_80_minutes_of_2023_are_one_page_request_and_one_hole(tmp_path: Path) -> None:
    done = filled(tmp_path, "2023-03-24", "2023-03-24")

    first, last = utc("2023-03-24 12:40"), utc("2023-03-24 13:59")
    assert rows(done.store) == files_rows(["2023-03-24"])
    assert holes(done.store, "2023-03-24", "2023-03-25") == [
        (first, last, 80, "exchange_outage", True)
    ]
    assert done.report.rows == 1_360
    assert [(page["startTime"], page["endTime"]) for page in done.pages] == [
        (str(first), str(last + MINUTE - 1))
    ]


def test_72_minutes_without_a_trade_are_candles_and_a_cut_end_is_not_taken_over(
    tmp_path: Path,
) -> None:
    done = filled(tmp_path, "2023-03-24", "2023-03-24")

    quiet = done.store.read(
        **BTC_1M, start=utc("2023-03-24 11:28"), end=utc("2023-03-24 12:40")
    ).to_pylist()
    assert len(quiet) == 72
    assert {(row["close"], row["volume"], row["vwap"]) for row in quiet} == {(28080.0, 0.0, None)}
    assert quiet[-1]["end_ts"] == utc("2023-03-24 12:40") - 1


def test_the_evidence_of_an_outage_names_its_witnesses(tmp_path: Path) -> None:
    (hole,) = filled(tmp_path, "2023-03-24", "2023-03-24").report.holes

    assert [(evidence.asked, evidence.answer) for evidence in hole.evidence] == [
        ("archive", "no row in BTCUSDT-1m-2023-03-24.zip"),
        ("rest", "0 rows"),
        ("before", "a candle opens 2023-03-24T12:39:00Z"),
        ("after", "a candle opens 2023-03-24T14:00:00Z"),
    ]


@pytest.mark.parametrize(
    ("start", "end", "neighbours"),
    [
        ("2023-03-24 12:50", "2023-03-24 14:10", [("before", "2023-03-24 12:50")]),
        ("2023-03-24 12:30", "2023-03-24 13:30", [("from", "2023-03-24 13:30")]),
        (
            "2023-03-24 12:50",
            "2023-03-24 13:30",
            [("from", "2023-03-24 13:30"), ("before", "2023-03-24 12:50")],
        ),
    ],
)
def test_a_range_that_begins_or_ends_in_the_hole_asks_for_its_neighbour_too(
    tmp_path: Path, start: str, end: str, neighbours: list[tuple[str, str]]
) -> None:
    done = filled(tmp_path, start, end)

    hole, *others = done.pages
    assert (hole["limit"], len(others)) == ("1000", len(neighbours))
    asked = [
        ("from", int(page["startTime"]))
        if "startTime" in page
        else ("before", int(page["endTime"]) + 1)
        for page in others
    ]
    assert asked == [(side, utc(text)) for side, text in neighbours]
    assert [hole.verdict for hole in done.report.holes] == ["exchange_outage"]


def test_the_change_of_unit_is_one_continuous_series(tmp_path: Path) -> None:
    days = ["2024-12-30", "2024-12-31", "2025-01-01", "2025-01-02"]

    done = filled(tmp_path, days[0], days[-1])

    assert rows(done.store) == files_rows(days)
    opens = [row[0] for row in rows(done.store)]
    assert opens == list(range(utc("2024-12-30 00:00"), utc("2025-01-03 00:00"), MINUTE))
    assert (len(opens), done.files, done.pages) == (5_760, days, [])
    assert holes(done.store, "2024-12-30", "2025-01-03") == []


def test_outside_of_what_the_exchange_has_nothing_is_a_hole(tmp_path: Path) -> None:
    # The first day of the folder is 2018-02-08, the last one 2025-01-02.
    before = filled(tmp_path / "before", "2018-02-06", "2018-02-08 00:10:00")
    after = filled(tmp_path / "after", "2025-01-02 23:50:00", "2025-01-03")

    assert (before.report.rows, after.report.rows) == (10, 10)
    assert holes(before.store, "2018-02-06", "2018-02-08") == []
    assert holes(after.store, "2025-01-02 23:50:00", "2025-01-04") == []
