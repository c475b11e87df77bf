"""Binance Spot on one port: REST, bulk archive and WebSocket streams at their documented paths."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aiohttp import web

from streamforge_core.simulator.archive_files import ArchiveFolder
from streamforge_core.simulator.binance_archive import Archive
from streamforge_core.simulator.binance_limits import WeightBudget
from streamforge_core.simulator.binance_push import StreamTroubles
from streamforge_core.simulator.binance_socket import StreamServer
from streamforge_core.simulator.binance_web import ArchiveReader, BinanceRest, archive_routes
from streamforge_core.simulator.boundaries import HOUR_MS
from streamforge_core.simulator.exchange_server import SimulatedExchange
from streamforge_core.simulator.feeds import Feed, MarketFeed
from streamforge_core.simulator.market import Market
from streamforge_core.simulator.outages import OutageRule
from streamforge_core.simulator.specs import specs_of


class SimulatedBinance(SimulatedExchange):
    """Binance Spot.

    Args:
        symbols: Symbols beside the default ones.
        archive_dir: Folder with archive files; their symbols answer from them alone.
        seed: Another number gives another market.
        outages: When it is down; None is one outage every Wednesday.
        weight_limit: Request weight per minute.
        archive_lag_ms: How long after its day an archive file appears.
        options: Of `SimulatedExchange`: `clock`, `host`, `port`, `faults`.
    """

    def __init__(
        self,
        *,
        symbols: Iterable[str] = (),
        archive_dir: Path | str | None = None,
        seed: int = 0,
        outages: OutageRule | None = None,
        weight_limit: int = 6000,
        archive_lag_ms: int = 2 * HOUR_MS,
        **options: Any,  # noqa: ANN401 - passed on as they are
    ) -> None:
        super().__init__(**options)
        self.market = Market(specs_of(symbols), seed=seed, outages=outages)
        simulated: dict[str, Feed] = {
            spec.symbol: MarketFeed(self.market, spec) for spec in self.market.specs.values()
        }
        recorded: dict[str, Feed] = {}
        self._archives: list[ArchiveReader] = []
        if archive_dir is not None:
            folder = ArchiveFolder(archive_dir, lag_ms=archive_lag_ms)
            recorded.update(folder.feeds())
            self._archives.append(folder)
        # A recorded symbol has no simulated file: a day without a recorded one does not exist.
        made = {name: feed for name, feed in simulated.items() if name not in recorded}
        self._archives.append(Archive(made, lag_ms=archive_lag_ms))
        self.feeds: dict[str, Feed] = {**made, **recorded}
        self._budget = WeightBudget(weight_limit)
        self.streams = StreamServer(self.feeds, self.clock)

    @property
    def troubles(self) -> StreamTroubles:
        """Switches that make the streams misbehave."""
        return self.streams.troubles

    @property
    def open_connections(self) -> int:
        """How many clients are connected to the streams."""
        return self.streams.open_connections

    def drop_sockets(self) -> None:
        """Cut every stream connection without a word; from any thread."""
        self.run(self.streams.drop())

    def announce_shutdown(self) -> None:
        """Send `serverShutdown` to every stream connection; from any thread."""
        self.run(self.streams.announce_shutdown())

    def routes(self) -> list[web.AbstractRouteDef]:
        """Return the exchange's own routes."""
        return [
            *BinanceRest(self.feeds, self.clock, self._budget).routes(),
            *archive_routes(self._archives, self.clock),
            *self.streams.routes(),
        ]

    async def closing(self) -> None:
        """End the stream connections before the port is closed."""
        await self.streams.close()

    def environment(self) -> dict[str, str]:
        """Return the environment variables that make the library use it and its clock."""
        return {
            "STREAMFORGE_BINANCE_REST_URL": self.url,
            "STREAMFORGE_BINANCE_ARCHIVE_URL": self.url,
            "STREAMFORGE_BINANCE_WEBSOCKET_URL": self.websocket_url,
            **super().environment(),
        }
