"""A call of each public method of the SDK, and what the document leaves open in the answers to it."""

from __future__ import annotations

import hmac
import json
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

from pydantic import BaseModel

from nexusai import NexusAIClient, Session
from nexusai.error import NotFoundError

TASK, FILE, BATCH, HOOK_ID, KEY, PROJECT = (
    "task_1",
    "file_1",
    "batch_1",
    "whk_1",
    "key_1",
    "proj_1",
)
SESSION, BASE, DOCUMENT = "sess_1", "kb_1", "doc_1"
SECRET = f"whsec_{b64encode(b'secret').decode()}"


def _model(client: NexusAIClient, name: str) -> None:
    """The route for one is the list of all, and that may be empty."""
    with suppress(NotFoundError):
        client.models.get(name)


TASK_OPTIONS: dict[str, Any] = {
    "provider": "local",
    "model": "simulate",
    "metadata": {"run": "1"},
    "priority": 1,
    "task_timeout": 60,
    "config": {"latency": 0},
}
TEXT_OPTIONS: dict[str, Any] = {
    **TASK_OPTIONS,
    "system": "Be brief.",
    "temperature": 0.5,
    "top_p": 0.9,
    "max_tokens": 100,
    "stop": ["END"],
    "seed": 1,
    "presence_penalty": 0.1,
    "frequency_penalty": 0.1,
    "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}],
    "tool_choice": "auto",
    "response_format": {"type": "json_object"},
    "reasoning_effort": "low",
}
IMAGE_OPTIONS = {**TASK_OPTIONS, "size": "512x512", "quality": "high", "format": "png", "seed": 1}
SPEECH_OPTIONS = {**TASK_OPTIONS, "voice": "en", "format": "wav", "speed": 1.5}
TALK = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]

AGENT: dict[str, Any] = {
    "provider": "local",
    "model": "simulate",
    "temperature": 0.5,
    "max_tokens": 100,
    "system_prompt": "Be brief.",
    "knowledge_base_ids": [BASE],
    "context": {"max_messages": 10},
}
PICTURE = ("a.png", b"picture", "image/png")
TEXT_FILE = ("a.txt", b"text", "text/plain")
INVOKE = {"task_type": "text_generation", "input": {"prompt": "Hi"}}
LINES = ("requests.jsonl", json.dumps(INVOKE).encode())
HOOK: dict[str, Any] = {"url": "https://example.com/hook", "events": ["task.completed"]}


class Answer(BaseModel):
    """What `text.parse` is asked for; the sample of a text is one."""

    answer: int


def session(client: NexusAIClient) -> Session:
    """A session without asking for it, so that what the document has not is the session's own call."""
    return Session(session_id=SESSION)._of(client.sessions)


def signed(payload: bytes) -> tuple[bytes, dict[str, str]]:
    """A call of the platform's, by the Standard Webhooks scheme."""
    at = str(int(time.time()))
    digest = hmac.digest(b"secret", b".".join([b"msg_1", at.encode(), payload]), "sha256")
    signature = f"v1,{b64encode(digest).decode()}"
    return payload, {"webhook-id": "msg_1", "webhook-timestamp": at, "webhook-signature": signature}


