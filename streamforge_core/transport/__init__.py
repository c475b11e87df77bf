"""Moves text and bytes, reads the clock; knows no market."""
