"""Checked values out of a YAML text: every complaint names the key and its line.

Only the text's structure is YAML's: values are read as they are written, so that the symbol `NO`
stays a text and the day 2024-01-15 is parsed here. A complaint quotes what the text says, never
what a variable held, and nothing at all under a key that holds a secret.
"""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, NoReturn

import yaml

from streamforge_core.errors import ConfigError, InvalidSettings, UnknownTimeframe
from streamforge_core.model.timeframe import TIMEFRAMES, check_tiles, check_timeframe, is_bare_date

_SECRET: Final = re.compile("passw|secret|token|credential|api_?key|dsn|url", re.IGNORECASE)
_VARIABLE: Final = re.compile(r"\$(?:(\$)|\{(?:([A-Za-z_]\w*)(:-([^}]*))?\})?)")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# White space hides in a list of symbols; "|" and "," separate the dimensions of Dagster's keys.
_NO_SYMBOL: Final = re.compile(r"[\s|,]")
_NULL: Final = "tag:yaml.org,2002:null"


def is_secret(key: str) -> bool:
    """Tell whether a key's value must never be shown: passwords, tokens, URLs that hold them."""
    return _SECRET.search(key) is not None


def compose(text: str, environment: Mapping[str, str], *, name: str) -> "Section":
    """Return the outermost mapping of a YAML text.

    Args:
        text: One YAML document.
        environment: What `${NAME}` stands for.
        name: How complaints call the text.

    Raises:
        InvalidSettings: It is not YAML, or not a mapping.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise _invalid(name, line, "", _problem(error)) from None  # its text quotes the lines
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _invalid(name, line, "", f"is not text: {error.reason}.") from None
    if node is None:
        raise _invalid(name, 1, "", "declares nothing. Start with `sources:` or `streams:`.")
    return Value(Origin(name, environment), node, "").section()


def _problem(error: yaml.MarkedYAMLError) -> str:
    """Say what YAML stumbled on, without the alias: an unquoted password may begin with "*"."""
    problem = error.problem or "cannot be read"
    if problem.startswith("found undefined alias"):
        problem = "a value that begins with * must be quoted"
    return f"is not YAML: {problem.removeprefix('but ')}."


def _invalid(name: str, line: int | None, key: str, message: str) -> InvalidSettings:
    place = name if line is None else f"{name}, line {line}"
    return InvalidSettings(f"{place}: {key or 'the file'} {message}", key=key, line=line)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where values come from: the text's name, and the variables it may name."""

    name: str
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Value:
    """One value of the text and the path of keys that leads to it."""

    origin: Origin
    node: yaml.Node
    path: str

    @property
    def line(self) -> int:
        """The line it begins on, counted from 1."""
        return int(self.node.start_mark.line) + 1

    def refuse(self, message: str) -> NoReturn:
        """Raise InvalidSettings about this value: "<path> <message>"."""
        raise _invalid(self.origin.name, self.line, self.path, message)

    def shown(self) -> str:
        """Return it for a complaint, as it is written; a secret is masked."""
        if is_secret(self.path):
            return "***"
        if isinstance(self.node, yaml.ScalarNode):
            return repr(self.node.value)
        return "a list" if isinstance(self.node, yaml.SequenceNode) else "a mapping"

    def is_null(self) -> bool:
        """Tell whether nothing is written behind the key."""
        return self.node.tag == _NULL

    def text(self) -> str:
        """Return one text, its variables replaced."""
        if self.is_null():
            self.refuse("is empty.")
        if not isinstance(self.node, yaml.ScalarNode):
            self.refuse(f"is {self.shown()}, where one value belongs.")
        text = _VARIABLE.sub(self._variable, self.node.value).strip()
        if not text:
            self.refuse(f"is {self.shown()}, which is empty.")
        return text

    def _variable(self, found: re.Match[str]) -> str:
        dollar, name, has_default, default = found.groups()
        if dollar or found[0] == "$":
            return "$"
        if name is None:
            self.refuse("holds ${ without its end. Write ${NAME}, ${NAME:-default} or $$ for a $.")
        value = self.origin.environment.get(name)
        if value is None and not has_default:
            self.refuse(
                f"needs the environment variable {name}. Set it, or write ${{{name}:-default}}."
            )
        return str((value or default) if has_default else value)

    def choice(self, possible: Iterable[str]) -> str:
        """Return a text that is one of a few."""
        text, known = self.text(), list(possible)
        if text not in known:
            self.refuse(f"is {self.shown()}.{_meant(text, known)} Possible: {', '.join(known)}.")
        return text

    def flag(self) -> bool:
        """Return true or false."""
        text = self.text()
        if text not in {"true", "false"}:
            self.refuse(f"is {self.shown()}. Write true or false.")
        return text == "true"

    def day(self) -> date:
        """Return a calendar day."""
        day = _day_of(self.text())
        if day is None:
            self.refuse(f"is {self.shown()}, which is no day. Write it as 2024-01-15 (UTC).")
        return day

    def name(self) -> str:
        """Return a text that can be part of a file name and of a partition key."""
        text = self.text()
        if not _NAME.fullmatch(text):
            self.refuse(f'is {self.shown()}. A name has letters, digits, "-", "_" and "." only.')
        return text

    def symbol(self) -> str:
        """Return a symbol in the exchange's spelling, which only the exchange can judge."""
        text = self.text()
        if _NO_SYMBOL.search(text):
            self.refuse(f'is {self.shown()}. Write each symbol as an entry of its own: "BTCUSDT".')
        return text

    def timeframe(self, base: str | None = None) -> str:
        """Return a timeframe's label; with a base, one that the base fills exactly."""
        text = self.text()
        try:
            check_timeframe(text)
            if base is not None:
                check_tiles(base, [text])
        except UnknownTimeframe:
            known = ", ".join(TIMEFRAMES)
            self.refuse(f"is {self.shown()}, which is no timeframe. Possible: {known}.")
        except ConfigError as error:
            self.refuse(f"is {self.shown()}. {error}")
        return text

    def entries(self) -> "list[Value]":
        """Return a list's entries; none where nothing is written behind the key."""
        if self.is_null():
            return []
        if not isinstance(self.node, yaml.SequenceNode):
            self.refuse(f"is {self.shown()}, where a list belongs. {self._as_list()}")
        return [
            Value(self.origin, node, f"{self.path}[{index}]")
            for index, node in enumerate(self.node.value)
        ]

    def _as_list(self) -> str:
        if not isinstance(self.node, yaml.ScalarNode) or is_secret(self.path):
            return "Begin each entry with a dash."
        entries = ", ".join(re.split(r"[\s,;]+", self.node.value.strip()))
        return f"Write [{entries}]."

    def section(self) -> "Section":
        """Return a mapping; each key stands once in it."""
        if not isinstance(self.node, yaml.MappingNode):
            self.refuse(f"is {self.shown()}, where keys and values belong.")
        values: dict[str, Value] = {}
        keys: dict[str, Value] = {}
        for key_node, node in self.node.value:
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
            path = f"{self.path}.{key}" if self.path else key
            if key in keys:
                Value(self.origin, key_node, path).refuse(
                    f"stands twice (first at line {keys[key].line})."
                )
            keys[key] = Value(self.origin, key_node, path)
            values[key] = Value(self.origin, node, path)
        return Section(self, keys, values)


