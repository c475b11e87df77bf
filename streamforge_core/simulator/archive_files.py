"""A folder of archive files, served as the exchange would serve them.

Files lie under their documented path or flat, named `SYMBOL-interval-date.csv` or `.zip`.
"""

import io
import re
import zipfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Final

from streamforge_core.errors import ConfigError
from streamforge_core.simulator.binance_archive import (
    ArchiveFile,
    asked_file,
    checksum_line,
    zipped,
)
from streamforge_core.simulator.boundaries import HOUR_MS, LENGTH_MS
from streamforge_core.simulator.recorded import RecordedFeed, RecordedSpan

_NAME: Final = re.compile(r"([A-Z0-9]+)-(\w+)-(\d{4}-\d{2}(?:-\d{2})?)")


class ArchiveFolder:
    """The files of a folder.

    Args:
        directory: Searched with all folders below it.
        lag_ms: How long after its day a file appears.

    Raises:
        ConfigError: There is no such folder, or no archive file in it.
    """

    def __init__(self, directory: Path | str, *, lag_ms: int = 2 * HOUR_MS) -> None:
        self._lag_ms = lag_ms
        self._paths = _found(Path(directory))
        if not self._paths:
            raise ConfigError(
                f"{directory} has no archive files. They are named BTCUSDT-1m-2024-01-01.zip "
                "(or .csv), with or without the exchange's folders above them."
            )

    def read(self, path: str, now_ms: int) -> bytes | None:
        """Return the bytes at a path, None where there is no file (yet)."""
        asked = asked_file(path)
        if asked is None or now_ms < asked.published_ms(self._lag_ms):
            return None
        file = self._paths.get(asked.name)
        if file is None:
            return None
        if not asked.is_checksum:
            return _as_zip(file)
        stored = file.with_name(f"{asked.name}.zip.CHECKSUM")
        if stored.exists():
            return stored.read_bytes()
        return checksum_line(_as_zip(file), f"{asked.name}.zip")

    def feeds(self) -> dict[str, RecordedFeed]:
        """Return each symbol with files, read from those of its smallest interval."""
        by_symbol: dict[str, dict[str, list[RecordedSpan]]] = defaultdict(dict)
        for name, path in self._paths.items():
            asked = _described(name)
            if asked is not None:
                span = RecordedSpan(asked.start_ms, asked.end_ms, _reader(path))
                by_symbol[asked.symbol].setdefault(asked.timeframe, []).append(span)
        feeds = {}
        for symbol, by_timeframe in sorted(by_symbol.items()):
            smallest = min(by_timeframe, key=lambda timeframe: LENGTH_MS[timeframe])
            feeds[symbol] = RecordedFeed(symbol, smallest, by_timeframe[smallest])
        return feeds


def _found(directory: Path) -> dict[str, Path]:
    """Return name without suffix -> file; a zip wins over the CSV of the same name."""
    paths: dict[str, Path] = {}
    for suffix in (".csv", ".zip"):
        for path in sorted(directory.rglob(f"*{suffix}")):
            if _described(path.stem):
                paths[path.stem] = path
    return paths


def _described(name: str) -> ArchiveFile | None:
    """Return what a file name stands for, as if it lay under its documented path."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    symbol, interval, date = match.groups()
    span = "daily" if len(date) == len("2024-01-01") else "monthly"
    return asked_file(f"/data/spot/{span}/klines/{symbol}/{interval}/{name}.zip")


def _reader(path: Path) -> Callable[[], str]:
    def read() -> str:
        if path.suffix == ".csv":
            return path.read_text()
        with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
            return archive.read(archive.namelist()[0]).decode()

    return read


def _as_zip(path: Path) -> bytes:
    content = path.read_bytes()
    return content if path.suffix == ".zip" else zipped(path.name, content)
