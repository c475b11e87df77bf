"""A page of Binance's REST klines -> columns."""

import json
from functools import partial
from typing import Any, Final

import msgspec
import numpy as np
import pandas as pd  # type: ignore[import-untyped]  # it ships no types
import pyarrow as pa

from benchmarks.contest import Case, Contender, Setting
from benchmarks.inputs import SYMBOL, days, rest_page
from benchmarks.libraries import MSGSPEC, NUMPY, PANDAS, STREAMFORGE
from streamforge_core.exchanges.binance.constants import SPOT
from streamforge_core.exchanges.binance.history import ARCHIVE_COLUMNS, BinanceHistory
from streamforge_core.exchanges.binance.messages import REST_KLINES
from streamforge_core.transport.clock import SystemClock

ROWS: Final = 1_000
_SHOWN: Final = ("open_time", "open", "high", "low", "close", "volume", "quote_volume", "count")
_TYPES: Final = {
    name: "int64" if name in {"open_time", "close_time", "count"} else "float64"
    for name in ARCHIVE_COLUMNS[:9]
}


def build(setting: Setting) -> Case:
    """Return the case; its input is small enough for `--quick` too."""
    del setting
    body = rest_page(ROWS)
    history, now_ms = BinanceHistory(SPOT), SystemClock().now_ms()
    return Case(
        name="rest_page",
        title=f"a REST page of {ROWS} rows -> columns",
        unit="row",
        facts=f"{len(body)} bytes, {days()[0]}. Outcome: open times, prices, volumes, counts",
        contenders=[
            Contender.here(
                "StreamForge",
                STREAMFORGE,
                partial(history.parse_page, body, SYMBOL, "1m", now_ms=now_ms),
                ROWS,
                "an Arrow table of 14 columns: every row checked, end computed, vwap, the forming "
                "row refused",
                seen_as=_arrow_values,
            ),
            Contender.here(
                "json + pandas astype",
                PANDAS,
                partial(_pandas, body),
                ROWS,
                "a DataFrame of 9 columns; nothing checked",
                seen_as=lambda frame: [frame[name].to_numpy().tobytes() for name in _SHOWN],
            ),
            Contender.here(
                "msgspec + NumPy",
                NUMPY,
                partial(_numpy, body),
                ROWS,
                "untyped rows turned into a matrix of 9 float columns; nothing checked",
                seen_as=_matrix_values,
            ),
            Contender.here(
                "msgspec typed Struct",
                MSGSPEC,
                partial(REST_KLINES.decode, body),
                ROWS,
                "a struct a row, no columns; the bound of any way that decodes so",
            ),
        ],
    )


def _pandas(body: bytes) -> pd.DataFrame:
    frame = pd.DataFrame(json.loads(body), columns=list(ARCHIVE_COLUMNS))
    return frame[list(_TYPES)].astype(_TYPES)


def _numpy(body: bytes) -> "np.ndarray[Any, np.dtype[np.float64]]":
    return np.array(msgspec.json.decode(body))[:, : len(_TYPES)].astype(np.float64)


def _arrow_values(table: pa.Table) -> list[bytes]:
    names = {"open_time": "open_ts", "count": "n_trades"}
    return [table.column(names.get(name, name)).to_numpy().tobytes() for name in _SHOWN]


def _matrix_values(matrix: "np.ndarray[Any, np.dtype[np.float64]]") -> list[bytes]:
    columns = list(_TYPES)
    return [
        matrix[:, columns.index(name)].astype(_TYPES[name]).tobytes()  # times fit a float exactly
        for name in _SHOWN
    ]
