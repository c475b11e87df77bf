"""A CSV file that grows by whole lines: no torn line survives a crash or a full disk."""

import csv
import errno
import logging
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from streamforge_core.errors import ConfigError, EmitterError, RecordError, StorageFull
from streamforge_core.pipeline.transformer import Row

_log: Final = logging.getLogger(__name__)

_BLOCK_BYTES: Final = 65_536
_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_SPECIAL: Final = re.compile(r'[",]')
_LINE_BREAK: Final = re.compile(r"[\r\n]")

# Not on every system; the slower call does the same and more.
_sync_data: Final[Callable[[int], None]] = getattr(os, "fdatasync", os.fsync)


class LineFile:
    """A CSV file that grows by whole lines.

    Attributes:
        header: Its columns, None while it is empty.

    Args:
        path: Made if absent; a torn last line is cut off.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.header: tuple[str, ...] | None = None
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        self._handle = os.open(path, flags, 0o666)
        self._size = self._whole_size()
        self._texts: set[str] | None = None
        if self._size:
            with path.open(encoding="utf-8") as file:
                self.header = tuple(_cells(file.readline()))

    def _whole_size(self) -> int:
        """Cut off what follows the last line break and return the size left."""
        size = os.fstat(self._handle).st_size
        end = size
        while end:
            start = max(0, end - _BLOCK_BYTES)
            os.lseek(self._handle, start, os.SEEK_SET)
            at = os.read(self._handle, end - start).rfind(b"\n")
            if at >= 0:
                end = start + at + 1
                break
            end = start
        if end < size:
            _log.warning("%s: a torn last line of %d bytes is cut off", self.path, size - end)
            os.ftruncate(self._handle, end)
        return end

    def expect(self, columns: Iterable[str]) -> None:
        """Write the header into an empty file; refuse one with other columns.

        Raises:
            ConfigError: The file has other columns.
        """
        wanted = tuple(columns)
        if self.header is None:
            self.start(wanted)
        elif set(self.header) != set(wanted):
            raise ConfigError(
                f"{self.path} has the columns {','.join(self.header)} and would get "
                f"{','.join(wanted)}. Choose another file, or move this one away."
            )

    def start(self, columns: Iterable[str]) -> None:
        """Write the header."""
        header = tuple(columns)
        self._append(",".join(map(cell, header)) + "\n")
        self.header = header

    def line(self, row: Row) -> str:
        """Return a row's cells in the order of the header.

        Raises:
            RecordError: Its keys are not the header's, or a text holds a line break.
        """
        header = self.header or ()
        if len(row) != len(header) or any(name not in row for name in header):
            raise RecordError(
                f"{self.path} has the columns {','.join(header)}, this row has "
                f"{','.join(map(str, row))}."
            )
        text = ",".join([cell(row[name]) for name in header])
        if _LINE_BREAK.search(text):
            raise RecordError(f"{self.path}: a line break in {row}")
        return text

    def append(self, texts: Sequence[str]) -> None:
        """Append lines in one write: all of them or none.

        Raises:
            StorageFull: No space left, or no right.
        """
        self._append("\n".join(texts) + "\n")
        if self._texts is not None:
            self._texts.update(texts)

    def _append(self, text: str) -> None:
        data = text.encode()
        try:
            written = os.write(self._handle, data)
        except OSError as error:
            if error.errno not in _NO_SPACE:
                raise EmitterError(f"{self.path} could not be written: {error}") from error
            written = 0
        if written < len(data):
            os.ftruncate(self._handle, self._size)
            raise StorageFull(
                f"No space left for {self.path}. Free some; the file ends with its last whole line."
            )
        self._size += written

    def texts(self) -> set[str]:
        """Return every line, without line breaks; for a file that stays small."""
        if self._texts is None:
            self._texts = set(self.path.read_text(encoding="utf-8").splitlines())
        return self._texts

    def sync(self) -> None:
        """Wait until what was appended would survive a power cut."""
        _sync_data(self._handle)

    def close(self) -> None:
        """Release the file."""
        os.close(self._handle)


def cell(value: object) -> str:
    """Return a value as one cell."""
    if value is None:
        return ""
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(float(value))  # numpy's own floats would name their type
    text = str(value)
    return '"' + text.replace('"', '""') + '"' if _SPECIAL.search(text) else text


def _cells(line: str) -> list[str]:
    return next(csv.reader([line]))
