"""`python -m tests.architecture.coverage_floors`: the floors of coverage, after pytest --cov.

The pure floors must be covered to the last branch, every other module to nine tenths.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import coverage
from coverage.exceptions import NoDataError

PURE: Final = (
    "streamforge_core/model/",
    "streamforge_core/exchanges/",
    "streamforge_core/pipeline/",
)
LEAST_PERCENT: Final = 90.0

# Module that no test runs in its own process -> why.
NOT_MEASURED: Final[Mapping[str, str]] = {
    "streamforge_core/__main__.py": "two lines, run as a process of its own",
    "streamforge_dagster/demo/__main__.py": "starts processes; `make e2e` runs it",
}


def offenders(files: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield one line for each module below its floor.

    Args:
        files: Path -> "summary" and "missing_lines" and "missing_branches", as coverage's JSON
            report has them.
    """
    for path, found in sorted(files.items()):
        name = path.replace("\\", "/")
        if name in NOT_MEASURED:
            continue
        percent = found["summary"]["percent_covered"]
        if name.startswith(PURE) and (found["missing_lines"] or found["missing_branches"]):
            yield f"{name}: {percent:.1f} %, must be 100 %; missing {_places(found)}"
        elif percent < LEAST_PERCENT:
            yield f"{name}: {percent:.1f} %, must be 90 %; missing {_places(found)}"


def _places(found: Mapping[str, Any]) -> str:
    lines = [str(line) for line in found["missing_lines"]]
    branches = [f"{start}->{end}" for start, end in found["missing_branches"]]
    return ", ".join([*lines, *branches][:12])


def measured() -> dict[str, Any]:
    """Return coverage's JSON report of the data that the last run left."""
    data = coverage.Coverage()
    data.load()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "coverage.json"
        data.json_report(outfile=str(report))
        files: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))["files"]
    return files


def main(read: Callable[[], dict[str, Any]] = measured) -> int:
    """Print every offender; return the exit code."""
    try:
        files = read()
    except NoDataError:
        sys.stderr.write("There is no coverage data. Run pytest --cov first.\n")
        return 1
    found = list(offenders(files))
    sys.stdout.writelines(f"{line}\n" for line in found)
    sys.stdout.write(f"{len(files)} modules measured, {len(found)} below their floor\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
