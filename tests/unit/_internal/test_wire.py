"""What leaves the process, over real sockets: a platform, and somebody elsewhere."""

from __future__ import annotations

import asyncio
import json
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from nexusai import AsyncNexusAIClient, NexusAIClient
from nexusai.error import APIConnectionError, APIError, AuthenticationError
from tests.fixtures.sdk import KEY, Both

ECHO = json.dumps({"detail": f"{KEY} is unknown", "headers": {"authorization": f"Bearer {KEY}"}}).encode()
SECRETS = {"X-Team": "my secret", "Cookie": "mine=my secret"}


class Site:
    """A server on a port of its own, which keeps the headers of what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[Message] = []
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        site = self

        class Answers(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", 0)))
                site.asked.append(self.headers)
                status, headers, body = site.answers[self.path.partition("?")[0]]
                if not status:
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = answer  # noqa: N815 - the standard library's names

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def site() -> Iterator[Callable[[], Site]]:
    with ExitStack() as stack:

        def make() -> Site:
            made = Site()
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def platform(site: Callable[[], Site]) -> Site:
    return site()


@pytest.fixture
def elsewhere(site: Callable[[], Site]) -> Site:
    return site()


def use(sdk: Both, platform: Site, work: Callable[[Any], Any], **options: Any) -> Any:
    return sdk(work, base_url=platform.url, default_headers=SECRETS, max_retries=0, **options)


def image_of(url: str) -> bytes:
    output = {"image_url": url, "images": [{"image_url": url, "file_id": "file_1", "index": 0}]}
    return json.dumps({"task_id": "task_1", "status": "completed", "output": output}).encode()


def read_image(client: Any) -> Any:
    image = client.images.generate("a prompt")

    async def later() -> bytes:
        return await (await image).read()  # type: ignore[no-any-return]

    return later() if asyncio.iscoroutine(image) else image.read()


def is_secret(headers: Message) -> bool:
    return any(secret in str(headers) for secret in (KEY, "my secret"))


def test_the_key_goes_to_the_platform_and_to_nobody_whom_an_answer_names(
    sdk: Both, platform: Site, elsewhere: Site
):
    elsewhere.answers["/picture.png"] = (200, {}, b"a picture")
    platform.answers["/invoke"] = (200, {}, image_of(f"{elsewhere.url}/picture.png"))

    assert use(sdk, platform, read_image) == b"a picture"
    assert platform.asked[0]["authorization"] == f"Bearer {KEY}"
    assert [is_secret(headers) for headers in elsewhere.asked] == [False]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_nothing_follows_a_redirect(status: int, sdk: Both, platform: Site, elsewhere: Site):
    platform.answers["/tasks/task_1"] = (status, {"location": f"{elsewhere.url}/tasks/task_1"}, b"")

    with pytest.raises(APIError, match="redirects are not followed"):
        use(sdk, platform, lambda client: client.tasks.get("task_1"))
    assert elsewhere.asked == []


def test_a_link_that_redirects_is_not_followed_back_with_the_key(sdk: Both, platform: Site, elsewhere: Site):
    elsewhere.answers["/picture.png"] = (302, {"location": f"{platform.url}/files/file_1/content"}, b"")
    platform.answers["/invoke"] = (200, {}, image_of(f"{elsewhere.url}/picture.png"))

    with pytest.raises(APIError, match="redirects are not followed"):
        use(sdk, platform, read_image)
    assert len(platform.asked) == 1


def test_a_cookie_of_an_answer_is_not_sent_back(sdk: Both, platform: Site):
    """Two keys may share connections; what the platform gave one of them is not the other's."""
    platform.answers["/tasks/task_1"] = (200, {"set-cookie": "session=1; Path=/"}, b'{"task_id": "task_1"}')

    def twice(client: Any) -> Any:
        async def later() -> None:
            await client.tasks.get("task_1")
            await client.with_options(api_key="nxs_other").tasks.get("task_1")

        def now() -> None:
            client.tasks.get("task_1")
            client.with_options(api_key="nxs_other").tasks.get("task_1")

        return later() if sdk.asynchronous else now()

    sdk(twice, base_url=platform.url)
    first, second = platform.asked
    assert first["cookie"] is None
    assert second["cookie"] is None


def test_what_a_given_client_adds_to_its_requests_is_sent(platform: Site):
    platform.answers["/tasks/task_1"] = (200, {}, b'{"task_id": "task_1"}')
    with httpx.Client(headers={"X-Mine": "1"}, cookies={"mine": "2"}, params={"mine": "3"}) as http:
        NexusAIClient(KEY, platform.url, http_client=http).tasks.get("task_1")

    (asked,) = platform.asked
    assert (asked["x-mine"], asked["cookie"]) == ("1", "mine=2")
    assert asked["authorization"] == f"Bearer {KEY}"


def test_a_header_that_is_set_twice_is_sent_once(sdk: Both, platform: Site):
    platform.answers["/invoke"] = (200, {}, image_of("/x"))
    sdk(
        lambda client: client.images.submit("a prompt"),
        base_url=platform.url,
        default_headers={"prefer": "mine", "ACCEPT": "mine"},
    )
    (asked,) = platform.asked
    assert asked.get_all("prefer") == ["respond-async"]
    assert asked.get_all("accept") == ["mine"]


# The key in tracebacks


def shown(error: BaseException) -> str:
    """The traceback with the values of all variables, as tools that report errors show it."""
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


def ask(sdk: Both, url: str) -> Any:
    """Without `sdk` itself, whose variables hold the key."""
    if sdk.asynchronous:
        return asyncio.run(_ask(AsyncNexusAIClient(KEY, url, max_retries=0)))
    return NexusAIClient(KEY, url, max_retries=0).tasks.get("task_1")


async def _ask(client: AsyncNexusAIClient) -> Any:
    async with client:
        return await client.tasks.get("task_1")


def test_an_answer_that_echoes_the_key_does_not_bring_it_into_the_error(sdk: Both, platform: Site):
    platform.answers["/tasks/task_1"] = (401, {}, ECHO)
    with pytest.raises(AuthenticationError) as raised:
        ask(sdk, platform.url)

    assert raised.value.message == "nxs_*** is unknown"
    assert KEY not in repr(raised.value.__dict__)
    assert KEY not in shown(raised.value)


def test_a_connection_that_breaks_off_does_not_show_the_key(sdk: Both, platform: Site):
    platform.answers["/tasks/task_1"] = (0, {}, b"")
    with pytest.raises(APIConnectionError) as raised:
        ask(sdk, platform.url)
    assert KEY not in shown(raised.value)


def test_nobody_there_does_not_show_the_key(sdk: Both, platform: Site):
    platform.close()
    with pytest.raises(APIConnectionError) as raised:
        ask(sdk, platform.url)
    assert KEY not in shown(raised.value)


def test_a_header_that_cannot_be_sent_is_not_shown(platform: Site):
    with httpx.Client(headers={"X-Team": "my secret\n"}) as http:
        client = NexusAIClient(KEY, platform.url, http_client=http, max_retries=0)
        with pytest.raises(APIConnectionError) as raised:
            client.tasks.get("task_1")
    assert "my secret" not in "".join(traceback.format_exception(raised.value))
