"""The judge of coverage: who offends, and what the exit code says."""

from typing import Any

import pytest
from coverage.exceptions import NoDataError

from tests.architecture.coverage_floors import main, offenders


def module(percent: float, *lines: int, branches: tuple[tuple[int, int], ...] = ()) -> Any:  # noqa: ANN401 - coverage's own JSON
    return {
        "summary": {"percent_covered": percent},
        "missing_lines": list(lines),
        "missing_branches": [list(branch) for branch in branches],
    }


def test_pure_floors_are_covered_to_the_last_branch() -> None:
    files = {
        "streamforge_core/model/kline.py": module(99.2, branches=((7, 9),)),
        "streamforge_core/exchanges/binance/history.py": module(98.0, 4, 5),
        "streamforge_core/pipeline/rollup.py": module(100.0),
    }

    assert list(offenders(files)) == [
        "streamforge_core/exchanges/binance/history.py: 98.0 %, must be 100 %; missing 4, 5",
        "streamforge_core/model/kline.py: 99.2 %, must be 100 %; missing 7->9",
    ]


def test_other_modules_are_covered_to_nine_tenths() -> None:
    files = {
        "streamforge_core/logs.py": module(90.0, 1),
        "streamforge_dagster/resources.py": module(89.9, 1),
    }

    assert list(offenders(files)) == [
        "streamforge_dagster/resources.py: 89.9 %, must be 90 %; missing 1"
    ]


def test_entry_points_of_processes_are_not_measured() -> None:
    assert list(offenders({"streamforge_core/__main__.py": module(0.0, 1, 2)})) == []


def test_a_long_list_of_places_is_cut() -> None:
    (line,) = offenders({"streamforge_core/cli.py": module(10.0, *range(100))})

    assert line.endswith("missing 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11")


def test_the_exit_code_tells_whether_anybody_offends(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(lambda: {"streamforge_core/cli.py": module(95.0, 1)}) == 0
    assert capsys.readouterr().out == "1 modules measured, 0 below their floor\n"

    assert main(lambda: {"streamforge_core/cli.py": module(80.0, 1)}) == 1
    assert "streamforge_core/cli.py: 80.0 %, must be 90 %" in capsys.readouterr().out


def test_no_data_is_a_failure_too(capsys: pytest.CaptureFixture[str]) -> None:
    def nothing() -> dict[str, Any]:
        raise NoDataError("No data to report.")

    assert main(nothing) == 1
    assert "Run pytest --cov first" in capsys.readouterr().err
