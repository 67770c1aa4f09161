"""Both drivers take the same steps, over real sockets where a step needs one."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from itertools import islice

import pytest

from nexusai.error import ConfigurationError
from nexusai.providers import (
    AdapterError,
    AiohttpTransport,
    HttpRequest,
    HttpTransport,
    RetryableError,
    StreamChunk,
)
from nexusai.providers.drivers import AsyncDriver, SyncDriver
from nexusai.providers.flow import Emit, Now, Open, Read, Sleep, Work
from tests.fixtures.wire import CLOSE, answer, chunked, serving

A, B = StreamChunk("a"), StreamChunk("b")


class Driven:
    """`driven(flow)` runs one, `driven.stream(flow)` has what it emits, up to `most` chunks."""

    def __init__(self, asynchronous):
        self.asynchronous = asynchronous

    def __call__(self, flow):
        return self._done(flow, None)

    def stream(self, flow, most=None):
        return self._done(flow, 999 if most is None else most)

    def _done(self, flow, most):
        if self.asynchronous:
            return asyncio.run(self._awaited(flow, most))
        transport = HttpTransport()
        with contextlib.closing(transport):
            driver = SyncDriver(transport)
            if most is None:
                return driver.run(flow)
            with contextlib.closing(driver.stream(flow)) as chunks:
                return list(islice(chunks, most))

    async def _awaited(self, flow, most):
        transport = AiohttpTransport()
        driver = AsyncDriver(transport)
        try:
            if most is None:
                return await driver.run(flow)
            found = []
            async with contextlib.aclosing(driver.stream(flow)) as chunks:
                while len(found) < most and (chunk := await anext(chunks, None)):
                    found.append(chunk)
            return found
        finally:
            driver.release()
            await transport.aclose()


@pytest.fixture(params=["sync", "async"])
def driven(request):
    return Driven(request.param == "async")


def post(server):
    return HttpRequest("POST", server.origin, body=b"{}", timeout=5.0)


def taking(*steps):
    """A flow that takes the steps and returns what came of them."""
    found = []
    for step in steps:
        found.append((yield step))
    return found


# Steps


def test_a_request_is_answered_whole(driven):
    with serving(answer(b"hello", "418 Teapot")) as server:
        [response] = driven(taking(post(server)))
    assert (response.status, response.body) == (418, b"hello")


def test_what_is_opened_is_read_in_pieces_and_then_empty(driven):
    with serving([chunked(b"a", end=False), 0.02, b"1\r\nb\r\n0\r\n\r\n"]) as server:
        head, *pieces = driven(taking(Open(post(server)), *[Read()] * 5))
    assert (head.status, head.body) == (200, b"")
    assert pieces == [b"a", b"b", b"", b"", b""]


def test_before_anything_is_opened_there_is_nothing_to_read(driven):
    assert driven(taking(Read())) == [b""]


def test_what_is_opened_next_takes_the_place_of_what_was(driven):
    with serving([chunked(b"a", end=False), 0.1, CLOSE], chunked(b"b")) as server:
        found = driven(taking(Open(post(server)), Read(), Open(post(server)), Read(), Read()))
    assert [found[1], *found[3:]] == [b"a", b"b", b""]


def test_a_pause_is_made(driven, naps):
    driven(taking(Sleep(7.5)))
    assert 7.5 in naps


def test_work_is_done(driven):
    assert driven(taking(Work(lambda: 6 * 7))) == [42]


def test_the_clock_moves_on(driven):
    first, _, second = driven(taking(Now(), Work(lambda: time.sleep(0.01)), Now()))
    assert 0.01 <= second - first < 5


def test_what_is_emitted_is_handed_on_in_order(driven):
    assert driven.stream(taking(Emit([A, B]), Emit([]), Emit([A]))) == [A, B, A]


def test_what_is_emitted_to_nobody_is_passed_over(driven):
    assert driven(taking(Emit([A]), Work(lambda: 1)))[1] == 1


def test_a_flow_without_steps_returns_at_once(driven):
    assert driven(taking()) == []
    assert driven.stream(taking()) == []


# Errors


def failing():
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (HttpRequest("POST", "http://127.0.0.1:9/"), RetryableError),
        (Open(HttpRequest("POST", "http://127.0.0.1:9/")), RetryableError),
        (HttpRequest("POST", "nonsense"), AdapterError),
        (Work(failing), ZeroDivisionError),
    ],
)
def test_what_goes_wrong_in_a_step_is_thrown_into_the_flow(driven, step, error):
    def flow():
        try:
            yield step
        except error:
            yield Emit([A])
            return "recovered"

    assert driven(flow()) == "recovered"
    assert driven.stream(flow()) == [A]


def test_what_goes_wrong_while_reading_is_thrown_into_the_flow(driven):
    def flow():
        yield Open(post(server))
        try:
            while (yield Read()):
                pass
        except RetryableError:
            return (yield post(server)).body

    with serving([chunked(b"a", end=False), CLOSE], answer(b"again")) as server:
        assert driven(flow()) == b"again"


def test_what_a_flow_does_not_catch_is_the_callers(driven):
    with pytest.raises(ZeroDivisionError):
        driven(taking(Work(failing)))
    with pytest.raises(ZeroDivisionError):
        driven.stream(taking(Emit([A]), Work(failing)))


def test_an_error_of_the_flow_closes_what_is_open(driven):
    def flow():
        yield Open(post(server))
        yield Read()
        raise KeyError("mine")

    with serving([chunked(b"a", end=False), *[0.01, b"1\r\nx\r\n"] * 50]) as server:
        with pytest.raises(KeyError, match="mine"):
            driven(flow())
        assert eventually(lambda: server.broken == 1)


def eventually(holds):
    for _ in range(50):
        if holds():
            return True
        time.sleep(0.02)
    return False


# The end of a stream


def test_closing_a_stream_early_closes_the_connection(driven):
    def flow():
        yield Open(post(server))
        while piece := (yield Read()):
            yield Emit([StreamChunk(piece.decode())])

    with serving([chunked(b"a", end=False), *[0.01, b"1\r\nx\r\n"] * 100]) as server:
        assert driven.stream(flow(), most=1) == [A]
        assert eventually(lambda: server.broken == 1)


def test_a_flow_hears_of_being_closed(driven):
    heard = []

    def flow():
        try:
            yield Emit([A, B])
        except GeneratorExit:
            heard.append("closed")
            raise
        finally:
            heard.append("finally")

    assert driven.stream(flow(), most=1) == [A]
    assert heard == ["closed", "finally"]


def test_a_flow_that_is_closed_may_still_clean_up(driven):
    def flow():
        try:
            yield Emit([A])
        finally:
            yield post(server)

    with serving() as server:
        driven.stream(flow(), most=1)
        assert len(server.requests) == 1


def test_a_stream_that_nobody_reads_does_nothing(driven):
    with serving() as server:
        assert driven.stream(taking(post(server), Emit([A])), most=0) == []
        assert server.requests == []


def streaming(server):
    """Stops at the last event, as adapters do, though the body has not ended."""
    yield Open(post(server))
    yield Emit([StreamChunk((yield Read()).decode())])


@pytest.mark.parametrize("end", [[b"0\r\n\r\n"], [0.01, b"0\r\n\r\n"]])
def test_a_stream_that_was_read_leaves_its_connection_to_the_next(end):
    with (
        serving([chunked(b"a", end=False), *end]) as server,
        contextlib.closing(HttpTransport()) as transport,
    ):
        driver = SyncDriver(transport)
        for _ in range(3):
            assert list(driver.stream(streaming(server))) == [A]
        assert server.connections == 1


@pytest.mark.parametrize("end", [[b"0\r\n\r\n"], [0.01, b"0\r\n\r\n"]])
async def test_an_awaited_stream_that_was_read_leaves_its_connection_to_the_next(end):
    transport = AiohttpTransport()
    with serving([chunked(b"a", end=False), *end]) as server:
        for _ in range(3):
            assert [chunk async for chunk in AsyncDriver(transport).stream(streaming(server))] == [A]
        assert server.connections == 1
        await transport.aclose()


def test_a_body_that_does_not_end_holds_nobody_up(driven):
    with serving([chunked(b"a", end=False), *[0.01, b" "] * 200]) as server:
        begun = time.monotonic()
        assert driven.stream(streaming(server)) == [A]
        assert time.monotonic() - begun < 1


# Cancelling


async def begun(flow, driver=None):
    """The task that runs it, once it waits for something."""
    task = asyncio.create_task((driver or AsyncDriver()).run(flow))
    await asyncio.sleep(0.02)
    return task


async def test_cancelling_is_thrown_into_the_flow():
    heard = []

    def flow():
        try:
            yield Sleep(60)
        except asyncio.CancelledError:
            heard.append("cancelled")
            raise

    task = await begun(flow())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert heard == ["cancelled"]


async def test_cancelling_closes_what_is_open():
    transport = AiohttpTransport()
    with serving([chunked(b"a", end=False), 0.1, *[b"1\r\nx\r\n", 0.01] * 50]) as server:
        task = await begun(taking(Open(post(server)), Read(), Read(), Read()), AsyncDriver(transport))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(eventually, lambda: server.broken == 1)
    await transport.aclose()


async def test_work_that_nobody_wants_any_more_is_told_to_stop():
    stopped = threading.Event()
    driver = AsyncDriver()
    task = await begun(taking(Work(lambda: stopped.wait(5), stopped.set)), driver)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stopped.is_set()
    driver.release()


async def test_work_leaves_the_loop_to_others():
    driver, go = AsyncDriver(), threading.Event()
    task = await begun(taking(Work(lambda: go.wait(5))), driver)
    go.set()  # which nobody could, if the work held the loop
    assert await task == [True]
    driver.release()


# Loops and transports


def test_one_driver_serves_one_loop_after_another():
    transport = AiohttpTransport()
    driver = AsyncDriver(transport)

    async def ask():
        found = await driver.run(taking(Work(lambda: 1), post(server)))
        await transport.aclose()
        return found[1].body

    with serving(answer(b"hello")) as server:
        assert [asyncio.run(ask()) for _ in range(3)] == [b"hello"] * 3
    driver.release()


def test_one_driver_serves_loops_side_by_side():
    transport = AiohttpTransport()
    driver, found = AsyncDriver(transport), []

    async def ask():
        for _ in range(5):
            found.append((await driver.run(taking(post(server))))[0].body)
        await transport.aclose()

    with serving(answer(b"hello")) as server:
        threads = [threading.Thread(target=asyncio.run, args=(ask(),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [b"hello"] * 20


async def test_what_needs_no_network_needs_no_transport():
    driver = AsyncDriver()
    assert await driver.run(taking(Work(lambda: 1))) == [1]
    with pytest.raises(ConfigurationError, match="Give a transport"):
        await driver.run(taking(HttpRequest("GET", "http://vendor.test/")))
    driver.release()


async def test_a_driver_that_let_its_threads_go_takes_new_ones():
    driver = AsyncDriver()
    for _ in range(2):
        assert await driver.run(taking(Work(lambda: 1))) == [1]
        driver.release()
        driver.release()
