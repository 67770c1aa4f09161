from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Any

import httpx
import msgspec
import pytest
from starlette.requests import Request
from starlette.responses import Response

from nexusai.error import CODES
from nexusai.providers import upstream_headers
from nexusai.server import http
from nexusai.server.http import (
    MALFORMED,
    Endpoint,
    JsonResponse,
    Problem,
    RequestContext,
    idempotency_key,
    invalid,
    preferences,
    read_json,
    request_id,
    wait_preference,
)
from nexusai.server.tasks.kinds import KINDS
from nexusai.server.tasks.models import InvokeRequest

JSON = {"Content-Type": "application/json"}
Route = Callable[[Request], Awaitable[Response]]


async def ask(route: Route, method: str = "GET", **options: Any) -> httpx.Response:
    """The answer of a route within the request context."""
    transport = httpx.ASGITransport(RequestContext(Endpoint(route)), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.request(method, "/", **options)


def raising(error: Exception) -> Route:
    async def route(request: Request) -> Response:
        raise error

    return route


async def fine(request: Request) -> Response:
    return JsonResponse({"id": request_id.get()})


def answering(read: Callable[[Request], Any]) -> Route:
    """A route that answers with what a function finds in the request."""

    async def route(request: Request) -> Response:
        return JsonResponse(read(request))

    return route


# Problems


async def test_a_problem_is_a_problem_document():
    answer = await ask(raising(Problem("NOT_FOUND", "There is no task 'x'.")))

    body = answer.json()
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert datetime.fromisoformat(body.pop("timestamp").replace("Z", "+00:00")).tzinfo
    assert body == {
        "type": "about:blank",
        "title": "Not found",
        "status": 404,
        "detail": "There is no task 'x'.",
        "error_code": "NOT_FOUND",
        "request_id": answer.headers["x-request-id"],
    }


@pytest.mark.parametrize("code", CODES)
async def test_every_code_has_its_status(code: str):
    answer = await ask(raising(Problem(code, "…")))

    assert (answer.status_code, answer.json()["error_code"]) == (CODES[code].status, code)


async def test_a_wrong_field_is_named():
    answer = await ask(raising(Problem.field(["input", "messages", 0], "is wrong", "some_type")))

    assert answer.status_code == 400
    assert answer.json()["detail"] == "input.messages.0: is wrong"
    assert answer.json()["errors"] == [
        {"loc": ["input", "messages", 0], "msg": "is wrong", "type": "some_type"}
    ]


async def test_a_problem_may_have_more_members():
    assert (await ask(raising(Problem("TIMEOUT", "…", task_id="task_1")))).json()["task_id"] == "task_1"


@pytest.mark.parametrize(
    ("code", "given", "said"),
    [
        ("RATE_LIMIT_EXCEEDED", None, 1),
        ("SERVICE_UNAVAILABLE", None, 1),
        ("RATE_LIMIT_EXCEEDED", 30, 30),
        ("CONFLICT", 2, 2),
    ],
)
async def test_who_may_come_back_is_told_when(code: str, given: int | None, said: int):
    answer = await ask(raising(Problem(code, "…", retry_after=given)))

    assert answer.headers["retry-after"] == str(said)
    assert answer.json()["retry_after"] == said


async def test_other_problems_do_not_say_when_to_come_back():
    answer = await ask(raising(Problem("NOT_FOUND", "…")))

    assert "retry-after" not in answer.headers
    assert "retry_after" not in answer.json()


async def test_a_401_says_how_to_authenticate():
    assert (await ask(raising(Problem("UNAUTHORIZED", "…")))).headers["www-authenticate"].startswith("Bearer")


async def test_an_unexpected_error_is_a_500_that_tells_nothing(caplog: pytest.LogCaptureFixture):
    answer = await ask(raising(RuntimeError("the secret prompt")), headers={"X-Request-Id": "req-7"})

    assert (answer.status_code, answer.json()["error_code"]) == (500, "INTERNAL_ERROR")
    assert "secret" not in answer.text
    (logged,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert logged.request_id == "req-7"  # type: ignore[attr-defined]
    assert logged.exc_info


async def test_an_error_after_the_answer_began_breaks_it_off():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("late")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message["type"])

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    with pytest.raises(RuntimeError, match="late"):
        await RequestContext(app)(scope, no_body, send)

    assert sent == ["http.response.start"]


async def no_body() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


@pytest.mark.parametrize(
    "error", [OSError("the connection is closed"), RuntimeError("unable to perform: the handler is closed")]
)
async def test_a_client_that_left_is_no_error(error: Exception, caplog: pytest.LogCaptureFixture):
    async def send(message: Any) -> None:
        raise error

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    await RequestContext(Endpoint(fine))(scope, no_body, send)

    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_client_that_leaves_while_it_sends_is_no_error(caplog: pytest.LogCaptureFixture):
    async def route(request: Request) -> Response:
        await request.body()
        return JsonResponse({})

    async def gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        raise AssertionError("there is nobody to answer")

    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    await RequestContext(Endpoint(route))(scope, gone, send)

    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("error", [Problem("NOT_FOUND", "…"), ZeroDivisionError()])
async def test_a_client_that_left_before_it_was_refused_is_no_error(error: Exception):
    async def send(message: Any) -> None:
        raise RuntimeError("unable to perform operation; the handler is closed")

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}

    assert await RequestContext(Endpoint(raising(error)))(scope, no_body, send) is None