@dataclass(frozen=True, slots=True)
class Section:
    """A mapping of the text: its values by key, and the place of each key."""

    whole: Value
    keys: Mapping[str, Value]
    values: Mapping[str, Value]

    def only(self, *known: str) -> "Section":
        """Refuse keys that nothing reads.

        Raises:
            InvalidSettings: Naming the closest known key, and all of them.
        """
        for key, place in self.keys.items():
            if key not in known:
                place.refuse(f"is unknown.{_meant(key, known)} Possible: {', '.join(known)}.")
        return self

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def __getitem__(self, key: str) -> Value:
        """Return a value that must be there.

        Raises:
            InvalidSettings: It is not.
        """
        if key not in self.values:
            path = f"{self.whole.path}.{key}" if self.whole.path else key
            line = self.whole.line
            raise _invalid(self.whole.origin.name, line, path, "is missing.")
        return self.values[key]

    def entries(self, key: str) -> list[Value]:
        """Return the entries of a list; none where the key is absent."""
        return self.values[key].entries() if key in self.values else []

    def flag(self, key: str) -> bool:
        """Return true or false; false where the key is absent."""
        return key in self.values and self.values[key].flag()


def once(values: Iterable[Value], texts: Iterable[str]) -> tuple[str, ...]:
    """Return texts in order, each allowed once; a complaint falls on the value it was read from."""
    seen: dict[str, None] = {}
    for value, text in zip(values, texts, strict=True):
        if text in seen:
            value.refuse(f"is {value.shown()}, which stands in this list already.")
        seen[text] = None
    return tuple(seen)


def _day_of(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if is_bare_date(text) else None
    except ValueError:  # such as 2024-02-30
        return None


def _meant(text: str, known: Collection[str]) -> str:
    # The first of two that differ by case alone stays: 1m, and not 1M.
    by_folded = {word.casefold(): word for word in reversed(list(known))}
    close = difflib.get_close_matches(text.casefold(), by_folded, n=1)
    return f" Did you mean {by_folded[close[0]]}?" if close else ""


def path_of(value: Value) -> Path:
    """Return a path, relative to whatever the reader of the text decides."""
    return Path(value.text())
