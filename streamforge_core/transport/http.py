"""GET over HTTP: patient, bounded, within a request budget. Knows status codes, no market."""

import logging
import random
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import requests

from streamforge_core.errors import ConnectionLost, RateLimited, ServerFailure, TransportError
from streamforge_core.transport.backoff import Backoff
from streamforge_core.transport.clock import Clock

_log = logging.getLogger(__name__)

TIMEOUT_S: Final = (5.0, 30.0)
"""To connect, and between two pieces of an answer."""

MAX_BODY_BYTES: Final = 512 * 1024 * 1024
_PIECE_BYTES: Final = 256 * 1024
_TOO_MANY: Final = frozenset({418, 429})
_FIRST_SERVER_FAILURE: Final = 500


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said.

    Attributes:
        status: HTTP status: below 500, and never 418 or 429, which are waited out.
        headers: Names in any case.
        body: The whole content, decompressed.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class RateBudget:
    """The weight that may be spent per minute, shared by the threads of one client.

    The server's own count, where an answer carries one, corrects ours: others may spend from the
    same address.

    Args:
        weight_per_minute: What may be spent.
        used_header: Response header with the server's count of the running minute.
        clock: The time.
    """

    def __init__(self, weight_per_minute: int, used_header: str, *, clock: Clock) -> None:
        self._limit = weight_per_minute
        self._used_header = used_header
        self._clock = clock
        self._lock = threading.Lock()
        self._minute = 0
        self._used = 0
        self._blocked_until_ms = 0

    def spend(self, weight: int) -> float:
        """Take some weight; return the seconds to wait before asking again, 0 if it was there."""
        with self._lock:
            now_ms = self._clock.now_ms()
            self._turn(now_ms // 60_000)
            if now_ms < self._blocked_until_ms:
                return (self._blocked_until_ms - now_ms) / 1_000
            if self._used + weight <= self._limit:
                self._used += weight
                return 0.0
            return (60_000 - now_ms % 60_000) / 1_000

    def learn(self, headers: Mapping[str, str]) -> None:
        """Correct the count by the server's."""
        told = headers.get(self._used_header, "")
        if told.isdigit():
            with self._lock:
                self._used = max(self._used, int(told))

    def block(self, delay_s: float) -> None:
        """Let nobody spend for a while: one thread's 429 is every thread's."""
        with self._lock:
            until_ms = self._clock.now_ms() + int(delay_s * 1_000)
            self._blocked_until_ms = max(self._blocked_until_ms, until_ms)

    def _turn(self, minute: int) -> None:
        if minute != self._minute:
            self._minute, self._used = minute, 0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long trouble is waited out.

    Attributes:
        attempts: Tries at one request before its error is raised.
        longest_ban_s: A longer Retry-After is raised at once instead of waited out.
    """

    attempts: int = 5
    longest_ban_s: float = 180.0


class HttpClient:
    """Performs GET requests, from any number of threads.

    Network errors, cut bodies and 5xx are retried with jittered back-off, 429 and 418 after what
    `Retry-After` asks. `stop` ends every wait.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        budget: RateBudget | None = None,
        patience: Patience = Patience(),
        stop: threading.Event | None = None,
    ) -> None:
        self._clock = clock
        self._budget = budget
        self._patience = patience
        self._stop = stop or threading.Event()
        self._local = threading.local()
        self._lock = threading.Lock()
        self._sessions: list[requests.Session] = []
        self.requests = 0
        """Requests sent so far, retries included."""

    def get(
        self,
        url: str,
        params: Sequence[tuple[str, str]] = (),
        *,
        weight: int = 0,
        max_bytes: int = MAX_BODY_BYTES,
    ) -> Answer:
        """Return the answer to a GET.

        Args:
            url: Without its query.
            params: The query, in order.
            weight: What it costs of the budget; 0 is outside of it.
            max_bytes: A longer body is refused.

        Raises:
            ConnectionLost: No attempt got a whole answer, or `stop` was set.
            RateLimited: 429 or 418 outlasted our patience.
            ServerFailure: Every attempt got a 5xx.
        """
        backoff = Backoff(first_s=0.2, cap_s=10.0, draw=random.random)
        for attempt in range(1, self._patience.attempts + 1):
            self._wait_for_budget(weight)
            try:
                return self._once(url, params, max_bytes)
            except TransportError as error:
                if attempt == self._patience.attempts:
                    raise
                delay_s = self._delay(error, backoff.delay_s(attempt))
                _log.warning("%s; try %d again in %.1f s", error, attempt + 1, delay_s)
                self._pause(delay_s)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def close(self) -> None:
        """Close every thread's connections."""
        with self._lock:
            for session in self._sessions:
                session.close()
            self._sessions.clear()

    def _once(self, url: str, params: Sequence[tuple[str, str]], max_bytes: int) -> Answer:
        with self._lock:
            self.requests += 1
        try:
            with self._session().get(
                url, params=list(params), timeout=TIMEOUT_S, stream=True, allow_redirects=False
            ) as response:
                body = _bounded(response, max_bytes)
        except (requests.RequestException, OSError) as error:
            # The URL is named by hand: an exception's own text may repeat credentials in it.
            raise ConnectionLost(
                f"GET {url} got no whole answer: {type(error).__name__}"
            ) from error
        if self._budget:
            self._budget.learn(response.headers)
        _refuse_trouble(url, response)
        return Answer(response.status_code, response.headers, body)

    def _session(self) -> requests.Session:
        # requests does not promise that one session serves several threads.
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.headers["User-Agent"] = "streamforge"
            with self._lock:
                self._sessions.append(session)
        return session

    def _wait_for_budget(self, weight: int) -> None:
        while self._budget and weight and (delay_s := self._budget.spend(weight)):
            _log.info("The request budget is spent; waiting %.1f s", delay_s)
            self._pause(delay_s)

    def _delay(self, error: TransportError, backoff_s: float) -> float:
        asked_s = error.retry_after_s if isinstance(error, RateLimited) else None
        if asked_s is None:
            return backoff_s
        if asked_s > self._patience.longest_ban_s:
            raise error
        if self._budget:
            self._budget.block(asked_s)
        return asked_s

    def _pause(self, delay_s: float) -> None:
        if self._clock.wait(delay_s, self._stop):
            raise ConnectionLost("Stopped while waiting for the network.")


def _bounded(response: requests.Response, max_bytes: int) -> bytes:
    pieces, size = [], 0
    for piece in response.iter_content(_PIECE_BYTES):
        size += len(piece)
        if size > max_bytes:
            raise requests.exceptions.ContentDecodingError(f"more than {max_bytes} bytes")
        pieces.append(piece)
    return b"".join(pieces)


def _refuse_trouble(url: str, response: requests.Response) -> None:
    status = response.status_code
    if status in _TOO_MANY:
        asked = response.headers.get("Retry-After", "")
        raise RateLimited(
            f"GET {url} answered {status}: too many requests"
            + (f", retry after {asked} s" if asked else ""),
            retry_after_s=float(asked) if asked.isdigit() else None,
        )
    if status >= _FIRST_SERVER_FAILURE:
        raise ServerFailure(f"GET {url} answered {status}", status=status)
