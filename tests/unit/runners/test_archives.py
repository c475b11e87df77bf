"""Archive files: verified, tried again, quarantined, or left to REST."""

import hashlib
import logging
from collections.abc import Callable

import pytest

from streamforge_core.errors import ConnectionLost, RateLimited, ServerFailure
from streamforge_core.exchanges.binance.constants import SPOT
from streamforge_core.exchanges.binance.history import BinanceHistory
from streamforge_core.model.columns import instants
from streamforge_core.model.coverage import ArchiveEntry
from streamforge_core.model.exchange import ArchiveFile, Request
from streamforge_core.runners.archives import ArchiveReader, Reading
from streamforge_core.transport.http import Answer
from tests.support.archives import csv_row, zip_of
from tests.support.builders import MINUTE, START
from tests.support.scripted_web import ScriptedClock
from tests.support.tiny_binance import HTML, NOT_FOUND, TinyBinance, Trouble

DAY = 86_400_000
NOW = START + 30 * DAY
PATH = "/data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01-15.zip"
TWO_MINUTES = (START, START + MINUTE)


def a_reader(http: TinyBinance) -> ArchiveReader:
    return ArchiveReader(
        BinanceHistory(SPOT),
        "BTCUSDT",
        "1m",
        http=http,
        clock=ScriptedClock(NOW),
        base=lambda kind: f"http://{kind.lower()}",
    )


def a_file(checksum: bool = True) -> ArchiveFile:  # noqa: FBT001, FBT002 - a builder
    beside = Request("ARCHIVE", f"{PATH}.CHECKSUM", weight=0)
    return ArchiveFile(
        Request("ARCHIVE", PATH, weight=0), beside if checksum else None, START, START + DAY
    )


def read(http: TinyBinance, file: ArchiveFile | None = None) -> Reading:
    return a_reader(http).read(file or a_file(), now_ms=NOW)


def opens(reading: Reading) -> list[int] | None:
    return None if reading.table is None else instants(reading.table).tolist()


def test_a_good_file_gives_its_rows_and_what_is_recorded_of_it() -> None:
    http = TinyBinance(archive=TWO_MINUTES)
    digest = hashlib.sha256(http.files["2024-01-15"]).hexdigest()

    reading = read(http)

    assert opens(reading) == [START, START + MINUTE]
    assert reading.entry == ArchiveEntry(PATH, digest, digest, 2, quarantined=False, read_at=NOW)
    assert (reading.failure, reading.exists) == (None, True)


def test_a_file_that_is_not_there_gives_nothing_at_all() -> None:
    http = TinyBinance()

    assert read(http) == Reading(exists=False)
    assert http.asked == ["file 2024-01-15.zip"]


def test_a_checksum_that_matches_on_the_second_try_is_fine() -> None:
    http = TinyBinance(archive=TWO_MINUTES)
    stale = Answer(200, {}, b"0" * 64 + b"  file.zip\n")
    http.troubles.append(Trouble("CHECKSUM", stale, times=1))

    reading = read(http)

    assert opens(reading) == [START, START + MINUTE]
    assert len(http.asked) == 4


def test_a_checksum_that_never_matches_quarantines_the_file(
    caplog: pytest.LogCaptureFixture,
) -> None:
    http = TinyBinance(archive=TWO_MINUTES)
    wrong = b"AB" * 32
    http.troubles.append(Trouble("CHECKSUM", Answer(200, {}, wrong + b"  file.zip\n")))
    digest = hashlib.sha256(http.files["2024-01-15"]).hexdigest()

    with caplog.at_level(logging.ERROR):
        reading = read(http)

    assert reading.table is None
    assert reading.entry == ArchiveEntry(PATH, digest, "ab" * 32, 0, quarantined=True, read_at=NOW)
    assert caplog.messages == [f"{PATH} is quarantined, REST is asked instead"]
    assert http.asked == ["file 2024-01-15.zip", "file 2024-01-15.zip.CHECKSUM"] * 3


