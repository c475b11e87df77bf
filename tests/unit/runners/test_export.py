"""One table into one file, whole or not at all."""

from pathlib import Path

import pyarrow.csv
import pyarrow.parquet
import pytest

from streamforge_core.errors import ConfigError, StorageFull
from streamforge_core.runners.export import export_table
from tests.support.builders import a_minute, a_table


@pytest.mark.parametrize(
    ("name", "read"),
    [("candles.csv", pyarrow.csv.read_csv), ("candles.parquet", pyarrow.parquet.read_table)],
)
def test_what_is_written_reads_back(tmp_path: Path, name: str, read: object) -> None:
    table = a_table([a_minute(0, close=0.1), a_minute(1, close=93_576.01)])

    export_table(table, tmp_path / "deep" / name)

    assert callable(read)
    assert read(tmp_path / "deep" / name).column("close").to_pylist() == [0.1, 93_576.01]


def test_nothing_is_left_beside_the_file(tmp_path: Path) -> None:
    export_table(a_table([a_minute(0)]), tmp_path / "candles.csv")

    assert [file.name for file in tmp_path.iterdir()] == ["candles.csv"]


def test_an_unknown_ending_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"neither \.csv nor \.parquet"):
        export_table(a_table([]), tmp_path / "candles.xlsx")


def test_a_place_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StorageFull, match="cannot be written"):
        export_table(a_table([]), tmp_path / "file" / "candles.csv")
