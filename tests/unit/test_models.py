from __future__ import annotations

import copy
import pickle
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from nexusai import models
from nexusai.error import APIError, ConfigurationError
from nexusai.models import (
    AsyncImage,
    Cost,
    File,
    Image,
    StreamChunk,
    Task,
    TaskPage,
    TextResponse,
    TTSResponse,
    Usage,
    result_of,
)


def fetch(url: str, path: Path | None) -> Any:
    return path or url.encode()


def task(**fields: Any) -> Task:
    return Task.model_validate({"task_id": "task_1", "status": "completed", **fields})


@pytest.mark.parametrize(
    "text",
    [
        "2025-01-02T03:04:05Z",
        "2025-01-02T03:04:05+00:00",
        "2025-01-02T03:04:05+00:00Z",
        "2025-01-02T03:04:05",
        "2025-01-02T04:04:05+01:00Z",
    ],
)
def test_every_date_is_aware(text: str):
    created = task(created_at=text).created_at
    assert created == datetime(2025, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    assert created is not None
    assert created.utcoffset() in (timedelta(0), timedelta(hours=1))


def test_unknown_fields_are_kept():
    assert task(region="eu").region == "eu"  # type: ignore[attr-defined]


KINDS = [
    kind
    for name in models.__all__
    if isinstance(kind := getattr(models, name), type) and issubclass(kind, BaseModel)
]


def test_every_field_is_described():
    bare = [
        f"{kind.__name__}.{name}"
        for kind in KINDS
        for name, field in kind.model_fields.items()
        if not field.description
    ]
    assert len(KINDS) > 30
    assert bare == []


def test_every_model_is_described():
    assert [kind.__name__ for kind in KINDS if not kind.__doc__ or kind.__doc__ == BaseModel.__doc__] == []


def test_every_model_keeps_what_it_does_not_know():
    assert {kind.model_config.get("extra") for kind in KINDS} == {"allow"}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *[(models.Task, "task_id"), (models.File, "file_id"), (models.SessionFacts, "session_id")],
        *[
            (models.SessionMessage, "message_id"),
            (models.KnowledgeBase, "kb_id"),
            (models.Document, "doc_id"),
        ],
        *[(models.SearchResult, "chunk_id"), (models.Batch, "batch_id"), (models.Webhook, "webhook_id")],
        (models.Key, "key_id"),
    ],
)
def test_an_id_is_an_attribute_of_what_it_names(kind: type[Any], name: str):
    made = kind.model_validate({name: "x_1", "role": "user"})
    assert made.id == getattr(made, name) == "x_1"


def test_a_page_is_iterated_over_and_counted_as_its_rows():
    page = TaskPage.model_validate({"data": [{"task_id": "task_1"}, {"task_id": "task_2"}]})
    assert [one.id for one in page] == ["task_1", "task_2"]
    assert len(page) == 2


@pytest.mark.parametrize(
    ("page", "rows", "total", "following"), [(1, 2, 3, 2), (2, 1, 3, None), (1, 2, 2, None), (2, 0, 9, None)]
)
def test_a_numbered_page_knows_the_next(page: int, rows: int, total: int, following: int | None):
    files = [{"file_id": f"file_{number}"} for number in range(rows)]
    shown = {"files": files, "total": total, "page": page, "per_page": 2}
    assert models.FilePage.model_validate(shown).next_page == following


@pytest.mark.parametrize("kind", [models.Key, models.Webhook])
def test_what_is_shown_once_is_in_no_repr(kind: type[Any]):
    fields = {"key_id": "x", "webhook_id": "x", "api_key": "nxs_secret", "secret": "whsec_secret"}
    assert "_secret" not in f"{kind.model_validate(fields)!r} {kind.model_validate(fields)}"


def test_a_turn_of_a_session_is_known_by_its_output():
    output = {"response": {"role": "assistant", "content": "hi"}, "session_id": "sess_1"}
    turn = result_of(task(task_type="anything", output=output), fetch)
    assert (type(turn), str(turn)) == (models.SessionResponse, "hi")


def test_a_task_needs_no_more_than_its_id():
    assert Task(task_id="task_1").status == "pending"


@pytest.mark.parametrize(
    ("status", "finished"),
    [("completed", True), ("failed", True), ("cancelled", True), ("running", False), ("paused", False)],
)
def test_a_status_that_is_not_known_is_not_final(status: str, finished: bool):
    assert task(status=status).finished is finished


def test_a_failure_may_be_told_in_a_sentence():
    failure = task(error="it broke").error
    assert failure is not None
    assert (failure.message, failure.code) == ("it broke", None)


def test_ids_are_attributes():
    assert task().id == "task_1"
    assert File(file_id="file_1").id == "file_1"


def test_a_missing_count_of_tokens_is_zero():
    assert Usage.model_validate({"prompt_tokens": 3, "completion_tokens": None}).completion_tokens == 0


def test_a_repr_is_short_and_tells_no_content():
    shown = repr(
        task(task_type="text_generation", output={"text": "the answer"}, metadata={"a": "b"}, secret="x")
    )
    assert shown == "Task(task_id='task_1', task_type='text_generation', status='completed')"


def test_a_long_text_is_cut_in_a_repr():
    assert repr(TextResponse(text="word " * 100)) == f"TextResponse(text='{('word ' * 8)}…')"


