import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress

import pytest

from streamforge_core.transport.backoff import Backoff
from streamforge_core.transport.clock import AcceleratedClock, SystemClock
from streamforge_core.transport.websocket import SocketLimits, WebSocket
from tests.support.scripted_socket import Peer, ScriptedSocket, until

DEFAULTS = SocketLimits()
AT_ONCE = Backoff(first_s=0.001, cap_s=0.002, draw=lambda: 0.0)


class Listener:
    """A client that keeps what its socket tells it."""

    def __init__(
        self,
        url: str,
        *,
        hello: Iterable[str] = (),
        on_frame: Callable[[bytes], Awaitable[None] | None] | None = None,
        limits: SocketLimits = DEFAULTS,
        send_interval_s: float = 0.0,
        backoff: Backoff = AT_ONCE,
    ) -> None:
        self.frames: list[bytes] = []
        self.seen: list[int] = []
        self.lost: list[str] = []
        self._hello = list(hello)
        self._on_frame = on_frame
        self.socket = WebSocket(
            url,
            clock=SystemClock(),
            on_connect=lambda: self._hello,
            on_frame=self._take,
            on_lost=self.lost.append,
            send_interval_s=send_interval_s,
            limits=limits,
            backoff=backoff,
        )

    def _take(self, frame: bytes, seen_ts: int) -> Awaitable[None] | None:
        self.frames.append(frame)
        self.seen.append(seen_ts)
        return self._on_frame(frame) if self._on_frame else None

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Listener"]:
        task = asyncio.create_task(self.socket.run())
        try:
            yield self
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def says_hello(peer: Peer) -> None:
    await peer.says("hello")
    await peer.stays()


async def test_frames_come_in_their_order_with_the_time_of_receipt() -> None:
    async def scene(peer: Peer) -> None:
        await peer.says("one", "two", "three")
        await peer.stays()

    before = SystemClock().now_ms()
    async with ScriptedSocket(scene).running() as server, Listener(server.url).listening() as ear:
        await until(lambda: len(ear.frames) == 3)

    assert ear.frames == [b"one", b"two", b"three"]
    assert before <= ear.seen[0] <= ear.seen[1] <= ear.seen[2] <= SystemClock().now_ms()
    assert ear.lost == []


async def test_what_is_to_be_said_is_said_again_on_every_connection() -> None:
    heard: list[object] = []

    async def drops_after_the_request(peer: Peer) -> None:
        heard.append(await peer.heard())
        await peer.drops()

    async def answers(peer: Peer) -> None:
        heard.append(await peer.heard())
        await says_hello(peer)

    server = ScriptedSocket(drops_after_the_request, answers)
    async with server.running(), Listener(server.url, hello=['{"id":1}']).listening() as ear:
        await until(lambda: ear.frames == [b"hello"])

    assert heard == [{"id": 1}, {"id": 1}]
    assert len(ear.lost) == 1
    assert ear.socket.connections == 2


async def test_a_server_that_drops_right_after_every_handshake_is_asked_again_and_again() -> None:
    async def drops(peer: Peer) -> None:
        await peer.drops()

    server = ScriptedSocket(drops, drops, drops, drops, says_hello)
    async with server.running(), Listener(server.url).listening() as ear:
        await until(lambda: ear.frames == [b"hello"])

    assert len(ear.lost) == 4


async def test_failures_in_a_row_wait_longer_and_longer() -> None:
    failures: list[int] = []

    class Noting(Backoff):
        def delay_s(self, failures_in_a_row: int) -> float:
            failures.append(failures_in_a_row)
            return 0.001

    async def drops(peer: Peer) -> None:
        await peer.drops()

    noting = Noting(1.0, 1.0, lambda: 0.0)
    server = ScriptedSocket(drops, drops, drops, says_hello)
    async with server.running(), Listener(server.url, backoff=noting).listening() as ear:
        await until(lambda: ear.frames == [b"hello"])

    assert failures == [1, 2, 3]


async def test_a_connection_that_lived_long_starts_the_back_off_afresh() -> None:
    failures: list[int] = []

    class Noting(Backoff):
        def delay_s(self, failures_in_a_row: int) -> float:
            failures.append(failures_in_a_row)
            return 0.001

    async def lives_then_drops(peer: Peer) -> None:
        await peer.says("alive")
        await asyncio.sleep(0.03)
        await peer.drops()

    limits = SocketLimits(healthy_after_s=0.01)
    noting = Noting(1.0, 1.0, lambda: 0.0)
    server = ScriptedSocket(lives_then_drops, lives_then_drops, says_hello)
    async with server.running():
        ear = Listener(server.url, backoff=noting, limits=limits)
        async with ear.listening():
            await until(lambda: ear.frames[-1:] == [b"hello"])

    assert failures == [1, 1]


async def test_a_server_that_is_not_there_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "streamforge_core")
    async with ScriptedSocket(says_hello).running() as server:
        url = server.url  # free again after this block

    async with Listener(url).listening() as ear:
        await until(lambda: len(ear.lost) >= 3)

    assert ear.socket.connections == 0
    assert "lost (ConnectionRefusedError" in caplog.text or "lost (OSError" in caplog.text


async def test_a_server_that_stalls_is_left_and_connected_to_again() -> None:
    async def stalls(peer: Peer) -> None:
        await peer.says("last words")
        await peer.stays()

    server = ScriptedSocket(stalls, says_hello)
    async with server.running():
        ear = Listener(server.url, limits=SocketLimits(stale_after_s=0.1))
        async with ear.listening():
            await until(lambda: b"hello" in ear.frames)

    assert ear.lost[0] == "nothing received for 0.1 s"


