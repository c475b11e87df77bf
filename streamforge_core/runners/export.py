"""Writes a table of candles into one file, whole or not at all."""

import os
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from streamforge_core.errors import ConfigError, StorageFull


def export_table(table: pa.Table, path: str | os.PathLike[str]) -> None:
    """Write a table as CSV or Parquet, by the ending of the file's name.

    Raises:
        ConfigError: The ending is neither ".csv" nor ".parquet".
        StorageFull: The file cannot be written; nothing half-written is left.
    """
    target = Path(path)
    if target.suffix not in (".csv", ".parquet"):
        raise ConfigError(
            f"{target} ends in neither .csv nor .parquet: the ending says the format."
        )
    draft = target.with_name(f".{target.name}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".csv":
            pyarrow.csv.write_csv(table, draft)
        else:
            pyarrow.parquet.write_table(table, draft, compression="zstd")
        draft.replace(target)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise StorageFull(f"{target} cannot be written: {error.strerror or error}.") from error
