"""Live candles into emitters or into a loop: what a caller asks for, and the run it starts."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self

from streamforge_core import logs
from streamforge_core.emitters.base import Emitter
from streamforge_core.emitters.delivery import Delivery, EmitterHolder
from streamforge_core.errors import ConfigError
from streamforge_core.model.data_input import DEFAULT_MARKET, DataInput
from streamforge_core.model.exchange import Market, StreamProtocol, Subscription
from streamforge_core.model.kline import Kline, Record, Series
from streamforge_core.runners.endpoints import Endpoints, base_url
from streamforge_core.runners.endpoints import clock as configured_clock
from streamforge_core.runners.engine import BadFrame, Engine, Stats
from streamforge_core.runners.flow import Flow
from streamforge_core.runners.outbox import Outbox
from streamforge_core.transport.clock import Clock

if TYPE_CHECKING:  # only a warm start pays for HTTP and columns
    from streamforge_core.runners.warmup import WarmHistory

_log = logging.getLogger(__name__)

_WATCH_PERIOD_S: Final = 1.0

Inputs = DataInput | Sequence[DataInput]


class Runner:
    """Streams the candles of one market and folds them into higher timeframes.

    It reconnects for ever and subscribes anew each time. Each venue's class binds `market_of`,
    `stream_of` and the name of its backfiller.

    Args:
        stream_input: What to stream, one or several; may be set later.
        active_warmup: Load today's candles before the live ones, so that the first higher candles
            are whole. Otherwise the higher candles that run at the start are left out.
        emit_warmup: Load them and emit them too.
        emit_only_closed_candles: False emits updates of forming base candles as well.
        market_type: Market of the venue; by default what the inputs say.
        source: Stands in the candles in place of the venue's own name.
        verbose: Write changes of state to the console, unless `config` routes them elsewhere.
        endpoints: Base URLs that stand in for the venue's.
        clock: The time; by default the machine's, or what `STREAMFORGE_CLOCK` says.

    Raises:
        ConfigError: An argument cannot be.
    """

    market_of: ClassVar["staticmethod[[str], Market]"]
    stream_of: ClassVar["staticmethod[[Market], StreamProtocol]"]
    backfilling: ClassVar[str]
    closed_by: ClassVar[Literal["flag", "next_candle"]] = "flag"

    def __init__(
        self,
        stream_input: Inputs | None = None,
        *,
        active_warmup: bool = False,
        emit_warmup: bool = False,
        emit_only_closed_candles: bool = True,
        market_type: str | None = None,
        source: str | None = None,
        verbose: bool = False,
        endpoints: Endpoints | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._warmup = active_warmup or emit_warmup
        self._emit_warmup = emit_warmup
        self._emit_open = not emit_only_closed_candles
        self._market_type = market_type
        self._source = source
        self._endpoints = endpoints
        self._clock = clock or configured_clock()
        self._emitters = EmitterHolder()
        self._plan: _Plan | None = None
        self._warm_flow: Flow | None = None
        self._run: _Run | None = None
        self._stats = Stats()
        if market_type is not None:
            type(self).market_of(market_type)
        if stream_input is not None:
            self.set_stream_input(stream_input)
        if verbose and isinstance(logs.config.logger, logging.Logger):
            logs.show_logs()

    def set_stream_input(self, stream_input: Inputs) -> Self:
        """Set what to stream, in place of what was set before; takes effect on the next run.

        Raises:
            ConfigError: A symbol, timeframe or market cannot be.
        """
        inputs = [stream_input] if isinstance(stream_input, DataInput) else list(stream_input)
        market = self._market(inputs)
        source = self._source or market.source
        protocol = type(self).stream_of(replace(market, source=source))
        targets: dict[Series, list[str]] = {}
        for one in inputs:
            for symbol in one.symbols:
                protocol.check(Subscription(symbol, one.timeframe))
                wanted = targets.setdefault(Series(source, symbol, one.timeframe), [])
                wanted += [label for label in one.aggregate_list if label not in wanted]
        url = base_url(market, "WEBSOCKET", self._endpoints) + protocol.path()
        rest: Endpoints = {"REST": base_url(market, "REST", self._endpoints)}
        self._plan = _Plan(protocol, url, rest, targets)
        self._warm_flow = None
        return self

    def _market(self, inputs: Sequence[DataInput]) -> Market:
        if not inputs or not all(isinstance(one, DataInput) for one in inputs):
            raise ConfigError(
                "stream_input is a DataInput or a list of them, such as "
                'sf.DataInput(type="kline", symbols=["BTCUSDT"], timeframe="1m").'
            )
        names = {one.market_type for one in inputs}
        if self._market_type is not None:
            names = {self._market_type} | (names - {DEFAULT_MARKET})
        markets = {type(self).market_of(name).name: name for name in sorted(names)}
        if len(markets) > 1:
            raise ConfigError(
                f"One runner streams one market, not {', '.join(sorted(markets))}. "
                "Make a runner for each, and sf.merge_streams of them."
            )
        return type(self).market_of(next(iter(markets.values())))

    def register_emitter(
        self,
        emitter: Emitter,
        model: Any = None,  # noqa: ANN401 - the user's own table class
        map_object: Mapping[str, str] | None = None,
    ) -> Self:
        """Add a destination; all of them receive the same candles.

        Args:
            emitter: Connected and closed by the run.
            model: Passed to `emitter.set_model`.
            map_object: Passed to `emitter.register_map`.

        Raises:
            ConfigError: It is no emitter, or one of its name is registered.
        """
        self._emitters.register(emitter, model=model, map_object=map_object)
        return self

    async def run(self) -> None:
        """Stream into the emitters until `stop()`; cancelling flushes and closes them too.

        Raises:
            EmitterError: A destination failed; raised after the others were flushed and closed.
            ExchangeError: The venue refuses every subscription.
            ConfigError: Nothing to stream is set, or an emitter cannot work as configured.
        """
        if not self._emitters:
            _log.warning("No emitter is registered: the candles go nowhere")
        async with aclosing(self._batches()) as batches:
            async for _ in batches:
                pass

    async def records(self) -> AsyncGenerator[Record, None]:
        """Yield what goes to the emitters, with what is known about each candle.

        Raises:
            StreamForgeError: As `run()` does.
        """
        async with aclosing(self._batches()) as batches:
            async for batch in batches:
                for record in batch:
                    yield record

    async def stream(self) -> AsyncGenerator[Kline, None]:
        """Yield closed candles, base and higher ones, as they come; emitters get them too.

        With `emit_only_closed_candles=False` updates of forming base candles are among them.

        Raises:
            StreamForgeError: As `run()` does.
        """
        async with aclosing(self._batches()) as batches:
            async for batch in batches:
                for record in batch:
                    yield record.to_kline()

    async def warmup_run(self) -> int:
        """Load today's candles now, without a socket; the next run goes on where they end.

        They are emitted if `emit_warmup` is set.

        Returns:
            How many base candles were loaded.

        Raises:
            TransportError: REST could not be asked.
            ExchangeError: It refused.
        """
        from streamforge_core.runners.warmup import Wanted

        plan = self._planned()
        flow = self._flow(plan)
        history = self._history(plan)
        outbox, loaded = Outbox(), 0
        try:
            for series, targets in plan.targets.items():
                wanted = Wanted(series, tuple(targets), after_ms=flow.last_closed(series))
                warmed = await asyncio.to_thread(history.load, wanted)
                loaded += len(warmed.records)
                for record in warmed.records:
                    outbox.put(flow.take(record))
        finally:
            history.close()
        self._warm_flow = flow
        if self._emit_warmup:
            delivery = Delivery(self._emitters)
            await delivery.start()
            await _deliver(delivery, outbox.take_now())
        return loaded

    def stats(self) -> Stats:
        """Return the counters of the run, or of the one before if none is under way."""
        if self._run is not None:
            self._stats = self._run.engine.stats()
        return self._stats

    def bad_frames(self) -> list[BadFrame]:
        """Return the newest frames of the running run that could not be read, oldest first."""
        return [] if self._run is None else list(self._run.engine.bad_frames)

    async def stop(self) -> None:
        """End the run: sockets are closed, what was read is still delivered."""
        if self._run is not None:
            await self._run.engine.stop()

    async def close(self) -> None:
        """End the run, flush and close the emitters; without a run it does nothing."""
        if self._run is not None:
            await self._run.finish()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _batches(self) -> AsyncGenerator[list[Record], None]:
        run = await self._begin()
        try:
            while batch := await run.engine.outbox.take():
                await run.delivery.put(batch)
                yield batch
        finally:
            try:
                await run.finish()
            finally:
                self._stats = run.engine.stats()
                self._run = None

    async def _begin(self) -> "_Run":
        if self._run is not None:
            raise ConfigError("This runner runs already. Make a second one for a second stream.")
        plan = self._planned()
        flow, was_warmed = self._flow(plan), self._warm_flow is not None
        self._warm_flow = None
        history = self._history(plan) if self._warmup or was_warmed else None
        if history is None and any(plan.targets.values()):
            _log.info("Aggregation starts cold: the higher candles that run now are left out")
        engine = Engine(
            plan.protocol,
            plan.url,
            flow,
            clock=self._clock,
            history=history,
            emit_warmup=self._emit_warmup,
        )
        self._run = _Run(engine, self._emitters)
        try:
            await self._run.start()
        except BaseException:
            self._run = None
            raise
        return self._run

    def _planned(self) -> "_Plan":
        if self._plan is None:
            raise ConfigError("Nothing to stream is set. Give stream_input, or set_stream_input().")
        return self._plan

    def _flow(self, plan: "_Plan") -> Flow:
        return self._warm_flow or Flow(
            plan.targets, emit_open=self._emit_open, closed_by=self.closed_by
        )

    def _history(self, plan: "_Plan") -> "WarmHistory":
        from streamforge_core.runners.warmup import WarmHistory

        market = plan.protocol.market
        return WarmHistory(self.backfilling, market, endpoints=plan.rest, clock=self._clock)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What was asked for, checked."""

    protocol: StreamProtocol
    url: str
    rest: Endpoints
    targets: dict[Series, list[str]]


class _Run:
    """An engine and what its records are delivered with; both end together, once."""

    def __init__(self, engine: Engine, emitters: EmitterHolder) -> None:
        self.engine = engine
        self.delivery = Delivery(emitters)
        self._emitters = len(emitters)
        self._watching: asyncio.Task[None] | None = None
        self._finishing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self.delivery.start()
        self.engine.start()
        if self._emitters:
            self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        """End the run when every emitter has failed: the next candle may be a day away."""
        while len(self.delivery.failures) < self._emitters:
            await self.engine.clock.sleep(_WATCH_PERIOD_S)
        self.engine.outbox.close()

    async def finish(self) -> None:
        """Shielded: who is cancelled a second time while it waits does not cut the flush short."""
        if self._finishing is None:
            self._finishing = asyncio.create_task(self._finish())
        await asyncio.shield(self._finishing)

    async def _finish(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        await self.engine.stop()
        await _deliver(self.delivery, self.engine.outbox.take_now())


async def _deliver(delivery: Delivery, records: Sequence[Record]) -> None:
    """Hand over the last records, then flush and close every emitter."""
    try:
        if records:
            await delivery.put(records)
    finally:
        await delivery.close()