async def test_what_is_not_http_passes_through():
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    await RequestContext(app)({"type": "lifespan"}, no_body, no_body)  # type: ignore[arg-type]

    assert seen == ["lifespan"]


# Request ids


@pytest.mark.parametrize("name", ["req-1", "A.b_c:d/e+f=g", "x" * 128])
async def test_a_well_formed_request_id_is_kept(name: str):
    answer = await ask(fine, headers={"X-Request-Id": name})

    assert answer.headers.get_list("x-request-id") == [name]
    assert answer.json() == {"id": name}


@pytest.mark.parametrize(
    "name", [b"", b"two words", b"x" * 129, b"\xc3\xa9", b"a,b", b"{}", b"<script>", b"a\tb"]
)
async def test_an_ill_formed_request_id_is_replaced(name: bytes):
    answer = await ask(fine, headers=[(b"X-Request-Id", name)])

    assert re.fullmatch(r"req_[0-9a-f]{32}", answer.headers["x-request-id"])
    assert answer.json() == {"id": answer.headers["x-request-id"]}


async def test_requests_without_an_id_get_one_each():
    answers = [await ask(fine) for _ in range(3)]

    assert len({answer.headers["x-request-id"] for answer in answers}) == 3


# JSON bodies

LIMIT = 100


async def echo(request: Request) -> Response:
    return Response(await read_json(request, LIMIT))


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/vnd.api+json",
        "application/json ; x",
    ],
)
async def test_json_is_read(media_type: str):
    answer = await ask(echo, "POST", content=b"{}", headers={"Content-Type": media_type})

    assert answer.content == b"{}"


async def test_a_body_in_pieces_is_read_whole():
    assert (
        await ask(echo, "POST", content=pieces(b"a", b"", b"b" * 98), headers=JSON)
    ).content == b"a" + b"b" * 98


@pytest.mark.parametrize(
    "media_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "json", ""],
)
async def test_another_type_of_body_is_refused(media_type: str):
    answer = await ask(echo, "POST", content=b"{}", headers={"Content-Type": media_type})

    assert answer.status_code == 415
    assert "application/json" in answer.json()["detail"]


async def test_a_body_without_a_type_is_refused():
    answer = await ask(echo, "POST", content=b"{}")

    assert answer.status_code == 415
    assert "none" in answer.json()["detail"]


