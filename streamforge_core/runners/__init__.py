"""Wiring: the live runner, the backfiller, and what binds both to a venue."""
