"""What was asked for on one connection, and what became of each request."""

import logging
from collections.abc import Iterable, Sequence

from streamforge_core.errors import ExchangeError
from streamforge_core.model.exchange import Ack, Refusal, StreamProtocol, Subscription

_log = logging.getLogger(__name__)


class Subscriptions:
    """The subscriptions of one connection, asked for anew on every connect.

    A refused request for several is split in two and asked again, until the one that the venue
    does not take is alone; the others go on.

    Args:
        protocol: Speaks the venue's language.
        wanted: At most what one connection may hold.
    """

    def __init__(self, protocol: StreamProtocol, wanted: Iterable[Subscription]) -> None:
        self._protocol = protocol
        self._wanted = list(wanted)
        self._asked: dict[int | str, list[Subscription]] = {}
        self._next_id = 1
        self.refused: dict[Subscription, ExchangeError] = {}
        """Those that the venue does not take, and why."""

    @property
    def wanted(self) -> tuple[Subscription, ...]:
        """Those that are not refused."""
        return tuple(one for one in self._wanted if one not in self.refused)

    def ask(self) -> list[str]:
        """Return the frames that ask for everything, on a new connection."""
        self._asked.clear()
        return self._ask(self.wanted)

    def _ask(self, wanted: Sequence[Subscription]) -> list[str]:
        frames = self._protocol.subscribe(wanted, first_id=self._next_id)
        if len(frames) > 1 and len(wanted) > 1:
            # One call per frame, so that it is known which request asked for which subscription.
            size = -(-len(wanted) // len(frames))
            parts = [wanted[start : start + size] for start in range(0, len(wanted), size)]
            return [frame for part in parts for frame in self._ask(part)]
        for _ in frames:
            self._asked[self._next_id] = list(wanted)
            self._next_id += 1
        return frames

    def take(self, answer: Ack | Refusal) -> list[str]:
        """Take the answer to a request; return frames to be sent because of it."""
        asked = self._asked_by(answer)
        if isinstance(answer, Ack):
            return []
        if not asked:
            _log.warning("A request that is not known here was refused: %s", answer.error)
            return []
        if len(asked) > 1:
            middle = len(asked) // 2
            return self._ask(asked[:middle]) + self._ask(asked[middle:])
        self.refuse(asked[0], answer.error)
        return []

    def refuse(self, subscription: Subscription, error: ExchangeError) -> None:
        """Give one up; it is not asked for again."""
        self.refused[subscription] = error
        _log.error(
            "%s %s %s is refused and left out: %s",
            self._protocol.market.source,
            subscription.symbol,
            subscription.timeframe,
            error,
        )

    def _asked_by(self, answer: Ack | Refusal) -> list[Subscription]:
        if answer.request_id is not None:
            return self._asked.pop(answer.request_id, [])
        # Not every error repeats the id of its request; answers come in the order of requests.
        oldest = next(iter(self._asked), None)
        return [] if oldest is None else self._asked.pop(oldest)
