from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from nexusai.providers import ProviderConfig, open_provider
from nexusai.providers.types import Cost, StreamChunk
from nexusai.server.gateway import attended
from nexusai.server.gateway.attended import Attended
from nexusai.server.gateway.calls import Stream, StreamedResponse, sum_of, together
from nexusai.server.http import ClientGone


class Chunks:
    """A provider's stream that notes how it ends."""

    def __init__(self) -> None:
        self.closed = False

    async def stream(self) -> AsyncIterator[StreamChunk]:
        try:
            for number in range(100):
                yield StreamChunk(delta=f"{number} ")
        finally:
            self.closed = True


@pytest.mark.parametrize("error", [RuntimeError("closed"), asyncio.CancelledError()])
@pytest.mark.parametrize("sent", [0, 1, 3])
async def test_a_stream_is_closed_however_its_response_ends(sent: int, error: BaseException):
    """Nobody may ever come to read it: the client can be gone before the answer begins."""
    chunks, left = Chunks(), list[str]()
    stream = Stream(chunks.stream(), lambda: left.append("left"))
    await stream.begin()

    async def events() -> AsyncIterator[bytes]:
        async for chunk in stream.chunks():
            yield chunk.delta.encode()

    messages: list[Any] = []

    async def send(message: Any) -> None:
        if len(messages) >= sent:
            raise error
        messages.append(message)

    async def receive() -> Any:
        await asyncio.sleep(60)

    response = StreamedResponse(stream, events(), open_provider(ProviderConfig("local")))
    with pytest.raises(BaseException):  # noqa: B017 - as the server raised it, or in a group
        await response({"type": "http", "asgi": {"spec_version": "2.4"}}, receive, send)

    assert (left, chunks.closed) == (["left"], True)
    await stream.close()
    assert left == ["left"]


async def test_when_one_call_fails_the_others_are_cut_off():
    ended: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("slow")

    async def bad() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await together([slow(), bad(), slow()])
    assert ended == ["slow", "slow"]


def test_a_cost_in_several_currencies_is_not_told_as_one():
    assert sum_of([Cost(1.0, "USD"), Cost(0.5, "USD")]) == Cost(1.5, "USD")
    assert sum_of([Cost(1.0, "USD"), Cost(7.0, "CNY")]) is None
    assert sum_of([Cost(1.0, "USD"), None]) is sum_of([]) is None


@pytest.mark.parametrize("rounds", range(8))
async def test_nothing_is_cut_off_after_what_was_attended(rounds: int, monkeypatch: pytest.MonkeyPatch):
    """However many rounds of the loop after its caller hung up it is over."""
    monkeypatch.setattr(attended, "QUICK", 0)
    loop = asyncio.get_running_loop()
    hung_up, over = loop.create_future(), asyncio.Event()

    async def receive() -> Any:
        await hung_up
        return {"type": "http.disconnect"}

    async def events() -> None:
        await asyncio.sleep(0.01)
        hung_up.set_result(None)
        for _ in range(rounds):
            await asyncio.sleep(0)
        over.set()

    happening = asyncio.ensure_future(events())
    with contextlib.suppress(ClientGone):
        async with Attended(receive, 60):
            await over.wait()
    await asyncio.sleep(0.01)  # would be cancelled
    await happening
