from __future__ import annotations

import asyncio
from contextlib import suppress

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from nexusai.providers.record import CallRecord
from nexusai.providers.types import Usage
from nexusai.server.http import ClientGone, Endpoint, JsonResponse, Problem, RequestContext, broken
from nexusai.server.traffic import ROUTE, Exchange, Traffic, Work, current_work


async def seen(route, path: str = "/", traffic: Traffic | None = None, method: str = "GET") -> Exchange:
    """What is told of a request to a route."""
    traffic = traffic or Traffic()
    ended: list[Exchange] = []
    traffic.requests.append(ended.append)
    transport = httpx.ASGITransport(RequestContext(Endpoint(route), traffic), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        with suppress(AssertionError):  # of a client that nobody answers
            await client.request(method, path)
    assert traffic.under_way == 0
    [exchange] = ended
    return exchange


async def fine(request: Request) -> Response:
    return JsonResponse({})


async def test_a_request_is_told_of_once_it_is_answered():
    exchange = await seen(fine, "/somewhere?secret=1", method="POST")

    assert (exchange.method, exchange.path, exchange.status) == ("POST", "/somewhere", 200)
    assert exchange.seconds > 0
    assert exchange.route is None


async def test_it_is_under_way_until_then():
    traffic, counts = Traffic(), []

    async def looking(request: Request) -> Response:
        counts.append(traffic.under_way)
        return await fine(request)

    await seen(looking, traffic=traffic)

    assert counts == [1]


async def test_the_route_is_what_the_router_says():
    async def routed(request: Request) -> Response:
        request.scope[ROUTE] = "/tasks/{task_id}"
        return await fine(request)

    assert (await seen(routed, "/tasks/task_1")).route == "/tasks/{task_id}"


@pytest.mark.parametrize(
    ("error", "status", "code", "name"),
    [
        (Problem("NOT_FOUND", "no such thing"), 404, "NOT_FOUND", None),
        (ValueError("unforeseen"), 500, "INTERNAL_ERROR", "ValueError"),
    ],
)
async def test_what_went_wrong_is_told_by_code_and_class(
    error: Exception, status: int, code: str, name: str | None
):
    async def failing(request: Request) -> Response:
        raise error

    exchange = await seen(failing)

    assert (exchange.status, exchange.code, exchange.error) == (status, code, name)


async def test_a_client_that_left_before_there_was_a_status_has_one_of_its_own():
    async def gone(request: Request) -> Response:
        raise ClientGone

    exchange = await seen(gone)

    assert (exchange.status, exchange.gone) == (499, True)


async def test_a_watcher_that_fails_harms_neither_the_request_nor_the_others(
    caplog: pytest.LogCaptureFixture,
):
    traffic = Traffic()
    traffic.requests.append(lambda exchange: 1 / 0)

    assert (await seen(fine, traffic=traffic)).status == 200
    assert "what watches requests" in caplog.text


async def test_while_the_platform_stops_connections_are_closed_and_what_is_cut_off_is_told():
    traffic = Traffic()
    traffic.closing = True

    async def cut_off(request: Request) -> Response:
        raise asyncio.CancelledError

    context = RequestContext(Endpoint(cut_off), traffic)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(context), base_url="http://test") as client:
        answer = await client.get("/")

    assert (answer.status_code, answer.headers["connection"]) == (503, "close")
    assert answer.json()["detail"] == "The platform is stopping."


def test_calls_are_added_up():
    work = Work("req_1")
    usage = Usage(10, 5, source="provider")
    for tried, first in ((("a/b",), 0.5), ((), 0.25)):
        work.heard(
            CallRecord("chat", "p", "m", tried=tried, first_chunk=first, usage=usage, attempts=2), 0.125
        )

    assert (work.calls, work.attempts, work.tokens, work.dollars) == (2, 4, (20, 10), 0.25)
    assert (work.fallback, work.first_chunk, work.priced) == ("a/b", 0.5, True)


def test_calls_at_the_same_time_are_not_counted_twice_in_their_duration():
    work = Work("req_1")
    for _ in range(3):
        work.heard(CallRecord("chat", "p", "m", seconds=1.0), None)

    assert 1.0 <= work.upstream < 1.5


async def test_an_unforeseen_error_outside_of_a_request_is_nobodys():
    assert current_work.get() is None
    assert broken(ValueError()).code == "INTERNAL_ERROR"
