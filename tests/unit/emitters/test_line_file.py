"""A file of whole lines: what a crash tears is cut off, what a full disk cuts is taken back."""

from pathlib import Path

import pytest

from streamforge_core.emitters.line_file import LineFile, cell
from streamforge_core.errors import ConfigError, RecordError


def test_a_new_file_gets_its_header_and_lines(tmp_path: Path) -> None:
    file = LineFile(tmp_path / "deep" / "a.csv")
    file.expect(["symbol", "close"])

    file.append([file.line({"close": 0.1, "symbol": "A"}), file.line({"symbol": "B", "close": 2})])
    file.sync()
    file.close()

    assert (tmp_path / "deep" / "a.csv").read_text() == "symbol,close\nA,0.1\nB,2\n"


def test_a_torn_last_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("symbol,close\nA,1\nB,2.3")

    file = LineFile(path)
    file.append(["C,4"])
    file.close()

    assert path.read_text() == "symbol,close\nA,1\nC,4\n"


def test_a_file_that_is_one_torn_line_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("symbol,clo")

    file = LineFile(path)

    assert (file.header, path.read_text()) == (None, "")
    file.close()


def test_other_columns_are_refused_with_both_headers(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("symbol,close\n")
    file = LineFile(path)

    with pytest.raises(
        ConfigError, match=r"has the columns symbol,close and would get symbol,open"
    ):
        file.expect(["symbol", "open"])
    file.close()


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"symbol": "A"}, "has the columns symbol,close, this row has symbol"),
        ({"symbol": "A", "open": 1}, "this row has symbol,open"),
        ({"symbol": "A\nB", "close": 1}, "a line break"),
    ],
)
def test_a_row_that_is_no_line_of_the_file_is_refused(
    row: dict[str, object], says: str, tmp_path: Path
) -> None:
    file = LineFile(tmp_path / "a.csv")
    file.expect(["symbol", "close"])

    with pytest.raises(RecordError, match=says):
        file.line(row)
    file.close()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (False, "false"),
        (0.1, "0.1"),
        (1e-05, "1e-05"),
        (1_440, "1440"),
        ("BTC,USD", '"BTC,USD"'),
        ('say "x"', '"say ""x"""'),
    ],
)
def test_values_are_written_as_they_read_back(value: object, text: str) -> None:
    assert cell(value) == text
