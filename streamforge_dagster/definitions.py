"""`defs`: everything Dagster loads."""
