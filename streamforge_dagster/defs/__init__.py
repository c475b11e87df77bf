"""What Dagster shows, one folder per domain."""
