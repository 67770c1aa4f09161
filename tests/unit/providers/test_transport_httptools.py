"""What is peculiar to this transport; what it has in common with the others is in the contract suite."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from nexusai.providers.transport import HttpRequest
from nexusai.providers.transport_exchange import Connection
from nexusai.providers.transport_httptools import HttptoolsTransport, _Pool
from tests.fixtures.wire import answer, serving

OK = answer(b"hello")


async def test_a_hang_up_is_heeded_though_the_connection_is_made_at_the_same_moment(
    monkeypatch: pytest.MonkeyPatch,
):
    dial, made = _Pool._dialled, list[Connection]()

    async def dialled(self, way, context):
        made.append(await dial(self, way, context))
        asking.cancel()
        return made[0]

    monkeypatch.setattr(_Pool, "_dialled", dialled)
    transport = HttptoolsTransport()
    with serving(OK) as server:
        asking = asyncio.ensure_future(transport.send(HttpRequest("GET", server.origin)))
        with pytest.raises(asyncio.CancelledError):
            await asking
        await asyncio.sleep(0)
        assert made[0]._transport.is_closing()
    await transport.aclose()


async def test_hosts_that_nothing_is_connected_to_any_more_are_forgotten():
    transport = HttptoolsTransport()
    with contextlib.ExitStack() as stack:
        first, second, third = (stack.enter_context(serving(OK)) for _ in range(3))
        await transport.send(HttpRequest("GET", first.origin))
        async with transport.stream(HttpRequest("GET", second.origin)):
            [pool] = transport._pools.values()
            [[connection]] = pool.idle.values()
            connection.idle_since -= 61
            await transport.send(HttpRequest("GET", third.origin))
            assert {way.port for way in pool._room} == {second.port, third.port}
            assert transport.connections() == (1, 1)
    await transport.aclose()
