"""The Dagster layer: assets, jobs, schedules, sensors and checks over `streamforge_core`."""
