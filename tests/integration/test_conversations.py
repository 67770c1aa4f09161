"""What passes under `/v1`, logged as its key says: searched, shown and deleted."""

from __future__ import annotations

import base64
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from nexusai.testing import Platform
from tests.fixtures import anthropic_upstream
from tests.fixtures.openai_upstream import Upstream
from tests.fixtures.served import Served, served

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg=="


@pytest.fixture(scope="module")
def platform(upstream: Upstream) -> Iterator[Platform]:
    with ExitStack() as stack:
        claude = stack.enter_context(anthropic_upstream.running_upstream())
        environ = {
            "OPENAI_API_KEY": upstream.api_key,
            "OPENAI_BASE_URL": upstream.base_url,
            "ANTHROPIC_API_KEY": claude.api_key,
            "ANTHROPIC_BASE_URL": claude.base_url,
        }
        yield stack.enter_context(Platform(environ))


@pytest.fixture(scope="module")
def admin(platform: Platform) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {platform.api_key}"}
    with httpx.Client(base_url=platform.base_url, headers=headers, timeout=20) as client:
        yield client


Open = Callable[..., tuple[openai.OpenAI, "Log"]]


class Log:
    """What is logged of one key."""

    def __init__(self, admin: httpx.Client, key_id: str) -> None:
        self.key_id = key_id
        self._admin = admin

    def found(self, **search: Any) -> list[dict[str, Any]]:
        page = self._admin.get("/conversations", params={"key_id": self.key_id, **search})
        assert page.status_code == 200, page.text
        return list(page.json()["data"])

    def only(self, **search: Any) -> dict[str, Any]:
        """The whole of the one that is found: a stream's caller may ask before its response has ended."""
        for _ in range(100):
            if rows := self.found(**search):
                break
        (found,) = rows
        return dict(self._admin.get(f"/conversations/{found['conversation_id']}").json())


@pytest.fixture
def opened(platform: Platform, admin: httpx.Client) -> Iterator[Open]:
    """A client with a new key, and what is logged of it."""
    with ExitStack() as stack:

        def make(logging: str | None = "full", **options: Any) -> tuple[openai.OpenAI, Log]:
            made = admin.post("/keys", json={"name": "logged", "logging": logging, **options}).json()
            client = openai.OpenAI(api_key=made["api_key"], base_url=f"{platform.url}/v1", max_retries=0)
            return stack.enter_context(client), Log(admin, made["key_id"])

        yield make


def chat(client: openai.OpenAI, text: str, **options: Any) -> Any:
    options = {"model": "gpt-4o-mini", **options}
    return client.chat.completions.create(messages=[{"role": "user", "content": text}], **options)


def test_a_chat_is_logged_with_what_was_said_and_what_it_used(opened: Open):
    client, log = opened()

    answer = chat(client, "Who keeps the light?")

    logged = log.only()
    assert logged["request"]["messages"] == [{"role": "user", "content": "Who keeps the light?"}]
    assert logged["answer"]["choices"][0]["message"]["content"] == "Who keeps the light?"
    assert (logged["provider"], logged["model"]) == ("openai", "gpt-4o-mini")
    assert (logged["route"], logged["status"]) == ("/v1/chat/completions", "completed")
    assert logged["http_status"] == 200
    assert logged["usage"]["total_tokens"] == answer.usage.total_tokens
    assert logged["cost"]["currency"] == "USD"
    assert logged["truncated"] is False


def test_nothing_is_logged_of_a_key_that_does_not_say_so(opened: Open):
    client, log = opened(logging=None)

    chat(client, "a secret")

    assert log.found() == []


def test_metadata_are_all_but_what_was_said(opened: Open):
    client, log = opened("metadata")

    chat(client, "a secret")

    logged = log.only()
    assert logged["request"] is logged["answer"] is None
    assert logged["usage"]["total_tokens"] > 0
    assert log.found(q="secret") == []


def test_a_stream_is_logged_as_the_text_it_told(opened: Open):
    client, log = opened()

    for _ in chat(client, "one word after the other", stream=True):
        pass

    logged = log.only()
    assert logged["answer"] == {"content": "one word after the other"}
    assert logged["status"] == "completed"


def test_a_stream_whose_caller_hangs_up_is_logged_as_cut(opened: Open):
    client, log = opened()

    with chat(client, "one two three four [[delay=0.05]]", stream=True) as stream:
        next(stream)

    for _ in range(100):
        if found := log.found():
            break
    assert found[0]["status"] == "cut"


def test_a_stream_that_breaks_is_logged_as_failed(opened: Open):
    client, log = opened()

    with pytest.raises(openai.APIError):
        for _ in chat(client, "one two three four [[drop=2]]", stream=True):
            pass

    logged = log.only()
    assert logged["status"] == "failed"
    assert logged["answer"]["content"].startswith("one two")


