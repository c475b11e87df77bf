"""Where to connect: an argument, else the environment, else what the venue documents."""

import os
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from streamforge_core.errors import ConfigError
from streamforge_core.model.exchange import EndpointKind, Market
from streamforge_core.transport.clock import Clock, clock_from

CLOCK_VARIABLE: Final = "STREAMFORGE_CLOCK"

Endpoints = Mapping[EndpointKind, str]
"""Base URL by kind: scheme, host and port, which replace the venue's own."""

_SCHEMES: Final[Mapping[EndpointKind, tuple[str, ...]]] = {
    "WEBSOCKET": ("ws", "wss"),
    "REST": ("http", "https"),
    "ARCHIVE": ("http", "https"),
}


def base_url(market: Market, kind: EndpointKind, endpoints: Endpoints | None = None) -> str:
    """Return the URL in front of every documented path of one kind, without a trailing slash.

    `endpoints[kind]` wins, then the variable `STREAMFORGE_<SOURCE>_<KIND>_URL`, then the market's.

    Raises:
        ConfigError: A given URL is not scheme, host and port alone, or `endpoints` has a kind
            that does not exist.
    """
    _check_kinds(endpoints or {})
    variable = f"STREAMFORGE_{market.source.upper().replace('-', '_')}_{kind}_URL"
    if endpoints and kind in endpoints:
        return _checked(endpoints[kind], kind, origin=f"endpoints[{kind!r}]")
    if os.environ.get(variable):
        return _checked(os.environ[variable], kind, origin=variable)
    return market.endpoints[kind]


def clock() -> Clock:
    """Return the clock that `STREAMFORGE_CLOCK` describes, the machine's where it is not set.

    Raises:
        ConfigError: It describes none.
    """
    try:
        return clock_from(os.environ.get(CLOCK_VARIABLE))
    except ValueError as error:
        raise ConfigError(f"{CLOCK_VARIABLE}: {error}") from None


def _check_kinds(endpoints: Endpoints) -> None:
    unknown = [str(kind) for kind in endpoints if kind not in _SCHEMES]
    if unknown:
        raise ConfigError(
            f"endpoints has {', '.join(unknown)}, which is no kind of endpoint. "
            f"Use {', '.join(_SCHEMES)}."
        )


def _checked(url: str, kind: EndpointKind, *, origin: str) -> str:
    """Return scheme, host and port; the message never repeats what may hold a password."""
    example = f"{_SCHEMES[kind][0]}://127.0.0.1:8080"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _SCHEMES[kind] and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, or a broken address in brackets
        usable = False
        parts = urlsplit("")
    if not usable:
        raise ConfigError(f"{origin} is not a URL such as {example}.")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ConfigError(
            f"{origin} has a path. Give scheme, host and port only, such as {example}: the path "
            "that the venue documents stays."
        )
    return f"{parts.scheme}://{parts.netloc}"
