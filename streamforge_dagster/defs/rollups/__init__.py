"""Higher timeframes, derived from the stored base candles."""
