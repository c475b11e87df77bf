"""A backfill in a process of its own, so that its peak of memory is nobody else's.

Run by the case `ten_years_memory`; prints one line of JSON.
"""

import json
from pathlib import Path
from time import perf_counter, process_time

import click

from benchmarks.machine import peak_memory_bytes
from streamforge_core.emitters.parquet import ParquetEmitter
from streamforge_core.runners.backfill_bindings import BinanceBackfilling


@click.command()
@click.argument("url")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.argument("symbol")
@click.argument("from_date")
@click.argument("to_date")
def main(url: str, folder: Path, symbol: str, from_date: str, to_date: str) -> None:
    """Load minutes from URL into FOLDER."""
    before_bytes = peak_memory_bytes()
    backfill = BinanceBackfilling(
        symbol, "1m", from_date, to_date, endpoints={"REST": url, "ARCHIVE": url}
    )
    backfill.register_emitter(ParquetEmitter(folder))
    cpu_s, wall_s = process_time(), perf_counter()
    report = backfill.run()
    result = {
        "cpu_s": process_time() - cpu_s,
        "wall_s": perf_counter() - wall_s,
        "peak_bytes": peak_memory_bytes(),
        "before_bytes": before_bytes,
        "rows": report.rows,
    }
    click.echo(json.dumps(result))


if __name__ == "__main__":
    main()
