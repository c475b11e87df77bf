"""Higher timeframes of a store out of its own base candles, with the reasons for what is absent."""

from collections.abc import Iterable, Sequence
from os import PathLike

import numpy as np

from streamforge_core.emitters.parquet import ParquetEmitter
from streamforge_core.model.columns import as_records, instants, opens_between
from streamforge_core.model.coverage import HoleEntry
from streamforge_core.model.gap import Evidence, Hole, final_spans
from streamforge_core.model.kline import Series
from streamforge_core.model.timeframe import end_of, first_open_from, next_open, open_of
from streamforge_core.pipeline.rollup import rollup
from streamforge_core.store import Store