async def test_a_server_that_keeps_talking_is_not_left() -> None:
    async def talks(peer: Peer) -> None:
        for _ in range(20):
            await peer.says("tick")
            await asyncio.sleep(0.02)
        await peer.says("end")
        await peer.stays()

    async with ScriptedSocket(talks).running() as server:
        ear = Listener(server.url, limits=SocketLimits(stale_after_s=0.2))
        async with ear.listening():
            await until(lambda: ear.frames[-1:] == [b"end"])

    assert ear.lost == []


async def test_a_frame_beyond_the_limit_ends_the_connection_not_the_process() -> None:
    async def floods(peer: Peer) -> None:
        await peer.says("x" * 2_000)
        await peer.stays()

    server = ScriptedSocket(floods, says_hello)
    async with server.running():
        ear = Listener(server.url, limits=SocketLimits(max_frame_bytes=1_000))
        async with ear.listening():
            await until(lambda: ear.frames == [b"hello"])

    assert len(ear.lost) == 1


async def test_frames_are_sent_with_a_pause_between_them() -> None:
    times: list[float] = []

    async def listens(peer: Peer) -> None:
        for _ in range(3):
            await peer.heard()
            times.append(asyncio.get_running_loop().time())
        await says_hello(peer)

    async with ScriptedSocket(listens).running() as server:
        ear = Listener(server.url, hello=["1", "2", "3"], send_interval_s=0.03)
        async with ear.listening():
            await until(lambda: ear.frames == [b"hello"])

    assert times[1] - times[0] > 0.02
    assert times[2] - times[1] > 0.02


async def test_frames_are_read_while_others_are_still_being_sent() -> None:
    async def talks_at_once(peer: Peer) -> None:
        await peer.says("early")
        await peer.stays()

    async with ScriptedSocket(talks_at_once).running() as server:
        ear = Listener(server.url, hello=["1", "2"], send_interval_s=60.0)
        async with ear.listening():
            await until(lambda: ear.frames == [b"early"])

    assert ear.lost == []


async def test_more_can_be_said_later() -> None:
    heard: list[object] = []

    async def listens(peer: Peer) -> None:
        await peer.says("ready")
        heard.append(await peer.heard())
        await says_hello(peer)

    async with ScriptedSocket(listens).running() as server, Listener(server.url).listening() as ear:
        await until(lambda: ear.frames == [b"ready"])
        ear.socket.send([json.dumps({"later": True})])
        await until(lambda: ear.frames[-1] == b"hello")

    assert heard == [{"later": True}]


async def test_the_next_frame_waits_for_a_handler_that_asks_to_be_awaited() -> None:
    gate = asyncio.Event()

    async def scene(peer: Peer) -> None:
        await peer.says("one", "two")
        await peer.stays()

    async def wait_for_the_gate() -> None:
        await gate.wait()

    def slow(frame: bytes) -> Awaitable[None] | None:
        return wait_for_the_gate() if frame == b"one" else None

    server = ScriptedSocket(scene)
    async with server.running(), Listener(server.url, on_frame=slow).listening() as ear:
        await until(lambda: ear.frames == [b"one"])
        await asyncio.sleep(0.02)
        held_back = list(ear.frames)
        gate.set()
        await until(lambda: len(ear.frames) == 2)

    assert held_back == [b"one"]


async def test_an_error_in_the_handler_is_raised_and_never_a_lost_connection() -> None:
    def fails(frame: bytes) -> None:
        raise KeyError("a bug of ours", frame)

    async with ScriptedSocket(says_hello).running() as server:
        ear = Listener(server.url, on_frame=fails)
        with pytest.raises(KeyError, match="a bug of ours"):
            await ear.socket.run()
        await until(lambda: server.open == 0)

    assert ear.lost == []
    assert server.connections == 1


async def test_cancelling_closes_the_connection() -> None:
    async with ScriptedSocket(says_hello).running() as server:
        async with Listener(server.url).listening() as ear:
            await until(lambda: ear.frames == [b"hello"])
        await until(lambda: server.open == 0)

    assert server.connections == 1


async def test_delays_run_by_the_clock_that_is_given() -> None:
    fast = AcceleratedClock(10_000.0, real_ms=SystemClock().now_ms(), simulated_ms=0)
    frames: list[bytes] = []

    async def drops(peer: Peer) -> None:
        await peer.drops()

    async with ScriptedSocket(drops, drops, says_hello).running() as server:
        socket = WebSocket(
            server.url,
            clock=fast,
            on_connect=list,
            on_frame=lambda frame, _: frames.append(frame),
            on_lost=lambda _: None,
            limits=SocketLimits(stale_after_s=100_000.0),
            backoff=Backoff(first_s=60.0, cap_s=600.0, draw=lambda: 0.0),
        )
        task = asyncio.create_task(socket.run())
        await until(lambda: frames == [b"hello"], timeout_s=3)
        task.cancel()
        await asyncio.wait([task])

    assert socket.connections == 3


async def test_every_change_of_state_is_one_log_line_without_the_password(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "streamforge_core")

    async def drops(peer: Peer) -> None:
        await peer.drops()

    async with ScriptedSocket(drops, says_hello).running() as server:
        url = server.url.replace("//", "//me:secret@")
        async with Listener(url).listening() as ear:
            await until(lambda: ear.frames == [b"hello"])

    assert [record.getMessage().partition(" (")[0] for record in caplog.records] == [
        "127.0.0.1: connected",
        "127.0.0.1: lost",
        "127.0.0.1: connected",
    ]
    assert "secret" not in caplog.text