async def test_a_body_of_just_the_limit_is_read():
    assert (await ask(echo, "POST", content=b"x" * LIMIT, headers=JSON)).status_code == 200
    assert (await ask(echo, "POST", content=pieces(b"x" * LIMIT), headers=JSON)).status_code == 200


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_refused(chunked: bool):
    content = pieces(b"x" * 60, b"x" * 41) if chunked else b"x" * 101

    answer = await ask(echo, "POST", content=content, headers=JSON)

    assert (answer.status_code, answer.json()["error_code"]) == (413, "PAYLOAD_TOO_LARGE")
    assert "100 bytes" in answer.json()["detail"]


class Sender:
    """A client that sends a large body piece by piece, whatever the server thinks of it."""

    def __init__(self, pieces: int, *, leaves: bool = False, stalls: bool = False) -> None:
        self.left = pieces
        self.leaves = leaves
        self.stalls = stalls
        self.answer: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        if self.left:
            self.left -= 1
            more = self.left > 0 or self.leaves or self.stalls
            return {"type": "http.request", "body": b"x" * 1000, "more_body": more}
        if not self.leaves:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        self.answer.append(message)

    async def post(self, **headers: str) -> int:
        named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": "POST", "path": "/", "headers": named}
        await asyncio.wait_for(RequestContext(Endpoint(echo))(scope, self.receive, self.send), 5)
        return int(self.answer[0]["status"])


@pytest.mark.parametrize(
    "headers",
    [
        {"content_length": "300000000", "content_type": "application/json"},
        {"transfer_encoding": "chunked", "content_type": "application/json"},
        {"transfer_encoding": "chunked", "content_type": "text/plain"},
    ],
    ids=["too long", "too long, unannounced", "wrong type"],
)
async def test_a_refused_body_is_read_to_its_end_so_that_the_client_sees_the_answer(headers: dict[str, str]):
    sender = Sender(50)

    assert await sender.post(**headers) in (413, 415)

    assert sender.left == 0


async def test_a_client_that_leaves_ends_the_reading():
    sender = Sender(5, leaves=True)

    assert await sender.post(transfer_encoding="chunked", content_type="text/plain") == 415


async def test_a_client_that_stalls_is_answered_all_the_same(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http, "_DRAIN_SECONDS", 0.02)
    sender = Sender(5, stalls=True)

    assert await sender.post(content_length="300000000", content_type="application/json") == 413


async def test_a_body_without_end_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http, "_DRAIN_LIMIT", 10_000)
    sender = Sender(1_000_000)

    assert await sender.post(transfer_encoding="chunked", content_type="text/plain") == 415

    assert sender.left > 999_000


async def test_a_json_answer_has_its_headers():
    async def route(request: Request) -> Response:
        return JsonResponse({"a": "é"}, 202, {"Location": "/x"})

    answer = await ask(route)

    assert (answer.status_code, answer.json(), answer.headers["location"]) == (202, {"a": "é"}, "/x")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == str(len(answer.content))


# Headers


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], {}),
        (["respond-async"], {"respond-async": ""}),
        (["Respond-Async, WAIT=10"], {"respond-async": "", "wait": "10"}),
        (["respond-async", "wait=10"], {"respond-async": "", "wait": "10"}),
        (['wait="10"; x=y , handling=lenient'], {"wait": "10", "handling": "lenient"}),
        (["wait = 5"], {"wait": "5"}),
        (["wait=5, wait=9"], {"wait": "5"}),
        (["wait=a=b"], {"wait": "a=b"}),
    ],
)
async def test_preferences_are_read(headers: list[str], found: dict[str, str]):
    answer = await ask(answering(preferences), headers=[("Prefer", value) for value in headers])

    assert answer.json().items() >= found.items()
    assert ("wait" in answer.json()) == ("wait" in found)


@pytest.mark.parametrize("value", ["", ",", ";", "=", ",;=,", '"', "\xff"])
async def test_preferences_that_are_none_are_ignored(value: str):
    answer = await ask(answering(preferences), headers=[("Prefer", value.encode("latin-1"))])

    assert answer.status_code == 200
    assert wait_preference(answer.json(), 60) is None
    assert "respond-async" not in answer.json()