def test_what_is_refused_is_logged_too(opened: Open):
    client, log = opened(allowed_models=["local/*"])

    with pytest.raises(openai.PermissionDeniedError):
        chat(client, "Who keeps the light?")

    logged = log.only(status="failed")
    assert logged["http_status"] == 403
    assert "may not use" in logged["answer"]["error"]["message"]


def test_what_was_said_is_found_by_its_words_in_chinese_too(opened: Open):
    client, log = opened()
    chat(client, "The lighthouse keeper writes letters")
    chat(client, "请告诉我灯塔的守护者是谁")

    assert "lighthouse" in json.dumps(log.only(q="keepers letter")["request"])
    assert "灯塔" in json.dumps(log.only(q="守护者")["request"], ensure_ascii=False)
    assert log.found(q="keeper 灯塔") == []
    assert log.found(q="messages") == []


def test_a_message_of_anthropics_api_is_logged(platform: Platform, admin: httpx.Client):
    made = admin.post("/keys", json={"name": "claude", "logging": "full"}).json()
    with anthropic.Anthropic(api_key=made["api_key"], base_url=platform.url) as client:
        with client.messages.stream(
            model="claude-haiku-4-5", max_tokens=50, messages=[{"role": "user", "content": "Good evening"}]
        ) as stream:
            told = stream.get_final_text()

        said: Any = [{"role": "user", "content": "Good evening"}]
        client.messages.count_tokens(model="claude-haiku-4-5", messages=said)  # no conversation

    logged = Log(admin, made["key_id"]).only()
    assert logged["answer"]["text"] == told == "Good evening"
    assert logged["route"] == "/v1/messages"


def test_a_translated_stream_is_logged_as_its_client_got_it(opened: Open):
    client, log = opened()

    for _ in chat(client, "one word after the other", model="claude-haiku-4-5", stream=True):
        pass

    logged = log.only()
    assert logged["answer"] == {"content": "one word after the other"}
    assert (logged["provider"], logged["model"]) == ("anthropic", "claude-haiku-4-5")


@pytest.mark.parametrize("model", ["gpt-4o-mini", "claude-haiku-4-5"])
def test_a_response_is_logged_whole_and_streamed(opened: Open, model: str):
    client, log = opened()

    client.responses.create(model=model, input="lighthouse")
    with client.responses.stream(model=model, input="harbour") as stream:
        stream.until_done()

    for said in ("lighthouse", "harbour"):
        logged = log.only(q=said)
        assert logged["request"]["input"] == said
        assert logged["answer"]["output"][0]["content"][0]["text"] == said
        assert (logged["route"], logged["status"]) == ("/v1/responses", "completed")


def test_old_completions_are_logged(opened: Open):
    client, log = opened()

    for _ in client.completions.create(model="gpt-4o-mini", prompt="harbour light", stream=True):
        pass

    assert log.only(q="harbour")["answer"] == {"text": "harbour light"}


def test_pictures_and_sound_are_logged_by_their_prompts(opened: Open):
    client, log = opened()

    client.images.edit(model="gpt-image-1", image=base64.b64decode(PIXEL), prompt="a red boat")
    client.audio.speech.create(model="tts-1", voice="alloy", input="good evening", response_format="wav")

    edited = log.only(q="red boat")
    assert edited["request"]["image"].endswith(f" {len(base64.b64decode(PIXEL))} bytes]")
    assert edited["answer"]["data"][0]["b64_json"].endswith(" bytes]")
    assert log.only(q="good evening")["answer"].startswith("[audio/wav, ")


def test_a_key_that_is_told_to_log_does_so_at_once(opened: Open, admin: httpx.Client):
    client, log = opened(logging=None)
    chat(client, "before")

    assert admin.patch(f"/keys/{log.key_id}", json={"logging": "full"}).json()["logging"] == "full"
    chat(client, "after")

    assert log.only()["request"]["messages"][0]["content"] == "after"


def test_of_pictures_and_vectors_only_the_size_is_logged(opened: Open):
    client, log = opened()
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    chat(client, [{"type": "text", "text": "What is it?"}, picture])  # type: ignore[arg-type]
    client.embeddings.create(model="text-embedding-3-small", input="light", encoding_format="float")

    size = len(base64.b64decode(PIXEL))
    seen = log.only(q="What is it?")["request"]["messages"][0]["content"][1]
    assert seen["image_url"]["url"] == f"[image/png, {size} bytes]"
    vectors = log.only(model="text-embedding-3-small")["answer"]["data"]
    assert vectors[0]["embedding"].endswith(("numbers]", "bytes]"))


def test_a_key_without_a_setting_is_logged_as_its_project_is(admin: httpx.Client, platform: Platform):
    project = admin.post("/projects", json={"name": "logged", "logging": "metadata"}).json()
    made = admin.post("/keys", json={"name": "a", "project": project["project_id"]}).json()
    with openai.OpenAI(api_key=made["api_key"], base_url=f"{platform.url}/v1") as client:
        chat(client, "hello")

    here = {"project": project["project_id"]}
    assert len(admin.get("/conversations", params=here).json()["data"]) == 1
    assert admin.get("/conversations", params={"key_id": made["key_id"]}).json()["data"] == []


