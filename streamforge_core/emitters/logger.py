"""One line per candle on the console."""

import logging
import os
import sys
from contextlib import suppress
from typing import Final, TextIO

from streamforge_core.emitters.base import Emitter
from streamforge_core.model.kline import Kline
from streamforge_core.model.timeframe import iso
from streamforge_core.pipeline.transformer import Row

_LOGGER: Final = "streamforge.candles"


class Logger(Emitter):
    """Logs one line per candle, on stdout unless logging is already set up.

    The lines go to the logger `streamforge.candles.<name>` at level INFO. `connect` attaches a
    handler for stdout only where no handler would get them, and `close` takes it away. With a
    transformer its keys and values are printed. A closed pipe ends the lines, never the stream.

    Args:
        prefix: Written before every line.
        name: Its name in logs and reports.
    """

    applies_transformer = True

    def __init__(self, prefix: str = "", *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.prefix = prefix
        self._logger = logging.getLogger(f"{_LOGGER}.{self.name}")
        self._handler: logging.Handler | None = None

    def connect(self) -> None:
        """Make sure that somebody gets the lines."""
        if self._logger.level == logging.NOTSET:
            self._logger.setLevel(logging.INFO)
        if self._handler is None and not self._logger.hasHandlers():
            self._handler = _StdoutHandler()
            self._logger.addHandler(self._handler)

    def emit(self, data: Kline) -> None:
        """Log one candle.

        Raises:
            RecordError: The transformer failed on it.
        """
        if self._transformer is None:
            self._logger.info("%s%s", self.prefix, _line(data))
        elif (row := self.transformed(data.__dict__)) is not None:
            self._logger.info("%s%s", self.prefix, _pairs(row))

    def close(self) -> None:
        """Take the handler away; a second call does nothing."""
        if self._handler is not None:
            self._logger.removeHandler(self._handler)
            self._handler = None


def _line(kline: Kline) -> str:
    state = "" if kline.is_closed is not False else " (open)"
    return (
        f"{kline.source} {kline.symbol} {kline.timeframe} {iso(kline.open_ts)} O {kline.open} "
        f"H {kline.high} L {kline.low} C {kline.close} V {kline.volume}{state}"
    )


def _pairs(row: Row) -> str:
    return " ".join(f"{name}={value}" for name, value in row.items())


class _StdoutHandler(logging.StreamHandler[TextIO]):
    """Writes to whatever `sys.stdout` is now; falls silent when its reader has gone."""

    def __init__(self) -> None:
        super().__init__(sys.stdout)
        self._is_silent = False

    def emit(self, record: logging.LogRecord) -> None:
        if self._is_silent or sys.stdout is None:
            return
        self.stream = sys.stdout
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        error = sys.exc_info()[1]
        if not isinstance(error, OSError | ValueError):
            super().handleError(record)
            return
        self._is_silent = True
        # What is buffered would raise again when the interpreter flushes stdout at its end.
        with suppress(OSError, ValueError):
            devnull = os.open(os.devnull, os.O_WRONLY)
            os.dup2(devnull, sys.stdout.fileno())
            os.close(devnull)
