"""Binance's past: what is asked for, and what its pages and files are read as."""

import importlib.util
import json
import logging
import struct
import sys
import zipfile
import zlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import pyarrow as pa
import pytest
from isal import isal_zlib

from streamforge_core.errors import (
    ConfigError,
    MalformedMessage,
    RequestRefused,
    UnknownSymbol,
    UnsupportedTimeframe,
)
from streamforge_core.exchanges.binance import history as module
from streamforge_core.exchanges.binance.constants import SPOT
from streamforge_core.exchanges.binance.history import BinanceHistory
from streamforge_core.model.columns import KLINE_SCHEMA
from streamforge_core.model.exchange import ArchiveFile, Market
from tests.support.archives import HEADER, csv_row, zip_of, zip_with
from tests.support.builders import MINUTE, START, ts

NOW = ts("2026-01-01 00:00")
HISTORY = BinanceHistory(SPOT)


def read(content: bytes, timeframe: str = "1m", now_ms: int = NOW) -> list[dict[str, object]]:
    return HISTORY.parse_archive(content, "BTCUSDT", timeframe, now_ms=now_ms).to_pylist()


def page(rows: object, timeframe: str = "1m", now_ms: int = NOW) -> list[dict[str, object]]:
    body = rows if isinstance(rows, bytes) else json.dumps(rows).encode()
    return HISTORY.parse_page(body, "BTCUSDT", timeframe, now_ms=now_ms).to_pylist()


def rest_row(open_ms: int, **values: object) -> list[object]:
    """Return a row as REST writes it: integers for times and trades, texts for the rest."""
    cells = csv_row(open_ms, **values).split(",")
    return [int(cell) if index in {0, 6, 8} else cell for index, cell in enumerate(cells)]


