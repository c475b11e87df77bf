"""StreamForge: crypto market candles, each exactly once, correct to the last digit, gaps explained.

Everything public is here: `import streamforge_core as sf`. Names load on first use, so that a
program pays only for what it touches.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamforge_core.emitters.base import Emitter as DataEmitter
    from streamforge_core.emitters.base import Emitter as Emitter
    from streamforge_core.emitters.base import Report as Report
    from streamforge_core.emitters.csv_file import CSVEmitter as CSVEmitter
    from streamforge_core.emitters.delivery import EmitterHolder as EmitterHolder
    from streamforge_core.emitters.logger import Logger as Logger
    from streamforge_core.emitters.parquet import ParquetEmitter as ParquetEmitter
    from streamforge_core.errors import ChecksumMismatch as ChecksumMismatch
    from streamforge_core.errors import ConfigError as ConfigError
    from streamforge_core.errors import ConnectionLost as ConnectionLost
    from streamforge_core.errors import EmitterError as EmitterError
    from streamforge_core.errors import ExchangeError as ExchangeError
    from streamforge_core.errors import IncompleteBackfill as IncompleteBackfill
    from streamforge_core.errors import InvalidSettings as InvalidSettings
    from streamforge_core.errors import MalformedMessage as MalformedMessage
    from streamforge_core.errors import MissingExtra as MissingExtra
    from streamforge_core.errors import RateLimited as RateLimited
    from streamforge_core.errors import RecordError as RecordError
    from streamforge_core.errors import RequestRefused as RequestRefused
    from streamforge_core.errors import ServerFailure as ServerFailure
    from streamforge_core.errors import StaleWriter as StaleWriter
    from streamforge_core.errors import StorageFull as StorageFull
    from streamforge_core.errors import StreamForgeError as StreamForgeError
    from streamforge_core.errors import TransportError as TransportError
    from streamforge_core.errors import UnknownSymbol as UnknownSymbol
    from streamforge_core.errors import UnknownTimeframe as UnknownTimeframe
    from streamforge_core.errors import UnsupportedTimeframe as UnsupportedTimeframe
    from streamforge_core.logs import DefaultLogger as DefaultLogger
    from streamforge_core.logs import SilentLogger as SilentLogger
    from streamforge_core.logs import config as config
    from streamforge_core.logs import show_logs as show_logs
    from streamforge_core.model.columns import KLINE_SCHEMA as KLINE_SCHEMA
    from streamforge_core.model.data_input import DataInput as DataInput
    from streamforge_core.model.gap import Evidence as Evidence
    from streamforge_core.model.gap import Hole as Hole
    from streamforge_core.model.kline import Kline as Kline
    from streamforge_core.model.kline import Record as Record
    from streamforge_core.model.kline import Series as Series
    from streamforge_core.model.settings import Settings as Settings
    from streamforge_core.model.settings import SourceSettings as SourceSettings
    from streamforge_core.pipeline.aggregator import aggregate as aggregate
    from streamforge_core.pipeline.rollup import rollup as rollup
    from streamforge_core.runners.backfill_bindings import BinanceBackfilling as BinanceBackfilling
    from streamforge_core.runners.backfill_run import BackfillReport as BackfillReport
    from streamforge_core.runners.backfilling import Backfilling as Backfilling
    from streamforge_core.runners.bindings import BinanceRunner as BinanceRunner
    from streamforge_core.runners.derive import derive as derive
    from streamforge_core.runners.merge import merge_streams as merge_streams
    from streamforge_core.runners.progress import Progress as Progress
    from streamforge_core.runners.runner import Runner as Runner
    from streamforge_core.runners.settings_file import load_settings as load_settings
    from streamforge_core.runners.venues import backfilling_for as backfilling_for
    from streamforge_core.runners.venues import make_emitter as make_emitter
    from streamforge_core.runners.venues import runner_for as runner_for
    from streamforge_core.store import Store as Store

__version__ = "0.1.0"

# Public name -> module that defines it, and its name there where that differs.
_HOME = {
    "BackfillReport": "runners.backfill_run",
    "Backfilling": "runners.backfilling",
    "BinanceBackfilling": "runners.backfill_bindings",
    "BinanceRunner": "runners.bindings",
    "CSVEmitter": "emitters.csv_file",
    "ChecksumMismatch": "errors",
    "ConfigError": "errors",
    "ConnectionLost": "errors",
    "DataEmitter": "emitters.base:Emitter",
    "DataInput": "model.data_input",
    "DefaultLogger": "logs",
    "Emitter": "emitters.base",
    "EmitterError": "errors",
    "EmitterHolder": "emitters.delivery",
    "Evidence": "model.gap",
    "ExchangeError": "errors",
    "Hole": "model.gap",
    "IncompleteBackfill": "errors",
    "InvalidSettings": "errors",
    "KLINE_SCHEMA": "model.columns",
    "Kline": "model.kline",
    "Logger": "emitters.logger",
    "MalformedMessage": "errors",
    "MissingExtra": "errors",
    "ParquetEmitter": "emitters.parquet",
    "Progress": "runners.progress",
    "RateLimited": "errors",
    "Record": "model.kline",
    "RecordError": "errors",
    "Report": "emitters.base",
    "RequestRefused": "errors",
    "Runner": "runners.runner",
    "Series": "model.kline",
    "ServerFailure": "errors",
    "Settings": "model.settings",
    "SilentLogger": "logs",
    "SourceSettings": "model.settings",
    "StaleWriter": "errors",
    "StorageFull": "errors",
    "Store": "store",
    "StreamForgeError": "errors",
    "TransportError": "errors",
    "UnknownSymbol": "errors",
    "UnknownTimeframe": "errors",
    "UnsupportedTimeframe": "errors",
    "aggregate": "pipeline.aggregator",
    "backfilling_for": "runners.venues",
    "config": "logs",
    "derive": "runners.derive",
    "load_settings": "runners.settings_file",
    "make_emitter": "runners.venues",
    "merge_streams": "runners.merge",
    "rollup": "pipeline.rollup",
    "runner_for": "runners.venues",
    "show_logs": "logs",
}

__all__ = [
    "KLINE_SCHEMA",
    "BackfillReport",
    "Backfilling",
    "BinanceBackfilling",
    "BinanceRunner",
    "CSVEmitter",
    "ChecksumMismatch",
    "ConfigError",
    "ConnectionLost",
    "DataEmitter",
    "DataInput",
    "DefaultLogger",
    "Emitter",
    "EmitterError",
    "EmitterHolder",
    "Evidence",
    "ExchangeError",
    "Hole",
    "IncompleteBackfill",
    "InvalidSettings",
    "Kline",
    "Logger",
    "MalformedMessage",
    "MissingExtra",
    "ParquetEmitter",
    "Progress",
    "RateLimited",
    "Record",
    "RecordError",
    "Report",
    "RequestRefused",
    "Runner",
    "Series",
    "ServerFailure",
    "Settings",
    "SilentLogger",
    "SourceSettings",
    "StaleWriter",
    "StorageFull",
    "Store",
    "StreamForgeError",
    "TransportError",
    "UnknownSymbol",
    "UnknownTimeframe",
    "UnsupportedTimeframe",
    "__version__",
    "aggregate",
    "backfilling_for",
    "config",
    "derive",
    "load_settings",
    "make_emitter",
    "merge_streams",
    "rollup",
    "runner_for",
    "show_logs",
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
