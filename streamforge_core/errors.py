"""Every exception StreamForge raises on purpose, sorted by who has to act.

StreamForgeError
|-- ConfigError               the caller: fix an argument or a setting (before any socket opens)
|   |-- UnknownTimeframe      not a label of the timeframe table
|   |-- UnsupportedTimeframe  a label this venue does not serve
|   |-- InvalidSettings       streamforge.yaml or the environment; carries key and line
|   `-- MissingExtra          an optional package is not installed
|-- ExchangeError             the venue refused, or sent what cannot be
|   |-- UnknownSymbol         the venue does not list it
|   |-- RequestRefused        any other error answer; carries status and code
|   |-- MalformedMessage      a frame, a row or a file that is not what the venue documents
|   `-- ChecksumMismatch      an archive differs from its published checksum
|-- TransportError            the network or an overloaded server; retried by us before it is raised
|   |-- ConnectionLost        the peer went away or never answered
|   |-- RateLimited           429 or 418 outlasted our patience; carries retry_after_s
|   `-- ServerFailure         5xx, or not the content asked for
|-- EmitterError              the destination
|   |-- RecordError           this row can never be stored; its neighbours can
|   |-- StorageFull           no space left, or no right to write
|   `-- StaleWriter           a newer owner of the stream exists
`-- IncompleteBackfill        what could be had is stored, the rest is named; carries holes
"""

from typing import Any


class StreamForgeError(Exception):
    """Root of the tree; catch it to catch everything raised here on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        # The default calls the class with the message alone, which keyword-only attributes refuse;
        # an error that cannot be unpickled breaks the pool of workers it was raised in.
        return _restored, (type(self), self.args), self.__dict__


def _restored(kind: type[StreamForgeError], args: tuple[Any, ...]) -> StreamForgeError:
    return kind.__new__(kind, *args)


class ConfigError(StreamForgeError):
    """The caller asked for something that cannot be; nothing was opened or written."""


class UnknownTimeframe(ConfigError):
    """A label that is not in the table of `model/timeframe.py`."""


class UnsupportedTimeframe(ConfigError):
    """A known timeframe that the venue does not serve."""


class InvalidSettings(ConfigError):
    """A settings file or environment variable that cannot be used.

    Attributes:
        key: Dotted path of the offending key, such as "sources[0].timeframes".
        line: Line in the file, counted from 1; None where the value came from the environment.
    """

    def __init__(self, message: str, *, key: str, line: int | None = None) -> None:
        super().__init__(message)
        self.key = key
        self.line = line


class MissingExtra(ConfigError):
    """An optional package is needed and absent."""


class ExchangeError(StreamForgeError):
    """The venue refused a request or sent something it does not document."""


class UnknownSymbol(ExchangeError):
    """The venue does not list the symbol."""


class RequestRefused(ExchangeError):
    """The venue answered with an error.

    Attributes:
        status: HTTP status, None on a socket.
        code: The venue's own error code, None when the body carries none.
    """

    def __init__(
        self, message: str, *, status: int | None = None, code: int | str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class MalformedMessage(ExchangeError):
    """A frame, row or file that is not what the venue documents."""


class ChecksumMismatch(ExchangeError):
    """An archive whose bytes differ from its published checksum.

    Attributes:
        path: Path of the archive under the venue's archive root.
        published: Published SHA-256, hex.
        received: SHA-256 of the bytes received, hex.
    """

    def __init__(self, message: str, *, path: str, published: str, received: str) -> None:
        super().__init__(message)
        self.path = path
        self.published = published
        self.received = received


class TransportError(StreamForgeError):
    """The network failed for longer than we retry."""


class ConnectionLost(TransportError):
    """The peer closed, reset or never answered."""


class RateLimited(TransportError):
    """The venue's request budget is spent or this address is banned.

    Attributes:
        retry_after_s: Seconds the venue asked us to wait, None when it did not say.
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ServerFailure(TransportError):
    """A 5xx answer, or a page where data was promised.

    Attributes:
        status: HTTP status.
    """

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class EmitterError(StreamForgeError):
    """A destination refused or lost something."""


class RecordError(EmitterError):
    """One row that can never be stored."""


class StorageFull(EmitterError):
    """No space left on the destination, or no right to write there."""


class StaleWriter(EmitterError):
    """A newer owner of this stream exists; this writer must stop."""


class IncompleteBackfill(StreamForgeError):
    """Some ranges could not be fetched; everything that could be is stored.

    Attributes:
        holes: The ranges left open, as `Hole`s with verdict "pending".
        failures: Why, in words, one entry for each of `holes`.
    """

    def __init__(
        self, message: str, *, holes: tuple[Any, ...] = (), failures: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message)
        self.holes = holes
        self.failures = failures
