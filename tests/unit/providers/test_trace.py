from __future__ import annotations

import asyncio
from contextvars import copy_context

import pytest

from nexusai.providers import ChatRequest, HttpRequest
from nexusai.providers.trace import carrying, upstream_headers
from tests.fixtures.vendor import Vendor, answered, sse

HI = ChatRequest("m", [{"role": "user", "content": "hi"}])
PARENT = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
HERE = "https://vendor.example/v1"


@pytest.fixture
def carried():
    token = upstream_headers.set(PARENT)
    yield PARENT
    upstream_headers.reset(token)


@pytest.mark.parametrize(("operation", "script"), [("chat", answered()), ("stream", sse("one"))])
def test_a_call_carries_them(carried, operation, script):
    vendor = Vendor(script)
    vendor.run(vendor.calls().call(operation, HI))
    assert vendor.sent[0].headers["traceparent"] == carried["traceparent"]


def test_without_any_a_request_is_left_alone():
    request = HttpRequest("POST", HERE)
    assert carrying(request, HERE) is request


@pytest.mark.parametrize(
    "url", ["https://pictures.example/1.png", "http://vendor.example/1.png", "https://vendor.example:8443/"]
)
def test_no_other_origin_is_told_of_them(carried, url):
    assert carrying(HttpRequest("GET", url), HERE).headers == {}


def test_another_path_of_the_origin_is(carried):
    assert carrying(HttpRequest("POST", "https://vendor.example/upload"), HERE).headers == carried


def test_they_do_not_take_the_place_of_our_own():
    def asked():
        upstream_headers.set({"Authorization": "Bearer theirs", "TraceState": "a=b"})
        return carrying(HttpRequest("POST", HERE, {"authorization": "Bearer ours"}), HERE).headers

    assert copy_context().run(asked) == {"authorization": "Bearer ours", "tracestate": "a=b"}


async def test_each_task_has_its_own():
    async def ask(parent):
        upstream_headers.set({"traceparent": parent})
        await asyncio.sleep(0)
        return carrying(HttpRequest("POST", HERE), HERE).headers["traceparent"]

    assert await asyncio.gather(ask("1"), ask("2")) == ["1", "2"]
    assert upstream_headers.get() == {}
