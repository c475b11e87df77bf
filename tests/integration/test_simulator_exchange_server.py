"""The server without an exchange: what every simulated exchange inherits."""

import pytest
import requests
from aiohttp import web

from streamforge_core.simulator.exchange_server import SimulatedExchange
from tests.support.simulated import SteppedClock


class Greeting(SimulatedExchange):
    def routes(self) -> list[web.AbstractRouteDef]:
        async def greet(_: web.Request) -> web.Response:
            return web.Response(text="hello")

        return [web.get("/hello", greet)]


def test_an_exchange_is_its_routes() -> None:
    with Greeting(clock=SteppedClock("2024-01-01")) as exchange:
        text = requests.get(f"{exchange.url}/hello", timeout=5).text

        assert text == "hello"
        assert [request.path for request in exchange.requests] == ["/hello"]
        assert exchange.environment() == {}


def test_an_exchange_without_routes_is_none() -> None:
    with pytest.raises(NotImplementedError, match="SimulatedExchange must define routes"):
        SimulatedExchange().routes()
