"""Faults a test asks for, and the log of what was asked of the simulator."""

import re
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

_REQUESTS_KEPT: Final = 100_000


@dataclass(slots=True)
class Fault:
    """What goes wrong with the next requests whose path matches.

    With `status` or `body` the exchange is not asked at all; without both, its own answer is sent
    after the damage. `delay_s` comes before everything else.

    Attributes:
        path_pattern: Regular expression searched for in path and query.
        status: HTTP status instead of the true one.
        body: Text instead of the true body.
        headers: Further headers.
        times: How many requests fail; then the fault is spent.
        skip: How many matching requests pass before.
        delay_s: Seconds to wait, by the simulator's clock.
        truncate_bytes: Send only so many bytes of the announced length, then cut the connection.
        corrupt: Turn one bit in the middle of the body.
        drop_connection: Send nothing and cut the connection.

    Raises:
        ValueError: On construction, if the pattern is no regular expression.
    """

    path_pattern: str
    status: int | None = None
    body: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1
    skip: int = 0
    delay_s: float = 0.0
    truncate_bytes: int | None = None
    corrupt: bool = False
    drop_connection: bool = False

    def __post_init__(self) -> None:
        try:
            re.compile(self.path_pattern)
        except re.error as error:
            raise ValueError(f"{self.path_pattern!r} is no regular expression: {error}") from None


class Faults:
    """The faults still to come, first come first served."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._faults = list(faults)
        self._lock = threading.Lock()

    def append(self, fault: Fault) -> None:
        """Add a fault behind the others."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Forget all faults."""
        with self._lock:
            self._faults.clear()

    def take(self, path: str) -> Fault | None:
        """Return what goes wrong with a request, None if nothing; it counts as used."""
        with self._lock:
            for fault in self._faults:
                if not re.search(fault.path_pattern, path):
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                if fault.times <= 0:
                    self._faults.remove(fault)
                return fault
        return None

    def __iter__(self) -> Iterator[Fault]:
        with self._lock:
            return iter(list(self._faults))

    def __len__(self) -> int:
        return len(self._faults)


class Request(NamedTuple):
    """A request the simulator got.

    Attributes:
        method: "GET" and so on.
        path: Without the query.
        parameters: The query; the last of repeated names.
    """

    method: str
    path: str
    parameters: dict[str, str]


class RequestLog:
    """The latest requests, oldest first."""

    def __init__(self) -> None:
        self._requests: deque[Request] = deque(maxlen=_REQUESTS_KEPT)

    def append(self, request: Request) -> None:
        """Add a request."""
        self._requests.append(request)

    def clear(self) -> None:
        """Forget all requests."""
        self._requests.clear()

    def to(self, path_pattern: str) -> list[Request]:
        """Return those whose path matches a regular expression somewhere."""
        return [request for request in self if re.search(path_pattern, request.path)]

    def __iter__(self) -> Iterator[Request]:
        return iter(list(self._requests))

    def __len__(self) -> int:
        return len(self._requests)