EXAMPLES: Mapping[str, Callable[[NexusAIClient], Any]] = {
    "text.generate": lambda client: client.text.generate("Hi", **TEXT_OPTIONS),
    "text.generate messages": lambda client: client.text.generate(messages=TALK),
    "text.generate_async": lambda client: client.text.generate_async("Hi", **TEXT_OPTIONS),
    "text.generate images": lambda client: client.text.generate(
        "What?", images=[FILE, "https://a.example/b.png"]
    ),
    "text.parse": lambda client: client.text.parse("Hi", response_model=Answer),
    "text.stream": lambda client: list(client.text.stream("Hi", **TEXT_OPTIONS)),
    "images.generate": lambda client: client.images.generate("A sea", **IMAGE_OPTIONS),
    "images.generate ratio": lambda client: client.images.generate("A sea", aspect_ratio="16:9"),
    "images.generate_many": lambda client: client.images.generate_many("A sea", 9),
    "images.edit": lambda client: client.images.edit("Add a moon", image=[FILE, PICTURE], mask="file_2"),
    "images.submit": lambda client: client.images.submit("A sea", **IMAGE_OPTIONS),
    "audio.synthesize": lambda client: client.audio.synthesize("Hi", **SPEECH_OPTIONS),
    "audio.text_to_speech": lambda client: client.audio.text_to_speech("Hi"),
    "audio.transcribe": lambda client: client.audio.transcribe(TEXT_FILE, language="en", timestamps=True),
    "files.upload": lambda client: client.files.upload(TEXT_FILE),
    "files.get": lambda client: client.files.get(FILE),
    "files.download": lambda client: client.files.download(FILE),
    "files.list": lambda client: client.files.list(page=1, per_page=10),
    "files.iter": lambda client: list(islice(client.files.iter(per_page=1), 3)),
    "files.delete": lambda client: client.files.delete(FILE),
    "tasks.submit": lambda client: client.tasks.submit("text_generation", {"prompt": "Hi"}, **TASK_OPTIONS),
    "tasks.attach": lambda client: client.tasks.attach(TASK),
    "tasks.get": lambda client: client.tasks.get(TASK),
    "tasks.list": lambda client: client.tasks.list(
        status="completed",
        task_type="text_generation",
        created_after="2025-01-31T08:00:00Z",
        metadata={"run": "1"},
        limit=10,
        cursor="next",
    ),
    "tasks.iter": lambda client: list(islice(client.tasks.iter(limit=1), 3)),
    "tasks.wait": lambda client: client.tasks.wait(TASK),
    "tasks.cancel": lambda client: client.tasks.cancel(TASK),
    "tasks.delete": lambda client: client.tasks.delete(TASK),
    "tasks.as_completed": lambda client: list(client.tasks.as_completed([TASK, "task_2"])),
    "tasks.wait_all": lambda client: client.tasks.wait_all([TASK, "task_2"]),
    "sessions.create": lambda client: client.sessions.create(name="Tour", metadata={"run": "1"}, **AGENT),
    "sessions.get": lambda client: client.sessions.get(SESSION),
    "sessions.list": lambda client: client.sessions.list(page=1, per_page=10),
    "sessions.iter": lambda client: list(islice(client.sessions.iter(per_page=1), 3)),
    "sessions.update": lambda client: client.sessions.update(SESSION, name="Walk", temperature=0.1),
    "sessions.delete": lambda client: client.sessions.delete(SESSION),
    "Session.invoke": lambda client: session(client).invoke("Hi", temperature=0.1),
    "Session.stream": lambda client: list(session(client).stream("Hi")),
    "Session.submit": lambda client: session(client).submit("Hi"),
    "Session.history": lambda client: session(client).history(limit=10, offset=0),
    "Session.iter_history": lambda client: list(islice(session(client).iter_history(), 3)),
    "Session.rename": lambda client: session(client).rename("Walk"),
    "Session.regenerate": lambda client: session(client).regenerate(temperature=0.1),
    "Session.stream_regenerated": lambda client: list(session(client).stream_regenerated()),
    "Session.fork": lambda client: session(client).fork("msg_1", name="Walk", metadata={"run": "1"}),
    "Session.delete": lambda client: session(client).delete(),
    "knowledge_bases.create": lambda client: client.knowledge_bases.create(
        "Manuals", description="Of lamps", embedding_model="local/embedding", chunk_size=500, chunk_overlap=50
    ),
    "knowledge_bases.get": lambda client: client.knowledge_bases.get(BASE),
    "knowledge_bases.list": lambda client: client.knowledge_bases.list(),
    "knowledge_bases.update": lambda client: client.knowledge_bases.update(BASE, name="Lamps"),
    "knowledge_bases.delete": lambda client: client.knowledge_bases.delete(BASE),
    "knowledge_bases.upload_document": lambda client: client.knowledge_bases.upload_document(BASE, TEXT_FILE),
    "knowledge_bases.upload_documents": lambda client: client.knowledge_bases.upload_documents(
        BASE, [TEXT_FILE]
    ),
    "knowledge_bases.add_document": lambda client: client.knowledge_bases.add_document(
        BASE, FILE, metadata={"year": 1854}
    ),
    "knowledge_bases.list_documents": lambda client: client.knowledge_bases.list_documents(BASE),
    "knowledge_bases.get_document": lambda client: client.knowledge_bases.get_document(BASE, DOCUMENT),
    "knowledge_bases.delete_document": lambda client: client.knowledge_bases.delete_document(BASE, DOCUMENT),
    "knowledge_bases.search": lambda client: client.knowledge_bases.search(
        "oil", [BASE], top_k=3, similarity_threshold=0.2, mode="keyword", filter={"year": 1854}
    ),
    "embeddings.create": lambda client: client.embeddings.create(["Hi", "Bye"], dimensions=64),
    "moderations.create": lambda client: client.moderations.create("Hi"),
    "batches.create": lambda client: client.batches.create([INVOKE], metadata={"run": "1"}, webhook=HOOK),
    "batches.create file": lambda client: client.batches.create(input_file=LINES),
    "batches.create id": lambda client: client.batches.create(input_file_id=FILE),
    "batches.list": lambda client: client.batches.list(limit=10, cursor="next"),
    "batches.iter": lambda client: list(islice(client.batches.iter(limit=1), 3)),
    "batches.get": lambda client: client.batches.get(BATCH),
    "batches.wait": lambda client: client.batches.wait(BATCH),
    "batches.results": lambda client: list(client.batches.results(BATCH)),
    "batches.cancel": lambda client: client.batches.cancel(BATCH),
    "webhooks.create": lambda client: client.webhooks.create(HOOK["url"], events=HOOK["events"]),
    "webhooks.get": lambda client: client.webhooks.get(HOOK_ID),
    "webhooks.list": lambda client: client.webhooks.list(limit=10, cursor="next"),
    "webhooks.iter": lambda client: list(islice(client.webhooks.iter(limit=1), 3)),
    "webhooks.update": lambda client: client.webhooks.update(HOOK_ID, **HOOK, is_active=False),
    "webhooks.delete": lambda client: client.webhooks.delete(HOOK_ID),
    "webhooks.secret": lambda client: client.webhooks.secret(),
    "webhooks.rotate_secret": lambda client: client.webhooks.rotate_secret(HOOK_ID),
    "webhooks.deliveries": lambda client: client.webhooks.deliveries(HOOK_ID, limit=10, cursor="next"),
    "webhooks.iter_deliveries": lambda client: list(
        islice(client.webhooks.iter_deliveries(HOOK_ID, limit=1), 3)
    ),
    "webhooks.redeliver": lambda client: client.webhooks.redeliver(HOOK_ID, "dlv_1"),
    "webhooks.verify": lambda client: client.webhooks.verify(*signed(b'{"type": "task.completed"}'), SECRET),
    "usage.get": lambda client: client.usage.get(
        group_by="day", from_="2025-01-01", to="2025-02-01", limit=10
    ),
    "models.list": lambda client: client.models.list(limit=10, cursor="next"),
    "models.get": lambda client: _model(client, "name"),
    "conversations.list": lambda client: client.conversations.list(
        "灯塔", status="completed", from_="2025-01-01"
    ),
    "conversations.iter": lambda client: list(islice(client.conversations.iter(limit=1), 3)),
    "conversations.get": lambda client: client.conversations.get("conv_1"),
    "conversations.delete": lambda client: client.conversations.delete("conv_1"),
    "conversations.delete_many": lambda client: client.conversations.delete_many(
        before="2025-01-01", key_id=KEY
    ),
    "keys.create": lambda client: client.keys.create("ci", scopes=["invoke"], allowed_models=["simulate"]),
    "keys.get": lambda client: client.keys.get(KEY),
    "keys.list": lambda client: client.keys.list(limit=10, cursor="next"),
    "keys.iter": lambda client: list(islice(client.keys.iter(limit=1), 3)),
    "keys.update": lambda client: client.keys.update(KEY, budget={"per_day": 5}, is_active=True),
    "keys.rotate": lambda client: client.keys.rotate(KEY, grace_seconds=60),
    "keys.disable": lambda client: client.keys.disable(KEY),
    "projects.create": lambda client: client.projects.create("team", budget={"per_month": 100}),
    "projects.get": lambda client: client.projects.get(PROJECT),
    "projects.list": lambda client: client.projects.list(limit=10, cursor="next"),
    "projects.iter": lambda client: list(islice(client.projects.iter(limit=1), 3)),
    "projects.update": lambda client: client.projects.update(PROJECT, rate_limits={"tokens_per_minute": 9}),
    "TaskHandle.wait": lambda client: client.tasks.attach(TASK).wait(),
    "TaskHandle.events": lambda client: list(client.tasks.attach(TASK).events()),
    "TaskHandle.refresh": lambda client: client.tasks.attach(TASK).refresh(),
    "TaskHandle.cancel": lambda client: client.tasks.attach(TASK).cancel(),
    "TaskHandle.to_dict": lambda client: client.tasks.attach(TASK).to_dict(),
    "TaskEventStream.close": lambda client: client.tasks.attach(TASK).events().close(),
    "TextStream.final": lambda client: client.text.stream("Hi").final(),
    "TextStream.close": lambda client: client.text.stream("Hi").close(),
    "Image.read": lambda client: client.images.generate("A sea").read(),
}
"""A call of each public method. What stands after a blank tells several of one method apart."""

