"""A backfill as a process of its own, to be killed, starved of disk space or sent abroad.

    python -m tests.support.backfill_process STORE SYMBOL FROM TO

Prints the class of the error that ended it, or else how many rows the store has and their SHA-256.
"""

import hashlib
import os
import resource
import sys
from typing import Final

from streamforge_core.emitters.parquet import ParquetEmitter
from streamforge_core.errors import StreamForgeError
from streamforge_core.runners.backfill_bindings import BinanceBackfilling
from streamforge_core.store.reader import Store

LARGEST_FILE: Final = "TEST_LARGEST_FILE"


def main(store: str, symbol: str, from_date: str, to_date: str) -> None:
    """Run it."""
    if largest := os.environ.get(LARGEST_FILE):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(largest), resource.RLIM_INFINITY))
    backfiller = BinanceBackfilling(symbol, "1m", from_date, to_date)
    try:
        backfiller.register_emitter(ParquetEmitter(store)).run()
    except StreamForgeError as error:
        sys.stdout.write(type(error).__name__)
        return
    rows = Store(store).read(source="Binance", symbol=symbol, timeframe="1m").to_pylist()
    digest = hashlib.sha256(repr(rows).encode()).hexdigest()
    sys.stdout.write(f"{len(rows)} {digest}")


if __name__ == "__main__":
    main(*sys.argv[1:])