@pytest.mark.parametrize(
    ("wait", "seconds"),
    [("0", 0), ("1", 1), ("60", 60), ("61", 60), ("9" * 5000, 60)]
    + [
        (wrong, None)
        for wrong in ("", "-1", "1.5", "1e3", "soon", "²", "٣", "+1", "0x10", "inf", "nan", "1_0")
    ],
)
def test_a_wait_is_whole_seconds_within_the_limit(wait: str, seconds: float | None):
    assert wait_preference({"wait": wait}, 60) == seconds


def test_without_a_wait_there_is_none():
    assert wait_preference({"respond-async": ""}, 60) is None


@pytest.mark.parametrize("key", ["k", "x" * 255, 'a "quoted" key', "ké"])
async def test_an_idempotency_key_is_taken_as_it_is(key: str):
    answer = await ask(answering(idempotency_key), headers=[("Idempotency-Key", key.encode("latin-1"))])

    assert answer.json() == key


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_an_idempotency_key_has_bounds(key: str):
    answer = await ask(answering(idempotency_key), headers={"Idempotency-Key": key})

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["loc"] == ["Idempotency-Key"]


async def test_no_idempotency_key_is_none():
    assert (await ask(answering(idempotency_key))).json() is None


# What msgspec complains about


def complaint(body: bytes) -> Problem:
    """About the body of an invoke."""
    try:
        request = msgspec.json.decode(body, type=InvokeRequest)
    except MALFORMED as error:
        return invalid(error)
    with pytest.raises(Problem) as wrong:
        KINDS["text_generation"].parse(request.input, request.config or {})
    return wrong.value


def with_field(field: str) -> bytes:
    return b'{"task_type":"text_generation","input":{"prompt":"hi"},%s}' % field.encode()


def with_input(input: str) -> bytes:
    return b'{"task_type":"text_generation","input":%s}' % input.encode("latin-1")


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"nul", b"\xff", b"\xef\xbb\xbf{}", b'{"input":}', b"{'a':1}", b'{"task_type":"\xff"}',
     b'{"task_type":"\\ud800"}',
     with_field('"config":{"x":NaN}'), with_field('"config":{"x":01}'), with_input('{"prompt":"a\x01"}'),
     with_input('{"prompt":"a" "b"}'), with_input("01"), with_field('"config":{},')],
)  # fmt: skip
def test_what_is_not_json_is_said_to_be_none(body: bytes):
    problem = complaint(body)

    assert problem.code == "INVALID_REQUEST"
    assert problem.detail.startswith("The body is not JSON: ")


@pytest.mark.parametrize(
    "body",
    [with_field('"config":' + '{"a":' * 10_000), with_input("[" * 10_000 + "]" * 10_000),
     with_field(f'"config":{{"a":{"[" * 3000 + "]" * 3000}}}'),
     with_input(f'{{"messages":[{{"role":"user","content":[{{"a":{"[" * 3000 + "]" * 3000}}}]}}]}}')],
    ids=["config, no end", "input", "config", "messages"],
)  # fmt: skip
def test_what_is_nested_too_deeply_is_said_to_be(body: bytes):
    assert complaint(body).detail == "The body is nested too deeply."


