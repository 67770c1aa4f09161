"""Files under `/v1`: those of `/api/v1` in OpenAI's words, and in the messages of a chat."""

from __future__ import annotations

import base64
import io
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest
from PIL import Image

from nexusai.testing import Platform
from tests.fixtures import anthropic_upstream, gemini_upstream
from tests.fixtures.openai_upstream import Upstream
from tests.fixtures.served import served

LETTER = b"The keeper's name is Ada."


@pytest.fixture(scope="module")
def others() -> Iterator[dict[str, Upstream]]:
    with ExitStack() as stack:
        yield {
            "anthropic": stack.enter_context(anthropic_upstream.running_upstream()),
            "gemini": stack.enter_context(gemini_upstream.running_gemini()),
        }


@pytest.fixture(scope="module")
def platform(upstream: Upstream, others: dict[str, Upstream]) -> Iterator[Platform]:
    environ = {
        "OPENAI_API_KEY": upstream.api_key,
        "OPENAI_BASE_URL": upstream.base_url,
        "ANTHROPIC_API_KEY": others["anthropic"].api_key,
        "ANTHROPIC_BASE_URL": others["anthropic"].base_url,
        "GEMINI_API_KEY": others["gemini"].api_key,
        "GEMINI_BASE_URL": others["gemini"].base_url,
    }
    with Platform(environ) as platform:
        yield platform


@pytest.fixture(scope="module")
def client(platform: Platform) -> Iterator[openai.OpenAI]:
    base = f"{platform.url}/v1"
    with openai.OpenAI(api_key=platform.api_key, base_url=base, max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def own(platform: Platform) -> Iterator[httpx.Client]:
    """The platform's own API."""
    headers = {"Authorization": f"Bearer {platform.api_key}"}
    with httpx.Client(base_url=platform.base_url, headers=headers, timeout=20) as client:
        yield client


def stored(client: openai.OpenAI, content: bytes = LETTER, name: str = "letter.txt", **options: Any) -> Any:
    return client.files.create(file=(name, content), **{"purpose": "user_data", **options})


def picture() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(out, "PNG")
    return out.getvalue()


# Stored


def test_a_file_is_stored_shown_read_and_deleted(client: openai.OpenAI) -> None:
    file = stored(client, purpose="assistants")
    assert (file.object, file.bytes, file.filename) == ("file", len(LETTER), "letter.txt")
    assert (file.purpose, file.status) == ("assistants", "processed")

    assert client.files.retrieve(file.id) == file
    assert client.files.content(file.id).read() == LETTER

    gone = client.files.delete(file.id)
    assert (gone.id, gone.deleted) == (file.id, True)
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)


async def test_the_asynchronous_client_stores_as_well(platform: Platform) -> None:
    async with openai.AsyncOpenAI(api_key=platform.api_key, base_url=f"{platform.url}/v1") as client:
        file = await client.files.create(file=("a.txt", LETTER), purpose="user_data")
        assert (await client.files.content(file.id)).read() == LETTER
        assert file.id in [each.id async for each in client.files.list()]


def test_both_apis_have_the_same_files(client: openai.OpenAI, own: httpx.Client) -> None:
    file = stored(client, purpose="vision")
    shown = own.get(f"/files/{file.id}").json()
    assert (shown["filename"], shown["purpose"]) == ("letter.txt", "vision")

    other = own.post("/files", files={"file": ("own.txt", b"own")}).json()["file_id"]
    assert client.files.retrieve(other).purpose == "user_data"
    assert client.files.content(other).read() == b"own"


def test_a_list_has_a_purpose_an_order_and_pages(client: openai.OpenAI) -> None:
    ids = [stored(client, f"number {n}".encode(), purpose="evals").id for n in range(5)]

    assert [file.id for file in client.files.list(purpose="evals", limit=2)] == ids[::-1]
    assert [file.id for file in client.files.list(purpose="evals", limit=2, order="asc")] == ids
    page = client.files.list(purpose="evals", limit=2, after=ids[3])
    assert [file.id for file in page.data] == [ids[2], ids[1]]
    assert page.has_more is True


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"purpose": "world domination"}, "purpose"),
        ({"expires_after": {"anchor": "created_at", "seconds": 5}}, "expires_after.seconds"),
        ({"expires_after": {"anchor": "yesterday", "seconds": 5000}}, "expires_after.anchor"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_stored(
    client: openai.OpenAI, own: httpx.Client, wrong: dict[str, Any], named: str
) -> None:
    before = own.get("/files").json()["total"]
    with pytest.raises(openai.BadRequestError) as refused:
        stored(client, **wrong)
    assert refused.value.param == named
    assert own.get("/files").json()["total"] == before


def test_a_purpose_may_come_after_the_file(platform: Platform) -> None:
    signed = {"Authorization": f"Bearer {platform.api_key}"}
    form = {"file": ("a.txt", LETTER), "purpose": (None, "batch")}
    answer = httpx.post(f"{platform.url}/v1/files", headers=signed, files=form)
    assert answer.json()["purpose"] == "batch"


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "order=up"])
def test_a_wrong_list_is_refused(platform: Platform, query: str) -> None:
    signed = {"Authorization": f"Bearer {platform.api_key}"}
    answer = httpx.get(f"{platform.url}/v1/files?{query}", headers=signed)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, query.partition("=")[0])


