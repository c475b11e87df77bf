import asyncio

import pytest

from streamforge_core.errors import ConnectionLost
from streamforge_core.runners.outbox import Outbox
from tests.support.builders import a_record


async def test_records_are_taken_in_their_order_and_numbered() -> None:
    outbox = Outbox()
    outbox.put([a_record(0), a_record(1)])
    outbox.put([a_record(2)])

    taken = await outbox.take()

    assert [record.seq for record in taken] == [1, 2, 3]
    assert [record.open_ts for record in taken] == [a_record(n).open_ts for n in range(3)]
    assert outbox.passed == 3


async def test_who_takes_waits_for_the_first_record() -> None:
    outbox = Outbox()
    taking = asyncio.create_task(outbox.take())
    await asyncio.sleep(0)
    assert not taking.done()

    outbox.put([a_record(0)])

    assert len(await taking) == 1


async def test_a_full_box_asks_to_be_awaited_until_it_is_emptied() -> None:
    outbox = Outbox(max_waiting=2)
    assert outbox.put([a_record(0)]) is None
    waiting = outbox.put([a_record(1)])
    assert waiting is not None
    blocked = asyncio.ensure_future(waiting)
    await asyncio.sleep(0)
    assert not blocked.done()

    await outbox.take()

    await blocked


async def test_a_closed_box_gives_what_it_holds_and_then_nothing() -> None:
    outbox = Outbox()
    outbox.put([a_record(0)])
    outbox.close()

    assert len(await outbox.take()) == 1
    assert await outbox.take() == []


async def test_the_error_it_was_closed_with_comes_after_everything_before_it() -> None:
    outbox = Outbox()
    outbox.put([a_record(0)])
    outbox.close(ConnectionLost("first"))
    outbox.close(ConnectionLost("second"))

    assert len(await outbox.take()) == 1
    with pytest.raises(ConnectionLost, match="first"):
        await outbox.take()


async def test_closing_frees_those_who_wait_on_either_side() -> None:
    outbox = Outbox(max_waiting=1)
    blocked = outbox.put([a_record(0)])
    assert blocked is not None
    putting = asyncio.ensure_future(blocked)
    empty = Outbox()
    taking = asyncio.create_task(empty.take())
    await asyncio.sleep(0)

    outbox.close()
    empty.close()

    await putting
    assert await taking == []
