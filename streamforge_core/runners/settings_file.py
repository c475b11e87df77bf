"""Reads `streamforge.yaml` and the environment: `load_settings`."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from streamforge_core.errors import ConfigError
from streamforge_core.model.settings import Settings, parse_settings

SETTINGS_VARIABLE: Final = "STREAMFORGE_SETTINGS"
SETTINGS_FILE: Final = "streamforge.yaml"

_SMALLEST: Final = """\
sources:
  - source: Binance
    symbols: [BTCUSDT]
    timeframe: 1m
    start: 2024-01-01
"""


def load_settings(
    path: str | os.PathLike[str] | None = None, environment: Mapping[str, str] | None = None
) -> Settings:
    """Return what a settings file declares, its paths made absolute.

    Relative paths, those out of the environment too, are relative to the folder of the file: what
    it declares does not depend on where a command was started.

    Args:
        path: The file; None takes `$STREAMFORGE_SETTINGS`, else `streamforge.yaml` in the current
            folder.
        environment: Variables by name; None takes this process'.

    Raises:
        ConfigError: There is no such file, or it cannot be read.
        InvalidSettings: Something in it cannot be; carries the key and the line.
    """
    variables = os.environ if environment is None else environment
    file = Path(path or variables.get(SETTINGS_VARIABLE) or SETTINGS_FILE).expanduser().absolute()
    settings = parse_settings(_read(file, variables), variables, name=file.name)
    return settings.with_paths(lambda each: file.parent / each.expanduser())


def _read(file: Path, variables: Mapping[str, str]) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        named = variables.get(SETTINGS_VARIABLE)
        raise ConfigError(
            f"There is no settings file at {file} (${SETTINGS_VARIABLE} is {named or 'not set'}). "
            f"Name another, or write this into it:\n{_SMALLEST}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}.") from error