def test_a_file_deletes_itself_when_its_time_is_over(tmp_path: Path) -> None:
    with served(tmp_path, shutdown_grace=0) as platform:
        base = f"{platform.url}/v1"
        with openai.OpenAI(api_key=platform.key, base_url=base, max_retries=0) as client:
            file = stored(client, expires_after={"anchor": "created_at", "seconds": 3600})
            assert file.expires_at == file.created_at + 3600
            with closing(sqlite3.connect(platform.database)) as connection, connection:
                connection.execute("UPDATE files SET expires_at = 1 WHERE id = ?", (file.id,))

            with pytest.raises(openai.NotFoundError):
                client.files.retrieve(file.id)
            bytes_of = tmp_path / "data" / "files" / file.id
            assert bytes_of.exists()
            platform.run(platform.platform.retention.purge)
            assert not bytes_of.exists()


def test_files_of_another_project_do_not_exist(client: openai.OpenAI, own: httpx.Client) -> None:
    file = stored(client)
    project = own.post("/projects", json={"name": "others"}).json()["project_id"]
    made = own.post("/keys", json={"name": "b", "project": project}).json()

    with openai.OpenAI(api_key=made["api_key"], base_url=client.base_url, max_retries=0) as other:
        for call in (other.files.retrieve, other.files.content, other.files.delete):
            with pytest.raises(openai.NotFoundError):
                call(file.id)
        assert list(other.files.list()) == []
        with pytest.raises(openai.NotFoundError):
            asked(other, "gpt-4o-mini", {"type": "file", "file": {"file_id": file.id}})


# In a chat


def asked(client: openai.OpenAI, model: str, part: Any) -> Any:
    content: Any = [{"type": "text", "text": "What is it?"}, part]
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": content}])


def last_body(upstream: Upstream) -> str:
    return str(upstream.calls()[-1]["body"])


def test_a_file_goes_along_by_its_id(client: openai.OpenAI, upstream: Upstream) -> None:
    file = stored(client)

    asked(client, "gpt-4o-mini", {"type": "file", "file": {"file_id": file.id}})

    part = upstream.calls("/v1/chat/completions")[-1]["body"]["messages"][0]["content"][1]
    data = f"data:text/plain;base64,{base64.b64encode(LETTER).decode()}"
    assert part == {"type": "file", "file": {"filename": "letter.txt", "file_data": data}}


@pytest.mark.parametrize("kind", ["file", "image_file", "file_id"])
@pytest.mark.parametrize(
    ("model", "vendor"), [("claude-haiku-4-5", "anthropic"), ("gemini/gemini-2.5-flash", "gemini")]
)
def test_a_picture_goes_to_any_provider_by_its_id(
    client: openai.OpenAI, others: dict[str, Upstream], kind: str, model: str, vendor: str
) -> None:
    file = stored(client, picture(), "boat.png", purpose="vision")

    asked(client, model, {"type": kind, kind: file.id if kind == "file_id" else {"file_id": file.id}})

    assert base64.b64encode(picture()).decode() in last_body(others[vendor])


def test_a_message_of_anthropics_api_names_files_of_ours(
    client: openai.OpenAI, platform: Platform, others: dict[str, Upstream]
) -> None:
    file = stored(client, picture(), "boat.png", purpose="vision")
    part: Any = {"type": "image", "source": {"type": "file", "file_id": file.id}}
    with anthropic.Anthropic(api_key=platform.api_key, base_url=platform.url) as claude:
        claude.messages.create(
            model="claude-haiku-4-5",
            max_tokens=50,
            messages=[{"role": "user", "content": [{"type": "text", "text": "What is it?"}, part]}],
        )

    sent = others["anthropic"].calls()[-1]["body"]["messages"][0]["content"][1]
    assert sent["source"]["data"] == base64.b64encode(picture()).decode()


def test_ids_that_a_vendor_gave_pass_as_they_are(client: openai.OpenAI, upstream: Upstream) -> None:
    asked(client, "gpt-4o-mini", {"type": "file", "file": {"file_id": "file-abc123"}})

    part = upstream.calls("/v1/chat/completions")[-1]["body"]["messages"][0]["content"][1]
    assert part == {"type": "file", "file": {"file_id": "file-abc123"}}


def test_a_short_body_cannot_name_a_large_file_again_and_again(client: openai.OpenAI) -> None:
    file = stored(client, b"x" * (4 * 1024 * 1024), "large.txt")
    part: Any = {"type": "file", "file": {"file_id": file.id}}
    with pytest.raises(openai.APIStatusError) as refused:
        client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": [part] * 9}]
        )
    assert refused.value.status_code == 413