@pytest.mark.parametrize("page", [HTML.body, b"", b"abc", b"f" * 65])
def test_a_checksum_that_is_none_matches_nothing(page: bytes) -> None:
    http = TinyBinance(archive=TWO_MINUTES)
    http.troubles.append(Trouble("CHECKSUM", Answer(200, {}, page)))

    reading = read(http)

    assert reading.entry is not None
    assert (reading.entry.published_sha256, reading.entry.quarantined) == ("unreadable", True)


def test_a_file_without_a_published_checksum_is_read_and_recorded_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    http = TinyBinance(archive=TWO_MINUTES)
    http.troubles.append(Trouble("CHECKSUM", NOT_FOUND))

    reading = read(http)

    assert reading.entry is not None
    assert (reading.entry.published_sha256, reading.entry.rows) == (None, 2)
    assert caplog.messages == [f"{PATH} has no published checksum"]


def test_a_venue_without_checksums_is_not_asked_for_one() -> None:
    http = TinyBinance(archive=TWO_MINUTES)

    reading = read(http, a_file(checksum=False))

    assert opens(reading) == [START, START + MINUTE]
    assert http.asked == ["file 2024-01-15.zip"]


def _corrupt(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def _truncated(_: bytes) -> bytes:
    return zip_of(csv_row(START), csv_row(START + MINUTE)[:25])


def _page(_: bytes) -> bytes:
    return HTML.body


@pytest.mark.parametrize("damage", [_corrupt, _truncated, _page])
def test_content_that_is_damaged_under_a_good_checksum_is_quarantined(
    damage: Callable[[bytes], bytes],
) -> None:
    http = TinyBinance(archive=TWO_MINUTES)
    http.files["2024-01-15"] = damage(http.files["2024-01-15"])

    reading = read(http)

    assert reading.table is None
    assert reading.entry is not None
    assert reading.entry.quarantined
    assert reading.entry.sha256 == reading.entry.published_sha256


def test_an_error_page_instead_of_the_zip_passes_on_the_next_try() -> None:
    http = TinyBinance(archive=TWO_MINUTES)
    http.troubles.append(Trouble(r"zip$", HTML, times=2))

    assert opens(read(http)) == [START, START + MINUTE]


@pytest.mark.parametrize(
    "trouble",
    [
        ConnectionLost("gone"),
        ServerFailure("busy", status=503),
        RateLimited("slow down", retry_after_s=9_999),
        Answer(403, {}, b"<html>Forbidden</html>"),
    ],
)
@pytest.mark.parametrize("path", [r"zip$", "CHECKSUM"])
def test_a_file_that_cannot_be_had_or_verified_is_left_to_rest(
    trouble: Answer | Exception, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    http = TinyBinance(archive=TWO_MINUTES)
    http.troubles.append(Trouble(path, trouble))

    reading = read(http)

    assert (reading.table, reading.entry, reading.exists) == (None, None, True)
    assert reading.failure
    assert "cannot be had, REST is asked instead" in caplog.text


def test_a_host_that_never_answers_is_not_asked_for_ever() -> None:
    http = TinyBinance(archive=TWO_MINUTES)
    http.troubles.append(Trouble("file", ConnectionLost("no route")))
    reader = a_reader(http)

    failures = [reader.read(a_file(), now_ms=NOW).failure for _ in range(5)]

    assert failures[:3] == ["no route"] * 3
    assert failures[3:] == ["not asked: it did not answer for the files before"] * 2
    assert len(http.asked) == 3


@pytest.mark.parametrize("answer", [NOT_FOUND, ServerFailure("busy", status=500)])
def test_any_answer_shows_that_the_host_is_there(answer: Answer | Exception) -> None:
    http = TinyBinance(archive=TWO_MINUTES)
    lost = ConnectionLost("no route")
    http.troubles += [
        Trouble("file", lost, times=2),
        Trouble("file", answer, times=1),
        Trouble("file", lost, times=2),
    ]
    reader = a_reader(http)

    readings = [reader.read(a_file(), now_ms=NOW) for _ in range(6)]

    assert opens(readings[-1]) == [START, START + MINUTE]