def test_the_string_of_a_text_is_the_text():
    assert str(TextResponse(text="你好")) == "你好"


def test_a_text_comes_out_of_its_task():
    made = task(
        output={"text": "hi", "finish_reason": "stop", "usage": {"prompt_tokens": 1}, "demo": True},
        provider="local",
        model="local/text",
        cost={"amount": 0.5},
    )
    text = TextResponse.from_task(made)

    assert (text.text, text.finish_reason, text.task_id) == ("hi", "stop", "task_1")
    assert (text.provider, text.model, text.cost) == ("local", "local/text", Cost(amount=0.5))
    assert text.usage == Usage(prompt_tokens=1)
    assert text.demo is True  # type: ignore[attr-defined]


def test_what_the_output_says_wins_over_the_task():
    assert TextResponse.from_task(task(output={"text": "", "model": "used"}, model="asked")).model == "used"


def test_a_text_of_nothing_but_tool_calls_is_empty():
    assert TextResponse.from_task(task(output={"text": None, "tool_calls": [{"id": "1"}]})).text == ""


def test_a_task_without_the_output_of_its_type_is_a_clear_error():
    with pytest.raises(APIError, match="task_1 is completed, but has no Image as output: see image_url"):
        Image.from_task(task(output={"width": 1}))


@pytest.mark.parametrize(
    ("task_type", "output", "kind"),
    [
        ("text_generation", {"text": "hi"}, TextResponse),
        ("image_generation", {"image_url": "http://a"}, Image),
        ("speech_to_text", {"text": "hi", "segments": [{"text": "hi"}]}, models.TranscriptionResponse),
        ("text_to_speech", {"audio_url": "http://a"}, TTSResponse),
        ("embeddings", {"embeddings": []}, models.EmbeddingResponse),
        ("moderation", {"results": []}, models.ModerationResponse),
        ("document_processing", {"content": ""}, Task),
        (None, None, Task),
    ],
)
def test_a_task_has_a_result_of_its_type(task_type: str | None, output: Any, kind: type):
    assert type(result_of(task(task_type=task_type, output=output), fetch)) is kind


def test_the_async_client_has_an_image_of_its_own():
    made = task(task_type="image_generation", output={"image_url": "http://a"})
    assert isinstance(result_of(made, fetch, asynchronous=True), AsyncImage)


def test_media_are_read_and_saved_by_their_link():
    image = Image(image_url="http://a/i").bound(fetch)
    speech = TTSResponse(audio_url="http://a/s").bound(fetch)

    assert (image.read(), speech.read()) == (b"http://a/i", b"http://a/s")
    assert image.save("there.png") == Path("there.png")


async def test_media_of_the_async_client_are_awaited():
    async def later(url: str, path: Path | None) -> Any:
        return fetch(url, path)

    image = AsyncImage(image_url="http://a/i").bound(later)
    assert await image.read() == b"http://a/i"
    assert await image.save("there.png") == Path("there.png")


def test_media_of_no_client_say_so():
    with pytest.raises(ConfigurationError, match="of no client"):
        Image(image_url="http://a").read()


@pytest.mark.parametrize(("kind", "link"), [(Image, "image_url"), (TTSResponse, "audio_url")])
def test_media_of_no_client_name_the_file_and_not_the_signed_link(kind: type[Image], link: str):
    media = kind.model_validate({link: "http://a?signature=s", "file_id": "file_1"})
    with pytest.raises(ConfigurationError, match=r"client\.files\.download\('file_1'\)") as raised:
        media.read()
    assert "signature" not in str(raised.value)


def test_media_of_no_client_and_no_file_keep_the_signed_link_to_themselves():
    with pytest.raises(ConfigurationError, match="its url") as raised:
        Image(image_url="http://a?signature=s").read()
    assert "signature" not in str(raised.value)


def test_media_are_pickled_without_their_client():
    image = pickle.loads(pickle.dumps(Image(image_url="http://a", width=3).bound(lambda url, path: b"")))
    assert image.width == 3
    with pytest.raises(ConfigurationError):
        image.read()


def test_media_are_copied_with_their_client():
    image = copy.deepcopy(Image(image_url="http://a").bound(fetch))
    assert image.read() == b"http://a"


def test_the_link_is_not_in_a_repr():
    assert repr(Image(image_url="http://a?signature=s", width=3)) == "Image(width=3)"


def test_a_page_of_tasks():
    page = TaskPage.model_validate({"data": [{"task_id": "task_1"}], "has_more": True, "next_cursor": "c"})
    assert ([one.id for one in page.data], page.has_more, page.next_cursor) == (["task_1"], True, "c")


def test_a_chunk_is_read_by_attribute_or_like_a_dict():
    chunk = StreamChunk.model_validate({"delta": {"content": "hi"}})
    assert chunk.delta.content == chunk.text == chunk["delta"]["content"] == str(chunk) == "hi"


def test_a_chunk_without_text_reads_as_empty():
    last = StreamChunk.model_validate({"finish_reason": "stop", "usage": {"total_tokens": 3}})
    assert (last["delta"]["content"], last.get("finish_reason"), last.get("cost", "free")) == (
        "",
        "stop",
        "free",
    )
    assert StreamChunk.model_validate({"delta": {"content": None}}).text == ""


def test_what_a_chunk_has_not_is_a_key_error():
    with pytest.raises(KeyError, match="nothing"):
        StreamChunk()["nothing"]
