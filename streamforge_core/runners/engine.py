"""One run: sockets in, records out. It wires transport, protocol and flow."""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from streamforge_core.errors import (
    ExchangeError,
    MalformedMessage,
    TransportError,
    UnknownSymbol,
)
from streamforge_core.model.exchange import (
    Ack,
    Event,
    Notice,
    Refusal,
    StreamProtocol,
    Subscription,
)
from streamforge_core.model.kline import Record, Series
from streamforge_core.runners.flow import Flow
from streamforge_core.runners.outbox import Outbox
from streamforge_core.runners.subscriptions import Subscriptions
from streamforge_core.transport.clock import Clock
from streamforge_core.transport.websocket import WebSocket

if TYPE_CHECKING:  # only a warm start pays for HTTP and columns
    from streamforge_core.runners.warmup import Warmed, WarmHistory

_log = logging.getLogger(__name__)

FIRST_LIVE_WAIT_S: Final = 10.0
"""How long a warm start waits for the first live candle of a series before it asks REST."""

WARM_TRIES: Final = 3
"""How often REST is asked for the candle before the first live one: it lags the socket."""

_WARM_PAUSE_S: Final = 1.0
_WARM_AT_ONCE: Final = 4
_FRAME_KEPT_BYTES: Final = 4_096


@dataclass(slots=True)
class Stats:
    """What a run has seen so far.

    Attributes:
        frames: Received on the sockets.
        candles: Base candles and updates in them.
        emitted: Records that went on, higher candles included.
        ignored: Well-formed frames that were no candles, by kind.
        malformed: Frames that could not be read.
        duplicates: Closed candles that came again, unchanged.
        missing: Base candles that a newer one skipped.
        late: Base candles that came after a newer one.
        revisions: Closed candles that came again, changed.
        stale: Higher candles that would have to be folded again.
        connections: Made so far.
        lost: Connections that were lost or could not be made.
        refused: Subscriptions that the venue does not take.
    """

    frames: int = 0
    candles: int = 0
    emitted: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    malformed: int = 0
    duplicates: int = 0
    missing: int = 0
    late: int = 0
    revisions: int = 0
    stale: int = 0
    connections: int = 0
    lost: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class BadFrame:
    """A frame that could not be read, kept aside.

    Attributes:
        seen_ts: When it was received, UTC epoch milliseconds.
        frame: Its first bytes.
        reason: Why.
    """

    seen_ts: int
    frame: bytes
    reason: str


class Line:
    """One connection and the subscriptions on it."""

    def __init__(self, engine: "Engine", url: str, wanted: Iterable[Subscription]) -> None:
        self._engine = engine
        protocol = engine.protocol
        self.subscriptions = Subscriptions(protocol, wanted)
        self.socket = WebSocket(
            url,
            clock=engine.clock,
            on_connect=self._on_connect,
            on_frame=self._on_frame,
            on_lost=self._on_lost,
            # Half of what the venue allows: pongs count too.
            send_interval_s=2 / protocol.max_messages_per_s,
        )

    def _on_connect(self) -> list[str]:
        self._engine.connected()
        return self.subscriptions.ask()

    def _on_lost(self, reason: str) -> None:
        del reason  # the socket has logged it
        self._engine.lost(self.subscriptions.wanted)

    def _on_frame(self, frame: bytes, seen_ts: int) -> Awaitable[None] | None:
        waiting = None
        for event in self._engine.read(frame, seen_ts):
            if isinstance(event, Record):
                waiting = self._engine.take(event) or waiting
            elif isinstance(event, Ack | Refusal):
                self.socket.send(self.subscriptions.take(event))
                self._engine.check_refusals()
            else:
                self._engine.note(event)
        return waiting


