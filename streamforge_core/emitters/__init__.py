"""Destinations of candles. Each knows its own store and nothing of exchanges or of the others."""
