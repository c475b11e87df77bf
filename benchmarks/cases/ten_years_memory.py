"""Ten years of minutes of one symbol: archive files over HTTP -> the Parquet store."""

import itertools
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.contest import Case, Contender, Goal, Setting
from benchmarks.inputs import DAY_MS, FIRST_MONTH_MS, MINUTE_MS, SYMBOL, days, write_months
from benchmarks.libraries import STREAMFORGE
from benchmarks.measuring import ROOT, Measure, Sample
from streamforge_core.model.timeframe import iso, month_index, month_open

_ROUNDS: Final = 3
_PATIENCE_S: Final = 60.0
_URL: Final = re.compile(r"http://[0-9.]+:\d+")


def build(setting: Setting) -> Case:
    """Return the case: one year beside ten, or a month beside a year."""
    months = {"a month": 1, "one year": 12} if setting.quick else {"one year": 12, "ten years": 120}
    archive = setting.folder / "archive"
    archive.mkdir()
    write_months(archive, max(months.values()))
    url = _simulator(setting, archive)
    longest = list(months)[-1]
    return Case(
        name="ten_years_memory",
        title=f"backfill of {longest} of 1m: archive over HTTP -> Parquet store",
        unit="row",
        facts=f"monthly zips of {days()[0]}, checksums verified, served by the simulator in "
        "another process; each run is a fresh process with an empty store",
        contenders=[_contender(setting, url, name, count) for name, count in months.items()],
        goals=[Goal.peak(longest, 300)],
        rounds=_ROUNDS,
        warm_up=False,
    )


def _simulator(setting: Setting, archive: Path) -> str:
    """Start `streamforge simulate` on a free port; return its URL once it serves."""
    command = [sys.executable, "-m", "streamforge_core", "simulate", "--port", "0"]
    process = subprocess.Popen(  # noqa: S603 - our own command line
        [*command, "--archive-dir", str(archive)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    setting.stack.callback(_end, process)
    for line in process.stdout or ():
        found = _URL.search(line)
        if line.startswith("Simulated") and found:
            return found.group()
    raise RuntimeError(f"The simulator ended with code {process.wait()} before it served.")


def _end(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    process.communicate(timeout=_PATIENCE_S)


def _contender(setting: Setting, url: str, name: str, months: int) -> Contender:
    end_ms = month_open(month_index(FIRST_MONTH_MS) + months)
    rows = (end_ms - FIRST_MONTH_MS) // MINUTE_MS
    return Contender(
        name,
        STREAMFORGE,
        _measure(_command(url, end_ms), setting.folder / name, rows),
        rows,
        f"{rows} rows in the store; peak = largest resident memory of the process, its imports "
        "included",
    )


def _command(url: str, end_ms: int) -> Callable[[Path], list[str]]:
    last_day = iso(end_ms - DAY_MS)

    def command(store: Path) -> list[str]:
        program = [sys.executable, "-m", "benchmarks.backfill_child", url, str(store)]
        return [*program, SYMBOL, iso(FIRST_MONTH_MS), last_day]

    return command


def _measure(command: Callable[[Path], list[str]], folder: Path, rows: int) -> Measure:
    numbers = itertools.count()

    def measure(repeats: int) -> Sample:
        samples = [
            _run(command(folder.with_name(f"{folder.name} {next(numbers)}")), rows)
            for _ in range(repeats)
        ]
        peaks = [sample.peak_bytes or 0 for sample in samples]
        cpu_s, wall_s = (sum(s.cpu_s for s in samples), sum(s.wall_s for s in samples))
        return Sample(cpu_s, wall_s, max(peaks))

    return measure


def _run(command: list[str], rows: int) -> Sample:
    answer = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603 - our own module
    told = json.loads(answer.stdout.splitlines()[-1])
    if told["rows"] != rows:
        raise RuntimeError(f"The backfill stored {told['rows']} rows of {rows}.")
    return Sample(told["cpu_s"], told["wall_s"], told["peak_bytes"])
