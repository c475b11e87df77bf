"""What a venue is to the rest: a market, three sans-IO parts, and the events they yield.

A part never opens a socket and never reads a clock. It says what to send, and turns what came back
into candles. `runners/` performs the requests; adding a venue means writing these three parts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from streamforge_core.errors import ExchangeError
from streamforge_core.model.kline import Record

if TYPE_CHECKING:  # a live stream reads no columns and does not pay for pyarrow
    import pyarrow as pa

EndpointKind = Literal["WEBSOCKET", "REST", "ARCHIVE"]


@dataclass(frozen=True, slots=True)
class Market:
    """One market of one venue; a market is a source of its own, so that keys never collide.

    Attributes:
        source: "Binance", "Binance-USDM", ...: the `source` of its candles.
        name: "SPOT", "USD-M", ...: what `market_type` selects.
        label: "spot", "usd-m", ...: how default file names call it.
        endpoints: Base URL per kind, without a path; each can be replaced by the user.
        timeframes: Our label -> the venue's spelling, for those it serves.
    """

    source: str
    name: str
    label: str
    endpoints: Mapping[EndpointKind, str]
    timeframes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Request:
    """A GET to be performed by the transport.

    Attributes:
        kind: Which endpoint serves it.
        path: Documented path, starting with "/".
        params: Query parameters in order.
        weight: What it costs of the venue's request budget.
    """

    kind: EndpointKind
    path: str
    params: tuple[tuple[str, str], ...] = ()
    weight: int = 1


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """One downloadable file of history and where its checksum lies.

    Attributes:
        file: The archive.
        checksum: Its published SHA-256, in `sha256sum` format; None if the venue has none.
        start_ms: First instant the file covers, UTC epoch milliseconds.
        end_ms: First instant it does not cover.
        parts: Smaller files for the same span, to be tried when this one is not there.
    """

    file: Request
    checksum: Request | None
    start_ms: int
    end_ms: int
    parts: tuple["ArchiveFile", ...] = ()


@dataclass(frozen=True, slots=True)
class Instrument:
    """A symbol a venue lists.

    Attributes:
        symbol: As the venue writes it.
        base: Base asset.
        quote: Quote asset.
        status: The venue's own word, such as "TRADING".
        price_step: Smallest price change, None where not told.
        amount_step: Smallest amount change, None where not told.
    """

    symbol: str
    base: str
    quote: str
    status: str
    price_step: float | None = None
    amount_step: float | None = None


@dataclass(frozen=True, slots=True)
class Subscription:
    """One series asked for on a socket."""

    symbol: str
    timeframe: str


@dataclass(frozen=True, slots=True)
class Ack:
    """The venue took a request."""

    request_id: int | str | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The venue refused a request; its other subscriptions go on."""

    request_id: int | str | None
    error: ExchangeError


@dataclass(frozen=True, slots=True)
class Notice:
    """The venue announces something about the connection.

    Attributes:
        kind: "shutdown" when it is about to close.
        detail: The venue's words.
    """

    kind: Literal["shutdown"]
    detail: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """A well-formed frame that is no candle: counted, never an error."""

    kind: str


Event = Record | Ack | Refusal | Notice | Ignored


class StreamProtocol(Protocol):
    """The socket's language of one market."""

    market: Market
    max_subscriptions: int
    """Per connection."""
    max_messages_per_s: float
    """That we may send, per connection."""

    def path(self) -> str:
        """Return the path to connect to, starting with "/"."""

    def check(self, subscription: Subscription) -> None:
        """Refuse a symbol or timeframe that cannot be.

        Raises:
            ConfigError: With the venue's format, or the timeframes it serves.
        """

    def subscribe(self, wanted: Sequence[Subscription], *, first_id: int) -> list[str]:
        """Return the frames to send, each with an id counted up from `first_id`."""

    def unsubscribe(self, unwanted: Sequence[Subscription], *, first_id: int) -> list[str]:
        """Return the frames to send to end subscriptions."""

    def parse(self, frame: str | bytes, *, seen_ts: int) -> list[Event]:
        """Return what a frame says, in its order.

        Args:
            frame: As received.
            seen_ts: UTC epoch milliseconds at which it was received.

        Raises:
            MalformedMessage: It is not what the venue documents.
        """


class HistoryProtocol(Protocol):
    """The language of a market's past: REST pages and archive files."""

    market: Market
    page_span: int | None
    """Most intervals one page may be asked to span; None where a page starts at its first instant
    however far the span reaches, so that an empty answer speaks for all of it."""
    page_rows: int
    """Candles of a full page: a shorter one is the last."""

    def check(self, symbol: str, timeframe: str) -> None:
        """Refuse a symbol or timeframe that cannot be.

        Raises:
            ConfigError: With the venue's format, or the timeframes it serves.
        """

    def page(self, symbol: str, timeframe: str, first_ms: int, last_ms: int) -> Request:
        """Ask for the oldest candles with `first_ms <= open <= last_ms`, one page."""

    def newest_before(self, symbol: str, timeframe: str, before_ms: int) -> Request:
        """Ask for the one newest candle with `open < before_ms`."""

    def oldest_from(self, symbol: str, timeframe: str, from_ms: int) -> Request:
        """Ask for the one oldest candle with `open >= from_ms`."""

    def parse_page(self, body: bytes, symbol: str, timeframe: str, *, now_ms: int) -> "pa.Table":
        """Return a page's closed candles as `KLINE_SCHEMA`, ascending by open.

        Args:
            body: As received.
            symbol: That was asked for.
            timeframe: That was asked for.
            now_ms: The exchange's clock: a candle that is still forming then is left out.

        Raises:
            MalformedMessage: It is not what the venue documents.
        """

    def archives(
        self, symbol: str, timeframe: str, start_ms: int, end_ms: int, *, now_ms: int
    ) -> list[ArchiveFile]:
        """Return the files that may hold a span, ascending; none if the venue has no archive."""

    def parse_archive(
        self, content: bytes, symbol: str, timeframe: str, *, now_ms: int
    ) -> "pa.Table":
        """Return an archive's candles as `KLINE_SCHEMA`, ascending by open.

        Raises:
            MalformedMessage: The file is corrupt, or not what the venue documents.
        """

    def clock(self) -> Request:
        """Ask for the exchange's clock."""

    def parse_clock(self, body: bytes) -> int:
        """Return the exchange's clock in UTC epoch milliseconds."""

    def error_of(self, status: int, body: bytes, *, symbol: str) -> ExchangeError | None:
        """Return what an answer refuses, None if it is no refusal."""


class InstrumentsProtocol(Protocol):
    """The language of a market's listing."""

    market: Market

    def listing(self, symbols: Sequence[str] = ()) -> Request:
        """Ask for the named symbols, or all."""

    def parse_listing(self, body: bytes) -> list[Instrument]:
        """Return the listed symbols.

        Raises:
            MalformedMessage: It is not what the venue documents.
        """
