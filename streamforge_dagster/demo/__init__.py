"""`make demo` and `make dev`: Dagster's UI in one command, with nothing left behind."""
