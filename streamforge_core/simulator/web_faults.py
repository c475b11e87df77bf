"""Around every answer: log the request, spoil the answer if asked to; both over HTTP as well."""

from dataclasses import asdict
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from streamforge_core.simulator.faults import Fault, Faults, Request, RequestLog
from streamforge_core.transport.clock import Clock

CONTROL_PATH: Final = "/_simulator"


def recording(requests: RequestLog) -> Middleware:
    """Return what logs every request except those to the simulator's own paths."""

    @web.middleware
    async def record(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith(CONTROL_PATH):
            requests.append(Request(request.method, request.path, dict(request.query)))
        return await handler(request)

    return record


def spoiling(faults: Faults, clock: Clock) -> Middleware:
    """Return what applies the faults."""

    @web.middleware
    async def spoil(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(CONTROL_PATH):
            return await handler(request)
        fault = faults.take(request.path_qs)
        if fault is None:
            return await handler(request)
        if fault.delay_s:
            await clock.sleep(fault.delay_s)
        if fault.drop_connection:
            _cut(request)
            return web.Response()
        return await _damaged(fault, request, await _answer(fault, request, handler))

    return spoil


def control_routes(requests: RequestLog, faults: Faults) -> list[web.AbstractRouteDef]:
    """Return the routes by which another process reads the log and sets faults.

    `GET` and `DELETE /_simulator/requests`; `GET`, `POST` (one fault or a list of them as JSON) and
    `DELETE /_simulator/faults`.
    """

    async def show_requests(_: web.Request) -> web.Response:
        return json_answer([request._asdict() for request in requests])

    async def forget_requests(_: web.Request) -> web.Response:
        requests.clear()
        return json_answer([])

    async def show_faults(_: web.Request) -> web.Response:
        return json_answer([asdict(fault) for fault in faults])

    async def add_faults(request: web.Request) -> web.Response:
        try:
            added = msgspec.json.decode(await request.read(), type=Fault | list[Fault])
        except msgspec.DecodeError as error:
            return json_answer({"error": str(error)}, status=400)
        for fault in added if isinstance(added, list) else [added]:
            faults.append(fault)
        return await show_faults(request)

    async def forget_faults(_: web.Request) -> web.Response:
        faults.clear()
        return json_answer([])

    return [
        web.get(f"{CONTROL_PATH}/requests", show_requests),
        web.delete(f"{CONTROL_PATH}/requests", forget_requests),
        web.get(f"{CONTROL_PATH}/faults", show_faults),
        web.post(f"{CONTROL_PATH}/faults", add_faults),
        web.delete(f"{CONTROL_PATH}/faults", forget_faults),
    ]


def json_answer(
    value: object, *, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    """Return a value as a JSON answer."""
    return web.Response(
        body=msgspec.json.encode(value),
        status=status,
        headers=headers,
        content_type="application/json",
    )


async def _answer(fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
    if fault.status is None and fault.body is None:
        response = await handler(request)
    else:
        response = web.Response(status=fault.status or 200, text=fault.body or "")
    if not response.prepared:
        response.headers.update(fault.headers)
    return response


async def _damaged(
    fault: Fault, request: web.Request, response: web.StreamResponse
) -> web.StreamResponse:
    if not isinstance(response, web.Response) or not isinstance(response.body, bytes):
        return response
    if fault.corrupt and response.body:
        middle = len(response.body) // 2
        body = bytearray(response.body)
        body[middle] ^= 1
        response.body = bytes(body)
    if fault.truncate_bytes is None:
        return response
    return await _truncated(response, request, fault.truncate_bytes)


async def _truncated(
    response: web.Response, request: web.Request, sent_bytes: int
) -> web.StreamResponse:
    content = response.body if isinstance(response.body, bytes) else b""
    cut = web.StreamResponse(status=response.status, headers=response.headers)
    cut.content_length = len(content)
    cut.force_close()
    await cut.prepare(request)
    await cut.write(content[:sent_bytes])
    if request.transport is not None:
        request.transport.close()
    return cut


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
