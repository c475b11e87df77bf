"""Where StreamForge's own log lines go: `config`, `DefaultLogger`, `SilentLogger`, `show_logs`.

Every module logs through the standard library under "streamforge_core". Importing changes nothing
there; only `config` routes the lines, all of them, to one object of the user's.
"""

import logging
import sys
import time
from pathlib import Path
from typing import Final, Protocol, TextIO

_ROOT: Final = logging.getLogger("streamforge_core")
_METHODS: Final = ("info", "warning", "error", "debug", "critical")


class LoggerLike(Protocol):
    """Anything with these five methods: the standard library's loggers, loguru's, structlog's."""

    def debug(self, message: str, /) -> object:
        """Take a detail."""

    def info(self, message: str, /) -> object:
        """Take a change of state."""

    def warning(self, message: str, /) -> object:
        """Take something that may need a look."""

    def error(self, message: str, /) -> object:
        """Take a failure."""

    def critical(self, message: str, /) -> object:
        """Take a failure that ends the work."""


class DefaultLogger:
    """Writes lines to the console (stderr), a file, or both; times are UTC.

    Args:
        log_file: Appended to; its folder is made. None writes no file.
        console: Whether lines go to stderr.
        name: Stands in each line.
        level: Lines below it are left out.

    Raises:
        OSError: The file cannot be written.
        ValueError: There is no such level.
    """

    def __init__(
        self,
        log_file: str | Path | None = None,
        console: bool = True,  # noqa: FBT001, FBT002 - the signature users know
        name: str = "streamforge",
        *,
        level: str | int = "INFO",
    ) -> None:
        # Made directly, not by getLogger: two of them with one name do not share handlers, and
        # nothing propagates to the root logger of the program.
        self._logger = logging.Logger(name, level)  # noqa: LOG001 - the reason stands above
        if console:
            self._logger.addHandler(_Console())
        if log_file is not None:
            _check_writable(Path(log_file))
            self._logger.addHandler(logging.FileHandler(log_file, encoding="utf-8", delay=True))
        formatter = logging.Formatter("%(asctime)sZ %(levelname)s %(name)s: %(message)s")
        formatter.converter = time.gmtime
        for handler in self._logger.handlers:
            handler.setFormatter(formatter)

    def debug(self, message: str, /) -> None:
        """Write a detail."""
        self._logger.debug("%s", message)

    def info(self, message: str, /) -> None:
        """Write a change of state."""
        self._logger.info("%s", message)

    def warning(self, message: str, /) -> None:
        """Write something that may need a look."""
        self._logger.warning("%s", message)

    def error(self, message: str, /) -> None:
        """Write a failure."""
        self._logger.error("%s", message)

    def critical(self, message: str, /) -> None:
        """Write a failure that ends the work."""
        self._logger.critical("%s", message)

    def close(self) -> None:
        """Close the file; a later line opens it again."""
        for handler in self._logger.handlers:
            handler.close()


class _Console(logging.StreamHandler[TextIO]):
    """Looks stderr up for each line, as the standard library's last resort does.

    A stream kept from the start may have been closed or replaced by then.
    """

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]  # an attribute in the base class
        return sys.stderr


def _check_writable(file: Path) -> None:
    """Fail now and not at the first line, where logging swallows it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a"):
        pass


class SilentLogger:
    """Writes nothing."""

    def debug(self, message: str, /) -> None:
        """Leave it out."""

    def info(self, message: str, /) -> None:
        """Leave it out."""

    def warning(self, message: str, /) -> None:
        """Leave it out."""

    def error(self, message: str, /) -> None:
        """Leave it out."""

    def critical(self, message: str, /) -> None:
        """Leave it out."""


class _Route(logging.Handler):
    """Hands every record under "streamforge_core" to one object, as text."""

    def __init__(self, target: LoggerLike) -> None:
        super().__init__()
        self.target = target
        self.setFormatter(logging.Formatter("%(message)s"))  # appends a traceback if there is one

    def emit(self, record: logging.LogRecord) -> None:
        try:
            getattr(self.target, _method_of(record.levelno))(self.format(record))
        except Exception:  # noqa: BLE001 - logging's rule: a failing handler never fails the caller
            self.handleError(record)


def _method_of(level: int) -> str:
    for least, method in (
        (logging.CRITICAL, "critical"),
        (logging.ERROR, "error"),
        (logging.WARNING, "warning"),
        (logging.INFO, "info"),
    ):
        if level >= least:
            return method
    return "debug"


class Config:
    """What applies to the whole process: where log lines go."""

    def __init__(self) -> None:
        self._route: _Route | None = None
        self._before = (logging.NOTSET, True)

    @property
    def logger(self) -> LoggerLike:
        """Takes every line of StreamForge; the standard library's logger until another is set.

        Raises:
            TypeError: On setting something that lacks one of the five methods.
        """
        return _ROOT if self._route is None else self._route.target

    @logger.setter
    def logger(self, target: LoggerLike) -> None:
        lacking = [name for name in _METHODS if not callable(getattr(target, name, None))]
        if lacking:
            raise TypeError(
                f"config.logger needs the methods {', '.join(_METHODS)}; "
                f"{type(target).__name__} lacks {', '.join(lacking)}."
            )
        self.reset()
        if _is_ours(target):  # it would be handed its own lines for ever
            return
        self._route = _Route(target)
        self._before = (_ROOT.level, _ROOT.propagate)
        _ROOT.addHandler(self._route)
        # Every line, to that object alone: what is shown, and where, is its to decide.
        _ROOT.setLevel(logging.DEBUG)
        _ROOT.propagate = False

    def reset(self) -> None:
        """Leave the lines to the standard library's logging again, as it was before."""
        if self._route is None:
            return
        _ROOT.removeHandler(self._route)
        level, _ROOT.propagate = self._before
        _ROOT.setLevel(level)
        if isinstance(self._route.target, DefaultLogger):
            self._route.target.close()
        self._route = None

    def set_log_file(
        self,
        path: str | Path,
        console: bool = False,  # noqa: FBT001, FBT002 - the signature users know
    ) -> None:
        """Append the lines to a file, and to the console if asked."""
        self.logger = DefaultLogger(path, console=console)

    def set_console_only(self) -> None:
        """Write the lines to the console (stderr)."""
        self.logger = DefaultLogger()

    def set_silent(self) -> None:
        """Write nothing."""
        self.logger = SilentLogger()


def _is_ours(target: object) -> bool:
    name = target.name if isinstance(target, logging.Logger) else ""
    return name == _ROOT.name or name.startswith(f"{_ROOT.name}.")


config: Final = Config()
"""The one configuration of this process."""


def show_logs(level: str | int = "INFO") -> None:
    """Write the lines to the console (stderr), from a level on.

    Raises:
        ValueError: There is no such level.
    """
    config.logger = DefaultLogger(level=level)
