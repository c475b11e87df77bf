"""Binance's past as an `HttpClient` without a socket: minutes by REST, minutes in archive files."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from streamforge_core.model.timeframe import DAY_MS, end_of, iso
from streamforge_core.transport.http import MAX_BODY_BYTES, Answer, HttpClient
from tests.support.archives import csv_row, zip_of
from tests.support.scripted_web import ScriptedClock

UNKNOWN = Answer(400, {}, b'{"code":-1121,"msg":"Invalid symbol."}')
NOT_FOUND = Answer(404, {}, b"<Error><Code>NoSuchKey</Code></Error>")
HTML = Answer(200, {}, b"<html>Service unavailable</html>")


@dataclass
class Trouble:
    """What happens instead of an answer, to so many requests whose path and query match."""

    pattern: str
    what: Answer | Exception
    times: int = 1_000_000


class TinyBinance(HttpClient):
    """Answers from what it was given; the prices of a candle differ between REST and archive.

    Attributes:
        rest: Opens that REST has, ascending.
        files: Name such as "2024-01-15" or "2024-01" -> the archive file's bytes.
        asked: Path and query of every request, shortened to what matters.
        troubles: First come, first served.
    """

    def __init__(
        self,
        rest: Iterable[int] = (),
        *,
        archive: Iterable[int] | None = (),
        timeframe: str = "1m",
        clock: ScriptedClock | None = None,
    ) -> None:
        super().__init__(clock=clock or ScriptedClock())
        self.rest = sorted(rest)
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.troubles: list[Trouble] = []
        self.before: Callable[[str], object] = lambda _: None
        self._timeframe = timeframe
        for open_ts in archive or ():
            self.put(open_ts)
        self.pack()

    def put(self, *opens: int) -> None:
        """Put candles into the daily file of their day; `pack` makes zips of them."""
        for open_ts in opens:
            day = iso(open_ts // DAY_MS * DAY_MS)
            row = csv_row(open_ts, close_time=end_of(open_ts, self._timeframe))
            self.files[day] = self.files.get(day, b"") + f"{row}\n".encode()

    def pack(self) -> None:
        self.files = {
            name: zip_of(*text.decode().splitlines()) for name, text in self.files.items()
        }

    def get(
        self,
        url: str,
        params: Sequence[tuple[str, str]] = (),
        *,
        weight: int = 0,
        max_bytes: int = MAX_BODY_BYTES,
    ) -> Answer:
        """Answer, or fail as asked to."""
        del weight, max_bytes
        asked = _short(url, dict(params))
        self.asked.append(asked)
        self.requests += 1
        self.before(asked)
        for trouble in self.troubles:
            if trouble.times and re.search(trouble.pattern, asked):
                trouble.times -= 1
                if isinstance(trouble.what, Exception):
                    raise trouble.what
                return trouble.what
        if "/data/" in url:
            return self._file(url)
        return self._klines(dict(params))

    def _file(self, url: str) -> Answer:
        match = re.search(r"-(\d{4}-\d{2}(?:-\d{2})?)\.zip(\.CHECKSUM)?$", url)
        content = self.files.get(match[1]) if match else None
        if match is None or content is None:
            return NOT_FOUND
        if match[2]:
            line = f"{hashlib.sha256(content).hexdigest()}  file.zip\n"
            return Answer(200, {}, line.encode())
        return Answer(200, {}, content)

    def _klines(self, params: dict[str, str]) -> Answer:
        start = int(params.get("startTime", 0))
        end = int(params.get("endTime", 10**15))
        limit = int(params["limit"])
        found = [open_ts for open_ts in self.rest if start <= open_ts <= end]
        rows = found[:limit] if "startTime" in params else found[-limit:]
        return Answer(200, {}, json.dumps([self._row(open_ts) for open_ts in rows]).encode())

    def _row(self, open_ts: int) -> list[object]:
        text = csv_row(open_ts, close="104.0", close_time=end_of(open_ts, self._timeframe))
        return [
            int(cell) if index in {0, 6, 8} else cell for index, cell in enumerate(text.split(","))
        ]


def _short(url: str, params: dict[str, str]) -> str:
    """Write a request as "file 2024-01-15.zip" or "rest 1705276800000..1705276859999 of 1000"."""
    file = re.search(r"-(\d{4}-\d{2}(?:-\d{2})?\.zip(?:\.CHECKSUM)?)$", url)
    if file:
        return f"file {file[1]}"
    return f"rest {params.get('startTime', '')}..{params.get('endTime', '')} of {params['limit']}"