@pytest.fixture(params=[isal_zlib, zlib], ids=["isal", "zlib"])
def either_inflater(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read archives once as with the extra `fast`, once as without it."""
    monkeypatch.setattr(module, "inflation", request.param)


def load_again(loaded: ModuleType) -> Any:  # noqa: ANN401 - a module
    """Return a second copy of a module, read in the circumstances of now."""
    spec = importlib.util.spec_from_file_location(loaded.__name__, loaded.__file__ or "")
    assert spec is not None
    assert spec.loader is not None
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    return copy


# --- What is asked for ---


def test_a_page_asks_for_open_times_both_inclusive() -> None:
    request = HISTORY.page("BTCUSDT", "1m", START, START + MINUTE)

    assert (request.kind, request.path, request.weight) == ("REST", "/api/v3/klines", 2)
    assert request.params == (
        ("symbol", "BTCUSDT"),
        ("interval", "1m"),
        ("startTime", "1705276800000"),
        ("endTime", "1705276860000"),
        ("limit", "1000"),
    )


def test_the_neighbours_of_a_hole_are_asked_for_one_by_one() -> None:
    before = dict(HISTORY.newest_before("BTCUSDT", "1M", START).params)
    after = dict(HISTORY.oldest_from("BTCUSDT", "1M", START).params)

    assert before == {
        "symbol": "BTCUSDT",
        "interval": "1M",
        "endTime": "1705276799999",
        "limit": "1",
    }
    assert after == {
        "symbol": "BTCUSDT",
        "interval": "1M",
        "startTime": "1705276800000",
        "limit": "1",
    }


def test_a_symbol_of_another_venues_form_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(ConfigError, match="Write 'BTCUSDT'"):
        HISTORY.check("BTC/USDT", "1m")


def test_a_timeframe_that_the_market_does_not_serve_is_refused() -> None:
    hourly = Market("Binance", "SPOT", "spot", SPOT.endpoints, {"1h": "1h"})

    with pytest.raises(UnsupportedTimeframe, match="serves no 1m candles"):
        BinanceHistory(hourly).check("BTCUSDT", "1m")


def test_the_clock_is_read_in_milliseconds() -> None:
    assert HISTORY.clock().path == "/api/v3/time"
    assert HISTORY.parse_clock(b'{"serverTime":1735689660123}') == 1_735_689_660_123


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"serverTime":"soon"}', b"\xff", b""])
def test_a_clock_that_is_none_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedMessage):
        HISTORY.parse_clock(body)


# --- Which archive files hold a span ---


def files(
    timeframe: str, start: str, end: str, now: str = "2026-01-01 00:00"
) -> Sequence[ArchiveFile]:
    return HISTORY.archives("BTCUSDT", timeframe, ts(start), ts(end), now_ms=ts(now))


def names(found: Sequence[ArchiveFile]) -> list[str]:
    return [file.file.path.rsplit("/", 1)[-1] for file in found]


def test_days_are_asked_for_as_daily_files_beside_their_checksums() -> None:
    (file,) = files("1m", "2024-01-15 10:00", "2024-01-15 11:00")

    path = "/data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01-15.zip"
    assert file.file.path == path
    assert file.checksum is not None
    assert file.checksum.path == f"{path}.CHECKSUM"
    assert (file.file.kind, file.file.weight, file.checksum.weight) == ("ARCHIVE", 0, 0)
    assert (file.start_ms, file.end_ms) == (ts("2024-01-15 00:00"), ts("2024-01-16 00:00"))


def test_a_whole_month_is_one_file_with_its_days_as_parts() -> None:
    found = files("1m", "2024-01-30 00:00", "2024-03-03 00:00")

    assert names(found) == [
        "BTCUSDT-1m-2024-01-30.zip",
        "BTCUSDT-1m-2024-01-31.zip",
        "BTCUSDT-1m-2024-02.zip",
        "BTCUSDT-1m-2024-03-01.zip",
        "BTCUSDT-1m-2024-03-02.zip",
    ]
    assert found[2].file.path == "/data/spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-02.zip"
    assert len(found[2].parts) == 29
    assert names(found[2].parts[-1:]) == ["BTCUSDT-1m-2024-02-29.zip"]
    assert not found[0].parts


def test_today_has_no_file_and_the_running_month_has_only_days() -> None:
    found = files("1m", "2024-01-01 00:00", "2024-01-03 10:00", now="2024-01-03 10:00")

    assert names(found) == ["BTCUSDT-1m-2024-01-01.zip", "BTCUSDT-1m-2024-01-02.zip"]


def test_seconds_are_read_by_the_day_to_bound_the_memory() -> None:
    found = files("1s", "2024-02-01 00:00", "2024-03-01 00:00")

    assert len(found) == 29
    assert names(found[:1]) == ["BTCUSDT-1s-2024-02-01.zip"]


@pytest.mark.parametrize(("timeframe", "spelling"), [("3d", "3d"), ("1w", "1w"), ("1M", "1mo")])
def test_above_a_day_there_are_months_only_and_a_month_is_spelled_1mo(
    timeframe: str, spelling: str
) -> None:
    (file,) = files(timeframe, "2024-01-10 00:00", "2024-01-20 00:00")

    path = f"/data/spot/monthly/klines/BTCUSDT/{spelling}/BTCUSDT-{spelling}-2024-01.zip"
    assert (file.file.path, file.parts) == (path, ())


def test_above_a_day_the_running_month_has_no_file_at_all() -> None:
    assert files("1w", "2024-01-01 00:00", "2024-01-20 00:00", now="2024-01-20 00:00") == []


# --- Pages ---


def test_a_row_becomes_a_candle_with_its_own_vwap() -> None:
    (candle,) = page([rest_row(START)])

    assert candle == {
        "source": "Binance",
        "symbol": "BTCUSDT",
        "timeframe": "1m",
        "open_ts": 1_705_276_800_000,
        "end_ts": 1_705_276_859_999,
        "open": 100.0,
        "high": 110.0,
        "low": 90.0,
        "close": 105.0,
        "volume": 2.0,
        "quote_volume": 208.0,
        "vwap": 104.0,
        "n_trades": 7,
        "is_closed": True,
    }


def test_the_documented_page_is_read_to_its_last_digit() -> None:
    # binance-spot-api-docs rest-api.md, "Kline/Candlestick data": the sample row, a week of 2017.
    row = (
        b'[[1499040000000,"0.01634790","0.80000000","0.01575800","0.01577100","148976.11427815",'
        b'1499644799999,"2434.19055334",308,"1756.87402397","28.46694368","0"]]'
    )

    (candle,) = page(row, "1w")

    assert (candle["open_ts"], candle["end_ts"]) == (1_499_040_000_000, 1_499_644_799_999)
    assert (candle["high"], candle["volume"]) == (0.8, 148976.11427815)
    assert (candle["quote_volume"], candle["n_trades"]) == (2434.19055334, 308)


def test_nothing_traded_is_a_candle_with_zero_volume_and_no_vwap() -> None:
    quiet = {"volume": "0.0", "quote_volume": "0.0", "count": 0}

    (candle,) = page([rest_row(START, **quiet)])

    assert (candle["volume"], candle["vwap"], candle["n_trades"]) == (0.0, None, 0)


def test_the_forming_row_is_refused_by_its_end_and_not_by_its_looks() -> None:
    rows = [rest_row(START), rest_row(START + MINUTE)]

    assert [row["open_ts"] for row in page(rows, now_ms=START + 2 * MINUTE)] == [
        START,
        START + MINUTE,
    ]
    assert [row["open_ts"] for row in page(rows, now_ms=START + 2 * MINUTE - 1)] == [START]


def test_a_cut_close_time_does_not_make_a_forming_row_look_closed() -> None:
    cut = rest_row(START, close_time=START + 5_000)

    assert page([cut], now_ms=START + 10_000) == []


def test_an_empty_page_has_no_candles_and_the_same_columns() -> None:
    table = HISTORY.parse_page(b"[]", "BTCUSDT", "1m", now_ms=NOW)

    assert (table.schema, table.num_rows) == (KLINE_SCHEMA, 0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>502 Bad Gateway</body></html>",
        b'{"code":-1121,"msg":"Invalid symbol."}',
        b"[[1]]",
        b'[[1,"a","1","1","1","1",1,"1",1]]',
        b"[" * 100_000,
        b'[["\xff"]]',
        b'[[99999999999999999999999,"1","1","1","1","1",1,"1",1]]',
        b'[[1705276800000,"1","1","1","1","1",1,"1",99999999999999999999999]]',
        b'[[1705276800000,"1","1","1","1"',
    ],
)
def test_a_page_that_is_none_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedMessage):
        page(body)


# --- Archives: header, unit, order ---


@pytest.mark.usefixtures("either_inflater")
def test_without_a_header_columns_are_known_by_position() -> None:
    rows = read(zip_of(csv_row(START), csv_row(START + MINUTE)))

    assert [(row["open_ts"], row["close"]) for row in rows] == [
        (START, 105.0),
        (START + MINUTE, 105.0),
    ]


def test_a_header_is_sniffed_and_columns_are_known_by_name() -> None:
    swapped = HEADER.split(",")
    cells = csv_row(START).split(",")
    swapped[1], swapped[4] = swapped[4], swapped[1]
    cells[1], cells[4] = cells[4], cells[1]

    assert read(zip_of(",".join(swapped), ",".join(cells))) == read(zip_of(csv_row(START)))


@pytest.mark.parametrize(
    "header",
    [
        HEADER.replace("count", "trades"),
        HEADER.replace("count", "volume"),
        HEADER.removesuffix(",ignore") + ",volume",
        "open_time,open,high",
        "<html>",
        "",
        "\ufeff" + HEADER,
        '"' + "x" * 200_000,
    ],
)
def test_a_header_with_unknown_missing_or_doubled_names_is_refused(header: str) -> None:
    with pytest.raises(MalformedMessage, match="header"):
        read(zip_of(header, csv_row(START)))


def test_windows_line_ends_are_read() -> None:
    text = f"{HEADER}\r\n{csv_row(START)}\r\n".encode()

    assert read(zip_with({"a.csv": text})) == read(zip_of(csv_row(START)))


def test_the_unit_is_judged_row_by_row() -> None:
    # Microseconds from 2025-01-01 on; a close of 1735689659999999 us is 1735689659999 ms.
    last_ms, first_us = ts("2024-12-31 23:59"), ts("2025-01-01 00:00")

    rows = read(
        zip_of(
            csv_row(last_ms),
            csv_row(first_us, open_time=f"{first_us}000", close_time=f"{first_us + 59_999}999"),
        )
    )

    assert [row["open_ts"] for row in rows] == [1_735_689_540_000, 1_735_689_600_000]
    assert [row["end_ts"] for row in rows] == [1_735_689_599_999, 1_735_689_659_999]


@pytest.mark.parametrize("open_time", ["1705276800", "1705276800000000000"])
def test_seconds_and_nanoseconds_are_read_too(open_time: str) -> None:
    (row,) = read(zip_of(csv_row(START, open_time=open_time)))

    assert row["open_ts"] == START


@pytest.mark.parametrize(
    "open_time", ["0", "1", "20240115", "1830000000000", "9223372036854775807"]
)
def test_an_open_before_2009_or_after_tomorrow_is_refused(open_time: str) -> None:
    with pytest.raises(MalformedMessage, match=f"{open_time} is no instant"):
        read(zip_of(csv_row(START, open_time=open_time)))


def test_a_cut_close_time_is_logged_and_the_end_is_the_calendars(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # 2018-02-08 00:28 ended at 00:28:14.788 when the exchange went down.
    open_ts = ts("2018-02-08 00:28")

    with caplog.at_level(logging.INFO):
        (row,) = read(zip_of(csv_row(open_ts, close_time=open_ts + 14_788)))

    assert row["end_ts"] == open_ts + 59_999
    assert caplog.messages == ["BTCUSDT 1m: 1 of 1 candles have a cut end: 1518049694788"]


def test_a_candle_off_the_grid_keeps_its_own_open_and_is_counted_once_a_file(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # After the restart of 2018-02-09 hours opened at HH:28:15.
    open_ts = ts("2018-02-09 10:28") + 15_000
    length = 3_600_000

    with caplog.at_level(logging.INFO):
        rows = read(zip_of(*(csv_row(open_ts + n * length, close_time=0) for n in range(2))), "1h")

    assert [row["open_ts"] for row in rows] == [open_ts, open_ts + length]
    assert rows[0]["end_ts"] == open_ts + length - 1
    off_grid = [message for message in caplog.messages if "off the grid" in message]
    assert off_grid == [
        "BTCUSDT 1h: 2 of 2 candles open off the grid: 1518172095000, 1518175695000"
    ]


def test_an_ordinary_file_is_not_worth_a_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        read(zip_of(csv_row(START)))

    assert caplog.messages == []


def test_rows_come_out_ascending_and_each_open_once() -> None:
    rows = read(
        zip_of(csv_row(START + MINUTE), csv_row(START), csv_row(START + MINUTE, close="106.0"))
    )

    assert [(row["open_ts"], row["close"]) for row in rows] == [
        (START, 105.0),
        (START + MINUTE, 105.0),
    ]


def test_an_open_candle_is_never_history_even_in_a_file() -> None:
    content = zip_of(csv_row(START), csv_row(START + MINUTE))

    assert [row["open_ts"] for row in read(content, now_ms=START + MINUTE)] == [START]


def test_a_month_of_a_month_file_ends_with_the_calendar() -> None:
    (row,) = read(zip_of(csv_row(ts("2024-02-01 00:00"))), "1M")

    assert row["end_ts"] == ts("2024-03-01 00:00") - 1


@pytest.mark.parametrize("text", [b"", b"\n", b"  \r\n\n"])
@pytest.mark.usefixtures("either_inflater")
def test_an_empty_csv_has_no_candles(text: bytes) -> None:
    table = HISTORY.parse_archive(zip_with({"a.csv": text}), "BTCUSDT", "1m", now_ms=NOW)

    assert (table.schema, table.num_rows) == (KLINE_SCHEMA, 0)


# --- Archives: what cannot be ---


@pytest.mark.parametrize(
    "values",
    [
        {"open": "nan"},
        {"high": "inf"},
        {"low": "-inf"},
        {"low": "-inf", "high": "inf"},
        {"close": "NaN"},
        {"volume": "inf"},
        {"volume": "-1.0"},
        {"quote_volume": "nan"},
        {"quote_volume": "-0.1"},
        {"count": "-1"},
        {"high": "104.9"},
        {"high": "99.0", "close": "98.0"},
        {"low": "100.1"},
        {"low": "120.0", "high": "80.0"},
    ],
)
def test_values_that_no_candle_can_have_are_refused_with_the_row_named(
    values: dict[str, str],
) -> None:
    content = zip_of(csv_row(START), csv_row(START + MINUTE, **values))

    with pytest.raises(MalformedMessage, match=r"No candle can be .*2024-01-15T00:01:00Z"):
        read(content)
    with pytest.raises(MalformedMessage, match="No candle can be"):
        page([rest_row(START, **values)])


@pytest.mark.parametrize(
    "line",
    [
        csv_row(START)[:40],
        csv_row(START) + ",1",
        csv_row(START, close=""),
        csv_row(START, close="null"),
        csv_row(START, close="1,5"),
        csv_row(START, count="1.5"),
        csv_row(START, close_time="99999999999999999999"),
        csv_row(START, open="0x10"),
        "\x00",
    ],
)
def test_a_line_that_is_no_row_makes_the_file_malformed(line: str) -> None:
    with pytest.raises(MalformedMessage, match="csv cannot be read"):
        read(zip_of(csv_row(START), line))


def test_a_csv_cut_in_the_middle_of_a_row_is_malformed() -> None:
    text = f"{csv_row(START)}\n{csv_row(START + MINUTE)}".encode()

    with pytest.raises(MalformedMessage, match="csv cannot be read"):
        read(zip_with({"a.csv": text[:-30]}))


@pytest.mark.usefixtures("either_inflater")
def test_an_error_page_instead_of_a_zip_is_malformed() -> None:
    with pytest.raises(MalformedMessage, match="no readable zip"):
        read(b"<!DOCTYPE html><html><body>Service unavailable</body></html>")


def test_an_error_page_inside_a_zip_is_malformed() -> None:
    with pytest.raises(MalformedMessage, match="header"):
        read(zip_with({"a.csv": b"<html>Service unavailable</html>"}))


def test_a_zip_with_two_files_is_refused() -> None:
    with pytest.raises(MalformedMessage, match="holds one csv"):
        read(zip_with({"a.csv": b"1", "b.csv": b"2"}))


def test_a_zip_with_no_file_is_refused() -> None:
    with pytest.raises(MalformedMessage, match="holds one csv"):
        read(zip_with({}))


def test_a_zip_that_announces_too_much_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CSV_BYTES", 1_000)
    bomb = zip_with({"a.csv": b"0" * 1_001})

    assert len(bomb) < 150
    with pytest.raises(MalformedMessage, match="holds sizes"):
        read(bomb)


@pytest.mark.usefixtures("either_inflater")
def test_a_zip_that_lies_about_its_size_is_refused() -> None:
    honest = zip_with({"a.csv": b"0" * 1_000_000})
    liar = honest.replace(struct.pack("<L", 1_000_000), struct.pack("<L", 10))

    with pytest.raises(MalformedMessage, match="no readable zip"):
        read(liar)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_method_whose_output_cannot_be_bounded_is_refused(method: int) -> None:
    with pytest.raises(MalformedMessage, match="not deflated"):
        read(zip_with({"a.csv": csv_row(START).encode()}, method))


@pytest.mark.parametrize("name", ["../../evil.csv", "/etc/cron.d/evil", "C:\\evil.csv"])
def test_a_path_inside_a_zip_reaches_no_disk(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the archive was extracted")

    monkeypatch.setattr(zipfile.ZipFile, "extract", refuse)
    monkeypatch.setattr(zipfile.ZipFile, "_extract_member", refuse)

    assert read(zip_of(csv_row(START), name=name)) == read(zip_of(csv_row(START)))


@pytest.mark.usefixtures("either_inflater")
def test_an_encrypted_zip_is_malformed() -> None:
    content = bytearray(zip_of(csv_row(START)))
    content[6] |= 1  # the flag in the local header
    content[content.index(b"PK\x01\x02") + 8] |= 1  # and in the directory

    with pytest.raises(MalformedMessage, match="encrypted"):
        read(bytes(content))


@pytest.mark.usefixtures("either_inflater")
def test_a_csv_that_is_longer_or_shorter_than_announced_is_refused() -> None:
    text = csv_row(START).encode()
    good = zip_with({"a.csv": text})

    for size in (len(text) - 1, len(text) + 1):
        liar = good.replace(struct.pack("<L", len(text)), struct.pack("<L", size))
        with pytest.raises(MalformedMessage, match="no readable zip"):
            read(liar)


@pytest.mark.usefixtures("either_inflater")
def test_the_local_header_says_where_the_csv_begins() -> None:
    content = zip_of(csv_row(START))
    lengths = struct.unpack_from("<H", content, 26)
    begin = 30 + lengths[0]
    extra = struct.pack("<HHL", 0xCAFE, 4, 0)  # of a kind that nobody knows, in this header alone
    padded = bytearray(content[:begin] + extra + content[begin:])
    padded[28:30] = struct.pack("<H", len(extra))
    directory = padded.index(b"PK\x05\x06") + 16
    (offset,) = struct.unpack_from("<L", padded, directory)
    padded[directory : directory + 4] = struct.pack("<L", offset + len(extra))

    assert read(bytes(padded)) == read(content)


def test_a_csv_that_is_stored_unpacked_is_read_too() -> None:
    stored = zip_with({"a.csv": csv_row(START).encode()}, zipfile.ZIP_STORED)

    assert read(stored) == read(zip_of(csv_row(START)))


def test_without_the_extra_fast_the_standard_library_inflates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "isal", None)
    plain = load_again(module)

    table = plain.BinanceHistory(SPOT).parse_archive(
        zip_of(csv_row(START)), "BTCUSDT", "1m", now_ms=NOW
    )

    assert plain.inflation is zlib
    assert table.column("open_ts").to_pylist() == [START]


@pytest.mark.usefixtures("either_inflater")
def test_any_flipped_byte_and_any_cut_is_malformed_or_harmless() -> None:
    good = zip_of(csv_row(START))
    expected = read(good)
    damaged = [good[:size] for size in range(len(good))]
    for place in range(len(good)):
        damaged += [
            good[:place] + bytes([good[place] ^ flip]) + good[place + 1 :] for flip in (0x01, 0xFF)
        ]

    for content in damaged:
        try:
            rows = read(content)
        except MalformedMessage:
            continue
        assert rows in (expected, [])  # a date in the zip, say; its own CRC guards the rows


# --- Errors ---


def body(code: int, text: str) -> bytes:
    return json.dumps({"code": code, "msg": text}).encode()


def test_an_answer_below_400_refuses_nothing() -> None:
    assert HISTORY.error_of(200, b"[]", symbol="BTCUSDT") is None


def test_an_unknown_symbol_is_named() -> None:
    error = HISTORY.error_of(400, body(-1121, "Invalid symbol."), symbol="NOPEUSDT")

    assert isinstance(error, UnknownSymbol)
    assert "lists no symbol 'NOPEUSDT'" in str(error)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (-1120, "Invalid interval."),
        (-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."),
    ],
)
def test_any_other_refusal_carries_the_venues_words(code: int, text: str) -> None:
    error = HISTORY.error_of(400, body(code, text), symbol="BTCUSDT")

    assert isinstance(error, RequestRefused)
    assert (error.status, error.code) == (400, code)
    assert text in str(error)


@pytest.mark.parametrize("content", [b"<html>Forbidden</html>", b"", b"\xff\xfe", b"[1]"])
def test_a_refusal_without_its_body_is_a_refusal_all_the_same(content: bytes) -> None:
    error = HISTORY.error_of(403, content, symbol="BTCUSDT")

    assert isinstance(error, RequestRefused)
    assert (error.status, error.code) == (403, None)


def test_the_tables_of_a_page_and_of_a_file_can_be_joined() -> None:
    archive = HISTORY.parse_archive(zip_of(csv_row(START)), "BTCUSDT", "1m", now_ms=NOW)
    rest = HISTORY.parse_page(json.dumps([rest_row(START)]).encode(), "BTCUSDT", "1m", now_ms=NOW)

    assert archive.equals(rest)
    assert pa.concat_tables([archive, rest]).num_rows == 2
