"""What to ingest, declared once: settings from text and a mapping, validated.

The text is `streamforge.yaml`, the mapping the environment; `runners/settings_file.py` reads both.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Final

from streamforge_core.model.settings_text import Section, Value, compose, is_secret, once, path_of

SOURCES: Final = (
    "Binance",
    "Binance-USDM",
    "Binance-COINM",
    "Kraken",
    "OKX",
    "Bybit",
    "Bybit-linear",
    "Bybit-inverse",
)
"""Every market; each is a source of its own, so that keys never collide."""

STORE: Final = "store"
"""How the `emitters` of a stream call the Parquet store."""

STORE_VARIABLE: Final = "STREAMFORGE_STORE"
"""Environment variable that replaces `store`; an empty one replaces nothing."""

Option = str | Path


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """Series to keep complete from a day on.

    Attributes:
        source: One of `SOURCES`.
        symbols: As the exchange writes them.
        timeframe: Base timeframe, read from the exchange.
        start: First day, UTC.
        rollups: Timeframes derived from the base; none unless declared.
    """

    source: str
    symbols: tuple[str, ...]
    timeframe: str
    start: date
    rollups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EmitterSettings:
    """A destination beside the store.

    Attributes:
        type: One of `EMITTER_OPTIONS`.
        name: What streams call it.
        options: Arguments of the emitter by name; `repr` masks the secrets among them.
    """

    type: str
    name: str
    options: Mapping[str, Option] = field(default_factory=dict)

    def __repr__(self) -> str:
        shown = {key: "***" if is_secret(key) else value for key, value in self.options.items()}
        return f"EmitterSettings(type={self.type!r}, name={self.name!r}, options={shown!r})"


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """One never-ending stream: one connection, many symbols.

    Attributes:
        name: Unique among streams.
        source: One of `SOURCES`.
        symbols: As the exchange writes them.
        timeframe: Base timeframe, subscribed to.
        aggregate_list: Timeframes derived from the base; none unless declared.
        active_warmup: Whether history is loaded first, so that running buckets are whole.
        emit_warmup: Whether that history is emitted too.
        emitters: Names out of `Settings.emitters`, or "store".
    """

    name: str
    source: str
    symbols: tuple[str, ...]
    timeframe: str
    aggregate_list: tuple[str, ...] = ()
    active_warmup: bool = False
    emit_warmup: bool = False
    emitters: tuple[str, ...] = (STORE,)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything `streamforge.yaml` declares.

    Attributes:
        store: Folder of the Parquet store.
        sources: What to keep complete.
        emitters: Destinations beside the store.
        streams: What to stream live.
    """

    store: Path = Path("data")
    sources: tuple[SourceSettings, ...] = ()
    emitters: tuple[EmitterSettings, ...] = ()
    streams: tuple[StreamSettings, ...] = ()

    def with_paths(self, resolve: Callable[[Path], Path]) -> "Settings":
        """Return a copy whose every path went through a function."""

        def resolved(options: Mapping[str, Option]) -> dict[str, Option]:
            return {k: resolve(v) if isinstance(v, Path) else v for k, v in options.items()}

        emitters = tuple(replace(each, options=resolved(each.options)) for each in self.emitters)
        return replace(self, store=resolve(self.store), emitters=emitters)


def parse_settings(
    text: str, environment: Mapping[str, str], *, name: str = "streamforge.yaml"
) -> Settings:
    """Return what a settings text declares.

    In a value, `${NAME}` stands for that variable, `${NAME:-default}` for its default where the
    variable is unset or empty, `$$` for one dollar sign.

    Args:
        text: YAML.
        environment: Variables by name; `STORE_VARIABLE` among them replaces `store`.
        name: How complaints call the text.

    Raises:
        InvalidSettings: Something in it cannot be; carries the key and the line.
    """
    top = compose(text, environment, name=name).only("store", "sources", "emitters", "streams")
    emitters = _emitters(top.entries("emitters"))
    settings = Settings(
        sources=_sources(top.entries("sources")),
        emitters=emitters,
        streams=_streams(top.entries("streams"), [STORE, *(emitter.name for emitter in emitters)]),
    )
    if STORE in top:
        settings = replace(settings, store=path_of(top[STORE]))
    override = environment.get(STORE_VARIABLE)
    return replace(settings, store=Path(override)) if override else settings