class Held:
    """Live candles of one series that wait until the past before them is there."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.arrived = asyncio.Event()

    def add(self, record: Record) -> None:
        """Keep it; of a forming candle the newest update alone."""
        newest = self.records[-1] if self.records else None
        if newest is not None and newest.open_ts == record.open_ts and not newest.is_closed:
            self.records.pop()
        self.records.append(record)
        self.arrived.set()


class Engine:
    """Reads every subscription of a run until it is stopped.

    Args:
        protocol: Speaks the venue's language.
        url: Of the socket, path included.
        flow: What becomes of the candles; its series are subscribed to.
        clock: The time.
        history: Loads the past for a warm start; None starts cold.
        emit_warmup: Whether the past goes on too.
    """

    def __init__(
        self,
        protocol: StreamProtocol,
        url: str,
        flow: Flow,
        *,
        clock: Clock,
        history: "WarmHistory | None" = None,
        emit_warmup: bool = False,
    ) -> None:
        self.protocol = protocol
        self.clock = clock
        self.outbox = Outbox()
        self.bad_frames: deque[BadFrame] = deque(maxlen=100)
        self._flow = flow
        self._history = history
        self._emit_warmup = emit_warmup
        self._stats = Stats()
        self._series = {(one.symbol, one.timeframe): one for one in flow.targets}
        self._held = {key: Held() for key in self._series} if history else {}
        self._warm_slots = asyncio.Semaphore(_WARM_AT_ONCE)
        self._connected = asyncio.Event()
        wanted = [Subscription(*key) for key in self._series]
        size = protocol.max_subscriptions
        parts = [wanted[start : start + size] for start in range(0, len(wanted), size)]
        self._lines = [Line(self, url, part) for part in parts]
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connect in the background; what comes is in `outbox`, as is the error that ends it."""
        self._task = asyncio.create_task(self._operate(), name="streamforge-engine")

    async def stop(self) -> None:
        """Close the sockets; what was read before stays in `outbox`."""
        if self._history:
            self._history.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self.outbox.close()

    async def _operate(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for line in self._lines:
                    group.create_task(line.socket.run())
                if self._history:
                    for series in self._series.values():
                        group.create_task(self._warm_up(series, self._history))
        except ExceptionGroup as errors:
            self.outbox.close(errors.exceptions[0])

    def stats(self) -> Stats:
        """Return the counters as they are now."""
        stats, counts = self._stats, self._flow.counts
        stats.emitted = self.outbox.passed
        stats.duplicates, stats.revisions = counts.duplicates, counts.revisions
        stats.missing, stats.late = counts.missing, counts.late
        stats.stale = self._flow.stale
        stats.connections = sum(line.socket.connections for line in self._lines)
        stats.refused = sum(len(line.subscriptions.refused) for line in self._lines)
        return stats

    def connected(self) -> None:
        """Take note that a line is connected."""
        self._connected.set()

    def lost(self, subscriptions: Iterable[Subscription]) -> None:
        """Take note that a line is lost: updates of its forming candles may be too."""
        self._stats.lost += 1
        self._flow.interrupted([self._series[one.symbol, one.timeframe] for one in subscriptions])

    def read(self, frame: bytes, seen_ts: int) -> list[Event]:
        """Return what a frame says; one that cannot be read is counted and kept aside."""
        self._stats.frames += 1
        try:
            return self.protocol.parse(frame, seen_ts=seen_ts)
        except MalformedMessage as error:
            self._stats.malformed += 1
            self.bad_frames.append(BadFrame(seen_ts, frame[:_FRAME_KEPT_BYTES], str(error)))
            if self._stats.malformed.bit_count() == 1:  # 1, 2, 4, 8, ...: never a flood of lines
                _log.warning("Malformed frame (%d so far): %s", self._stats.malformed, error)
            return []

    def take(self, record: Record) -> Awaitable[None] | None:
        """Take a live candle; returns something to await when too much waits to be emitted."""
        key = (record.symbol, record.timeframe)
        if key not in self._series:
            self._stats.ignored["unasked candle"] += 1
            return None
        self._stats.candles += 1
        held = self._held.get(key) if self._held else None
        if held is not None:
            held.add(record)
            return None
        ready = self._flow.take(record)
        return self.outbox.put(ready) if ready else None

    def note(self, event: Event) -> None:
        """Take note of an event that is neither candle nor answer."""
        if isinstance(event, Notice):
            _log.warning("%s: %s", self.protocol.market.source, event.detail)
        else:
            self._stats.ignored[getattr(event, "kind", "unknown")] += 1

    def check_refusals(self) -> None:
        """Tell whether anything is left to wait for.

        Raises:
            ExchangeError: Every subscription is refused; the last reason given.
        """
        if not any(line.subscriptions.wanted for line in self._lines):
            raise list(self._lines[-1].subscriptions.refused.values())[-1]

    async def _warm_up(self, series: Series, history: "WarmHistory") -> None:
        """Load the past of one series, then release it and the live candles held, in order."""
        held = self._held[series.symbol, series.timeframe]
        await self._connected.wait()
        await self._first_live(held)
        warmed: list[Record] = []
        try:
            async with self._warm_slots:
                warmed = (await self._load(series, held, history)).records
        except UnknownSymbol as error:
            self._refuse(series, error)
        except (TransportError, ExchangeError) as error:
            _log.error("%s: no warm start, aggregation starts cold: %s", series, error)
        past = [ready for record in warmed for ready in self._flow.take(record)]
        # Without an await from here to the end, so that nothing live gets in between.
        del self._held[series.symbol, series.timeframe]
        live = [ready for record in held.records for ready in self._flow.take(record)]
        _log.info("%s: %d candles loaded before the live ones", series, len(warmed))
        waiting = self.outbox.put(past + live if self._emit_warmup else live)
        if waiting is not None:
            await waiting

    async def _first_live(self, held: Held) -> None:
        arrived = asyncio.create_task(held.arrived.wait())
        timer = asyncio.create_task(self.clock.sleep(FIRST_LIVE_WAIT_S))
        try:
            await asyncio.wait({arrived, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            arrived.cancel()
            timer.cancel()

    async def _load(self, series: Series, held: Held, history: "WarmHistory") -> "Warmed":
        from streamforge_core.runners.warmup import Wanted

        wanted = Wanted(
            series,
            tuple(self._flow.targets[series]),
            after_ms=self._flow.last_closed(series),
            first_live_ms=held.records[0].open_ts if held.records else None,
        )
        warmed = await asyncio.to_thread(history.load, wanted)
        for _ in range(WARM_TRIES - 1):
            if warmed.is_whole:
                break
            await self.clock.sleep(_WARM_PAUSE_S)
            warmed = await asyncio.to_thread(history.load, wanted)
        return warmed

    def _refuse(self, series: Series, error: ExchangeError) -> None:
        subscription = Subscription(series.symbol, series.timeframe)
        line = next(one for one in self._lines if subscription in one.subscriptions.wanted)
        line.subscriptions.refuse(subscription, error)
        self.check_refusals()
