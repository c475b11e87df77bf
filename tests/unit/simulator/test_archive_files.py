import io
import zipfile
from pathlib import Path

import pytest

from streamforge_core.errors import ConfigError
from streamforge_core.simulator.archive_files import ArchiveFolder
from tests.support.simulated import at

NOW = at("2024-06-01")
LINE = "1704067200000,5.0,6.0,4.0,5.5,2.0,1704067259999,11.0,3,1.0,5.5,0\n"
FOLDER = "/data/spot/daily/klines/FOOUSDT/1m"
NAME = "FOOUSDT-1m-2024-01-01"


def zip_of(name: str, text: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, text)
    return buffer.getvalue()


@pytest.mark.parametrize("where", ["", "data/spot/daily/klines/FOOUSDT/1m"])
def test_a_csv_is_served_as_a_zip_at_the_documented_path(tmp_path: Path, where: str) -> None:
    (tmp_path / where).mkdir(parents=True, exist_ok=True)
    (tmp_path / where / f"{NAME}.csv").write_text(LINE)
    folder = ArchiveFolder(tmp_path)

    content = folder.read(f"{FOLDER}/{NAME}.zip", NOW)

    assert content is not None
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == [f"{NAME}.csv"]
        assert archive.read(f"{NAME}.csv") == LINE.encode()
    assert folder.read(f"{FOLDER}/{NAME}.zip", NOW) == content


def test_a_zip_is_served_as_it_lies_there(tmp_path: Path) -> None:
    stored = zip_of(f"{NAME}.csv", LINE)
    (tmp_path / f"{NAME}.zip").write_bytes(stored)
    (tmp_path / f"{NAME}.csv").write_text("a copy somebody unpacked")

    folder = ArchiveFolder(tmp_path)

    assert folder.read(f"{FOLDER}/{NAME}.zip", NOW) == stored
    assert folder.feeds()["FOOUSDT"].rows("1m", 0, NOW, NOW)[0].close == "5.5"


def test_a_checksum_is_computed_unless_one_lies_there(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.zip").write_bytes(b"abc")
    folder = ArchiveFolder(tmp_path)
    path = f"{FOLDER}/{NAME}.zip.CHECKSUM"

    # The digest of "abc" in FIPS 180-2, appendix B.1.
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert folder.read(path, NOW) == f"{digest}  {NAME}.zip\n".encode()

    (tmp_path / f"{NAME}.zip.CHECKSUM").write_text("as published\n")
    assert folder.read(path, NOW) == b"as published\n"


def test_what_is_not_there_or_not_published_is_not_served(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.csv").write_text(LINE)
    (tmp_path / "FOOUSDT-1m-2024-02.csv").write_text(LINE)
    folder = ArchiveFolder(tmp_path)
    monthly = FOLDER.replace("daily", "monthly")

    assert folder.read(f"{FOLDER}/{NAME}.zip", at("2024-01-02T01:59")) is None
    assert folder.read(f"{FOLDER}/{NAME}.zip", at("2024-01-02T02:00")) is not None
    assert folder.read(f"{FOLDER}/FOOUSDT-1m-2024-01-02.zip", NOW) is None
    assert folder.read(f"{monthly}/FOOUSDT-1m-2024-01.zip", NOW) is None
    assert folder.read(f"{monthly}/FOOUSDT-1m-2024-02.zip", NOW) is not None
    assert folder.read("/data/spot/elsewhere.zip", NOW) is None


def test_a_symbol_is_read_from_its_smallest_interval(tmp_path: Path) -> None:
    (tmp_path / "FOOUSDT-1h-2024-01-01.csv").write_text(LINE.replace("5.5,2.0", "9.9,2.0"))
    (tmp_path / f"{NAME}.csv").write_text(LINE)
    (tmp_path / "BARUSDT-5m-2024-01-01.csv").write_text(LINE)
    (tmp_path / "notes.csv").write_text("of no concern")

    feeds = ArchiveFolder(tmp_path).feeds()

    assert list(feeds) == ["BARUSDT", "FOOUSDT"]
    assert feeds["FOOUSDT"].rows("1h", 0, NOW, NOW)[0].close == "5.5"
    assert feeds["BARUSDT"].rows("1m", 0, NOW, NOW) == []


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no archive files"):
        ArchiveFolder(tmp_path)
    with pytest.raises(ConfigError, match="no archive files"):
        ArchiveFolder(tmp_path / "absent")