def test_what_is_deleted_is_found_no_more(opened: Open, admin: httpx.Client):
    client, log = opened()
    for word in ("lantern", "lantern", "harbour"):
        chat(client, word)
    first = log.found(q="harbour")[0]["conversation_id"]

    assert admin.delete(f"/conversations/{first}").status_code == 204
    assert admin.get(f"/conversations/{first}").status_code == 404
    assert log.found(q="harbour") == []
    gone = admin.delete("/conversations", params={"key_id": log.key_id})
    assert gone.json() == {"deleted_count": 2}
    assert log.found() == []


def test_nothing_is_deleted_where_nobody_says_what(admin: httpx.Client):
    assert admin.delete("/conversations").status_code == 400


def test_conversations_of_another_project_do_not_exist(opened: Open, admin: httpx.Client):
    client, log = opened()
    chat(client, "ours alone")
    own = log.found()[0]["conversation_id"]
    project = admin.post("/projects", json={"name": "others"}).json()["project_id"]
    made = admin.post("/keys", json={"name": "b", "project": project, "scopes": ["admin"]}).json()

    with signed_in(admin, made["api_key"]) as other:
        assert other.get("/conversations").json()["data"] == []
        assert other.get(f"/conversations/{own}").status_code == 404
        assert other.delete(f"/conversations/{own}").status_code == 404
        assert other.get("/conversations", params={"project": "proj_default"}).status_code == 404


def test_they_are_read_with_the_scope_admin_alone(admin: httpx.Client):
    made = admin.post("/keys", json={"name": "c", "scopes": ["invoke", "read"]}).json()

    with signed_in(admin, made["api_key"]) as other:
        assert other.get("/conversations").status_code == 403


def test_a_list_goes_on_where_its_page_ended(opened: Open, admin: httpx.Client):
    client, log = opened("metadata")
    for _ in range(5):
        chat(client, "again")

    seen: list[str] = []
    cursor = None
    while True:
        wanted = {"key_id": log.key_id, "limit": 2} | ({"cursor": cursor} if cursor else {})
        page = admin.get("/conversations", params=wanted).json()
        seen += [each["conversation_id"] for each in page["data"]]
        cursor = page["next_cursor"]
        if not page["has_more"]:
            break

    assert len(seen) == 5
    assert seen == sorted(set(seen), reverse=True)


# Behind the calls


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path, shutdown_grace=0) as platform:
        yield platform


def logged_key(client: httpx.Client) -> tuple[dict[str, str], str]:
    made = client.post("/keys", json={"name": "logged", "logging": "full"}).json()
    return {"Authorization": f"Bearer {made['api_key']}"}, made["key_id"]


CHAT = {"model": "local/simulate", "messages": [{"role": "user", "content": "Good evening, lighthouse"}]}


def test_a_locked_database_fails_no_request_and_loses_no_conversation(here: Served):
    with here.client() as client:
        signed, key_id = logged_key(client)
        gateway = f"{here.url}/v1/chat/completions"
        client.post(gateway, json=CHAT, headers=signed).raise_for_status()
        assert len(client.get("/conversations", params={"key_id": key_id}).json()["data"]) == 1

        with closing(sqlite3.connect(here.database)) as other:
            other.execute("BEGIN EXCLUSIVE")
            for _ in range(20):
                client.post(gateway, json=CHAT, headers=signed).raise_for_status()
            other.rollback()

        wanted = {"key_id": key_id, "limit": 100}
        assert len(client.get("/conversations", params=wanted).json()["data"]) == 21
    assert here.platform.conversation_log.dropped == 0


def test_what_is_old_deletes_itself_with_its_words(here: Served):
    with here.client() as client:
        signed, _ = logged_key(client)
        for _ in range(2):
            client.post(f"{here.url}/v1/chat/completions", json=CHAT, headers=signed).raise_for_status()
        first = client.get("/conversations", params={"q": "lighthouse"}).json()["data"][1]["conversation_id"]
        assert client.get("/usage").json()["data"][0]["requests"] == 2
        old = 1000 * (time.time() - 31 * 24 * 3600)
        with closing(sqlite3.connect(here.database)) as connection, connection:
            connection.execute("UPDATE conversations SET at = ? WHERE id = ?", (int(old), first))
            connection.execute("UPDATE calls SET at = 1")

        here.run(here.platform.retention.purge)

        found = client.get("/conversations", params={"q": "lighthouse"}).json()["data"]
        assert first not in [each["conversation_id"] for each in found]
        assert len(found) == 1
        assert client.get("/usage").json()["data"][0]["requests"] == 0
    with closing(sqlite3.connect(here.database)) as connection:
        assert connection.execute("SELECT count(*) FROM conversation_words").fetchone() == (1,)


@contextmanager
def signed_in(admin: httpx.Client, key: str) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=admin.base_url, headers=headers, timeout=20) as client:
        yield client
