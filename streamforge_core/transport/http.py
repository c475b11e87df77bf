"""GET over HTTP: patient, bounded, within a request budget. Knows status codes, no market."""

import logging
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import requests

from streamforge_core.errors import (
    ConnectionLost,
    MalformedMessage,
    RateLimited,
    ServerFailure,
    TransportError,
)
from streamforge_core.transport.backoff import Backoff
from streamforge_core.transport.clock import Clock

_log = logging.getLogger(__name__)

TIMEOUT_S: Final = (5.0, 30.0)
"""To connect, and between two pieces of an answer."""

MAX_BODY_BYTES: Final = 128 * 1024 * 1024
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
    `Retry-After` asks; while a ban lasts nothing that costs weight is sent. `stop` ends every wait.

    Args:
        clock: The time.
        budget: What may be spent; None counts nothing.
        patience: How long trouble is waited out.
        stop: Set by another thread to end soon.
        draw: Returns a number in [0, 1) for the jitter.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        budget: RateBudget | None = None,
        patience: Patience = Patience(),
        stop: threading.Event | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._budget = budget
        self._patience = patience
        self._stop = stop or threading.Event()
        self._backoff = Backoff(first_s=0.2, cap_s=10.0, draw=draw)
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
            RateLimited: 429 or 418 outlasted our patience, or a ban told before still lasts.
            ServerFailure: Every attempt got a 5xx.
            MalformedMessage: The body is longer than `max_bytes`.
        """
        attempt = 0
        while True:
            attempt += 1
            self._wait_for_budget(weight)
            if self._stop.is_set():
                raise ConnectionLost("Stopped before everything was asked for.")
            try:
                return self._once(url, params, max_bytes)
            except TransportError as error:
                delay_s = self._delay(error, self._backoff.delay_s(attempt), weight)
                if attempt == self._patience.attempts:
                    raise
                _log.warning("%s; try %d again in %.1f s", error, attempt + 1, delay_s)
                self._pause(delay_s)

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
                body = _bounded(response, url, max_bytes)
        except (requests.RequestException, OSError) as error:
            # Neither its text nor its trace goes on: both may repeat credentials in the URL.
            reason = f"GET {_shown(url)} got no whole answer: {_cause(error)}"
            raise ConnectionLost(reason) from None
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
            if delay_s > self._patience.longest_ban_s:
                raise RateLimited(
                    f"Not asked: the venue wants {delay_s:.0f} s of silence first",
                    retry_after_s=delay_s,
                )
            _log.info("The request budget is spent; waiting %.1f s", delay_s)
            self._pause(delay_s)

    def _delay(self, error: TransportError, backoff_s: float, weight: int) -> float:
        """Return how long to wait after a failure; raise it if that is too long."""
        asked_s = error.retry_after_s if isinstance(error, RateLimited) else None
        if asked_s is None:
            return backoff_s
        if self._budget and weight:
            self._budget.block(asked_s)
        if asked_s > self._patience.longest_ban_s:
            raise error
        return asked_s

    def _pause(self, delay_s: float) -> None:
        if self._clock.wait(delay_s, self._stop):
            raise ConnectionLost("Stopped while waiting for the network.")


def _bounded(response: requests.Response, url: str, max_bytes: int) -> bytes:
    pieces, size = [], 0
    for piece in response.iter_content(_PIECE_BYTES):
        size += len(piece)
        if size > max_bytes:
            raise MalformedMessage(f"GET {_shown(url)} answered more than {max_bytes} bytes.")
        pieces.append(piece)
    return b"".join(pieces)


def _refuse_trouble(url: str, response: requests.Response) -> None:
    status = response.status_code
    if status in _TOO_MANY:
        asked = response.headers.get("Retry-After", "")
        told = f", retry after {asked} s" if asked.isdecimal() else ""
        raise RateLimited(
            f"GET {_shown(url)} answered {status}: too many requests{told}",
            retry_after_s=float(asked) if told else None,
        )
    if status >= _FIRST_SERVER_FAILURE:
        raise ServerFailure(f"GET {_shown(url)} answered {status}", status=status)


def _shown(url: str) -> str:
    """Return a URL without the credentials that may stand in it."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _cause(error: BaseException) -> str:
    """Name what went wrong below: "NewConnectionError" says more than "ConnectionError"."""
    inner = error.args[0] if error.args else None
    reason = getattr(inner, "reason", inner)
    return type(reason if isinstance(reason, BaseException) else error).__name__
