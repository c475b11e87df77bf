"""Checks that read the store: blocking ones stand before everything derived."""