@pytest.mark.parametrize(
    ("body", "loc", "message"),
    [
        (b"[]", ["body"], "Expected `object`, got `array`"),
        (b'"x"', ["body"], "Expected `object`"),
        (b"{}", ["task_type"], "required"),
        (b'{"task_type":"x"}', ["input"], "required"),
        (b'{"task_type":5,"input":1}', ["task_type"], "Expected `str`, got `int`"),
        (with_field('"nope":1'), ["nope"], "unknown field"),
        (with_field('"a`b.c[0]":1'), ["a`b.c[0]"], "unknown field"),
        (with_field(f'"{"n" * 5000}":1'), ["n" * 100], "unknown field"),
        (with_field('"stream":"yes"'), ["stream"], "Expected `bool`"),
        (with_field('"priority":101'), ["priority"], "<= 100"),
        (with_field('"priority":1.5'), ["priority"], "Expected `int`"),
        (with_field('"timeout":0'), ["timeout"], "> 0"),
        (with_field('"timeout":1e999'), ["timeout"], "out of range"),
        (with_field('"config":[]'), ["config"], "Expected `object | null`"),
        (with_field('"config":{"seed":1e999}'), ["config"], "out of range"),
        (with_field('"config":{"x":%s}' % ("9" * 5000)), ["config"], "out of range"),
        (with_field('"metadata":{"a":[1]}'), ["metadata"], "got `array`"),
        (with_field('"metadata":{"a":%s}' % ("9" * 30)), ["metadata"], "9223372036854775807"),
        (with_field('"metadata":{"%s":1}' % ("k" * 65)), ["metadata"], "a key: Expected `str` of length <="),
        (with_field('"metadata":{"":1}'), ["metadata"], "a key: Expected `str` of length >= 1"),
        (with_field('"metadata":' + json.dumps(dict.fromkeys(range(51)))), ["metadata"], "length <= 50"),
        (with_field('"config":{"temperature":3}'), ["config", "temperature"], "<= 2.0"),
        (with_field('"config":{"stop":["a",1]}'), ["config", "stop", 1], "Expected `str`"),
        (with_field('"config":{"tools":[1]}'), ["config", "tools", 0], "Expected `object`"),
        (with_input("5"), ["input"], "Expected `object`"),
        (with_input("{}"), ["input"], "either `prompt` or `messages`"),
        (with_input('{"prompt":""}'), ["input", "prompt"], "length >= 1"),
        (with_input('{"prompt":"a","nope":1}'), ["input", "nope"], "unknown field"),
        (with_input('{"messages":[]}'), ["input", "messages"], "length >= 1"),
        (with_input('{"messages":[{}]}'), ["input", "messages", 0, "role"], "required"),
        (with_input('{"messages":[{"role":"user","x":1}]}'), ["input", "messages", 0, "x"], "unknown field"),
        (with_input('{"messages":[{"role":"user","name":5}]}'), ["input", "messages", 0, "name"], "Expected"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_found(body: bytes, loc: list[str | int], message: str):
    problem = complaint(body)

    assert problem.code == "INVALID_REQUEST"
    assert [error["loc"] for error in problem.errors] == [loc]
    assert message in problem.errors[0]["msg"]
    assert problem.detail == f"{'.'.join(map(str, loc))}: {problem.errors[0]['msg']}"


def test_a_place_in_what_has_no_names_is_none():
    with pytest.raises(msgspec.ValidationError) as raised:
        msgspec.json.decode(b'{"a":[%s]}' % (b"9" * 5000), type=dict[str, Any])

    assert invalid(raised.value).detail == "body: Integer value out of range"


def test_bytes_that_are_no_text_are_found_in_the_input_too():
    assert complaint(with_input('{"prompt":"\xff"}')).detail.startswith("The body is not JSON")


def test_a_wrong_value_is_not_quoted_whole():
    assert len(complaint(with_input('{"messages":[{"role":"%s"}]}' % ("x" * 100_000))).detail) < 300


PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def carried(**headers: str) -> Any:
    """What goes along to the provider of a request with these headers."""
    told = answering(lambda _: dict(upstream_headers.get()))
    return (await ask(told, headers=headers)).json()


async def test_the_trace_of_a_request_goes_along_to_the_provider():
    assert await carried(traceparent=PARENT, tracestate="a=b") == {"traceparent": PARENT, "tracestate": "a=b"}
    assert await carried(traceparent=PARENT) == {"traceparent": PARENT}
    assert await carried() == {}


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "nonsense",
        PARENT.upper(),
        f"{PARENT}-00",
        PARENT.replace("00-", "ff-", 1),
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01",
    ],
)
async def test_a_trace_that_is_malformed_is_none(parent: str):
    assert await carried(traceparent=parent, tracestate="a=b") == {}


async def test_a_state_that_is_too_long_is_left_out():
    assert await carried(traceparent=PARENT, tracestate="a" * 513) == {"traceparent": PARENT}
