"""Benchmarks: our paths beside those of others, same input, interleaved rounds. `make bench`."""