def _sources(entries: Iterable[Value]) -> tuple[SourceSettings, ...]:
    found: list[SourceSettings] = []
    declared: dict[tuple[str, str], Value] = {}
    for entry in entries:
        section = entry.section().only("source", "symbols", "timeframe", "rollups", "start")
        source = SourceSettings(
            source=section["source"].choice(SOURCES),
            symbols=_symbols(section),
            timeframe=section["timeframe"].timeframe(),
            start=section["start"].day(),
            rollups=_targets(section, "rollups"),
        )
        for timeframe in (source.timeframe, *source.rollups):
            first = declared.setdefault((source.source, timeframe), entry)
            if first is not entry:
                entry.refuse(
                    f"declares {source.source} {timeframe}, as {first.path} at line "
                    f"{first.line} does. Put all its symbols into one entry."
                )
        found.append(source)
    return tuple(found)


def _streams(entries: Iterable[Value], emitters: list[str]) -> tuple[StreamSettings, ...]:
    found: list[StreamSettings] = []
    for entry in entries:
        section = entry.section().only(
            *("name", "source", "symbols", "timeframe", "aggregate_list"),
            *("active_warmup", "emit_warmup", "emitters"),
        )
        stream = StreamSettings(
            name=_unused(section["name"], [stream.name for stream in found]),
            source=section["source"].choice(SOURCES),
            symbols=_symbols(section),
            timeframe=section["timeframe"].timeframe(),
            aggregate_list=_targets(section, "aggregate_list"),
            active_warmup=section.flag("active_warmup"),
            emit_warmup=section.flag("emit_warmup"),
        )
        if "emitters" in section:
            names = _filled(section["emitters"])
            chosen = once(names, [value.choice(emitters) for value in names])
            stream = replace(stream, emitters=chosen)
        found.append(stream)
    return tuple(found)


def _symbols(section: Section) -> tuple[str, ...]:
    values = _filled(section["symbols"])
    return once(values, [value.symbol() for value in values])


def _filled(value: Value) -> list[Value]:
    return value.entries() or value.refuse("is an empty list. Name at least one.")


def _targets(section: Section, key: str) -> tuple[str, ...]:
    base = section["timeframe"].timeframe()
    values = section.entries(key)
    return once(values, [value.timeframe(base) for value in values])


def _source(value: Value) -> str:
    return value.choice(SOURCES)


EMITTER_OPTIONS: Final[dict[str, dict[str, Callable[[Value], Option]]]] = {
    "csv": {
        "file_path": path_of,
        "source": _source,
        "symbol": Value.symbol,
        "timeframe": Value.timeframe,
    },
    "logger": {"prefix": Value.text},
    "parquet": {"path": path_of},
}
"""Emitter type -> its options, and how the value of each is read."""

_REQUIRED: Final = {"csv": ("file_path",), "logger": (), "parquet": ("path",)}


def _emitters(entries: Iterable[Value]) -> tuple[EmitterSettings, ...]:
    found: list[EmitterSettings] = []
    for entry in entries:
        section = entry.section()
        kind = section["type"].choice(EMITTER_OPTIONS)
        readers = EMITTER_OPTIONS[kind]
        section.only("type", "name", *readers)
        options = {
            key: read(section[key])
            for key, read in readers.items()
            if key in section or key in _REQUIRED[kind]
        }
        taken = [STORE, *(emitter.name for emitter in found)]
        if "name" in section:
            name = _unused(section["name"], taken)
        else:
            name = _unused(section["type"], taken, " Give it a name.")
        found.append(EmitterSettings(kind, name, options))
    return tuple(found)


def _unused(value: Value, taken: list[str], advice: str = "") -> str:
    name = value.name()
    if name in taken:
        value.refuse(f"is {value.shown()}, which is taken. Taken are: {', '.join(taken)}.{advice}")
    return name
