"""SQL over the files of a store, by DuckDB in memory."""

import glob
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import pyarrow as pa

from streamforge_core.errors import MissingExtra
from streamforge_core.model.columns import RECORD_SCHEMA
from streamforge_core.model.partition import PART_FILE, PERIOD_PREFIX

if TYPE_CHECKING:
    import duckdb

_SERIES: Final = "source=*/symbol=*/timeframe=*"
_MONTH: Final = len("2024-01")


def query(
    root: Path, text: str, parameters: Sequence[object] | Mapping[str, object] | None
) -> pa.Table:
    """Run one statement over the view `klines`; an empty store is an empty view.

    Raises:
        MissingExtra: DuckDB is not installed.
    """
    try:
        import duckdb
    except ImportError as error:
        raise MissingExtra("sql() needs DuckDB. Install streamforge-dagster[store].") from error
    with duckdb.connect() as connection:
        _create_view(connection, root)
        # None after a statement without rows, which the stubs do not say.
        relation = cast("duckdb.DuckDBPyRelation | None", connection.sql(text, params=parameters))
        if relation is None:
            return pa.table({})
        table: pa.Table = relation.to_arrow_table()
        return table


def _create_view(connection: "duckdb.DuckDBPyConnection", root: Path) -> None:
    if next(root.glob(f"{_SERIES}/{PERIOD_PREFIX}*/{PART_FILE}"), None) is None:
        connection.register("klines", RECORD_SCHEMA.empty_table())
        return
    # A file name is no value that DuckDB would bind in a view: quoted here, and never user input.
    pattern = f"{glob.escape(str(root))}/{_SERIES}/{PERIOD_PREFIX}*/{PART_FILE}".replace("'", "''")
    # The keys are in the files too; mixed day and month folders make DuckDB refuse the folders'.
    files = f"read_parquet('{pattern}', hive_partitioning=false, union_by_name=true)"
    once = _ONCE if _is_being_compacted(root) else ""
    connection.execute(f"create view klines as select * from {files} {once}")  # noqa: S608 - see above


# Only then: judging every row of a large store would cost each query a sort.
_ONCE: Final = """
qualify row_number() over (
    partition by source, symbol, timeframe, open_ts
    order by provenance = 'filled', is_closed desc, seen_ts desc, revision desc
) = 1
"""


def _is_being_compacted(root: Path) -> bool:
    """Tell whether some month lies beside one of its days."""
    for folder in root.glob(_SERIES):
        periods = {each.name.removeprefix(PERIOD_PREFIX) for each in folder.iterdir()}
        if any(len(period) > _MONTH and period[:_MONTH] in periods for period in periods):
            return True
    return False
