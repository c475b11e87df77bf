"""What flows between the stages: candles, their columns, and what is asked for. No IO, no venue."""
