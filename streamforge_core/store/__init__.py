"""The Parquet store read back: rows, coverage, missing candles, SQL."""
