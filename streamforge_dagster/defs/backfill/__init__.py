"""Base candles, read from the exchanges: one asset per source, its jobs and its daily schedule."""