COST = {"amount": 0.1, "currency": "USD"}
MADE = {"provider": "local", "model": "simulate", "cost": COST}
USAGE = {
    "prompt_tokens": 1,
    "completion_tokens": 1,
    "total_tokens": 2,
    "cached_tokens": 0,
    "reasoning_tokens": 0,
}
_LINK = "/api/v1/files/file_1/content?expires=1&signature=s"
_IMAGE = {"file_id": FILE, "image_url": _LINK, "width": 1, "height": 1}
OUTPUTS: Mapping[str, Mapping[str, Any]] = {
    "text_generation": {
        "text": '{"answer": 1}',
        "finish_reason": "stop",
        "usage": USAGE,
        "tool_calls": [{"id": "call_1"}],
        "reasoning": "…",
    },
    "image_generation": {**_IMAGE, "revised_prompt": "…", "images": [{**_IMAGE, "index": 0}]},
    "session_turn": {
        "session_id": SESSION,
        "response": {"role": "assistant", "content": "Hi", "tool_calls": [], "citations": []},
        "usage": USAGE,
    },
    "text_to_speech": {"audio_url": _LINK, "file_id": FILE, "format": "wav", "duration": 1.0},
    "speech_to_text": {
        "text": "Hi",
        "language": "en",
        "duration": 1.0,
        "segments": [{"start": 0.0, "end": 1.0, "text": "Hi"}],
    },
    "embeddings": {"embeddings": [[0.1]], "dimensions": 1, "usage": USAGE},
    "moderation": {
        "results": [{"flagged": False, "categories": {"x": False}, "category_scores": {"x": 0.1}}]
    },
}
"""What each type of task makes: the document leaves it open."""

_EVENTS = (
    {"task_id": TASK, "model": "simulate", "provider": "local"},
    {"delta": {"content": "Hi", "reasoning_content": "…", "tool_calls": [], "citations": []}},
    {"finish_reason": "stop", "usage": USAGE, "cost": COST},
)
ROW = json.dumps({"index": 0, "custom_id": "a", "task_id": TASK, "status": "completed"})
STREAM = "".join(f"id: {1_000_000 + n}\ndata: {json.dumps(event)}\n\n" for n, event in enumerate(_EVENTS))
