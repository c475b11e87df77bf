"""StreamForge: crypto market candles, each exactly once, correct to the last digit, gaps explained.

Everything public is here: `import streamforge_core as sf`. Names load on first use, so that a
program pays only for what it touches.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamforge_core.emitters.base import Emitter as DataEmitter
    from streamforge_core.emitters.base import Emitter as Emitter
    from streamforge_core.model.columns import KLINE_SCHEMA as KLINE_SCHEMA
    from streamforge_core.model.data_input import DataInput as DataInput
    from streamforge_core.model.gap import Hole as Hole
    from streamforge_core.model.kline import Kline as Kline

__version__ = "0.1.0"

# Public name -> module that defines it, and its name there where that differs.
_HOME = {
    "DataEmitter": "emitters.base:Emitter",
    "DataInput": "model.data_input",
    "Emitter": "emitters.base",
    "Hole": "model.gap",
    "KLINE_SCHEMA": "model.columns",
    "Kline": "model.kline",
}

__all__ = [
    "KLINE_SCHEMA",
    "DataEmitter",
    "DataInput",
    "Emitter",
    "Hole",
    "Kline",
    "__version__",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _HOME[name].partition(":")
    value = getattr(import_module(f"{__name__}.{module}"), attribute or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
