"""The Parquet store read back: rows, coverage, missing candles, SQL."""

from streamforge_core.store.reader import SeriesCoverage as SeriesCoverage
from streamforge_core.store.reader import Store as Store
