"""The command line: thin commands over the public face."""

import click


@click.group()
def main() -> None:
    """Market candles, live and historical: each exactly once."""
