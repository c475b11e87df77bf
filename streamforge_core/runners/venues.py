"""From the name of a source, or of an emitter type, to the class that serves it."""

import inspect
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any, Final

from streamforge_core.emitters.base import Emitter
from streamforge_core.errors import ConfigError
from streamforge_core.model.settings import EmitterSettings

# Loaded when asked for: a live stream pays for no columns, a backfill for no sockets.
_RUNNERS: Final = {"Binance": ("bindings", "BinanceRunner", "SPOT")}
_BACKFILLINGS: Final = {"Binance": ("backfill_bindings", "BinanceBackfilling", "SPOT")}
_EMITTERS: Final = {
    "csv": ("csv_file", "CSVEmitter"),
    "logger": ("logger", "Logger"),
    "parquet": ("parquet", "ParquetEmitter"),
}


def runner_for(source: str) -> Callable[..., Any]:
    """Return the runner class of a source with its market bound.

    Raises:
        ConfigError: Nothing streams it yet.
    """
    return _bound(_RUNNERS, source)


def backfilling_for(source: str) -> Callable[..., Any]:
    """Return the backfilling class of a source with its market bound.

    Raises:
        ConfigError: Nothing loads it yet.
    """
    return _bound(_BACKFILLINGS, source)


def make_emitter(settings: EmitterSettings) -> Emitter:
    """Return the emitter that settings declare, not connected yet.

    Raises:
        ConfigError: Its type or its options are not known.
    """
    if settings.type not in _EMITTERS:
        raise ConfigError(
            f"Emitter {settings.name!r} has type {settings.type!r}. Known: {', '.join(_EMITTERS)}."
        )
    module, name = _EMITTERS[settings.type]
    kind = getattr(import_module(f"streamforge_core.emitters.{module}"), name)
    try:
        inspect.signature(kind).bind(**settings.options)
    except TypeError as error:
        known = ", ".join(inspect.signature(kind).parameters)
        raise ConfigError(f"Emitter {settings.name!r}: {error}. Known: {known}.") from None
    emitter: Emitter = kind(**settings.options)
    emitter.name = settings.name
    return emitter


def _bound(table: dict[str, tuple[str, str, str]], source: str) -> Callable[..., Any]:
    if source not in table:
        raise ConfigError(f"Source {source!r} is not served yet. Served: {', '.join(table)}.")
    module, name, market = table[source]
    return partial(
        getattr(import_module(f"streamforge_core.runners.{module}"), name), market_type=market
    )
