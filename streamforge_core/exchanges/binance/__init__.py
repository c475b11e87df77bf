"""Binance: spot today; the market travels through every part."""
