"""Binance Spot request weight: a budget per minute, a warning, then a ban.

Source: binance-spot-api-docs `rest-api.md` "LIMITS" and `errors.md`, text of 2026-07.
"""

from typing import Final

from streamforge_core.simulator.binance_rest import Refusal
from streamforge_core.simulator.boundaries import MINUTE_MS

_REFUSALS_BEFORE_BAN: Final = 10
_FIRST_BAN_MS: Final = 2 * MINUTE_MS
_LONGEST_BAN_MS: Final = 3 * 24 * 60 * MINUTE_MS


class WeightBudget:
    """The weight an address has used in the current minute; all of loopback is one address.

    Args:
        limit: Weight per minute.
    """

    def __init__(self, limit: int = 6000) -> None:
        self.limit = limit
        self.used = 0
        self.banned_until_ms = 0
        self._minute = -1
        self._ignored = 0
        self._ban_ms = _FIRST_BAN_MS

    def charge(self, weight: int, now_ms: int) -> None:
        """Count a request.

        Raises:
            Refusal: The budget is used up (429), or the address is banned (418) because it went on
                asking.
        """
        if now_ms < self.banned_until_ms:
            raise self._banned(now_ms)
        minute = now_ms // MINUTE_MS
        if minute != self._minute:
            self._minute, self.used, self._ignored = minute, 0, 0
        self.used += weight
        if self.used <= self.limit:
            return
        self._ignored += 1
        if self._ignored > _REFUSALS_BEFORE_BAN:
            self.banned_until_ms = now_ms + self._ban_ms
            self._ban_ms = min(2 * self._ban_ms, _LONGEST_BAN_MS)
            raise self._banned(now_ms)
        raise self._limited(now_ms)

    def _limited(self, now_ms: int) -> Refusal:
        return Refusal(
            -1003,
            f"Too much request weight used; current limit is {self.limit} request weight per "
            "1 MINUTE. Please use WebSocket Streams for live updates to avoid polling the API.",
            status=429,
            headers={"Retry-After": _seconds(MINUTE_MS - now_ms % MINUTE_MS)},
        )

    def _banned(self, now_ms: int) -> Refusal:
        return Refusal(
            -1003,
            f"Way too much request weight used; IP banned until {self.banned_until_ms}. "
            "Please use WebSocket Streams for live updates to avoid bans.",
            status=418,
            headers={"Retry-After": _seconds(self.banned_until_ms - now_ms)},
        )


def _seconds(duration_ms: int) -> str:
    return str(-(-duration_ms // 1000))
